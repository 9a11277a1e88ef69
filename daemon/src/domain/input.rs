//! The inputs of a task: the artifacts that its params name and, during an attempt, their files in the store.

use std::path::PathBuf;

use reel_protocol::Digest;

/// The artifacts in the store that a task uses as inputs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inputs {
    /// The input pictures, in the order of the params.
    pub pictures: Vec<Digest>,
    /// The mask of the first picture, which must be of the same size.
    pub mask: Option<Digest>,
    /// Further files of any media type. The service checks which types it accepts.
    pub files: Vec<Digest>,
}

impl Inputs {
    /// Returns all digests: the pictures, the mask, then the other files.
    pub fn iter(&self) -> impl Iterator<Item = Digest> {
        self.must_be_pictures().chain(self.files.iter().copied())
    }

    /// Returns the digests of the files that must be pictures. The mask is the last.
    pub fn must_be_pictures(&self) -> impl Iterator<Item = Digest> {
        self.pictures.iter().chain(&self.mask).copied()
    }

    /// Whether the task uses no artifact at all.
    pub const fn is_empty(&self) -> bool {
        self.pictures.is_empty() && self.mask.is_none() && self.files.is_empty()
    }
}

/// An input file that a provider gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputFile {
    /// The path of the file in the store. The file stays there during the attempt.
    pub path: PathBuf,
    /// The media type, such as `image/png`.
    pub media_type: String,
    /// The extension of the file's name, such as `png`.
    pub extension: String,
    /// The size of the file, in bytes.
    pub size_bytes: u64,
}
