//! Sets damaged databases aside by renaming them. They are never overwritten, and are found again by their names.

use std::{
    ffi::OsString,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use reel_protocol::Timestamp;

use super::StoreError;

const MARK: &str = ".damaged-";

/// Suffix of an empty marker file that exists while the files of a database are being renamed.
const UNFINISHED: &str = "-unfinished";

/// Renames the database at `path` with its log and returns the new path. If only the log exists, only the log is renamed.
pub(super) fn set_aside(path: &Path) -> Result<PathBuf, StoreError> {
    let stamp = Timestamp::now().to_string().replace(':', "-");
    let aside = with_suffix(path, &format!("{MARK}{stamp}"));
    let marker = with_suffix(&aside, UNFINISHED);
    File::create_new(&marker).map_err(|error| failed(&marker, error))?;
    rename_files(path, &aside)?;
    Ok(aside)
}

/// Finishes renames that the death of a daemon interrupted, before a new database is created at `path`. Otherwise a log would be separated from its
/// database. Returns the new path, if there was such a rename.
pub(super) fn finish(path: &Path) -> Result<Option<PathBuf>, StoreError> {
    let unfinished =
        find(path).filter_map(|name| name.strip_suffix(UNFINISHED).map(|name| path.with_file_name(name)));
    let unfinished: Vec<_> = unfinished.collect();
    unfinished.iter().try_for_each(|aside| rename_files(path, aside))?;
    Ok(unfinished.into_iter().next_back())
}

fn rename_files(path: &Path, aside: &Path) -> Result<(), StoreError> {
    for suffix in ["", "-wal", "-shm"] {
        let (from, to) = (with_suffix(path, suffix), with_suffix(aside, suffix));
        match fs::rename(&from, &to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&from, error)),
            _ => {}
        }
    }
    let marker = with_suffix(aside, UNFINISHED);
    fs::remove_file(&marker).map_err(|error| failed(&marker, error))
}

fn failed(path: &Path, error: io::Error) -> StoreError {
    StoreError::File { path: path.to_owned(), source: Arc::new(error) }
}

/// Returns the databases that were set aside beside `path` and still exist, oldest first.
pub(super) fn find_all(path: &Path) -> Vec<PathBuf> {
    let stem = |name: String| {
        let suffix = ["-wal", "-shm", UNFINISHED].into_iter().find(|suffix| name.ends_with(suffix));
        path.with_file_name(name.strip_suffix(suffix.unwrap_or_default()).unwrap_or(&name))
    };
    let mut found: Vec<_> = find(path).map(stem).collect();
    found.sort();
    found.dedup();
    found
}

/// Returns the names of all files of databases that were set aside.
fn find(path: &Path) -> impl Iterator<Item = String> {
    let begin = path.file_name().map(|name| format!("{}{MARK}", name.to_string_lossy()));
    let entries = path.parent().and_then(|directory| fs::read_dir(directory).ok()).into_iter().flatten();
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(move |name| begin.as_ref().is_some_and(|begin| name.starts_with(begin)))
}

pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_set_aside_is_found_again_once_each() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("reel.db");
        assert!(find_all(&path).is_empty());
        fs::write(with_suffix(&path, "-wal"), b"log").unwrap();
        let aside = set_aside(&path).unwrap();
        fs::write(home.path().join("reel.db.damaged-0"), b"older").unwrap();
        fs::write(home.path().join("reel.db"), b"new").unwrap();
        assert_eq!(find_all(&path), [home.path().join("reel.db.damaged-0"), aside]);
    }

    #[test]
    fn a_death_between_the_renames_does_not_separate_a_log_from_its_database() {
        for renamed in 0..=3 {
            let home = tempfile::tempdir().unwrap();
            let path = home.path().join("reel.db");
            let suffixes = ["", "-wal", "-shm"];
            for suffix in suffixes {
                fs::write(with_suffix(&path, suffix), suffix).unwrap();
            }
            let aside = home.path().join("reel.db.damaged-1");
            fs::write(with_suffix(&aside, UNFINISHED), b"").unwrap();
            for suffix in &suffixes[..renamed] {
                fs::rename(with_suffix(&path, suffix), with_suffix(&aside, suffix)).unwrap();
            }
            assert_eq!(finish(&path).unwrap(), Some(aside.clone()));
            for suffix in suffixes {
                assert_eq!(fs::read_to_string(with_suffix(&aside, suffix)).unwrap(), suffix, "{renamed}");
            }
            assert_eq!((finish(&path).unwrap(), find_all(&path)), (None, vec![aside]));
        }
    }
}
