//! What a task starts from: artifacts that its params name, and, for an attempt, their files in the store.

use std::path::PathBuf;

use reel_protocol::Digest;

/// The artifacts in the store that a task starts from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inputs {
    /// The pictures to start from, in the order of the params.
    pub pictures: Vec<Digest>,
    /// The mask of the first one, which has to be of the same size.
    pub mask: Option<Digest>,
    /// Files of any media type, behind the pictures. Whoever starts from them says which types it takes.
    pub files: Vec<Digest>,
}

impl Inputs {
    /// All of them: the pictures, the mask, and the other files.
    pub fn iter(&self) -> impl Iterator<Item = Digest> {
        self.must_be_pictures().chain(self.files.iter().copied())
    }

    /// Those that have to be pictures, the mask last.
    pub fn must_be_pictures(&self) -> impl Iterator<Item = Digest> {
        self.pictures.iter().chain(&self.mask).copied()
    }

    /// Whether the task starts from words alone.
    pub const fn is_empty(&self) -> bool {
        self.pictures.is_empty() && self.mask.is_none() && self.files.is_empty()
    }
}

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
