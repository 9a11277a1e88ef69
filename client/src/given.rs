//! Reads a text from the command line: the argument itself, `@FILE` for a file, or `-` for stdin. It reads no more bytes than a request may have.

use std::{
    io::{IsTerminal as _, Read},
    path::Path,
};

use crate::{exit::Exit, failure::Failure, output::Output, table, tasks};

/// The name of a text in messages, and its longest length.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// The name of the text, such as `the prompt`.
    pub name: &'static str,
    /// The command that reads the text from stdin. The hint for a failed `@FILE` shows it, since a text may itself begin with `@`.
    pub from_stdin: &'static str,
    /// Longest text, in bytes.
    pub most_bytes: usize,
    /// The hint for a text that is too long.
    pub remedy: &'static str,
}

/// Returns the argument itself, or the content of the file or of stdin. A blank text fails.
pub fn text(output: Output, given: &str, kind: Kind) -> Result<String, Failure> {
    let text = if matches!(given, "-" | "@-") {
        if std::io::stdin().is_terminal() {
            output.note(&format!("type {}, and end it with Ctrl-D on a line of its own", kind.name));
        }
        read("stdin", std::io::stdin(), kind)?
    } else if let Some(path) = given.strip_prefix('@') {
        let failure = |failure: Failure| {
            failure.hint(format!("a text that begins with @ is read from stdin: {}", kind.from_stdin))
        };
        open(Path::new(path), kind).map_err(failure)?
    } else {
        if Path::new(given).is_file() {
            let shown = table::path(Path::new(given));
            output.note(&format!("{shown} is a file, and only its name is sent; its content: @{shown}"));
        }
        given.to_owned()
    };
    if tasks::is_blank(&text) {
        return Err(Failure::new(Exit::BadData, "invalid_params", format!("{} is empty", kind.name)));
    }
    Ok(text)
}

/// Returns the content of a file without the blank space around it.
pub fn file(path: &Path, kind: Kind) -> Result<String, Failure> {
    open(path, kind)
}

fn open(path: &Path, kind: Kind) -> Result<String, Failure> {
    let shown = table::path(path);
    let file = std::fs::File::open(path)
        .map_err(|error| Failure::new(Exit::NoInput, "no_input", format!("cannot read {shown}: {error}")))?;
    read(&shown, file, kind)
}

/// Reads a UTF-8 text and removes its byte order mark and the blank space around it. A text that is too long fails.
fn read(name: &str, source: impl Read, kind: Kind) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let read = source.take(kind.most_bytes as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|error| Failure::io(&format!("cannot read {name}"), &error))?;
    let bad = |message: String| Failure::new(Exit::BadData, "bad_data", message);
    if bytes.len() > kind.most_bytes {
        let message = format!("{name} has more than {} bytes", kind.most_bytes);
        return Err(bad(message).hint(kind.remedy));
    }
    let text = String::from_utf8(bytes).map_err(|_| bad(format!("{name} is not UTF-8 text")))?;
    Ok(text.trim_start_matches('\u{feff}').trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_to_its_end_or_refused() {
        let kind = Kind { name: "the text", from_stdin: "reel speak -", most_bytes: 64, remedy: "cut it" };
        assert_eq!(read("x", "\u{feff} Hello.\n\n".as_bytes(), kind).unwrap(), "Hello.");
        let full = "a".repeat(64);
        assert_eq!(read("x", full.as_bytes(), kind).unwrap(), full);
        for (bytes, part) in [(vec![b'a'; 65], "more than 64"), (vec![0xff], "not UTF-8")] {
            let failure = read("x", &bytes[..], kind).unwrap_err();
            assert_eq!(failure.exit, Exit::BadData);
            assert!(failure.error.message.contains(part), "{}", failure.error.message);
        }
    }
}
