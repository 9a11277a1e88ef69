//! `artifact.*`.

use serde::{Deserialize, Serialize};

use crate::{
    Bytes, Digest,
    binary::{self, BinaryError},
};

/// A part of an artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactReadParams {
    /// The digest of the artifact.
    pub digest: Digest,
    /// The first byte to read.
    #[serde(default)]
    pub offset: u64,
    /// At most 4 MiB; less comes back at the end.
    pub length: u64,
}

/// A part of an artifact's bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactReadResult {
    /// From `offset` on; base64 in JSON.
    pub data: Bytes,
    /// Length of the whole artifact.
    pub size_bytes: u64,
    /// Such as `image/png`.
    pub media_type: String,
}

impl ArtifactReadResult {
    /// Reads it in bincode, with its data as a part of `bytes`.
    pub(super) fn within(bytes: &bytes::Bytes) -> Result<Self, BinaryError> {
        /// The same fields.
        #[derive(Deserialize)]
        struct Borrowed<'a> {
            #[serde(borrow, with = "serde_bytes")]
            data: &'a [u8],
            size_bytes: u64,
            media_type: String,
        }
        let Borrowed { data, size_bytes, media_type } = binary::decode(bytes)?;
        Ok(Self { data: Bytes(bytes.slice_ref(data)), size_bytes, media_type })
    }
}

/// A file to take into the store.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ArtifactPutParams {
    /// An absolute path: a regular file of the daemon's own user, which is opened without following a link.
    #[serde(default)]
    pub path: Option<String>,
    /// The upload that a piece belongs to, from the answer to its first piece; absent with the first one.
    #[serde(default)]
    pub upload: Option<u64>,
    /// Bytes of the file before the piece.
    #[serde(default)]
    pub offset: u64,
    /// A piece of the file, in place of a path: at most 512 KiB; base64 in JSON.
    #[serde(default)]
    pub data: Option<Bytes>,
    /// Whether the piece is the last one.
    #[serde(default)]
    pub last: bool,
}

/// What was taken.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ArtifactPutResult {
    /// What tasks name it by; absent while pieces are to come.
    pub digest: Option<Digest>,
    /// What it is by its content, whatever its name says; absent while pieces are to come.
    pub media_type: Option<String>,
    /// Length in bytes; while pieces are to come, what has come so far.
    pub size_bytes: u64,
    /// The width of a picture or a film in pixels, where it is known.
    pub width: Option<u32>,
    /// The height of a picture or a film in pixels, where it is known.
    pub height: Option<u32>,
    /// The duration of sound or a film in seconds, where it is known.
    pub duration_s: Option<f64>,
    /// The upload to name with the next piece.
    #[serde(default)]
    pub upload: Option<u64>,
}

/// A picture to show small.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactThumbnailParams {
    /// The picture, in the daemon's store.
    pub digest: Digest,
    /// The longest that a side of the thumbnail may be in pixels, 64 to 1024.
    pub max_px: u32,
}

/// Artifacts to remove.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactRemoveParams {
    /// At most 1,000.
    pub digests: Vec<Digest>,
}

/// What was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ArtifactRemoveResult {
    /// Artifacts whose files are gone, with the cache entries that named them.
    pub removed: u64,
    /// How many bytes these files had.
    pub freed_bytes: u64,
    /// Artifacts that stay, as a task in the history or a pin names them.
    pub kept: u64,
}

/// Which artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactPathParams {
    /// The digest of the artifact.
    pub digest: Digest,
}

/// Where it lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactPathResult {
    /// The file in the daemon's own store: read it, never change it.
    pub path: String,
}
