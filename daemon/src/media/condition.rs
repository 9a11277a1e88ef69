//! The condition of a file: whether it is complete and intact.

/// Whether a file is complete and intact. Each text completes a sentence that begins with "the file".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// The file is complete, and every part that this module reads is intact.
    Whole,
    /// The file ends before its format says that it does, as after a broken transfer. The facts describe the part that exists.
    Cut(String),
    /// The file is complete, but a part of it is broken: a checksum is wrong, or frames cannot be decoded.
    Damaged(String),
    /// The format was recognised, but nothing here reads its codec, so the condition is unknown.
    Unchecked(String),
}

impl Condition {
    /// Returns what is wrong or unknown. None for a file that is whole.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Whole => None,
            Self::Cut(reason) | Self::Damaged(reason) | Self::Unchecked(reason) => Some(reason),
        }
    }
}
