//! The one place that prints: data on stdout, everything else on stderr.

use std::{
    io::{self, IsTerminal as _, Write as _},
    path::Path,
};

use reel_protocol::{is_unprintable, printable};
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
    /// Data for people or scripts, with its line ends and without unprintable characters; nothing with `--json`.
    pub fn data(self, text: &str) -> Result<(), Failure> {
        if self.is_json { Ok(()) } else { write_out(printable(text).as_bytes()) }
    }

    /// A line of data.
    pub fn line(self, text: &str) -> Result<(), Failure> {
        self.data(&format!("{text}\n"))
    }

    /// The files that were written, a line each, in one write: escaped on a terminal, elsewhere with their very bytes, so that a
    /// script can open them.
    pub fn paths<P: AsRef<Path>>(self, paths: &[P]) -> Result<(), Failure> {
        if self.is_json {
            return Ok(());
        }
        let is_terminal = io::stdout().is_terminal();
        let mut lines = Vec::new();
        for path in paths.iter().map(AsRef::as_ref) {
            if is_terminal {
                lines.extend(table::path(path).into_bytes());
            } else {
                lines.extend(path.as_os_str().as_encoded_bytes());
            }
            lines.push(b'\n');
        }
        write_out(&lines)
    }

    /// The JSON document, its unprintable characters escaped; nothing without `--json`.
    pub fn document<T: Serialize>(self, document: &T) -> Result<(), Failure> {
        if !self.is_json {
            return Ok(());
        }
        let text = serde_json::to_string(document).map_err(|error| {
            Failure::new(crate::exit::Exit::Internal, "internal", format!("cannot write JSON: {error}"))
        })?;
        write_out((escaped(&text) + "\n").as_bytes())
    }

    /// A text from elsewhere, ended by a line end: without unprintable characters on a terminal, elsewhere to the letter. Nothing with `--json`.
    pub fn text(self, text: &str) -> Result<(), Failure> {
        let end = if text.ends_with('\n') { "" } else { "\n" };
        if self.is_json || io::stdout().is_terminal() {
            return self.data(&format!("{text}{end}"));
        }
        write_out(format!("{text}{end}").as_bytes())
    }

    /// A piece of a text on a terminal. A terminal that is gone is noticed at the end of the text.
    pub fn piece(self, text: &str) {
        let _ = write_out(printable(text).as_bytes());
    }

    /// Whether a person sees what is printed at once.
    pub fn has_terminal(self) -> bool {
        !self.is_json && io::stdout().is_terminal()
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
        let _ = writeln!(io::stderr().lock(), "{}", printable(text));
    }

    /// A question, after which the answer is typed on the same line.
    pub fn ask(self, text: &str) {
        let mut stderr = io::stderr().lock();
        let _ = write!(stderr, "{}", printable(text)).and_then(|()| stderr.flush());
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

/// JSON in which unprintable characters, which only strings hold, are written as `\u` escapes: the same document, safe on a terminal.
fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        if is_unprintable(character) && !matches!(character, '\u{200c}' | '\u{200d}') {
            text.extend(character.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        } else {
            text.push(character);
        }
    }
    text
}

fn write_out(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(|error| Failure::of_stdout(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escaped_document_is_the_same_document() {
        let value =
            serde_json::json!({ "a\u{202e}": ["\u{9b}2J", "tag\u{e0041}", "line\nend", "क्\u{200d}ष"] });
        let text = escaped(&value.to_string());
        assert!(
            !text.contains(['\u{202e}', '\u{9b}', '\u{e0041}']) && text.contains(r"\udb40\udc41"),
            "{text}"
        );
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }
}
