//! Reads a response body that should be JSON while it arrives, whatever else is in it. The texts of pictures, which may have megabytes, go to
//! a sink piece by piece, and the rest becomes a tree of bounded size. Pure.
//!
//! The scanner never fails. It skips text before, between and after the values, reads words that are no JSON as null, lets names repeat, and
//! closes all lists and objects that are open at the end of the body. A picture is a text of the field that the service documents for it, a
//! `data:` URL, or a long text in base64 that begins as a picture does. Each byte is examined a bounded number of times.

mod text;

use memchr::memchr2;

use self::text::{Escape, Kind, Text, begins_as_picture};
use super::document::Node;

/// The most levels of nested lists and objects that are kept.
const MAX_DEPTH: usize = 64;
/// The most values that are kept. Services send some dozens.
const MAX_NODES: usize = 8 * 1024;
/// The most bytes of texts and names that are kept.
const MAX_TEXT_BYTES: usize = 512 * 1024;
/// How many bytes of a text are buffered before it is decided whether the text is a picture.
const SNIFFED: usize = 64;

/// Receives the texts of pictures, one picture after another. The escapes of JSON are already resolved.
pub trait PictureSink {
    /// Called when the text of a picture begins.
    fn begin(&mut self);
    /// Called with the next part of that text.
    fn piece(&mut self, text: &[u8]);
    /// Called when the text is complete. Returns the number of the picture, or None if the picture is not kept.
    fn end(&mut self) -> Option<usize>;
}

/// The scanner of one response body.
#[derive(Debug)]
pub struct Scanner {
    /// The field whose texts are pictures, unless they are blank or the URL of one.
    field: &'static str,
    state: State,
    open: Vec<Open>,
    /// How many of the lists and objects around the next byte are not kept.
    unkept: usize,
    roots: Vec<Node>,
    nodes_left: usize,
    bytes_left: usize,
    /// How many bytes of the body do not belong to pictures.
    other_bytes: u64,
}

#[derive(Debug)]
enum State {
    /// The scanner is between two values.
    Between,
    /// The scanner is in a word without quotes. These are its first bytes, at most [`SNIFFED`].
    Word(Vec<u8>),
    Text(Text),
}

/// A list or an object that is not closed yet.
#[derive(Debug)]
enum Open {
    List(Vec<Node>),
    Map { fields: Vec<(String, Node)>, name: Option<String> },
}

impl Scanner {
    /// A scanner that reads the texts of `field` as pictures, at any depth.
    pub const fn new(field: &'static str) -> Self {
        Self {
            field,
            state: State::Between,
            open: Vec::new(),
            unkept: 0,
            roots: Vec::new(),
            nodes_left: MAX_NODES,
            bytes_left: MAX_TEXT_BYTES,
            other_bytes: 0,
        }
    }

    /// Scans the next bytes of the body.
    pub fn push(&mut self, mut bytes: &[u8], sink: &mut impl PictureSink) {
        while let Some((first, rest)) = bytes.split_first() {
            bytes = match std::mem::replace(&mut self.state, State::Between) {
                State::Text(text) => self.text(text, bytes, sink),
                State::Word(word) => {
                    self.other_bytes += 1;
                    if is_of_word(*first) {
                        self.word(word, *first, sink);
                        rest
                    } else {
                        self.end_word(&word);
                        bytes
                    }
                }
                State::Between => {
                    self.other_bytes += 1;
                    self.between(*first);
                    rest
                }
            };
        }
    }

    /// Ends the body, and returns its values. An incomplete text is left out. A picture without quotes is complete if the body is (`is_whole`).
    pub fn finish(mut self, is_whole: bool, sink: &mut impl PictureSink) -> Vec<Node> {
        match std::mem::replace(&mut self.state, State::Between) {
            State::Word(word) => self.end_word(&word),
            State::Text(text) if text.quote.is_none() && is_whole => self.end_text(text, sink),
            _ => {}
        }
        while let Some(open) = self.open.pop() {
            self.attach(open.close());
        }
        self.roots
    }

    /// The outermost values that are complete so far.
    pub fn roots(&self) -> &[Node] {
        &self.roots
    }

    /// How many bytes so far do not belong to pictures.
    pub const fn other_bytes(&self) -> u64 {
        self.other_bytes
    }

    fn is_inside(&self) -> bool {
        !self.open.is_empty() || self.unkept > 0
    }

