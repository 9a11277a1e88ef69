//! Room in the write-ahead log, made before it is needed: a commit that makes the file longer waits for the file system's own journal as well,
//! and takes half as long again as one that does not.
//!
//! The log may be longer than what was written into it: `SQLite` tells its frames by salts and checksums, as each checkpoint leaves old ones
//! behind anyway (its file format, section 4.5). Only the thread that writes the log comes here, and only while nothing else is to be done.

use std::{
    fs::{File, OpenOptions},
    io::{self, Seek as _, SeekFrom, Write as _},
    path::Path,
    time::Duration,
};

use crate::disk;

/// What is written before it is looked again whether somebody waits: a millisecond or two.
const STEP_BYTES: usize = 1024 * 1024;

/// How long nothing must have been to write.
pub const CALM: Duration = Duration::from_millis(50);

/// Only a disk with so many times the log left is asked for it: a tight one has better uses.
const PLENTY: u64 = 64;

/// The log's file, until it is as long as it will be.
#[derive(Debug)]
pub struct Room {
    log: Option<File>,
    wanted_bytes: u64,
}

impl Room {
    /// For a log that will be so long, on a disk that has plenty.
    pub fn new(log: &Path, wanted_bytes: u64) -> Self {
        let has_plenty =
            disk::available_bytes(log).is_some_and(|available_bytes| available_bytes / PLENTY > wanted_bytes);
        let open = || OpenOptions::new().write(true).open(log).ok();
        Self { log: if has_plenty { open() } else { None }, wanted_bytes }
    }

    /// Whether there is something to do.
    pub const fn is_wanted(&self) -> bool {
        self.log.is_some()
    }

    /// Makes the log one step longer. What fails is not tried again: everything works without it.
    pub fn extend(&mut self) {
        let Some(log) = &mut self.log else { return };
        let is_longer = extend(log, self.wanted_bytes).unwrap_or_else(|error| {
            tracing::debug!(%error, "no room was made in the journal's log");
            false
        });
        if !is_longer {
            self.log = None;
        }
    }
}

/// Whether there was something to add.
fn extend(log: &mut File, wanted_bytes: u64) -> io::Result<bool> {
    let size_bytes = log.metadata()?.len();
    let missing_bytes = wanted_bytes.saturating_sub(size_bytes);
    if missing_bytes == 0 {
        return Ok(false);
    }
    log.seek(SeekFrom::Start(size_bytes))?;
    log.write_all(&vec![0; STEP_BYTES.min(missing_bytes as usize)])?;
    // Here, as the next commit would wait for it.
    log.sync_data()?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_grows_by_steps_to_what_it_will_be_and_no_further() {
        let home = tempfile::tempdir().unwrap();
        let log = home.path().join("reel.db-wal");
        std::fs::write(&log, b"frames").unwrap();
        let wanted_bytes = STEP_BYTES as u64 + 100;
        let mut room = Room::new(&log, wanted_bytes);
        let mut steps = 0;
        while room.is_wanted() {
            room.extend();
            steps += 1;
        }
        let bytes = std::fs::read(&log).unwrap();
        assert_eq!((bytes.len() as u64, steps), (wanted_bytes, 3));
        assert!(bytes.starts_with(b"frames") && bytes[6..].iter().all(|byte| *byte == 0));
        assert!(!Room::new(&home.path().join("none"), wanted_bytes).is_wanted());
        assert!(!Room::new(&log, u64::MAX / PLENTY).is_wanted(), "no disk has that much");
    }
}
