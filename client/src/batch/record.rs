//! Reads and writes `.reel-batch.json`: the files of a directory that a batch wrote, each with the digests of its request and its bytes, and the tasks
//! whose results were not written yet.

use std::{
    collections::BTreeMap,
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use reel_protocol::{CacheMode, Digest, TaskId};
use serde::{Deserialize, Serialize};

use crate::{creatable, exit::Exit, failure::Failure, save, table};

const NAME: &str = ".reel-batch.json";

/// The record of a directory. While it is open, it holds a lock against other batches.
#[derive(Debug)]
pub struct Record {
    path: PathBuf,
    files: BTreeMap<String, Entry>,
    /// Files that are being renamed. Until the record is written again, each may have its old or its new name.
    moving: Vec<Entry>,
    /// The submitted tasks whose results were not written yet.
    working: Vec<Working>,
    /// The request id of a submit that was not answered yet.
    submitting: Option<String>,
    is_changed: bool,
    _lock: File,
}

/// One file that a batch wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The digest of the request.
    pub request: Digest,
    /// The digest of the file's bytes.
    pub digest: Digest,
    /// The name of the input file that asked for it; `-` for stdin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lines: Option<String>,
}

/// A task that was submitted, and whose result was not written yet. A later run returns to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Working {
    /// The id of the task.
    pub task: TaskId,
    /// The digest of the request.
    pub request: Digest,
    /// How the task uses the cache.
    pub cache: CacheMode,
}

#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    files: &'a BTreeMap<String, Entry>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    moving: &'a [Entry],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    working: &'a [Working],
    #[serde(skip_serializing_if = "Option::is_none")]
    submitting: Option<&'a str>,
}

#[derive(Default, Deserialize)]
struct StoredDocument {
    files: BTreeMap<String, Entry>,
    #[serde(default)]
    moving: Vec<Entry>,
    #[serde(default)]
    working: Vec<Working>,
    #[serde(default)]
    submitting: Option<String>,
}

impl Record {
    /// Opens the record of a directory and locks the directory. Creates the directory if it does not exist.
    pub fn open(directory: &Path) -> Result<Self, Failure> {
        let shown = table::path(directory);
        let cannot = |error: &io::Error| Failure::cannot_create(format!("cannot write to {shown}: {error}"));
        if directory.exists() && !directory.is_dir() {
            let hint = "-o names the directory that the pictures are written to";
            return Err(Failure::cannot_create(format!("{shown} is no directory")).hint(hint));
        }
        fs::create_dir_all(directory).map_err(|error| cannot(&error))?;
        let lock = lock(directory).map_err(|error| cannot(&error))?.ok_or_else(|| {
            let message = format!("another reel batch writes to {shown}");
            Failure::new(Exit::TryLater, "directory_busy", message)
                .hint("wait for it, or choose another directory with -o")
        })?;
        let path = directory.join(NAME);
        creatable::check_file(&path, save::Existing::Replace)?;
        let stored = match fs::read(&path) {
            Ok(bytes) => read_document(&bytes, &path)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => StoredDocument::default(),
            Err(error) => return Err(Failure::io(&format!("cannot read {}", table::path(&path)), &error)),
        };
        let StoredDocument { files, moving, working, submitting } = stored;
        Ok(Self { path, files, moving, working, submitting, is_changed: false, _lock: lock })
    }

    /// Returns the entry of a file that has these bytes; None if no batch wrote it, or if it was changed.
    pub fn entry(&self, file: &str, digest: Digest) -> Option<&Entry> {
        let named = self.files.get(file).filter(|entry| entry.digest == digest);
        named.or_else(|| self.moving.iter().find(|entry| entry.digest == digest))
    }

    /// Returns all files of the record with their entries.
    pub fn files(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.files.iter().map(|(file, entry)| (file.as_str(), entry))
    }

    /// Adds a file that was just written.
    pub fn note(&mut self, file: &str, entry: Entry) {
        self.files.insert(file.to_owned(), entry);
        self.is_changed = true;
    }

    /// Removes a file that was deleted or renamed.
    pub fn forget(&mut self, file: &str) {
        self.is_changed |= self.files.remove(file).is_some();
    }

    /// Writes to disk that these files will be renamed. If `reel` dies in between, the next run still recognises every file as written by a batch.
    pub fn begin_moves(&mut self, entries: Vec<Entry>) -> Result<(), Failure> {
        self.moving = entries;
        self.is_changed = true;
        self.flush()
    }

    /// Ends the renames. All renamed files must have been added under their new names.
    pub fn end_moves(&mut self) -> Result<(), Failure> {
        self.begin_moves(Vec::new())
    }

    /// Returns the submitted tasks whose results were not written yet.
    pub fn working(&self) -> &[Working] {
        &self.working
    }

    /// Replaces the submitted tasks whose results were not written yet.
    pub fn set_working(&mut self, working: Vec<Working>) {
        self.working = working;
        self.is_changed = true;
    }

    /// Removes a task whose result was written.
    pub fn end_work(&mut self, task: TaskId) {
        self.working.retain(|working| working.task != task);
        self.is_changed = true;
    }

