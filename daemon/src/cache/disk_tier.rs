//! The disk tier's files. Everything here blocks, and runs on threads that may.
//!
//! A file is written beside the others under a temporary name, synced, and renamed, so that one with a digest's name is whole. What is damaged
//! is set aside, not deleted; nothing outside the directory is ever touched.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use reel_protocol::{Digest, Timestamp};
use tempfile::NamedTempFile;
use tracing::warn;

use super::{Body, CacheError, os, verified::Stamp};
use crate::{disk, store::ArtifactRow};

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

    /// Writes an artifact's file, unless it is there already. When this answers, the bytes and the name outlast a power loss. Bytes that
    /// were held come back.
    pub fn write(&self, row: &ArtifactRow, body: Body) -> Result<(Stamp, Option<Vec<u8>>), CacheError> {
        let path = self.path(row);
        match self.check(row, false) {
            Checked::Good(stamp, _) => {
                // A daemon that died behind its rename has not synced the name.
                os::sync_dir(path.parent().unwrap_or(&self.artifacts))
                    .map_err(|error| write_error(&path, error))?;
                return Ok((stamp, body.held()));
            }
            Checked::Damaged => self.set_aside(row).map_err(|error| write_error(&path, error))?,
            Checked::Missing | Checked::Unreadable(_) => {}
        }
        self.write_new(&path, body).map_err(|error| write_error(&path, error))
    }

    /// Whether the disk has room for so many bytes, and then some for the journal.
    pub fn has_room(&self, bytes: u64) -> bool {
        disk::available_bytes(&self.artifacts)
            .is_none_or(|available_bytes| available_bytes >= bytes + disk::KEEP_BYTES)
    }

    /// A temporary file beside the others; dropped, it is gone.
    pub fn temporary(&self) -> io::Result<NamedTempFile> {
        let temporary = self.artifacts.join(TEMPORARY);
        os::create_private_dir(&temporary)?;
        tempfile::Builder::new().prefix("artifact-").tempfile_in(&temporary)
    }

    fn write_new(&self, path: &Path, body: Body) -> io::Result<(Stamp, Option<Vec<u8>>)> {
        // What is spooled has its room already.
        let needed_bytes = if let Body::Held(bytes) = &body { bytes.len() as u64 } else { 0 };
        if !self.has_room(needed_bytes) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let directory = path.parent().unwrap_or(&self.artifacts);
        let is_new = !directory.is_dir();
        os::create_private_dir(directory)?;
        // Dropped on any failure, and the file with it.
        let (file, is_synced, held) = match body {
            Body::Spooled(spooled) => (spooled.file, spooled.is_synced, None),
            Body::Held(bytes) => {
                let mut file = self.temporary()?;
                file.write_all(&bytes)?;
                (file, false, Some(bytes))
            }
        };
        if !is_synced {
            // The bytes and their number; nobody asks for the times of a daemon before this one.
            file.as_file().sync_data()?;
        }
        let file = file.persist(path).map_err(|error| error.error)?;
        os::sync_dir(directory)?;
        if is_new {
            os::sync_dir(&self.artifacts)?;
        }
        // After the rename, which changes the inode's time.
        Ok((os::stamp(&file.metadata()?), held))
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
        let mut file = File::open(self.path(row))?;
        let metadata = file.metadata()?;
        // Taken before reading: a change while it is read makes a stamp that no longer fits.
        let stamp = os::stamp(&metadata);
        if !metadata.is_file() || stamp.size_bytes != row.size_bytes {
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
        fs::metadata(path).ok().map(|metadata| os::stamp(&metadata))
    }

    /// Reads a part of a verified file.
    pub fn read_range(&self, row: &ArtifactRow, offset: u64, length: u64) -> Result<Vec<u8>, CacheError> {
        let path = self.path(row);
        let read = || {
            let mut bytes = vec![0; length as usize];
            os::read_at(&File::open(&path)?, &mut bytes, offset)?;
            Ok(bytes)
        };
        read().map_err(|source: io::Error| CacheError::File { path: path.clone(), source: Arc::new(source) })
    }

    /// Moves a damaged file out of the way, where a person may look at it.
    pub fn set_aside(&self, row: &ArtifactRow) -> io::Result<()> {
        let damaged = self.artifacts.join(DAMAGED);
        os::create_private_dir(&damaged)?;
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
    pub fn named_files(&self, first_byte: u8, before: SystemTime) -> Vec<(Digest, PathBuf)> {
        let Ok(files) = fs::read_dir(self.artifacts.join(format!("{first_byte:02x}"))) else {
            return Vec::new();
        };
        let named = |file: fs::DirEntry| {
            let metadata = file.metadata().ok()?;
            let digest = file.path().file_stem()?.to_str()?.parse().ok()?;
            let is_old = metadata.modified().is_ok_and(|modified| modified < before);
            (metadata.is_file() && is_old).then(|| (digest, file.path()))
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cache::Spools;

    fn row(bytes: &[u8]) -> ArtifactRow {
        ArtifactRow {
            digest: digest_of(bytes),
            media_type: "image/png".into(),
            extension: "png".into(),
            size_bytes: bytes.len() as u64,
            width: None,
            height: None,
            duration_s: None,
        }
    }

    fn tier() -> (tempfile::TempDir, DiskTier) {
        let home = tempfile::tempdir().unwrap();
        let tier = DiskTier::new(home.path().join("artifacts"));
        (home, tier)
    }

    fn write(tier: &DiskTier, row: &ArtifactRow, bytes: &[u8]) -> Stamp {
        let (stamp, held) = tier.write(row, Body::Held(bytes.to_vec())).unwrap();
        assert_eq!(held.as_deref(), Some(bytes));
        stamp
    }

    #[test]
    fn a_spooled_body_gets_its_name_and_a_dropped_one_leaves_nothing() {
        let (_home, tier) = tier();
        let row = row(b"a picture");
        let spool = |last: &[u8]| {
            let mut spool = Spools::new(tier.artifacts().to_owned()).create().unwrap();
            spool.write_all(b"a pic").unwrap();
            spool.write_all(last).unwrap();
            spool
        };
        drop(spool(b"x"));
        let mut spooled = spool(b"ture").finish().unwrap();
        spooled.sync().unwrap()().unwrap();
        spooled.mark_synced();
        assert_eq!((spooled.digest, spooled.size_bytes), (row.digest, row.size_bytes));
        let (stamp, held) = tier.write(&row, Body::Spooled(spooled)).unwrap();
        assert_eq!((DiskTier::stamp(&tier.path(&row)), held), (Some(stamp), None));
        let again = spool(b"ture").finish().unwrap();
        assert_eq!(tier.write(&row, Body::Spooled(again)).unwrap().0, stamp, "the file stays as it is");
        assert_eq!(fs::read_dir(tier.artifacts().join(TEMPORARY)).unwrap().count(), 0);
    }

    fn is_good(tier: &DiskTier, row: &ArtifactRow) -> bool {
        matches!(tier.check(row, false), Checked::Good(..))
    }

    #[test]
    fn what_was_written_reads_back_and_leaves_nothing_temporary() {
        let (_home, tier) = tier();
        let row = row(b"a picture");
        let stamp = write(&tier, &row, b"a picture");
        assert_eq!(DiskTier::stamp(&tier.path(&row)), Some(stamp));
        assert_eq!(write(&tier, &row, b"a picture"), stamp, "the file stays as it is");
        let Checked::Good(_, Some(bytes)) = tier.check(&row, true) else { panic!() };
        assert_eq!(bytes, b"a picture");
        assert_eq!(tier.read_range(&row, 2, 3).unwrap(), b"pic");
        assert_eq!(fs::read_dir(tier.artifacts().join(TEMPORARY)).unwrap().count(), 0);
    }

    #[cfg(unix)]
    #[test]
    fn files_and_directories_are_the_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let (_home, tier) = tier();
        let row = row(b"mine");
        write(&tier, &row, b"mine");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let path = tier.path(&row);
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        assert_eq!((mode(tier.artifacts()), mode(&tier.artifacts().join(TEMPORARY))), (0o700, 0o700));
    }

    #[test]
    fn a_changed_a_cut_and_a_missing_file_are_told_apart_from_good_ones() {
        let (_home, tier) = tier();
        let row = row(b"a picture");
        write(&tier, &row, b"a picture");
        fs::write(tier.path(&row), b"a pixture").unwrap();
        assert!(matches!(tier.check(&row, false), Checked::Damaged));
        assert!(matches!(tier.check(&row, true), Checked::Damaged));
        fs::write(tier.path(&row), b"a pict").unwrap();
        assert!(matches!(tier.check(&row, true), Checked::Damaged));
        write(&tier, &row, b"a picture");
        assert!(is_good(&tier, &row), "written anew over a damaged one");
        assert_eq!(fs::read_dir(tier.artifacts().join(DAMAGED)).unwrap().count(), 1);
        fs::remove_file(tier.path(&row)).unwrap();
        assert!(matches!(tier.check(&row, false), Checked::Missing));
    }

    #[test]
    fn a_full_disk_is_told_apart_from_other_failures() {
        let path = Path::new("picture");
        for kind in [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded] {
            assert!(matches!(write_error(path, kind.into()), CacheError::DiskFull { .. }));
        }
        let denied = write_error(path, io::ErrorKind::PermissionDenied.into());
        assert!(matches!(denied, CacheError::File { .. }));
    }

    #[test]
    fn only_old_files_with_an_artifacts_name_are_listed() {
        let (_home, tier) = tier();
        let row = row(b"a picture");
        write(&tier, &row, b"a picture");
        fs::write(tier.path(&row).with_file_name("notes.txt"), b"").unwrap();
        let first = row.digest.as_bytes()[0];
        let later = SystemTime::now() + Duration::from_secs(5);
        assert_eq!(tier.named_files(first, later), [(row.digest, tier.path(&row))]);
        assert!(tier.named_files(first, later - Duration::from_mins(1)).is_empty());
    }
}
