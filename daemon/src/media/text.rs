//! Texts: checks that a file is UTF-8 to its last byte, and parses JSON to its end without keeping it.

use std::io::{self, Read};

use serde::{Deserialize as _, de::IgnoredAny};

use super::{
    condition::Condition,
    format::is_binary,
    source::{Source, Step, Stop},
};
use crate::domain::Facts;

/// Bytes of the beginning from which the kind of text is detected.
const HEAD_BYTES: usize = 1024;
/// Largest JSON that is parsed, in bytes. The parser needs a byte of memory for each open bracket.
pub(super) const MOST_JSON_BYTES: usize = 1024 * 1024;

/// Reads a text from its first byte, and sets its media type in `facts`.
pub(super) fn read(source: &mut Source<'_>, facts: &mut Facts) -> Step<Condition> {
    let head = source.peek(HEAD_BYTES)?;
    let start = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&head).trim_ascii_start();
    let may_be_json = matches!(start.first(), Some(b'{' | b'['));
    let lower = start.get(..15).unwrap_or(start).to_ascii_lowercase();
    if lower.starts_with(b"<!doctype html") || lower.starts_with(b"<html") {
        *facts = Facts::new("text/html", "html");
    }
    match check_utf8(source)? {
        Condition::Whole if may_be_json => {}
        condition => return Ok(condition),
    }
    if source.len() > MOST_JSON_BYTES as u64 {
        *facts = Facts::new("application/json", "json");
        return Ok(Condition::Unchecked("it is too large a JSON to be parsed here".to_owned()));
    }
    source.seek((head.len() - start.len()) as u64)?;
    match check_json(source) {
        Ok(()) => *facts = Facts::new("application/json", "json"),
        Err(error) if error.is_eof() => {
            *facts = Facts::new("application/json", "json");
            return Ok(Condition::Cut("its JSON ends too early".to_owned()));
        }
        Err(error) if error.is_io() => return Err(Stop::Io(error.into())),
        // It is a text that begins with a bracket.
        Err(_) => {}
    }
    Ok(Condition::Whole)
}

/// Checks that the whole file is UTF-8, without control characters that texts do not contain.
fn check_utf8(source: &mut Source<'_>) -> Step<Condition> {
    // Up to three bytes of a character that continues in the next piece.
    let mut pending: Vec<u8> = Vec::with_capacity(4);
    loop {
        let position = source.position();
        let piece = source.piece()?;
        if piece.is_empty() {
            break;
        }
        let used = piece.len();
        if piece.iter().copied().any(is_binary) {
            return Ok(Condition::Damaged("it has control characters that no text has".to_owned()));
        }
        // Complete a character that began in the former piece byte by byte. That takes at most three bytes.
        let mut rest = piece;
        while let (false, Some((byte, behind))) = (pending.is_empty(), rest.split_first()) {
            pending.push(*byte);
            rest = behind;
            match std::str::from_utf8(&pending) {
                Ok(_) => pending.clear(),
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return Ok(no_utf8(position)),
            }
        }
        match std::str::from_utf8(rest) {
            Ok(_) => {}
            Err(error) if error.error_len().is_none() => {
                pending.extend_from_slice(rest.get(error.valid_up_to()..).unwrap_or_default());
            }
            Err(error) => return Ok(no_utf8(position + error.valid_up_to() as u64)),
        }
        source.consume(used);
    }
    Ok(if pending.is_empty() {
        Condition::Whole
    } else {
        Condition::Cut("it ends within a character".to_owned())
    })
}

fn no_utf8(near: u64) -> Condition {
    Condition::Damaged(format!("it is no UTF-8 near its byte {near}"))
}

/// Parses one JSON value up to the end of the file. The value is not kept.
fn check_json(source: &mut Source<'_>) -> Result<(), serde_json::Error> {
    let mut values = serde_json::Deserializer::from_reader(Bytes(source));
    IgnoredAny::deserialize(&mut values)?;
    values.end()
}

/// Adapts the source for the JSON parser, which reads one byte at a time.
struct Bytes<'s, 'a>(&'s mut Source<'a>);

impl Read for Bytes<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let piece = match self.0.piece() {
            Ok(piece) => piece,
            Err(Stop::Io(error)) => return Err(error),
            Err(Stop::Ended | Stop::Broken(_)) => return Ok(0),
        };
        let read = piece.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..read), piece.get(..read)) {
            to.copy_from_slice(from);
        }
        self.0.consume(read);
        Ok(read)
    }
}
