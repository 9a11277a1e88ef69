//! A text that is given on the command line: itself, or `@FILE`, or `-` for stdin. Never more is read than may be sent.

use std::{io::Read, path::Path};

use crate::{exit::Exit, failure::Failure, table, tasks};

/// What a text is called in messages, and how long it may be.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// Such as `the prompt`.
    pub name: &'static str,
    /// The command that takes it from stdin, for a text that begins with `@`.
    pub from_stdin: &'static str,
    /// Most bytes.
    pub most_bytes: usize,
    /// What to do with a longer one.
    pub remedy: &'static str,
}

/// The text itself, or what the file or stdin holds.
pub fn text(given: &str, kind: Kind) -> Result<String, Failure> {
    let text = if matches!(given, "-" | "@-") {
        read("stdin", std::io::stdin(), kind)?
    } else if let Some(path) = given.strip_prefix('@') {
        let failure = |failure: Failure| {
            failure.hint(format!("a text that begins with @ is read from stdin: {}", kind.from_stdin))
        };
        open(Path::new(path), kind).map_err(failure)?
    } else {
        given.to_owned()
    };
    if tasks::is_blank(&text) {
        return Err(Failure::new(Exit::BadData, "invalid_params", format!("{} is empty", kind.name)));
    }
    Ok(text)
}

/// What a file holds.
pub fn file(path: &Path, kind: Kind) -> Result<String, Failure> {
    open(path, kind)
}

fn open(path: &Path, kind: Kind) -> Result<String, Failure> {
    let shown = table::path(path);
    let file = std::fs::File::open(path)
        .map_err(|error| Failure::new(Exit::NoInput, "no_input", format!("cannot read {shown}: {error}")))?;
    read(&shown, file, kind)
}

/// Blank space around the text is not part of it.
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
