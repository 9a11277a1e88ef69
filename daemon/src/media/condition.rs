//! Whether all of a file is there and good.

/// Whether all of a file is there and good. Each text completes a sentence that begins with "the file".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// The file is there to its last byte, and every part that this room reads is good.
    Whole,
    /// The file ends before its format says that it does, as after a broken transfer. The facts describe the part that is there.
    Cut(String),
    /// The file goes to its end, and a part of it is broken: a checksum is wrong, or frames cannot be decoded.
    Damaged(String),
    /// The file was recognised, and this room cannot say whether it is good, as nothing here reads its codec.
    Unchecked(String),
}

impl Condition {
    /// What is wrong, or not known; None of a file that is whole.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Whole => None,
            Self::Cut(reason) | Self::Damaged(reason) | Self::Unchecked(reason) => Some(reason),
        }
    }
}
