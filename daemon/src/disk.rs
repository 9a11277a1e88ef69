//! Measures the free space of the disk, and says how much of it is reserved for the journal. Creates and syncs directories, and replaces small files.

use std::{
    fs::{self, File, Metadata},
    io::{self, Write as _},
    path::Path,
    time::{Duration, Instant},
};

use tempfile::NamedTempFile;

/// Least free space, in bytes, with which new work is accepted. The journal must still have room for the ends of that work.
pub const ACCEPT_BYTES: u64 = 256 * 1024;

/// Free space, in bytes, that a new artifact must leave for the journal: pictures must not take the room for the rows of their tasks' ends.
pub const KEEP_BYTES: u64 = 1024 * 1024;

/// Returns the free space, in bytes, that this user has on the disk of `path`, or of the nearest existing directory above it. None if the system does
/// not say. Reads the file system's counters, which takes a microsecond and no disk access.
pub fn available_bytes(path: &Path) -> Option<u64> {
    let space = path.ancestors().find_map(|directory| rustix::fs::statvfs(directory).ok())?;
    Some(space.f_bavail.saturating_mul(space.f_frsize))
}

/// Returns numbers that distinguish two files: device and inode. On systems without them it is the time at which the file was created.
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

/// Returns whether the disk of `directory` is full for this user. Writes 64 KiB to find out, because the counters do not include quotas.
pub fn is_full(directory: &Path) -> bool {
    let path = directory.join(".room");
    let written = File::create(&path).and_then(|mut file| file.write_all(&vec![0; 64 * 1024]));
    let _ = fs::remove_file(&path);
    written
        .is_err_and(|error| matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
}

/// Reads a small file. None if there is none. Blocks.
pub fn read_small(path: &Path, max_bytes: u64) -> io::Result<Option<Vec<u8>>> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
        Ok(file) if file.len() > max_bytes => Err(io::ErrorKind::FileTooLarge.into()),
        Ok(_) => fs::read(path).map(Some),
    }
}

/// Replaces a file with one that has this content, so that the file is never incomplete, not even after a power loss. Blocks.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let directory = path.parent().ok_or(io::ErrorKind::NotFound)?;
    let mut file = NamedTempFile::new_in(directory)?;
    file.write_all(content)?;
    file.as_file().sync_data()?;
    file.persist(path)?;
    sync_dir(directory)
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

/// Does nothing: this file system journals names, and a directory cannot be opened as a file.
#[cfg(not(unix))]
pub fn sync_dir(_: &Path) -> io::Result<()> {
    Ok(())
}

/// With this much free space, nobody fills the disk within [`LOOK_AGAIN`].
const PLENTY_BYTES: u64 = 256 * 1024 * 1024;
/// How long a measurement is reused while there is plenty of space.
const MEASUREMENT_TTL: Duration = Duration::from_millis(10);

/// A cache of [`available_bytes`] for callers that ask thousands of times a second.
#[derive(Debug, Default)]
pub struct FreeSpaceCache {
    /// The last measurement and its time. None if it found less than [`PLENTY_BYTES`].
    plenty: Option<(Instant, u64)>,
}

impl FreeSpaceCache {
    /// Returns the free space in bytes. The number may be 10 ms old if there was plenty of space.
    pub fn available_bytes(&mut self, path: &Path) -> Option<u64> {
        let now = Instant::now();
        if let Some((seen, bytes)) = self.plenty
            && now.duration_since(seen) < MEASUREMENT_TTL
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
        let mut cache = FreeSpaceCache::default();
        assert!(cache.available_bytes(&home.path().join("not/yet/there")).unwrap() > 0);
        let now = Instant::now();
        // No disk has this number of bytes.
        cache.plenty = Some((now, u64::MAX));
        assert_eq!(cache.available_bytes(home.path()), Some(u64::MAX));
        cache.plenty = now.checked_sub(MEASUREMENT_TTL).map(|past| (past, u64::MAX));
        assert!(cache.available_bytes(home.path()).unwrap() < u64::MAX);
    }
}
