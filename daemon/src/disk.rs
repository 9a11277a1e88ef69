//! How much room the disk has and how much of it is kept for the journal; directories that survive a power loss.

use std::{
    fs::{self, File, Metadata},
    io::{self, Write as _},
    path::Path,
    time::{Duration, Instant},
};

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

/// What tells two files apart: where the system has no such numbers, their birth.
pub fn identity(metadata: &Metadata) -> (u64, u64) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        (metadata.dev(), metadata.ino())
    }
    #[cfg(not(unix))]
    {
        let born = metadata.created().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
        (0, born.map_or(0, |born| born.as_secs()))
    }
}

/// Whether the disk that holds `directory` has no room for us, by writing a little: a quota counts as well, of which the counters say nothing.
pub fn is_full(directory: &Path) -> bool {
    let path = directory.join(".room");
    let written = File::create(&path).and_then(|mut file| file.write_all(&vec![0; 64 * 1024]));
    let _ = fs::remove_file(&path);
    written
        .is_err_and(|error| matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
}

/// Creates a directory that only its owner may enter, and the missing directories above it.
#[cfg(unix)]
pub fn create_private_dir(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Creates a directory, and the missing directories above it.
#[cfg(not(unix))]
pub fn create_private_dir(path: &Path) -> io::Result<()> {
    std::fs::create_dir_all(path)
}

/// Syncs a directory, so that the names in it survive a power loss.
#[cfg(unix)]
pub fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Does nothing: the file system journals names, and a directory cannot be opened there.
#[cfg(not(unix))]
pub fn sync_dir(_: &Path) -> io::Result<()> {
    Ok(())
}

/// With so much left nobody fills the disk before it is looked at again.
const PLENTY_BYTES: u64 = 256 * 1024 * 1024;
/// How long an answer holds while there is plenty.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// [`available_bytes`] for one who asks thousands of times a second.
#[derive(Debug, Default)]
pub struct FreeRoom {
    /// When there was plenty, and how much.
    plenty: Option<(Instant, u64)>,
}

impl FreeRoom {
    /// What is left; as it is now unless there is plenty.
    pub fn available_bytes(&mut self, path: &Path) -> Option<u64> {
        let now = Instant::now();
        if let Some((seen, bytes)) = self.plenty
            && now.duration_since(seen) < LOOK_AGAIN
        {
            return Some(bytes);
        }
        let bytes = available_bytes(path)?;
        self.plenty = (bytes >= PLENTY_BYTES).then_some((now, bytes));
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_holds_only_for_a_moment_and_is_that_of_the_disk() {
        let home = tempfile::tempdir().unwrap();
        let mut room = FreeRoom::default();
        assert!(room.available_bytes(&home.path().join("not/yet/there")).unwrap() > 0);
        let now = Instant::now();
        // A number that no disk has.
        room.plenty = Some((now, u64::MAX));
        assert_eq!(room.available_bytes(home.path()), Some(u64::MAX));
        room.plenty = now.checked_sub(LOOK_AGAIN).map(|past| (past, u64::MAX));
        assert!(room.available_bytes(home.path()).unwrap() < u64::MAX);
    }
}
