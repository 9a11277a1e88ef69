//! `artifact.*`.

use serde::{Deserialize, Serialize};

use crate::{Bytes, Digest};

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