    /// Returns the request id of a submit whose answer an earlier run did not receive.
    pub fn submitting(&self) -> Option<&str> {
        self.submitting.as_deref()
    }

    /// Writes to disk that a submit with this request id begins. If `reel` dies before the answer, the next run repeats the submit and gets the same
    /// tasks.
    pub fn begin_submit(&mut self, request_id: &str) -> Result<(), Failure> {
        self.submitting = Some(request_id.to_owned());
        self.is_changed = true;
        self.flush()
    }

    /// Writes the submitted tasks to disk, and that the submit has ended.
    pub fn end_submit(&mut self, tasks: Vec<Working>) -> Result<(), Failure> {
        self.submitting = None;
        self.working.extend(tasks);
        self.is_changed = true;
        self.flush()
    }

    /// Writes the record to disk if it changed.
    pub fn flush(&mut self) -> Result<(), Failure> {
        if !std::mem::take(&mut self.is_changed) {
            return Ok(());
        }
        let document = Document {
            version: 1,
            files: &self.files,
            moving: &self.moving,
            working: &self.working,
            submitting: self.submitting.as_deref(),
        };
        let bytes = serde_json::to_vec_pretty(&document)
            .map_err(|error| Failure::new(Exit::Internal, "internal", error.to_string()))?;
        save::replace(&self.path, &bytes)
    }
}

/// Parses a record. A damaged record is an error, because without it every existing file would be refused, or with --force lost.
fn read_document(bytes: &[u8], path: &Path) -> Result<StoredDocument, Failure> {
    serde_json::from_slice(bytes).map_err(|error| {
        let message = format!("{} is damaged: {error}", table::path(path));
        Failure::new(Exit::BadData, "bad_record", message)
            .hint("remove it and run again with --force to make everything anew, or choose another directory with -o")
    })
}

/// Locks a directory. None if another process holds the lock.
fn lock(directory: &Path) -> io::Result<Option<File>> {
    // On Unix the directory itself is locked, so that no lock file is left behind.
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
        let digest = Digest::from_bytes([2; 32]);
        let entry = Entry { request: Digest::from_bytes([1; 32]), digest, lines: Some("a.txt".to_owned()) };
        let mut record = Record::open(&out).unwrap();
        record.note("001-a.png", entry.clone());
        record.flush().unwrap();
        assert_eq!(Record::open(&out).unwrap_err().exit, Exit::TryLater);
        drop(record);
        let record = Record::open(&out).unwrap();
        assert_eq!(record.entry("001-a.png", digest), Some(&entry));
        assert_eq!(record.entry("001-a.png", Digest::from_bytes([3; 32])), None);
        drop(record);
        fs::write(out.join(NAME), "{").unwrap();
        assert_eq!(Record::open(&out).unwrap_err().error.code, "bad_record");
        fs::write(dir.path().join("file"), "").unwrap();
        assert_eq!(Record::open(&dir.path().join("file")).unwrap_err().exit, Exit::CannotCreate);
    }

    #[test]
    fn a_file_that_was_being_renamed_is_ours_under_either_name() {
        let dir = tempfile::tempdir().unwrap();
        let entry =
            Entry { request: Digest::from_bytes([1; 32]), digest: Digest::from_bytes([2; 32]), lines: None };
        let mut record = Record::open(dir.path()).unwrap();
        record.note("001-a.png", entry.clone());
        record.begin_moves(vec![entry.clone()]).unwrap();
        drop(record);
        let mut record = Record::open(dir.path()).unwrap();
        for name in ["001-a.png", "002-a.png"] {
            assert_eq!(record.entry(name, entry.digest), Some(&entry), "{name}");
        }
        record.end_moves().unwrap();
        assert_eq!(record.entry("002-a.png", entry.digest), None);
    }

    #[test]
    fn the_next_run_knows_the_submitted_tasks_and_an_unanswered_submit() {
        let dir = tempfile::tempdir().unwrap();
        let working = |task| Working {
            task: TaskId(task),
            request: Digest::from_bytes([1; 32]),
            cache: CacheMode::Fresh,
        };
        let mut record = Record::open(dir.path()).unwrap();
        record.begin_submit("r").unwrap();
        drop(record);
        let mut record = Record::open(dir.path()).unwrap();
        assert_eq!(record.submitting(), Some("r"));
        record.end_submit(vec![working(1), working(2)]).unwrap();
        record.end_work(TaskId(1));
        record.flush().unwrap();
        drop(record);
        let record = Record::open(dir.path()).unwrap();
        assert_eq!((record.submitting(), record.working()), (None, [working(2)].as_slice()));
    }

    #[test]
    fn a_record_of_an_earlier_version_is_read() {
        let digest = "00".repeat(32);
        let text = format!(
            r#"{{"version":1,"files":{{"001-a.png":{{"request":"{digest}","digest":"{digest}"}}}}}}"#
        );
        let stored = read_document(text.as_bytes(), Path::new("x")).unwrap();
        assert_eq!(stored.files["001-a.png"].lines, None);
        assert_eq!((stored.working.len(), stored.submitting), (0, None));
    }
}
