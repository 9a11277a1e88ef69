//! The errors of the configuration file. Their messages name positions and keys, but never values.

use std::{fmt, io, path::PathBuf};

/// The reason why a file is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The system refused to read the file.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The path of the file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// The path does not name a regular file. Reading a directory fails, and reading a pipe may never end.
    #[error("{} is not a file", path.display())]
    NotAFile {
        /// The path that was given.
        path: PathBuf,
    },
    /// The file is longer than any real configuration.
    #[error("{} is larger than {limit_bytes} bytes", path.display())]
    TooLarge {
        /// The path of the file.
        path: PathBuf,
        /// The largest size that is read, in bytes.
        limit_bytes: u64,
    },
    /// The file is not UTF-8, which TOML requires.
    #[error("{}:{line}: this line is not UTF-8", path.display())]
    NotUtf8 {
        /// The path of the file.
        path: PathBuf,
        /// The first line that is not UTF-8, counted from 1.
        line: usize,
    },
    /// The text is not TOML, or contains keys or values that are not accepted.
    #[error("{}", lines(file, problems))]
    Invalid {
        /// The name of the file in the message.
        file: String,
        /// The problems that were found, in the order of the file.
        problems: Vec<Problem>,
    },
}

fn lines(file: &str, problems: &[Problem]) -> String {
    let lines: Vec<_> = problems.iter().map(|problem| format!("{file}:{problem}")).collect();
    lines.join("\n")
}

/// One problem and its position. It prints as `3:1: unknown key tasks.max_concurent`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The line, counted from 1.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
    /// The message. It contains no value of the file except numbers.
    pub message: String,
}

impl Problem {
    /// Returns a problem at this byte offset of the text.
    pub(super) fn at(text: &str, offset: usize, message: String) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.matches('\n').count() + 1;
        // Editors do not count the byte order mark that some of them write at the start of a UTF-8 file.
        let shown = before.get(line_start..).unwrap_or_default().trim_start_matches('\u{feff}');
        Self { line, column: shown.chars().count() + 1, message }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)
    }
}
