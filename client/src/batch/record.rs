//! `.reel-batch.json`: which files of a directory a batch made, from which request, with which bytes.

use std::{
    collections::BTreeMap,
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use reel_protocol::Digest;
use serde::{Deserialize, Serialize};

use crate::{exit::Exit, failure::Failure, save};

const NAME: &str = ".reel-batch.json";

/// A directory's record, held against other batches while it is open.
#[derive(Debug)]
pub struct Record {
    path: PathBuf,
    files: BTreeMap<String, Entry>,
    is_changed: bool,
    _lock: File,
}

/// One file that a batch made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What was asked.
    pub request: Digest,
    /// What was written.
    pub digest: Digest,
}

#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    files: &'a BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct StoredDocument {
    files: BTreeMap<String, Entry>,
}

impl Record {
    /// Opens a directory's record, creating the directory where it is absent.
    pub fn open(directory: &Path) -> Result<Self, Failure> {
        let cannot = |error: &io::Error| {
            Failure::cannot_create(format!("cannot write to {}: {error}", directory.display()))
        };
        fs::create_dir_all(directory).map_err(|error| cannot(&error))?;
        let lock = lock(directory).map_err(|error| cannot(&error))?.ok_or_else(|| {
            let message = format!("another batch is at work in {}", directory.display());
            Failure::new(Exit::TryLater, "directory_busy", message)
                .hint("wait for it, or choose another directory with -o")
        })?;
        let path = directory.join(NAME);
        save::check_creatable(&path, save::Existing::Replace)?;
        let files = match fs::read(&path) {
            Ok(bytes) => read_files(&bytes, &path)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(Failure::io(&format!("cannot read {}", path.display()), &error)),
        };
        Ok(Self { path, files, is_changed: false, _lock: lock })
    }

    /// What is known of a file.
    pub fn entry(&self, file: &str) -> Option<&Entry> {
        self.files.get(file)
    }

    /// Notes a file that was just written.
    pub fn note(&mut self, file: &str, entry: Entry) {
        self.files.insert(file.to_owned(), entry);
        self.is_changed = true;
    }

    /// Writes what was noted since the last time.
    pub fn flush(&mut self) -> Result<(), Failure> {
        if !std::mem::take(&mut self.is_changed) {
            return Ok(());
        }
        let document = Document { version: 1, files: &self.files };
        let bytes = serde_json::to_vec_pretty(&document)
            .map_err(|error| Failure::new(Exit::Internal, "internal", error.to_string()))?;
        save::replace(&self.path, &bytes)
    }
}

/// A record that cannot be read is not guessed at: without it every file in the way would be refused, or with --force lost.
fn read_files(bytes: &[u8], path: &Path) -> Result<BTreeMap<String, Entry>, Failure> {
    let stored = serde_json::from_slice::<StoredDocument>(bytes).map_err(|error| {
        let message = format!("{} is damaged: {error}", path.display());
        Failure::new(Exit::BadData, "bad_record", message)
            .hint("remove it and run again with --force to make everything anew, or choose another directory with -o")
    })?;
    Ok(stored.files)
}

/// None where another process holds the directory.
fn lock(directory: &Path) -> io::Result<Option<File>> {
    // The directory itself is locked where that can be, so that nothing is left behind.
    #[cfg(unix)]
    let file = File::open(directory)?;
    #[cfg(not(unix))]
    let file = File::create(directory.join(".reel-batch.lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_and_is_held_by_one_batch() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("new/out");
        let entry = Entry { request: Digest::from_bytes([1; 32]), digest: Digest::from_bytes([2; 32]) };
        let mut record = Record::open(&out).unwrap();
        record.note("001-a.png", entry);
        record.flush().unwrap();
        assert_eq!(Record::open(&out).unwrap_err().exit, Exit::TryLater);
        drop(record);
        assert_eq!(Record::open(&out).unwrap().entry("001-a.png"), Some(&entry));
        fs::write(out.join(NAME), "{").unwrap();
        assert_eq!(Record::open(&out).unwrap_err().error.code, "bad_record");
        fs::write(dir.path().join("file"), "").unwrap();
        assert_eq!(Record::open(&dir.path().join("file")).unwrap_err().exit, Exit::CannotCreate);
    }
}
