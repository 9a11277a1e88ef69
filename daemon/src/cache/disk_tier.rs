//! The disk tier's files. Everything here blocks, and runs on threads that may.
//!
//! A file is written beside the others under a temporary name, renamed, and then synced: so the file system puts its bytes and its name into one
//! commit. One with a digest's name that no row names may therefore be cut after a power loss, and is looked at before it is taken for
//! good. What is damaged is set aside, not deleted; nothing outside the directory is ever touched.

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

use super::{Body, CacheError, Spooled, os, spool::Place, verified::Stamp};
use crate::{
    disk::{self, FreeRoom, create_private_dir, sync_dir},
    store::ArtifactRow,
};

/// Files being written; on the same file system as the others, as a rename does not cross one.
const TEMPORARY: &str = "tmp";
/// Files that did not have the bytes of their name.
const DAMAGED: &str = "damaged";

/// What a look at a file found.
#[derive(Debug)]
pub enum Checked {
    /// It has the digest's bytes; they come along if they were asked for.
    Good(Stamp, Option<Vec<u8>>),
    /// It has others.
    Damaged,
    /// It is not there.
    Missing,
    /// It cannot be told, for a reason that may pass, such as too many open files.
    Unreadable(Arc<io::Error>),
}

/// The directory.
#[derive(Debug, Clone)]
pub struct DiskTier {
    artifacts: PathBuf,
    /// Whether the directories of the first bytes are known to outlast a power loss. Held while they are made, so that no file in one that
    /// was just made gets its row before that.
    has_directories: Arc<Mutex<bool>>,
    free_room: Arc<Mutex<FreeRoom>>,
    /// How many files were hashed.
    #[cfg(test)]
    pub hashed: Arc<std::sync::atomic::AtomicU64>,
}

/// The digest of bytes.
pub fn digest_of(bytes: &[u8]) -> Digest {
    Digest::from_bytes(*blake3::hash(bytes).as_bytes())
}

impl DiskTier {
    /// Of `<home>/artifacts`.
    pub fn new(artifacts: PathBuf) -> Self {
        Self {
            artifacts,
            has_directories: Arc::default(),
            free_room: Arc::default(),
            #[cfg(test)]
            hashed: Arc::default(),
        }
    }

    /// The directory.
    pub fn artifacts(&self) -> &Path {
        &self.artifacts
    }

    /// The file of an artifact.
    pub fn path(&self, row: &ArtifactRow) -> PathBuf {
        row.path(&self.artifacts)
    }

    /// Removes what a former daemon was writing when it died.
    pub fn remove_temporary(&self) {
        let Ok(files) = fs::read_dir(self.artifacts.join(TEMPORARY)) else { return };
        for file in files.flatten() {
            if let Err(error) = fs::remove_file(file.path()) {
                warn!(path = %file.path().display(), %error, "cannot remove a temporary file");
            }
        }
    }

    /// Writes and syncs an artifact's file, and only syncs a file that has the right bytes already. After an error the file may be there.
    /// Returns the bytes of a body that was in memory.
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

    /// Whether the disk has room for so many bytes, and then some for the journal.
    pub fn has_room(&self, bytes: u64) -> bool {
        let mut free_room = self.free_room.lock().unwrap_or_else(PoisonError::into_inner);
        free_room
            .available_bytes(&self.artifacts)
            .is_none_or(|available_bytes| available_bytes >= bytes + disk::KEEP_BYTES)
    }

    /// A temporary file beside the others; dropped, it is gone.
    pub fn temporary(&self) -> io::Result<NamedTempFile> {
        self.temporary_with("")
    }

