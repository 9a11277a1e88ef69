//! Writes the files of a result. Blocks on the disk.

use reel_protocol::Digest;

use super::{CacheError, NewArtifact, disk_tier::DiskTier, kept::WrittenFile};
use crate::{domain::Facts, store::ArtifactRow};

/// The outcome of writing several artifacts one after the other.
pub(super) struct WriteOutcome {
    pub written_files: Vec<WrittenFile>,
    /// The rows of all files that may exist, also of one whose write failed.
    pub files: Vec<ArtifactRow>,
    /// The error of the first artifact that could not be written. The artifacts after it were not tried.
    pub error: Option<CacheError>,
}

/// Writes and syncs the files in order, and stops at the first error.
pub(super) fn write_all(disk: &DiskTier, artifacts: Vec<NewArtifact>) -> WriteOutcome {
    let mut outcome = WriteOutcome { written_files: Vec::new(), files: Vec::new(), error: None };
    for artifact in artifacts {
        let (digest, size_bytes) = artifact.body.identity();
        let row = new_row(digest, size_bytes, &artifact.facts);
        outcome.files.push(row.clone());
        let (stamp, bytes) = match disk.write(&row, artifact.body) {
            Ok(written) => written,
            Err(error) => {
                outcome.error = Some(error);
                break;
            }
        };
        let held = bytes.map(|mut bytes| {
            bytes.shrink_to_fit();
            (bytes, artifact.reservation)
        });
        outcome.written_files.push(WrittenFile { row, stamp, held });
    }
    outcome
}

fn new_row(digest: Digest, size_bytes: u64, facts: &Facts) -> ArtifactRow {
    ArtifactRow {
        digest,
        media_type: facts.media_type.to_string(),
        extension: facts.extension.to_string(),
        size_bytes,
        width: facts.pixels.map(|pixels| pixels.width),
        height: facts.pixels.map(|pixels| pixels.height),
        duration_s: facts.duration_s,
    }
}