    fn between(&mut self, byte: u8) {
        match byte {
            // Quotes outside of all lists and objects belong to prose.
            b'"' | b'\'' if self.is_inside() => self.state = State::Text(Text::new(Some(byte))),
            b'{' => self.open(Open::Map { fields: Vec::new(), name: None }),
            b'[' => self.open(Open::List(Vec::new())),
            b'}' | b']' if self.unkept > 0 => self.unkept -= 1,
            b'}' | b']' => {
                if let Some(open) = self.open.pop() {
                    self.attach(open.close());
                }
            }
            b',' => {
                if self.unkept == 0
                    && let Some(Open::Map { fields, name }) = self.open.last_mut()
                    && let Some(name) = name.take()
                    && self.nodes_left > 0
                {
                    self.nodes_left -= 1;
                    fields.push((name, Node::Null));
                }
            }
            byte if is_of_word(byte) => self.state = State::Word(vec![byte]),
            _ => {}
        }
    }

    fn open(&mut self, open: Open) {
        if self.unkept > 0 || self.open.len() >= MAX_DEPTH || self.nodes_left == 0 {
            self.unkept += 1;
        } else {
            self.nodes_left -= 1;
            self.open.push(open);
        }
    }

    fn attach(&mut self, node: Node) {
        if self.unkept > 0 {
            return;
        }
        match self.open.last_mut() {
            None => self.roots.push(node),
            Some(Open::List(items)) => items.push(node),
            Some(Open::Map { fields, name }) => fields.push((name.take().unwrap_or_default(), node)),
        }
    }

    /// Adds a value that is neither a list nor an object to the tree, while the tree has fewer than [`MAX_NODES`] values. The name of a value that
    /// is not kept is forgotten too, so that the next text is read as a name.
    fn keep(&mut self, node: Node) {
        if self.nodes_left > 0 {
            self.nodes_left -= 1;
            self.attach(node);
        } else if self.unkept == 0
            && let Some(Open::Map { name, .. }) = self.open.last_mut()
        {
            *name = None;
        }
    }

    /// Whether the next text is the name of a field.
    fn is_at_name(&self) -> bool {
        self.unkept == 0 && matches!(self.open.last(), Some(Open::Map { name: None, .. }))
    }

    /// Notes the name of the field whose value comes next. It takes up memory only if its value is kept.
    fn name(&mut self, text: String) {
        if let Some(Open::Map { name, .. }) = self.open.last_mut() {
            *name = Some(text);
        }
    }

    fn word(&mut self, mut word: Vec<u8>, byte: u8, sink: &mut impl PictureSink) {
        if word.len() < SNIFFED {
            word.push(byte);
            if word.len() == SNIFFED && begins_as_picture(&word) {
                sink.begin();
                sink.piece(&word);
                self.state = State::Text(Text { kind: Kind::Picture, ..Text::new(None) });
                return;
            }
        }
        self.state = State::Word(word);
    }

    fn end_word(&mut self, word: &[u8]) {
        if !self.is_inside() {
            return;
        }
        let text = String::from_utf8_lossy(word);
        if self.is_at_name() {
            self.name(text.into_owned());
            return;
        }
        let number = || text.parse().ok().filter(|number: &f64| number.is_finite()).map(Node::Number);
        let node = match &*text {
            "true" | "True" => Node::Flag(true),
            "false" | "False" => Node::Flag(false),
            _ => number().unwrap_or(Node::Null),
        };
        self.keep(node);
    }

