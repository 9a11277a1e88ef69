//! The one place that prints: data on stdout, everything else on stderr.

use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;

use crate::{
    failure::{Failure, Shown},
    table,
};

/// How to speak.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    /// One JSON document on stdout, nothing else there.
    pub is_json: bool,
    /// Only results and errors.
    pub is_quiet: bool,
}

/// What is cut to when stdout is a terminal of unknown width.
const WIDTH: usize = 80;

#[derive(Serialize)]
struct ErrorDocument<'a> {
    error: &'a Shown,
}

#[expect(clippy::unused_self, reason = "whoever prints must hold it, so that no other way to print grows")]
impl Output {
    /// Data for people or scripts, with its line ends; nothing with `--json`.
    pub fn data(self, text: &str) -> Result<(), Failure> {
        if self.is_json { Ok(()) } else { write_out(text.as_bytes()) }
    }

    /// A line of data.
    pub fn line(self, text: &str) -> Result<(), Failure> {
        self.data(&format!("{text}\n"))
    }

    /// Lines of data, in one write.
    pub fn lines(self, lines: &[String]) -> Result<(), Failure> {
        self.data(&lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect::<String>())
    }

    /// The JSON document; nothing without `--json`.
    pub fn document<T: Serialize>(self, document: &T) -> Result<(), Failure> {
        if !self.is_json {
            return Ok(());
        }
        let mut text = serde_json::to_vec(document).map_err(|error| {
            Failure::new(crate::exit::Exit::Internal, "internal", format!("cannot write JSON: {error}"))
        })?;
        text.push(b'\n');
        write_out(&text)
    }

    /// Raw bytes, such as a script for a shell.
    pub fn bytes(self, bytes: &[u8]) -> Result<(), Failure> {
        write_out(bytes)
    }

    /// A file's content.
    pub fn file(self, file: &mut std::fs::File) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        io::copy(file, &mut stdout).and_then(|_| stdout.flush()).map_err(|error| Failure::of_stdout(&error))
    }

    /// Something to know beside the result; not with `--quiet`.
    pub fn note(self, text: &str) {
        if !self.is_quiet {
            self.warn(text);
        }
    }

    /// Something that must be known. A stderr that is gone is no reason to stop.
    pub fn warn(self, text: &str) {
        let _ = writeln!(io::stderr().lock(), "{}", table::printable(text));
    }

    /// Why the command ends without its result.
    pub fn failure(self, failure: &Failure) {
        let error = &failure.error;
        if !failure.is_said {
            self.warn(&format!("error: {}", error.message));
            if let Some(hint) = &error.hint {
                self.warn(&format!("  hint: {hint}"));
            }
        }
        if error.code != "closed_pipe" {
            // Nothing is left to be done about a stdout that fails now.
            let _ = self.document(&ErrorDocument { error });
        }
    }

    /// Columns of stdout, None where it is no terminal and nothing must be cut.
    pub fn width(self) -> Option<usize> {
        if !io::stdout().is_terminal() {
            return None;
        }
        Some(console::Term::stdout().size_checked().map_or(WIDTH, |(_, columns)| usize::from(columns)))
    }

    /// Rows of the terminal on stderr, None where bars must not be drawn.
    pub fn rows(self) -> Option<usize> {
        if self.is_quiet || !io::stderr().is_terminal() {
            return None;
        }
        console::Term::stderr().size_checked().map(|(rows, _)| usize::from(rows))
    }
}

fn write_out(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(|error| Failure::of_stdout(&error))
}
