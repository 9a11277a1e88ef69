//! Reads the configuration file. It may be missing, a directory, huge, or not text.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

use super::ConfigError;

/// Largest file that is read, in bytes: about a thousand times the size of a real one.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Returns the text of the file. None if there is no file.
pub(super) fn read(path: &Path) -> Result<Option<String>, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
    // The type is checked before the file is opened, because opening a pipe would block until somebody writes to it.
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
        Ok(metadata) if metadata.is_file() || is_null_device(path) => {}
        Ok(_) => return Err(ConfigError::NotAFile { path: path.to_owned() }),
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(ConfigError::TooLarge { path: path.to_owned(), limit_bytes: MAX_FILE_BYTES });
    }
    String::from_utf8(bytes).map(Some).map_err(|error| {
        let valid = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let line = String::from_utf8_lossy(valid).matches('\n').count() + 1;
        ConfigError::NotUtf8 { path: path.to_owned(), line }
    })
}

/// Users set `REEL_CONFIG=/dev/null` to run without a configuration.
fn is_null_device(path: &Path) -> bool {
    path == Path::new("/dev/null")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_small_text_file_is_refused_with_its_reason() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("config.toml");
        assert!(read(&path).unwrap().is_none());
        assert_eq!(read(Path::new("/dev/null")).unwrap().as_deref(), Some(""));
        assert!(matches!(read(root.path()), Err(ConfigError::NotAFile { .. })));
        assert!(matches!(read(&path.join("below")), Ok(None) | Err(ConfigError::Unreadable { .. })));
        fs::write(&path, b"# one\n# two\nname = \"\xff\"\n").unwrap();
        assert!(matches!(read(&path), Err(ConfigError::NotUtf8 { line: 3, .. })));
        assert!(matches!(read(&path.join("below")), Err(ConfigError::Unreadable { .. })));
        fs::write(&path, "#".repeat(1024 * 1024)).unwrap();
        assert!(read(&path).unwrap().is_some());
        fs::write(&path, "#".repeat(1024 * 1024 + 1)).unwrap();
        let error = read(&path).unwrap_err();
        assert!(error.to_string().ends_with("is larger than 1048576 bytes"), "{error}");
    }
}
