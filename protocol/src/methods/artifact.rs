//! `artifact.*`.

use serde::{Deserialize, Serialize};

use crate::{
    Bytes, Digest,
    binary::{self, BinaryError},
};

/// A part of an artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactReadParams {
    /// Which one.
    pub digest: Digest,
    /// First byte.
    #[serde(default)]
    pub offset: u64,
    /// At most 4 MiB; less comes back at the end.
    pub length: u64,
}

/// The bytes.
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

/// Which artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactPathParams {
    /// Its digest.
    pub digest: Digest,
}

/// Where it lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactPathResult {
    /// The file in the daemon's own store: read it, never change it.
    pub path: String,
}
