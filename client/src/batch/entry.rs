//! One entry of an input, whatever kind of file it came from.

use serde_json::{Map, Value};

/// What one line, one row or one element of an array asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The line that it begins at, from 1.
    pub line: usize,
    /// Its place in its file from 1, where a line may hold several entries.
    pub place: Option<usize>,
    /// What it holds.
    pub content: Content,
}

/// The two ways to ask for a picture.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// A prompt alone.
    Prompt(String),
    /// The fields of a JSON object, or the cells of a table's row.
    Fields(Map<String, Value>),
}

/// Why a line, or the whole file, is not taken for prompts, and how to give it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// The line's number from 1.
    pub line: usize,
    /// What it looks like.
    pub message: String,
    /// What to do instead.
    pub hint: String,
}

impl Misfit {
    /// What was seen at a line, and how to give it.
    pub fn new(line: usize, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { line, message: message.into(), hint: hint.into() }
    }
}
