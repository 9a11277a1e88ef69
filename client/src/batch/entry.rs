//! Defines one entry of a batch's input, whatever kind of file it came from.

use serde_json::{Map, Value};

/// One line, one row of a table or one element of an array.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The line that the entry starts at, counted from 1.
    pub line: usize,
    /// The entry's number in its file, counted from 1. It is given if a line may hold several entries.
    pub place: Option<usize>,
    /// The content of the entry.
    pub content: Content,
}

/// The content of an entry, in one of the two ways to ask for a result.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// A prompt without other fields.
    Prompt(String),
    /// The fields of a JSON object, or the cells of a table's row.
    Fields(Map<String, Value>),
}

/// Why a line or a whole file is not accepted as prompts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// The number of the line, counted from 1.
    pub line: usize,
    /// What the line seems to be.
    pub message: String,
    /// How to write it instead.
    pub hint: String,
}

impl Misfit {
    /// Makes a misfit for a line.
    pub fn new(line: usize, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { line, message: message.into(), hint: hint.into() }
    }
}
