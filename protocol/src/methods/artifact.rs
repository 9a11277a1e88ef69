//! The params and results of `artifact.*`.

use serde::{Deserialize, Serialize};

use crate::{
    Bytes, Digest,
    binary::{self, BinaryError},
};

/// The params of `artifact.read`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ArtifactReadParams {
    /// The digest of the artifact. If the store does not have it, the answer is `artifact_not_found`.
    pub digest: Digest,
    /// The first byte to read; 0 if absent. One beyond the end of the artifact is `invalid_params`.
    #[serde(default)]
    pub offset: u64,
    /// Most bytes to read, at most 4 MiB; more are `invalid_params`. At the end of the artifact the answer has fewer.
    pub length: u64,
    /// How the bytes are sent in JSON lines; `base64` if absent. Frames always have them in `data` as they are.
    #[serde(rename = "as", default)]
    pub form: ReadForm,
}

impl ArtifactReadParams {
    /// Returns params that read this range of an artifact, with the bytes as base64 in JSON lines.
    pub fn new(digest: Digest, offset: u64, length: u64) -> Self {
        Self { digest, offset, length, form: ReadForm::Base64 }
    }
}

/// How `artifact.read` sends bytes in JSON lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ReadForm {
    /// The bytes are in `data`, as base64.
    #[default]
    Base64,
    /// The bytes follow the line of the answer directly, as they are. The next line begins behind the last of them.
    Raw,
}

/// The result of `artifact.read`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ArtifactReadResult {
    /// The bytes from `offset` on; base64 in JSON. Empty in a line that the bytes follow.
    pub data: Bytes,
    /// Length of the whole artifact, in bytes.
    pub size_bytes: u64,
    /// The media type of the artifact, such as `image/png`.
    pub media_type: String,
    /// The number of bytes that were read, if the params asked for them `raw`; else null. In JSON lines they follow the line, and frames have them in
    /// `data`.
    #[serde(default)]
    pub raw_bytes: Option<u64>,
}

impl ArtifactReadResult {
    /// Decodes a result from bincode. Its data shares the memory of `bytes`.
    pub(super) fn within(bytes: &bytes::Bytes) -> Result<Self, BinaryError> {
        /// The same fields, with the data borrowed.
        #[derive(Deserialize)]
        struct Borrowed<'a> {
            #[serde(borrow, with = "serde_bytes")]
            data: &'a [u8],
            size_bytes: u64,
            media_type: String,
            raw_bytes: Option<u64>,
        }
        let Borrowed { data, size_bytes, media_type, raw_bytes } = binary::decode(bytes)?;
        Ok(Self { data: Bytes(bytes.slice_ref(data)), size_bytes, media_type, raw_bytes })
    }
}

/// The params of `artifact.put`: either a `path`, or a piece of a file as `data`. Both or neither are `invalid_params`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ArtifactPutParams {
    /// The absolute path of a file to copy into the store. It must be a regular file of the daemon's own user, with at most 256 MiB, and no link;
    /// else the answer is `invalid_params`.
    #[serde(default)]
    pub path: Option<String>,
    /// The number of the upload that the piece continues, which the answer to the first piece has. Absent with the first piece. A number that no
    /// upload has is `invalid_params`.
    #[serde(default)]
    pub upload: Option<u64>,
    /// Bytes of the file before the piece; 0 if absent. It must be the number of bytes that were sent before, else the answer is `invalid_params`.
    #[serde(default)]
    pub offset: u64,
    /// A piece of the file, at most 512 KiB; base64 in JSON.
    #[serde(default)]
    pub data: Option<Bytes>,
    /// Whether the piece is the last one; false if absent.
    #[serde(default)]
    pub last: bool,
}

/// The result of `artifact.put`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ArtifactPutResult {
    /// The digest by which tasks name the artifact; null until the last piece.
    pub digest: Option<Digest>,
    /// The media type, which is detected by the content and not by a name; null until the last piece.
    pub media_type: Option<String>,
    /// Length of the artifact in bytes; until the last piece, the bytes that were received so far.
    pub size_bytes: u64,
    /// The width of a picture or a film in pixels; null for other media, and if it is unknown.
    pub width: Option<u32>,
    /// The height of a picture or a film in pixels; null for other media, and if it is unknown.
    pub height: Option<u32>,
    /// The duration of sound or a film in seconds; null for other media, and if it is unknown.
    pub duration_s: Option<f64>,
    /// The number of the upload, which the next piece must name; null after the last piece and for a `path`.
    #[serde(default)]
    pub upload: Option<u64>,
}

/// The params of `artifact.thumbnail`. The result is an [`ArtifactPathResult`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ArtifactThumbnailParams {
    /// The digest of a PNG, JPEG or WebP picture in the store. Another artifact is `invalid_params`, and an unknown one `artifact_not_found`.
    pub digest: Digest,
    /// Longest side of the thumbnail in pixels, from 64 to 1024; else `invalid_params`. A smaller picture keeps its size.
    pub max_px: u32,
}

/// The params of `artifact.remove`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ArtifactRemoveParams {
    /// The digests of the artifacts, at most 1,000; more are `invalid_params`.
    pub digests: Vec<Digest>,
}

/// The result of `artifact.remove`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ArtifactRemoveResult {
    /// Artifacts whose files were removed, together with the cache entries that named them.
    pub removed: u64,
    /// Bytes of these files.
    pub freed_bytes: u64,
    /// Digests of the request whose artifact was not removed: a task in the history, an unfinished task that starts from it, or a pin names it, or
    /// the store does not have it.
    pub kept: u64,
}

/// The params of `artifact.path`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ArtifactPathParams {
    /// The digest of the artifact. If the store does not have it, the answer is `artifact_not_found`.
    pub digest: Digest,
}

/// The result of `artifact.path` and `artifact.thumbnail`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ArtifactPathResult {
    /// The absolute path of the file in the daemon's own store. Read it, never change it.
    pub path: String,
}
