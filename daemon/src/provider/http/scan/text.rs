//! One text of a body while it is scanned: its escapes, and whether it begins as a picture does. Pure.

use base64::{Engine as _, alphabet, engine::GeneralPurpose, engine::general_purpose::NO_PAD};

use super::SNIFFED;
use crate::media::picture_type;

/// A text that is being scanned.
#[derive(Debug)]
pub(super) struct Text {
    /// The quote that ends the text. None for a picture without quotes.
    pub quote: Option<u8>,
    /// The bytes that are kept, or that are buffered until the kind of the text is decided.
    pub bytes: Vec<u8>,
    /// Whether the text is a picture, kept, or dropped.
    pub kind: Kind,
    /// Where in an escape the next byte is.
    pub escape: Escape,
    /// The high surrogate of a character that is written as two escapes.
    pub high: Option<u32>,
}

/// What is done with a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Too little of the text has arrived to decide.
    Undecided,
    /// The text is kept as a value of the tree.
    Kept,
    /// The text is longer than what is left of `MAX_TEXT_BYTES`. It is dropped, and null in the tree.
    Dropped,
    /// The text is a picture, which goes to the sink.
    Picture,
}

/// Where in an escape the next byte is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Escape {
    /// The next character is in no escape.
    No,
    /// The next character follows a backslash.
    Backslash,
    /// The next character is one of the four digits of `\u`.
    Unicode {
        /// How many digits were read so far.
        digits: u32,
        /// The value of these digits.
        value: u32,
    },
}

impl Text {
    /// An empty text that ends with this quote. Without a quote it is a picture that is not quoted.
    pub const fn new(quote: Option<u8>) -> Self {
        Self { quote, bytes: Vec::new(), kind: Kind::Undecided, escape: Escape::No, high: None }
    }

    /// Reads a byte of an escape, a hexadecimal digit after `\u`. Returns the character if this byte completes one.
    pub fn escaped(&mut self, byte: u8) -> Option<char> {
        let Escape::Unicode { digits, value } = self.escape else {
            self.escape = Escape::No;
            return match byte {
                b'u' => {
                    self.escape = Escape::Unicode { digits: 0, value: 0 };
                    None
                }
                b'n' => Some('\n'),
                b'r' => Some('\r'),
                b't' => Some('\t'),
                b'b' | b'f' => Some(' '),
                other if other.is_ascii() => Some(char::from(other)),
                _ => Some(char::REPLACEMENT_CHARACTER),
            };
        };
        let value = (value << 4) | char::from(byte).to_digit(16).unwrap_or_default();
        if digits < 3 {
            self.escape = Escape::Unicode { digits: digits + 1, value };
            return None;
        }
        self.escape = Escape::No;
        match (self.high.take(), value) {
            (_, 0xd800..=0xdbff) => {
                self.high = Some(value);
                None
            }
            (Some(high), 0xdc00..=0xdfff) => {
                char::from_u32(0x1_0000 + ((high - 0xd800) << 10) + (value - 0xdc00))
            }
            _ => Some(char::from_u32(value).unwrap_or(char::REPLACEMENT_CHARACTER)),
        }
    }
}

/// Whether a text of at least [`SNIFFED`] bytes begins with the base64 of a picture's first bytes.
pub(super) fn begins_as_picture(text: &[u8]) -> bool {
    const HEAD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, NO_PAD);
    let plain = text.iter().filter(|byte| !byte.is_ascii_whitespace()).map(|byte| match byte {
        b'-' => b'+',
        b'_' => b'/',
        byte => *byte,
    });
    let head: Vec<u8> = plain.take(picture_type::HEAD_BYTES / 3 * 4).collect();
    if text.len() < SNIFFED || !head.len().is_multiple_of(4) {
        return false;
    }
    HEAD.decode(&head).is_ok_and(|head| picture_type::of_picture(&head).is_some_and(|found| found.is_certain))
}
