//! An answer as it was understood: a tree of what it holds, in which the long texts of pictures are numbers. Pure.

use super::scan::{PictureSink, Scanner};

/// What is kept of the beginning of a body, to be shown where nothing in it is understood.
pub const BEGINNING_BYTES: usize = 2 * 1024;

/// One value of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// `null`, and words that are no JSON, such as `NaN`.
    Null,
    /// The value is `true` or `false`.
    Flag(bool),
    /// The value is a number.
    Number(f64),
    /// The value is a text.
    Text(String),
    /// A text that is a picture, and went elsewhere while it arrived; its number among those of the answer.
    Picture(usize),
    /// The value is a list.
    List(Vec<Node>),
    /// An object, with every field that came: names may repeat.
    Map(Vec<(String, Node)>),
}

/// What a body holds. There may be several values with text between them, as in a stream of events.
#[derive(Debug, Default)]
pub struct Document {
    /// The values, in their order.
    pub roots: Vec<Node>,
    /// Pictures of the answer that came to their end, whether they are in the tree or not.
    pub pictures: usize,
    /// The first bytes of the body.
    pub beginning: Vec<u8>,
}

/// Keeps no pictures, and counts them.
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
    /// A body that says what went wrong.
    pub fn of_error(body: &[u8]) -> Self {
        Self::of_text("", body)
    }

    /// A body whose pictures are texts of this field, which are counted and not kept.
    pub fn of_text(field: &'static str, body: &[u8]) -> Self {
        let mut pictures = NoPictures::default();
        let mut scanner = Scanner::new(field);
        scanner.push(body, &mut pictures);
        let roots = scanner.finish(true, &mut pictures);
        Self { roots, pictures: pictures.0, beginning: body.get(..BEGINNING_BYTES).unwrap_or(body).to_vec() }
    }

    /// Whether the body is a web page.
    pub fn is_web_page(&self) -> bool {
        self.beginning.trim_ascii_start().starts_with(b"<")
    }

    /// A body that is one picture as it is.
    pub fn of_picture() -> Self {
        Self { roots: vec![Node::Picture(0)], pictures: 1, beginning: Vec::new() }
    }
}

impl Node {
    /// The values of a field; None of another value's.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &Self> {
        let fields = if let Self::Map(fields) = self { fields.as_slice() } else { &[] };
        fields.iter().filter(move |(field, _)| field == name).map(|(_, value)| value)
    }

    /// The values inside of a list or an object.
    pub fn inside(&self) -> Box<dyn Iterator<Item = &Self> + '_> {
        match self {
            Self::List(items) => Box::new(items.iter()),
            Self::Map(fields) => Box::new(fields.iter().map(|(_, value)| value)),
            _ => Box::new(std::iter::empty()),
        }
    }

    /// A text that is not blank.
    pub fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text.trim()).filter(|text| !text.is_empty()) } else { None }
    }

    /// A number, also one that is written as a text.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
            _ => None,
        }
    }
}
