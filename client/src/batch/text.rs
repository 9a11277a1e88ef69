//! Decodes a file of prompts as UTF-8. For other encodings it guesses the encoding, so that the error can say how to convert it. Pure.

use std::str;

/// Why bytes are not accepted as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotText {
    /// UTF-16 or UTF-32, recognised by its byte order mark or its zero bytes. The field is the name for `iconv`.
    Wide(&'static str),
    /// The bytes contain zeros and are neither UTF-16 nor UTF-32.
    Binary {
        /// The line of the first zero byte, counted from 1.
        line: usize,
    },
    /// The bytes are not valid UTF-8.
    OtherEncoding {
        /// The first line that is not UTF-8, counted from 1.
        line: usize,
        /// The most likely encoding, by its name for `iconv`.
        likely: &'static str,
    },
}

/// Returns the bytes as text if they are UTF-8.
pub fn text_of(bytes: &[u8]) -> Result<&str, NotText> {
    if let Some(encoding) = wide_encoding(bytes) {
        return Err(NotText::Wide(encoding));
    }
    if let Some(zero) = bytes.iter().position(|byte| *byte == 0) {
        return Err(NotText::Binary { line: line_at(bytes, zero) });
    }
    str::from_utf8(bytes).map_err(|error| NotText::OtherEncoding {
        line: line_at(bytes, error.valid_up_to()),
        likely: likely_encoding(bytes),
    })
}

/// Returns the lines of a text, numbered from 1, without white space and byte order marks around them. A line ends with CR LF, LF or a lone CR.
/// Joined files may have a byte order mark at the start of any line.
pub fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut rest = Some(text);
    let mut number = 0;
    std::iter::from_fn(move || {
        let text = rest?;
        number += 1;
        let (line, after) = match text.find(['\r', '\n']) {
            None => (text, None),
            Some(end) => {
                let (line, ending) = text.split_at(end);
                let after = ending.strip_prefix("\r\n").or_else(|| ending.get(1..));
                (line, after)
            }
        };
        rest = after;
        Some((
            number,
            line.trim_matches(|character: char| character.is_whitespace() || character == '\u{feff}'),
        ))
    })
}

/// Finds the line numbers of increasing offsets in a text.
#[derive(Debug)]
pub struct LineCounter<'a> {
    text: &'a str,
    offset: usize,
    line: usize,
}

impl<'a> LineCounter<'a> {
    /// Starts at the first line.
    pub fn new(text: &'a str) -> Self {
        Self { text, offset: 0, line: 1 }
    }

    /// Returns the number, counted from 1, of the line at byte `offset`. The offset must not be smaller than in the call before.
    pub fn line_of(&mut self, offset: usize) -> usize {
        if let Some(between) = self.text.get(self.offset..offset) {
            self.line += lines(between).count().saturating_sub(1);
            self.offset = offset;
        }
        self.line
    }
}

fn line_at(bytes: &[u8], at: usize) -> usize {
    let before = String::from_utf8_lossy(bytes.get(..at).unwrap_or_default()).into_owned();
    lines(&before).count()
}

/// Recognises UTF-32 and UTF-16. UTF-32 is checked first, because its little-endian byte order mark starts with that of UTF-16.
fn wide_encoding(bytes: &[u8]) -> Option<&'static str> {
    for (mark, encoding) in [
        (&b"\xff\xfe\0\0"[..], "UTF-32"),
        (b"\0\0\xfe\xff", "UTF-32"),
        (b"\xff\xfe", "UTF-16"),
        (b"\xfe\xff", "UTF-16"),
    ] {
        if bytes.starts_with(mark) {
            return Some(encoding);
        }
    }
    // Without a byte order mark, spaces, line ends and Latin letters of UTF-16 have a zero byte, always on the same side. A stray zero in UTF-8 does
    // not count.
    let zeros = |side: usize| bytes.iter().skip(side).step_by(2).filter(|byte| **byte == 0).count();
    let (even, odd) = (zeros(0), zeros(1));
    if str::from_utf8(bytes).is_ok() && (even + odd) * 4 < bytes.len() {
        return None;
    }
    match (even, odd) {
        (0, 0) => None,
        (0, _) => Some("UTF-16LE"),
        (_, 0) => Some("UTF-16BE"),
        _ => None,
    }
}

