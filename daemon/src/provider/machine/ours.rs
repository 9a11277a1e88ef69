//! The file that says which servers reel has started and not stopped. A later daemon reads it, so that it can stop them when they are idle.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Write as _},
    path::PathBuf,
};

use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

/// Most bytes of the file that are read. A name has at most 40 bytes.
const MAX_BYTES: u64 = 64 * 1024;

/// The file `started.json` of a home.
#[derive(Debug, Clone)]
pub(super) struct OursFile(PathBuf);

#[derive(Default, Serialize, Deserialize)]
struct Content {
    /// The names of the providers whose servers reel has started.
    #[serde(default)]
    started: BTreeSet<String>,
}

impl OursFile {
    pub fn of_home(home: &std::path::Path) -> Self {
        Self(home.join("started.json"))
    }

    /// Reads the names. A file that is missing or damaged has none: then the servers are not stopped. Blocks.
    pub fn read(&self) -> BTreeSet<String> {
        let is_small = fs::metadata(&self.0).is_ok_and(|file| file.len() <= MAX_BYTES);
        let text = is_small.then(|| fs::read(&self.0).ok()).flatten();
        let content: Option<Content> = text.and_then(|text| serde_json::from_slice(&text).ok());
        content.unwrap_or_default().started
    }

    /// Replaces the file. Blocks.
    pub fn write(&self, started: BTreeSet<String>) -> io::Result<()> {
        let directory = self.0.parent().ok_or(io::ErrorKind::NotFound)?;
        let mut file = NamedTempFile::new_in(directory)?;
        file.write_all(&serde_json::to_vec(&Content { started })?)?;
        file.as_file().sync_data()?;
        file.persist(&self.0)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_a_damaged_file_names_none() {
        let home = tempfile::tempdir().unwrap();
        let file = OursFile::of_home(home.path());
        assert!(file.read().is_empty());
        let names = BTreeSet::from(["machine".to_owned()]);
        file.write(names.clone()).unwrap();
        assert_eq!(file.read(), names);
        for text in ["", "[", "{\"started\":7}", "{}"] {
            fs::write(&file.0, text).unwrap();
            assert!(file.read().is_empty(), "{text}");
        }
    }
}
