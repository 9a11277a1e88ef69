//! Damaged databases that were set aside: renamed, never overwritten, and found again by their names.

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use reel_protocol::Timestamp;

use super::StoreError;

const MARK: &str = ".damaged-";

/// Renames the database at `path` with its log. Answers its new name. A database whose own file is missing is only its log.
pub(super) fn set_aside(path: &Path) -> Result<PathBuf, StoreError> {
    let stamp = Timestamp::now().to_string().replace(':', "-");
    let aside = with_suffix(path, &format!("{MARK}{stamp}"));
    for suffix in ["", "-wal", "-shm"] {
        let (from, to) = (with_suffix(path, suffix), with_suffix(&aside, suffix));
        match fs::rename(&from, &to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StoreError::File { path: from, source: Arc::new(error) });
            }
            _ => {}
        }
    }
    Ok(aside)
}

/// The databases that were set aside beside `path` and still lie there, oldest first.
pub(super) fn find_all(path: &Path) -> Vec<PathBuf> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str()))
    else {
        return Vec::new();
    };
    let begin = format!("{name}{MARK}");
    let names = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let stems = names.filter_map(|found| {
        let found = found.to_str()?.to_owned();
        let stem = found.strip_suffix("-wal").or_else(|| found.strip_suffix("-shm")).unwrap_or(&found);
        stem.starts_with(&begin).then(|| directory.join(stem))
    });
    let mut found: Vec<_> = stems.collect();
    found.sort();
    found.dedup();
    found
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
}
