//! Decodes text in UTF-16 that arrives in pieces. Some servers on Windows write JSON in UTF-16. Pure.

/// The decoder of one body.
#[derive(Debug)]
pub struct Utf16 {
    is_little_endian: bool,
    /// The first byte of a code unit whose second byte has not arrived yet.
    half: Option<u8>,
    /// The high surrogate of a character whose low surrogate has not arrived yet.
    high: Option<u16>,
}

impl Utf16 {
    /// Returns a decoder if a body begins as UTF-16 does: with a byte order mark, or with two characters that have a zero byte each.
    pub fn of_beginning(body: &[u8]) -> Option<Self> {
        let is_little_endian = match *body {
            [0xff, 0xfe, ..] => true,
            [0xfe, 0xff, ..] => false,
            [first, 0, second, 0, ..] if first != 0 && second != 0 => true,
            [0, first, 0, second, ..] if first != 0 && second != 0 => false,
            _ => return None,
        };
        Some(Self { is_little_endian, half: None, high: None })
    }

    /// Decodes the next bytes, and returns their text in UTF-8.
    pub fn decode(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut text = String::with_capacity(bytes.len() / 2 + 4);
        for byte in bytes {
            let Some(half) = self.half.take() else {
                self.half = Some(*byte);
                continue;
            };
            let pair = [half, *byte];
            let unit =
                if self.is_little_endian { u16::from_le_bytes(pair) } else { u16::from_be_bytes(pair) };
            self.push(unit, &mut text);
        }
        text.into_bytes()
    }

    fn push(&mut self, unit: u16, text: &mut String) {
        let high = self.high.take();
        if high.is_none() && (0xd800..0xdc00).contains(&unit) {
            self.high = Some(unit);
            return;
        }
        let units = high.into_iter().chain([unit]);
        text.extend(char::decode_utf16(units).map(|found| found.unwrap_or(char::REPLACEMENT_CHARACTER)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_in_utf_16_is_read_in_whatever_pieces_it_comes() {
        let text = "{\"message\":\"灯塔 🗼\"}";
        for is_little_endian in [true, false] {
            for has_mark in [true, false] {
                let units = has_mark.then_some(0xfeff).into_iter().chain(text.encode_utf16());
                let bytes = |unit: u16| {
                    if is_little_endian { unit.to_le_bytes() } else { unit.to_be_bytes() }
                };
                let bytes: Vec<u8> = units.flat_map(bytes).collect();
                for length in [1, 2, 3, 7, bytes.len()] {
                    let mut utf16 = Utf16::of_beginning(&bytes).unwrap();
                    let read: Vec<u8> = bytes.chunks(length).flat_map(|piece| utf16.decode(piece)).collect();
                    assert_eq!(String::from_utf8(read).unwrap().trim_start_matches('\u{feff}'), text);
                }
            }
        }
        for body in [&b""[..], b"{\"data\":[]}", b"\0\0\0\x0cjP  ", b"{}"] {
            assert!(Utf16::of_beginning(body).is_none(), "{body:?}");
        }
    }
}
