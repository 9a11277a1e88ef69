//! How much room the disk has, and how much of it is kept for the journal.

use std::path::Path;

/// What must be left for new work to be accepted: the journal of what it ends with must still find room.
pub const ACCEPT_BYTES: u64 = 256 * 1024;

/// What a new artifact leaves for the journal: pictures must not take the room in which their tasks' ends are written.
pub const KEEP_BYTES: u64 = 1024 * 1024;

/// What is left for us on the disk that holds `path`, or the nearest directory above it; None where the system does not say.
/// It asks the file system's own counters: a microsecond, no disk.
pub fn available_bytes(path: &Path) -> Option<u64> {
    let space = path.ancestors().find_map(|directory| rustix::fs::statvfs(directory).ok())?;
    Some(space.f_bavail.saturating_mul(space.f_frsize))
}
