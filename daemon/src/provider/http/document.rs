//! A response body as a tree of values. The long texts of pictures are not in the tree: each is replaced by the picture's number. Pure.

use super::scan::{PictureSink, Scanner};

/// How many bytes of the beginning of a body are kept, to be shown if nothing in the body is understood.
pub const BEGINNING_BYTES: usize = 2 * 1024;

/// One value of a response body.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// The value is `null`, or a word that is no JSON, such as `NaN`.
    Null,
    /// The value is `true` or `false`.
    Flag(bool),
    /// The value is a number.
    Number(f64),
    /// The value is a text.
    Text(String),
    /// The value is the text of a picture, which went to the `PictureSink` while it arrived. This is the number of the picture in the body.
    Picture(usize),
    /// The value is a list.
    List(Vec<Node>),
    /// The value is an object, with all of its fields in their order. Names may repeat.
    Map(Vec<(String, Node)>),
}

/// The values of a body. A body may hold several values with text between them, as a stream of events does.
#[derive(Debug, Default)]
pub struct Document {
    /// The outermost values, in their order.
    pub roots: Vec<Node>,
    /// How many pictures of the body have a complete text, whether or not they are in the tree.
    pub pictures: usize,
    /// The first bytes of the body, at most `BEGINNING_BYTES`.
    pub beginning: Vec<u8>,
}

/// A sink that counts the pictures and keeps none of them.
#[derive(Default)]
struct NoPictures(usize);

impl PictureSink for NoPictures {
    fn begin(&mut self) {}

    fn piece(&mut self, _: &[u8]) {}

    fn end(&mut self) -> Option<usize> {
        self.0 += 1;
        Some(self.0 - 1)
    }
}

impl Document {
    /// Reads the body of an error response.
    pub fn of_error(body: &[u8]) -> Self {
        Self::of_text("", body)
    }

    /// Reads a body in which the texts of `field` are pictures. The pictures are counted and not kept.
    pub fn of_text(field: &'static str, body: &[u8]) -> Self {
        let mut pictures = NoPictures::default();
        let mut scanner = Scanner::new(field);
        scanner.push(body, &mut pictures);
        let roots = scanner.finish(true, &mut pictures);
        Self { roots, pictures: pictures.0, beginning: body.get(..BEGINNING_BYTES).unwrap_or(body).to_vec() }
    }

    /// Whether the body begins with `<`, as web pages do.
    pub fn is_web_page(&self) -> bool {
        self.beginning.trim_ascii_start().starts_with(b"<")
    }

    /// The document of a body that is the file of one picture, without any JSON.
    pub fn of_picture() -> Self {
        Self { roots: vec![Node::Picture(0)], pictures: 1, beginning: Vec::new() }
    }
}

impl Node {
    /// The values of all fields of this name. There are none if this value is no object.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &Self> {
        let fields = if let Self::Map(fields) = self { fields.as_slice() } else { &[] };
        fields.iter().filter(move |(field, _)| field == name).map(|(_, value)| value)
    }

    /// The values that a list or an object holds. Any other value holds none.
    pub fn inside(&self) -> Box<dyn Iterator<Item = &Self> + '_> {
        match self {
            Self::List(items) => Box::new(items.iter()),
            Self::Map(fields) => Box::new(fields.iter().map(|(_, value)| value)),
            _ => Box::new(std::iter::empty()),
        }
    }

    /// The text without the white space around it. None if it is blank, or if this value is no text.
    pub fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text.trim()).filter(|text| !text.is_empty()) } else { None }
    }

    /// The number, which may also be written as a text. None if this value is no number.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
            _ => None,
        }
    }
}
