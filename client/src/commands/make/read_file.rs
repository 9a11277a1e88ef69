//! Reads the user's files with a limit on their size.

use std::{io::Read, path::Path};

use crate::{exit::Exit, failure::Failure, save, table};

/// Largest project file, in bytes. The project of a 2 MB story has up to 40 MB, if each word is a scene.
const PROJECT_BYTES: u64 = 64 * 1024 * 1024;

/// Reads the project file; None if it does not exist.
pub fn read_project(path: &Path) -> Result<Option<String>, Failure> {
    if !save::is_taken(path) {
        return Ok(None);
    }
    let bytes = read_bytes(path, PROJECT_BYTES)?;
    let bad = |why: String| Failure::new(Exit::BadData, "bad_data", format!("{} {why}", table::path(path)));
    if bytes.len() as u64 > PROJECT_BYTES {
        return Err(bad(format!("has more than {PROJECT_BYTES} bytes")));
    }
    String::from_utf8(bytes).map(Some).map_err(|_| bad("is not in UTF-8".to_owned()))
}

/// Reads a file, but at most `most` + 1 bytes, so that the caller notices a longer one.
pub fn read_bytes(path: &Path, most: u64) -> Result<Vec<u8>, Failure> {
    let file = std::fs::File::open(path).map_err(|error| missing(path, &error))?;
    read(file, most).map_err(|error| Failure::io(&format!("cannot read {}", table::path(path)), &error))
}

/// Reads stdin, but at most `most` + 1 bytes, so that the caller notices a longer text.
pub fn read_stdin(most: u64) -> Result<Vec<u8>, Failure> {
    read(std::io::stdin().lock(), most).map_err(|error| Failure::io("cannot read standard input", &error))
}

fn read(source: impl Read, most: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(most + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The failure for a file that cannot be opened.
pub fn missing(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Exit::NoInput, "no_input", format!("cannot read {}: {error}", table::path(path)))
}
