//! The log of a start or stop command: a file to which the command and the server that it leaves running write, and which is kept small.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::Path,
};

use reel_protocol::is_unprintable;

/// Size above which a log is cut, in bytes.
const MAX_BYTES: u64 = 4 * 1024 * 1024;
/// How much of the end of a log is kept when it is cut, in bytes.
const KEPT_BYTES: u64 = 1024 * 1024;
/// How much of the end of a log is read for the message about a failure, in bytes.
const TAIL_BYTES: u64 = 4 * 1024;
/// Most lines of a failed command that are shown.
const SHOWN_LINES: usize = 3;
/// Longest line that is shown, in characters.
const SHOWN_CHARS: usize = 200;

/// Empties a log, or makes it, and opens it for a command. A process that still writes to it goes on at its end.
pub(super) fn create(log: &Path) -> io::Result<File> {
    let file = appending(log)?;
    file.set_len(0)?;
    Ok(file)
}

/// Removes the older part of a log that is too large. What a process writes at the same moment may come before the part that is kept, or be lost.
/// It reads and writes files, so it must run on a thread that may block.
pub(super) fn cut(log: &Path) -> io::Result<()> {
    match fs::metadata(log) {
        Ok(file) if file.len() > MAX_BYTES => {}
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(_) | Err(_) => return Ok(()),
    }
    let kept = tail(log, KEPT_BYTES)?;
    // The first line may be a part of one.
    let part = kept.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    create(log)?.write_all(kept.get(part..).unwrap_or_default())
}

/// Returns the last lines of a log that are not blank, as one line. None if there are none.
pub(super) fn last_lines(log: &Path) -> Option<String> {
    let tail = tail(log, TAIL_BYTES).ok()?;
    let text = String::from_utf8_lossy(&tail);
    let lines = text.lines().rev().map(str::trim).filter(|line| !line.is_empty()).take(SHOWN_LINES);
    let shown = |line: &str| -> String {
        line.chars().take(SHOWN_CHARS).map(|c| if is_unprintable(c) { ' ' } else { c }).collect()
    };
    let mut lines: Vec<_> = lines.map(shown).collect();
    lines.reverse();
    (!lines.is_empty()).then(|| lines.join(" | "))
}

/// Opens a log so that each write goes to its end, also after it was cut by another process.
fn appending(log: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(log)
}

/// Reads the end of a log, at most this many bytes.
fn tail(log: &Path, bytes: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(bytes)))?;
    let mut tail = Vec::new();
    file.take(bytes).read_to_end(&mut tail)?;
    Ok(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_is_too_large_keeps_its_newest_lines_and_its_writer_goes_on_at_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        cut(&log).unwrap();
        let mut writer = create(&log).unwrap();
        writer.write_all(b"first\n").unwrap();
        cut(&log).unwrap();
        assert_eq!(fs::read(&log).unwrap(), b"first\n", "a small log is left as it is");
        let line = format!("{}\n", "x".repeat(99));
        writer.write_all(line.repeat(50_000).as_bytes()).unwrap();
        writer.write_all(b"newest\n").unwrap();
        cut(&log).unwrap();
        writer.write_all(b"after\n").unwrap();
        let text = fs::read_to_string(&log).unwrap();
        assert!(text.starts_with(&line) && text.ends_with(&format!("{line}newest\nafter\n")));
        assert!(text.len() as u64 <= KEPT_BYTES + 6);
        drop(create(&log).unwrap());
        assert_eq!(fs::read(&log).unwrap(), b"");
    }
}
