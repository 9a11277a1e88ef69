//! What an attempt starts from: artifacts of the store whose files were verified.

use std::path::PathBuf;

/// A file that a provider is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputFile {
    /// Where it lies in the store; it stays there while the attempt is under way.
    pub path: PathBuf,
    /// Such as `image/png`.
    pub media_type: String,
    /// The extension of its name, such as `png`.
    pub extension: String,
    /// Length in bytes.
    pub size_bytes: u64,
}
