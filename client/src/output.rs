//! Prints everything: data to stdout, everything else to stderr. No other file prints.

use std::{
    io::{self, IsTerminal as _, Write as _},
    path::Path,
};

use reel_protocol::{is_unprintable, printable};
use serde::Serialize;

use crate::{
    failure::{ErrorBody, Failure},
    table,
};

/// The options for printing.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    /// Whether stdout gets one JSON document and nothing else.
    pub is_json: bool,
    /// Whether notes and progress are left out, so that only results, warnings and errors are printed.
    pub is_quiet: bool,
}

/// Columns of a terminal whose width is unknown.
const WIDTH: usize = 80;

/// Columns of a line about a thing with a text of any length, such as a task with its prompt, if stdout is no terminal.
const LINE_WIDTH: usize = 120;

#[derive(Serialize)]
struct ErrorDocument<'a> {
    error: &'a ErrorBody,
}

#[expect(clippy::unused_self, reason = "whoever prints must hold it, so that no other way to print grows")]
impl Output {
    /// Prints data to stdout as it is, but without unprintable characters. With `--json` it prints nothing.
    pub fn data(self, text: &str) -> Result<(), Failure> {
        if self.is_json { Ok(()) } else { write_out(printable(text).as_bytes()) }
    }

    /// Prints one line of data.
    pub fn line(self, text: &str) -> Result<(), Failure> {
        self.data(&format!("{text}\n"))
    }

    /// Prints the paths of written files in one write, one per line. A terminal gets escaped paths. Elsewhere the exact bytes are written, so that a
    /// script can open the files.
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

    /// Prints the JSON document with its unprintable characters escaped. Without `--json` it prints nothing.
    pub fn document<T: Serialize>(self, document: &T) -> Result<(), Failure> {
        if !self.is_json {
            return Ok(());
        }
        let text = serde_json::to_string(document).map_err(|error| {
            Failure::new(crate::exit::Exit::Internal, "internal", format!("cannot write JSON: {error}"))
        })?;
        write_out((escaped(&text) + "\n").as_bytes())
    }

    /// Prints a text and ends it with a newline. A terminal gets it without unprintable characters, elsewhere it is unchanged. With `--json` it
    /// prints nothing.
    pub fn text(self, text: &str) -> Result<(), Failure> {
        let end = if text.ends_with('\n') { "" } else { "\n" };
        if self.is_json || io::stdout().is_terminal() {
            return self.data(&format!("{text}{end}"));
        }
        write_out(format!("{text}{end}").as_bytes())
    }

    /// Prints a piece of a text to the terminal. It ignores errors, because printing the end of the text will report them.
    pub fn piece(self, text: &str) {
        let _ = write_out(printable(text).as_bytes());
    }

    /// Whether stdout is a terminal that data is printed to, so that partial output is useful.
    pub fn has_terminal(self) -> bool {
        !self.is_json && io::stdout().is_terminal()
    }

    /// Prints raw bytes, such as a completion script.
    pub fn bytes(self, bytes: &[u8]) -> Result<(), Failure> {
        write_out(bytes)
    }

    /// Prints the content of a file, from its current position.
    pub fn file(self, file: &mut std::fs::File) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        io::copy(file, &mut stdout).and_then(|_| stdout.flush()).map_err(|error| Failure::of_stdout(&error))
    }

    /// Prints a note to stderr, unless `--quiet` is given.
    pub fn note(self, text: &str) {
        if !self.is_quiet {
            self.warn(text);
        }
    }

    /// Prints a warning to stderr, also with `--quiet`. It ignores errors of stderr.
    pub fn warn(self, text: &str) {
        let _ = writeln!(io::stderr().lock(), "{}", printable(text));
    }

    /// Prints a question to stderr without a newline, so that the answer is typed on the same line.
    pub fn ask(self, text: &str) {
        let mut stderr = io::stderr().lock();
        let _ = write!(stderr, "{}", printable(text)).and_then(|()| stderr.flush());
    }

    /// Prints the error and its hint to stderr, and with `--json` the error document to stdout.
    pub fn failure(self, failure: &Failure) {
        let error = &failure.error;
        if !failure.is_said {
            self.warn(&format!("error: {}", error.message));
            if let Some(hint) = &error.hint {
                self.warn(&format!("  hint: {hint}"));
            }
        }
        if error.code != "closed_pipe" {
            // If stdout fails here, there is no way left to report it.
            let _ = self.document(&ErrorDocument { error });
        }
    }

    /// Returns the columns of stdout; None if stdout is no terminal, so that nothing is cut.
    pub fn width(self) -> Option<usize> {
        if !io::stdout().is_terminal() {
            return None;
        }
        Some(console::Term::stdout().size_checked().map_or(WIDTH, |(_, columns)| usize::from(columns)))
    }

    /// Returns the columns of a line about a thing with a text of any length: those of the terminal, or a fixed number.
    pub fn line_width(self) -> usize {
        self.width().unwrap_or(LINE_WIDTH)
    }

    /// Returns the rows of the terminal on stderr; None if no progress bars may be drawn.
    pub fn rows(self) -> Option<usize> {
        if self.is_quiet || !io::stderr().is_terminal() {
            return None;
        }
        console::Term::stderr().size_checked().map(|(rows, _)| usize::from(rows))
    }
}

/// Replaces unprintable characters in a JSON text by `\u` escapes. They occur only inside strings, so the document stays the same, and it is safe to
/// show on a terminal.
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