    /// The same with this end of its name.
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
        // What has a file has its room already.
        if !self.has_room(body.memory_bytes()) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.ensure_directory(path.parent().unwrap_or(&self.artifacts))?;
        // Dropped on any failure, and the file with it.
        let written = |bytes: &[u8]| {
            let mut file = self.temporary()?;
            file.write_all(bytes).map(|()| file)
        };
        let (file, held) = match body {
            Body::Spooled(Spooled { place: Place::File(file), .. }) => (file, None),
            Body::Spooled(Spooled { place: Place::Memory(bytes), .. }) => (written(&bytes)?, None),
            Body::Held(bytes) => (written(&bytes)?, Some(bytes)),
        };
        let file = file.persist(path).map_err(|error| error.error)?;
        os::sync_named(&file, path.parent().unwrap_or(&self.artifacts))?;
        // After the rename, which changes the inode's time.
        Ok((os::stamp(&file.metadata()?), held))
    }

    /// Syncs a file and its name, so that both survive a power loss.
    fn sync(&self, path: &Path) -> io::Result<()> {
        let directory = path.parent().unwrap_or(&self.artifacts);
        self.ensure_directory(directory)?;
        os::open_regular(path)?.ok_or(io::ErrorKind::InvalidData)?.sync_all()?;
        sync_dir(directory)
    }

    /// Makes sure of a first byte's directory. Those of all others are made with it, and once in the daemon's life, as a former one may have
    /// died before it synced them: one sync instead of one for each of the first few hundred pictures.
    fn ensure_directory(&self, needed: &Path) -> io::Result<()> {
        let mut has_directories = self.has_directories.lock().unwrap_or_else(PoisonError::into_inner);
        if *has_directories && needed.is_dir() {
            return Ok(());
        }
        create_private_dir(needed)?;
        for first_byte in 0..=u8::MAX {
            // What keeps another one from being made is said when that one is needed.
            let _ = create_private_dir(&self.artifacts.join(format!("{first_byte:02x}")));
        }
        sync_dir(&self.artifacts)?;
        *has_directories = true;
        Ok(())
    }

    /// Hashes an artifact's file in bounded memory, or in one piece if its bytes are wanted.
    pub fn check(&self, row: &ArtifactRow, wants_bytes: bool) -> Checked {
        match self.try_check(row, wants_bytes) {
            Ok(checked) => checked,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Checked::Missing,
            // The disk cannot give the bytes back: they are lost, as if they had changed.
            Err(error) if os::is_disk_failure(&error) => Checked::Damaged,
            Err(error) => Checked::Unreadable(Arc::new(error)),
        }
    }

    fn try_check(&self, row: &ArtifactRow, wants_bytes: bool) -> io::Result<Checked> {
        let Some(mut file) = os::open_regular(&self.path(row))? else { return Ok(Checked::Damaged) };
        // Taken before reading: a change while it is read makes a stamp that no longer fits.
        let stamp = os::stamp(&file.metadata()?);
        if stamp.size_bytes != row.size_bytes {
            return Ok(Checked::Damaged);
        }
        #[cfg(test)]
        self.hashed.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let (digest, bytes) = if wants_bytes {
            let mut bytes = Vec::with_capacity(row.size_bytes as usize);
            // Not one byte more than was reserved, should it grow meanwhile.
            file.take(row.size_bytes).read_to_end(&mut bytes)?;
            (digest_of(&bytes), Some(bytes))
        } else {
            // Reads by 64 KiB.
            let hash = blake3::Hasher::new().update_reader(&mut file)?.finalize();
            (Digest::from_bytes(*hash.as_bytes()), None)
        };
        Ok(if digest == row.digest { Checked::Good(stamp, bytes) } else { Checked::Damaged })
    }

    /// The stamp of an artifact's file, if it has one.
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

    /// Moves a damaged file out of the way, where a person may look at it.
    pub fn set_aside(&self, row: &ArtifactRow) -> io::Result<()> {
        let damaged = self.artifacts.join(DAMAGED);
        create_private_dir(&damaged)?;
        // The time makes the name its own: the same artifact may be damaged twice.
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

    /// Files in the directory of a digest's first byte that are named like artifacts and were not changed since `before`.
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
            // Whoever copies a file back or touches it changes one of the two.
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