/// Distinguishes the usual encodings by the byte pairs that they allow and use most.
fn likely_encoding(bytes: &[u8]) -> &'static str {
    let sjis = pairs(
        bytes,
        |lead| matches!(lead, 0x81..=0x9f | 0xe0..=0xfc),
        |trail| matches!(trail, 0x40..=0x7e | 0x80..=0xfc),
        |single| matches!(single, 0xa1..=0xdf),
    );
    let gbk = pairs(
        bytes,
        |lead| matches!(lead, 0x81..=0xfe),
        |trail| matches!(trail, 0x40..=0x7e | 0x80..=0xfe),
        |_| false,
    );
    // Every Japanese text has kana. Every Chinese text has characters of the rows with the most common hanzi.
    let kana = sjis
        .iter()
        .flatten()
        .filter(|(lead, trail)| matches!((lead, trail), (0x82, 0x9f..=0xf1) | (0x83, 0x40..=0x96)))
        .count();
    let hanzi = gbk
        .iter()
        .flatten()
        .filter(|(lead, trail)| matches!((lead, trail), (0xb0..=0xf7, 0xa1..=0xfe)))
        .count();
    let high = bytes.iter().filter(|byte| **byte >= 0x80).count();
    if kana * 12 > high {
        "SHIFT-JIS"
    } else if hanzi * 3 > high {
        "GBK"
    } else {
        "WINDOWS-1252"
    }
}

/// Returns the byte pairs of a text with one or two bytes per character. None if the text is invalid in that encoding.
fn pairs(
    bytes: &[u8],
    is_lead: impl Fn(u8) -> bool,
    is_trail: impl Fn(u8) -> bool,
    is_single: impl Fn(u8) -> bool,
) -> Option<Vec<(u8, u8)>> {
    let mut pairs = Vec::new();
    let mut bytes = bytes.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte < 0x80 || is_single(byte) {
            continue;
        }
        let trail = bytes.next().filter(|trail| is_lead(byte) && is_trail(*trail))?;
        pairs.push((byte, trail));
    }
    Some(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<(usize, &str)> {
        lines(text).filter(|(_, line)| !line.is_empty()).collect()
    }

    #[test]
    fn lines_end_in_every_way_and_marks_before_them_are_dropped() {
        assert_eq!(
            split("\u{feff}a\r\n\u{feff}b\rc\n\n \u{feff} d"),
            [(1, "a"), (2, "b"), (3, "c"), (5, "d")]
        );
        assert_eq!(split("a"), [(1, "a")]);
        assert_eq!(split(""), []);
        assert_eq!(split("\r\r\n\n"), []);
    }

    #[test]
    fn other_encodings_are_named() {
        let wide = |text: &str, is_little: bool| -> Vec<u8> {
            text.encode_utf16()
                .flat_map(|unit| if is_little { unit.to_le_bytes() } else { unit.to_be_bytes() })
                .collect()
        };
        assert_eq!(text_of(&wide("\u{feff}a\r\nb", true)), Err(NotText::Wide("UTF-16")));
        assert_eq!(text_of(&wide("\u{feff}灯塔", false)), Err(NotText::Wide("UTF-16")));
        assert_eq!(text_of(&wide("a lighthouse\n灯塔\n", true)), Err(NotText::Wide("UTF-16LE")));
        assert_eq!(text_of(&wide("a lighthouse\n灯塔\n", false)), Err(NotText::Wide("UTF-16BE")));
        assert_eq!(text_of(b"\xff\xfe\0\0a\0\0\0"), Err(NotText::Wide("UTF-32")));
        assert_eq!(text_of(b"a lighthouse\n\0"), Err(NotText::Binary { line: 2 }));
        assert_eq!(text_of(b"a\n\x89PNG\0\0\0\x0dIHDR"), Err(NotText::Binary { line: 2 }));
        for (bytes, line, likely) in [
            // 海边的灯塔，黄昏
            (&b"a\r\n\xba\xa3\xb1\xdf\xb5\xc4\xb5\xc6\xcb\xfe\xa3\xac\xbb\xc6\xbb\xe8\n"[..], 2, "GBK"),
            // 夕暮れの灯台
            (b"\x97\x5b\x95\xe9\x82\xea\x82\xcc\x93\x94\x91\xe4\n", 1, "SHIFT-JIS"),
            // ｶﾓﾒと灯台
            (b"\xb6\xd3\xd2\x82\xc6\x93\x94\x91\xe4\n", 1, "SHIFT-JIS"),
            (b"a\nb\rch\xe2teau fort \xe0 l'aube", 3, "WINDOWS-1252"),
            (b"M\xf6wen \xfcber dem Meer", 1, "WINDOWS-1252"),
            (b"\xff", 1, "WINDOWS-1252"),
        ] {
            assert_eq!(text_of(bytes), Err(NotText::OtherEncoding { line, likely }), "{bytes:?}");
        }
        assert_eq!(text_of("海边的灯塔".as_bytes()), Ok("海边的灯塔"));
    }
}