    /// Scans the next part of a text, and returns the bytes after it.
    fn text<'a>(&mut self, mut text: Text, bytes: &'a [u8], sink: &mut impl PictureSink) -> &'a [u8] {
        let Some((first, rest)) = bytes.split_first() else { return bytes };
        if matches!(text.escape, Escape::Unicode { .. }) && !first.is_ascii_hexdigit() {
            // The escape is cut short. Its end may be the end of the text.
            text.escape = Escape::No;
            self.take(&mut text, "\u{fffd}".as_bytes(), sink);
            self.state = State::Text(text);
            return bytes;
        }
        if !matches!(text.escape, Escape::No) {
            if let Some(character) = text.escaped(*first) {
                self.take(&mut text, character.encode_utf8(&mut [0; 4]).as_bytes(), sink);
            }
            self.state = State::Text(text);
            return rest;
        }
        let length = match text.quote {
            Some(quote) => memchr2(quote, b'\\', bytes),
            None => bytes.iter().position(|byte| !is_of_base64(*byte)),
        };
        let (plain, rest) = bytes.split_at(length.unwrap_or(bytes.len()));
        if !plain.is_empty() {
            self.take(&mut text, plain, sink);
        }
        match rest.split_first() {
            Some((b'\\', rest)) if text.quote.is_some() => {
                text.escape = Escape::Backslash;
                self.state = State::Text(text);
                rest
            }
            Some((_, after)) => {
                let has_quote = text.quote.is_some();
                self.end_text(text, sink);
                if has_quote { after } else { rest }
            }
            None => {
                self.state = State::Text(text);
                rest
            }
        }
    }

    fn take(&mut self, text: &mut Text, plain: &[u8], sink: &mut impl PictureSink) {
        if text.high.take().is_some() {
            self.take(text, "\u{fffd}".as_bytes(), sink);
        }
        if matches!(text.kind, Kind::Kept | Kind::Dropped) {
            self.other_bytes += plain.len() as u64;
        }
        match text.kind {
            Kind::Picture => sink.piece(plain),
            Kind::Dropped => {}
            Kind::Kept => self.keep_text(text, plain),
            Kind::Undecided => {
                let (sniffed, later) =
                    plain.split_at(plain.len().min(SNIFFED.saturating_sub(text.bytes.len())));
                text.bytes.extend_from_slice(sniffed);
                if text.bytes.len() >= SNIFFED {
                    self.decide(text, sink);
                    if !later.is_empty() {
                        self.take(text, later, sink);
                    }
                }
            }
        }
    }

    fn decide(&mut self, text: &mut Text, sink: &mut impl PictureSink) {
        if !self.is_at_name() && self.is_picture(&text.bytes) {
            text.kind = Kind::Picture;
            sink.begin();
            sink.piece(&std::mem::take(&mut text.bytes));
        } else {
            text.kind = Kind::Kept;
            let beginning = std::mem::take(&mut text.bytes);
            self.keep_text(text, &beginning);
        }
    }

    fn keep_text(&mut self, text: &mut Text, plain: &[u8]) {
        if let Some(left) = self.bytes_left.checked_sub(plain.len()) {
            self.bytes_left = left;
            text.bytes.extend_from_slice(plain);
        } else {
            // Do not keep a part of the text: a truncated URL is another URL.
            text.kind = Kind::Dropped;
            text.bytes = Vec::new();
        }
    }

    fn is_picture(&self, beginning: &[u8]) -> bool {
        let text = beginning.trim_ascii_start();
        let is_of_field = self.unkept == 0
            && matches!(self.open.last(), Some(Open::Map { name: Some(name), .. }) if name == self.field);
        let is_url = text.starts_with(b"http://") || text.starts_with(b"https://");
        let is_data_url = text.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"data:"))
            && (text.starts_with(b"data:image/") || memchr::memmem::find(text, b";base64,").is_some());
        is_data_url || (is_of_field && !text.is_empty() && !is_url) || begins_as_picture(text)
    }

    fn end_text(&mut self, mut text: Text, sink: &mut impl PictureSink) {
        if text.high.is_some() {
            self.take(&mut text, &[], sink);
        }
        let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if self.is_at_name() {
            // A short name is known even if no more texts are kept: the name of a picture's field is short.
            self.name(shown(&text.bytes));
            return;
        }
        if text.kind == Kind::Undecided {
            self.decide(&mut text, sink);
        }
        match text.kind {
            // A picture does not count as a value: pictures are few, and none may be lost because of the other values.
            Kind::Picture => drop(sink.end().map(|number| self.attach(Node::Picture(number)))),
            Kind::Dropped => self.keep(Node::Null),
            _ => self.keep(Node::Text(shown(&text.bytes))),
        }
    }
}

impl Open {
    fn close(self) -> Node {
        match self {
            Self::List(items) => Node::List(items),
            Self::Map { mut fields, name } => {
                fields.extend(name.map(|name| (name, Node::Null)));
                Node::Map(fields)
            }
        }
    }
}

/// Whether a byte continues a word. A backslash and an apostrophe do, as they do in prose.
const fn is_of_word(byte: u8) -> bool {
    !byte.is_ascii_whitespace() && !matches!(byte, b'"' | b',' | b':' | b'{' | b'}' | b'[' | b']')
}

const fn is_of_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_' | b'=' | b'\r' | b'\n')
}

#[cfg(test)]
mod tests;
