//! What may be wrong with the file, in words that name places and keys and never a value.

use std::{fmt, io, path::PathBuf};

/// Why a file was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The system would not let us read it.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A directory, or something else without an end.
    #[error("{} is not a file", path.display())]
    NotAFile {
        /// What stands there.
        path: PathBuf,
    },
    /// No settings are that long.
    #[error("{} is larger than {limit_bytes} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most that is read.
        limit_bytes: u64,
    },
    /// TOML is UTF-8.
    #[error("{}:{line}: this line is not UTF-8", path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// The first such line, from 1.
        line: usize,
    },
    /// Its text says something that we do not take.
    #[error("{}", lines(file, problems))]
    Invalid {
        /// How the file is called in the message.
        file: String,
        /// All that was found, in the order of the file.
        problems: Vec<Problem>,
    },
}

fn lines(file: &str, problems: &[Problem]) -> String {
    let lines: Vec<_> = problems.iter().map(|problem| format!("{file}:{problem}")).collect();
    lines.join("\n")
}

/// One thing that is wrong, and where. Prints as `3:1: unknown key tasks.max_concurent`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// What is wrong; holds no value of the file but numbers.
    pub message: String,
}

impl Problem {
    /// A problem at a byte of the text.
    pub(super) fn at(text: &str, offset: usize, message: String) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.matches('\n').count() + 1;
        // Editors do not count the mark of a UTF-8 file that some of them write.
        let shown = before.get(line_start..).unwrap_or_default().trim_start_matches('\u{feff}');
        Self { line, column: shown.chars().count() + 1, message }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)
    }
}
