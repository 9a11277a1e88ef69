//! The files of the disk tier. All functions here block, so they run on threads that may block.
//!
//! A file is written under a temporary name, renamed, and then synced, so that the file system puts its bytes and its name into one commit. After a
//! power loss a file may therefore be cut although it has a digest as its name. So a file that no row names is verified before it is used. A damaged
//! file is moved aside and not deleted. Nothing outside the directory is changed.

#[cfg(test)]
mod tests;

use std::{
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use reel_protocol::{Digest, Timestamp};
use tempfile::NamedTempFile;
use tracing::warn;

use super::{Body, CacheError, Spooled, os, spool::SpoolStorage, verified::Stamp};
use crate::{
    disk::{self, FreeSpaceCache, create_private_dir, sync_dir},
    store::ArtifactRow,
};

/// The directory of files that are being written. It is on the same file system as the others, since a rename cannot cross file systems.
const TEMPORARY: &str = "tmp";
/// The directory of damaged files, whose bytes do not match their name.
const DAMAGED: &str = "damaged";

/// The result of verifying a file.
#[derive(Debug)]
pub enum Checked {
    /// The file has the bytes of its digest. They are included if they were requested.
    Good(Stamp, Option<Vec<u8>>),
    /// The file has other bytes, is no regular file, or cannot be read from the disk.
    Damaged,
    /// The file does not exist.
    Missing,
    /// The file cannot be read for a reason that may pass, such as too many open files.
    Unreadable(Arc<io::Error>),
}

/// The directory `<home>/artifacts`. Clones share its state.
#[derive(Debug, Clone)]
pub struct DiskTier {
    artifacts: PathBuf,
    /// Whether the 256 directories of the first bytes exist and are synced. The lock is held while they are created, so that no file in a new
    /// directory gets its row before the directory is synced.
    has_directories: Arc<Mutex<bool>>,
    free_room: Arc<Mutex<FreeSpaceCache>>,
    /// Number of files that were hashed.
    #[cfg(test)]
    pub hashed: Arc<std::sync::atomic::AtomicU64>,
}

/// Returns the BLAKE3 digest of the bytes.
pub fn digest_of(bytes: &[u8]) -> Digest {
    Digest::from_bytes(*blake3::hash(bytes).as_bytes())
}

impl DiskTier {
    /// Returns the disk tier in `artifacts`, which is `<home>/artifacts`.
    pub fn new(artifacts: PathBuf) -> Self {
        Self {
            artifacts,
            has_directories: Arc::default(),
            free_room: Arc::default(),
            #[cfg(test)]
            hashed: Arc::default(),
        }
    }

    /// Returns the directory of the artifacts.
    pub fn artifacts(&self) -> &Path {
        &self.artifacts
    }

    /// Returns the path of an artifact's file.
    pub fn path(&self, row: &ArtifactRow) -> PathBuf {
        row.path(&self.artifacts)
    }

    /// Removes the temporary files that a dead daemon left.
    pub fn remove_temporary(&self) {
        let Ok(files) = fs::read_dir(self.artifacts.join(TEMPORARY)) else { return };
        for file in files.flatten() {
            if let Err(error) = fs::remove_file(file.path()) {
                warn!(path = %file.path().display(), %error, "cannot remove a temporary file");
            }
        }
    }

    /// Writes and syncs an artifact's file. If a file with the right bytes exists, it is only synced. After an error the file may exist. Returns the
    /// file's stamp, and the bytes if the body was [`Body::Held`].
    pub fn write(&self, row: &ArtifactRow, body: Body) -> Result<(Stamp, Option<Vec<u8>>), CacheError> {
        let path = self.path(row);
        match self.check(row, false) {
            Checked::Good(stamp, _) => {
                // Another writer may not have synced the file yet, or died before it could.
                self.sync(&path).map_err(|error| write_error(&path, error))?;
                return Ok((stamp, body.held()));
            }
            Checked::Damaged => self.set_aside(row).map_err(|error| write_error(&path, error))?,
            Checked::Missing | Checked::Unreadable(_) => {}
        }
        self.write_new(&path, body).map_err(|error| write_error(&path, error))
    }

    /// Returns whether the disk has room for so many bytes, beyond [`disk::KEEP_BYTES`] for the journal. True if the free room is not known.
    pub fn has_room(&self, bytes: u64) -> bool {
        let mut free_room = self.free_room.lock().unwrap_or_else(PoisonError::into_inner);
        free_room
            .available_bytes(&self.artifacts)
            .is_none_or(|available_bytes| available_bytes >= bytes + disk::KEEP_BYTES)
    }

    /// Creates a temporary file in the directory for them. Dropping it removes the file.
    pub fn temporary(&self) -> io::Result<NamedTempFile> {
        self.temporary_with("")
    }

    /// Like [`DiskTier::temporary`], with a suffix of the name.
    pub fn temporary_with(&self, suffix: &str) -> io::Result<NamedTempFile> {
        let temporary = self.artifacts.join(TEMPORARY);
        let create = || tempfile::Builder::new().prefix("artifact-").suffix(suffix).tempfile_in(&temporary);
        create().or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                create_private_dir(&temporary)?;
                create()
            }
            _ => Err(error),
        })
    }

    fn write_new(&self, path: &Path, body: Body) -> io::Result<(Stamp, Option<Vec<u8>>)> {
        // A body in a temporary file already has its room on the disk.
        if !self.has_room(body.memory_bytes()) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.ensure_directory(path.parent().unwrap_or(&self.artifacts))?;
        // On any failure the file is dropped, and so removed.
        let written = |bytes: &[u8]| {
            let mut file = self.temporary()?;
            file.write_all(bytes).map(|()| file)
        };
        let (file, held) = match body {
            Body::Spooled(Spooled { storage: SpoolStorage::File(file), .. }) => (file, None),
            Body::Spooled(Spooled { storage: SpoolStorage::Memory(bytes), .. }) => (written(&bytes)?, None),
            Body::Held(bytes) => (written(&bytes)?, Some(bytes)),
        };
        let file = file.persist(path).map_err(|error| error.error)?;
        os::sync_named(&file, path.parent().unwrap_or(&self.artifacts))?;
        // The stamp is taken after the rename, which changes the inode's time.
        Ok((os::stamp(&file.metadata()?), held))
    }

    /// Syncs a file and its name, so that both survive a power loss.
    fn sync(&self, path: &Path) -> io::Result<()> {
        let directory = path.parent().unwrap_or(&self.artifacts);
        self.ensure_directory(directory)?;
        os::open_regular(path)?.ok_or(io::ErrorKind::InvalidData)?.sync_all()?;
        sync_dir(directory)
    }

    /// Creates the directory of a first byte. All 256 are created together, and synced once in the daemon's life, because a former daemon may have
    /// died before the sync. That is one sync instead of one for each of the first few hundred pictures.
    fn ensure_directory(&self, needed: &Path) -> io::Result<()> {
        let mut has_directories = self.has_directories.lock().unwrap_or_else(PoisonError::into_inner);
        if *has_directories && needed.is_dir() {
            return Ok(());
        }
        create_private_dir(needed)?;
        for first_byte in 0..=u8::MAX {
            // An error of another directory is reported when that directory is needed.
            let _ = create_private_dir(&self.artifacts.join(format!("{first_byte:02x}")));
        }
        sync_dir(&self.artifacts)?;
        *has_directories = true;
        Ok(())
    }

    /// Verifies an artifact's file. With `wants_bytes` it reads the file in one piece and returns the bytes; otherwise it hashes it in bounded
    /// memory.
    pub fn check(&self, row: &ArtifactRow, wants_bytes: bool) -> Checked {
        match self.try_check(row, wants_bytes) {
            Ok(checked) => checked,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Checked::Missing,
            // The disk cannot read the bytes, so they are lost like changed ones.
            Err(error) if os::is_disk_failure(&error) => Checked::Damaged,
            Err(error) => Checked::Unreadable(Arc::new(error)),
        }
    }

    fn try_check(&self, row: &ArtifactRow, wants_bytes: bool) -> io::Result<Checked> {
        let Some(mut file) = os::open_regular(&self.path(row))? else { return Ok(Checked::Damaged) };
        // The stamp is taken before the read. If the file changes during the read, its stamp then differs.
        let stamp = os::stamp(&file.metadata()?);
        if stamp.size_bytes != row.size_bytes {
            return Ok(Checked::Damaged);
        }
        #[cfg(test)]
        self.hashed.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let (digest, bytes) = if wants_bytes {
            let mut bytes = Vec::with_capacity(row.size_bytes as usize);
            // The read is limited to the reserved size, in case the file grows meanwhile.
            file.take(row.size_bytes).read_to_end(&mut bytes)?;
            (digest_of(&bytes), Some(bytes))
        } else {
            // Reads 64 KiB at a time.
            let hash = blake3::Hasher::new().update_reader(&mut file)?.finalize();
            (Digest::from_bytes(*hash.as_bytes()), None)
        };
        Ok(if digest == row.digest { Checked::Good(stamp, bytes) } else { Checked::Damaged })
    }

    /// Returns the stamp of the file at `path`; None if it cannot be read.
    pub fn stamp(path: &Path) -> Option<Stamp> {
        fs::symlink_metadata(path).ok().map(|metadata| os::stamp(&metadata))
    }

    /// Reads a part of a verified file.
    pub fn read_range(&self, row: &ArtifactRow, offset: u64, length: u64) -> Result<Vec<u8>, CacheError> {
        let path = self.path(row);
        let read = || {
            let mut bytes = vec![0; length as usize];
            let file = os::open_regular(&path)?.ok_or(io::ErrorKind::InvalidData)?;
            os::read_at(&file, &mut bytes, offset)?;
            Ok(bytes)
        };
        read().map_err(|source: io::Error| CacheError::File { path: path.clone(), source: Arc::new(source) })
    }

    /// Moves a damaged file to another directory, where a person can examine it.
    pub fn set_aside(&self, row: &ArtifactRow) -> io::Result<()> {
        let damaged = self.artifacts.join(DAMAGED);
        create_private_dir(&damaged)?;
        // The time makes the name unique, as the same artifact may be damaged twice.
        let name = format!("{}.{}.{}", row.digest, Timestamp::now().unix_ms(), row.extension);
        fs::rename(self.path(row), damaged.join(name))
    }

    /// Deletes the files of artifacts that no row names any more.
    pub fn remove(&self, rows: &[ArtifactRow]) {
        for row in rows {
            let path = self.path(row);
            if let Err(error) = fs::remove_file(&path)
                && error.kind() != io::ErrorKind::NotFound
            {
                warn!(path = %path.display(), %error, "cannot remove an evicted file; it is a stray now");
            }
        }
    }

    /// Lists the files in the directory of a digest's first byte that are named like artifacts, were last modified before `before`, and were neither
    /// created nor modified before `since`.
    pub fn named_files(
        &self,
        first_byte: u8,
        since: SystemTime,
        before: SystemTime,
    ) -> Vec<(Digest, PathBuf)> {
        let Ok(files) = fs::read_dir(self.artifacts.join(format!("{first_byte:02x}"))) else {
            return Vec::new();
        };
        let named = |file: fs::DirEntry| {
            let metadata = file.metadata().ok()?;
            let digest = file.path().file_stem()?.to_str()?.parse().ok()?;
            let is_old = metadata.modified().is_ok_and(|modified| modified < before);
            // Copying a file back or touching it changes only one of the two times.
            let times = [metadata.modified().ok(), metadata.created().ok()];
            let is_ours = times.into_iter().flatten().all(|time| time >= since);
            (metadata.is_file() && is_old && is_ours).then(|| (digest, file.path()))
        };
        files.flatten().filter_map(named).collect()
    }
}

fn write_error(path: &Path, error: io::Error) -> CacheError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            CacheError::DiskFull { path: path.to_owned() }
        }
        _ => CacheError::File { path: path.to_owned(), source: Arc::new(error) },
    }
}
