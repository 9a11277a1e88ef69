//! Decodes the text of a picture that arrives in pieces. The text is base64 of either alphabet, with or without white space, padding and a
//! `data:` prefix, or a picture that is a text itself, such as SVG. Pure.

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

/// How many characters are decoded at once; a multiple of four.
const BLOCK: usize = 16 * 1024;
/// The longest prefix such as `data:image/png;base64,`. With a longer one the text is not base64.
const MAX_PREFIX_BYTES: usize = 1024;

/// The decoder of a block. It accepts text with and without padding.
const ENGINE: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The text is not base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotBase64;

/// How the text is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Too few characters have arrived to decide.
    Undecided,
    /// The text is base64.
    Base64,
    /// The text is not decoded, as it is the picture itself.
    Plain,
    /// The text is percent-encoded, as a part of a URL is: `%3C` is one byte.
    Percent,
}

/// The decoder of one text.
#[derive(Debug)]
pub struct Base64Stream {
    mode: Mode,
    /// Characters that are buffered until their block is full, or until the mode is decided.
    waiting: Vec<u8>,
    decoded: Vec<u8>,
    /// Whether padding was decoded. Nothing may follow it.
    has_ended: bool,
}

impl Default for Base64Stream {
    fn default() -> Self {
        let (waiting, decoded) = (Vec::with_capacity(BLOCK), Vec::with_capacity(BLOCK));
        Self { mode: Mode::Undecided, waiting, decoded, has_ended: false }
    }
}

impl Base64Stream {
    /// Adds characters, and passes decoded bytes to `take` in blocks.
    pub fn push<E: From<NotBase64>>(
        &mut self,
        mut text: &[u8],
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        while !text.is_empty() {
            let room = BLOCK.saturating_sub(self.waiting.len()).max(1);
            let (now, later) = text.split_at(text.len().min(room));
            text = later;
            self.gather(now);
            if self.mode == Mode::Undecided && self.waiting.len() > MAX_PREFIX_BYTES {
                self.decide()?;
            }
            if self.waiting.len() >= BLOCK {
                self.decode(BLOCK, &mut take)?;
            }
        }
        Ok(())
    }

    /// Ends the text, and passes the rest of the decoded bytes to `take`.
    pub fn finish<E: From<NotBase64>>(
        &mut self,
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.mode == Mode::Undecided {
            self.decide()?;
        }
        self.decode(self.waiting.len(), &mut take)
    }

    fn gather(&mut self, text: &[u8]) {
        if self.mode != Mode::Base64 {
            return self.waiting.extend_from_slice(text);
        }
        let plain = text.iter().filter(|byte| !byte.is_ascii_whitespace());
        self.waiting.extend(plain.map(|byte| match byte {
            b'-' => b'+',
            b'_' => b'/',
            byte => *byte,
        }));
    }

    /// Decides by the beginning of the text how it is decoded, and removes its prefix.
    fn decide(&mut self) -> Result<(), NotBase64> {
        let text = std::mem::replace(&mut self.waiting, Vec::with_capacity(BLOCK));
        let mut rest = text.trim_ascii_start();
        let has_prefix = rest.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"data:"));
        if has_prefix {
            let prefix_bytes = rest.get(..rest.len().min(MAX_PREFIX_BYTES)).unwrap_or(rest);
            let comma = prefix_bytes.iter().position(|byte| *byte == b',').ok_or(NotBase64)?;
            rest = rest.get(comma + 1..).unwrap_or_default();
        }
        self.mode = match rest.trim_ascii_start().first() {
            Some(b'<' | b'%') if has_prefix => Mode::Percent,
            Some(b'<') => Mode::Plain,
            _ => Mode::Base64,
        };
        self.gather(rest);
        Ok(())
    }

    fn decode<E: From<NotBase64>>(
        &mut self,
        length: usize,
        take: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let block = self.waiting.get(..length).unwrap_or(&self.waiting);
        if block.is_empty() {
            return Ok(());
        }
        self.decoded.clear();
        let mut length = block.len();
        match self.mode {
            Mode::Plain => self.decoded.extend_from_slice(block),
            Mode::Percent => {
                // The block must not end within an escape, so the beginning of one is left for the next block.
                let cut = block.iter().rev().take(2).position(|byte| *byte == b'%');
                length -= cut.filter(|_| length >= BLOCK).map_or(0, |at| at + 1);
                self.decoded.extend(percent_encoding::percent_decode(block.get(..length).unwrap_or(block)));
            }
            Mode::Base64 | Mode::Undecided => {
                if self.has_ended {
                    return Err(NotBase64.into());
                }
                self.has_ended = block.last() == Some(&b'=');
                ENGINE.decode_vec(block, &mut self.decoded).map_err(|_| NotBase64)?;
            }
        }
        self.waiting.drain(..length);
        take(&self.decoded)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(pieces: &[&[u8]]) -> Result<Vec<u8>, NotBase64> {
        let (mut stream, mut bytes) = (Base64Stream::default(), Vec::new());
        let mut take = |decoded: &[u8]| {
            bytes.extend_from_slice(decoded);
            Ok(())
        };
        for piece in pieces {
            stream.push(piece, &mut take)?;
        }
        stream.finish(&mut take)?;
        Ok(bytes)
    }

    #[test]
    fn what_services_write_is_read_and_what_is_no_base64_is_refused() {
        for text in [
            "aGVsbG8=",
            "aGVsbG8",
            "data:image/png;base64,aGVsbG8=",
            "DATA:image/png;name=x;base64,aGVsbG8=",
            "aGVs\r\nbG8=\n",
            " data:,aGVsbG8=",
        ] {
            assert_eq!(decode(&[text.as_bytes()]).as_deref(), Ok(&b"hello"[..]), "{text}");
        }
        assert_eq!(decode(&[b""]), Ok(Vec::new()));
        assert_eq!(decode(&[b"-_-_"]), decode(&[b"+/+/"]));
        for text in ["aGVsbG8!", "aGVs=bG8=", "aGVsbG8=aGVs", "a", "data:image/png;base64", "héllo"] {
            assert_eq!(decode(&[text.as_bytes()]), Err(NotBase64), "{text}");
        }
        let endless = [&b"data:"[..], &[b'a'; 2 * MAX_PREFIX_BYTES]].concat();
        assert_eq!(decode(&[&endless]), Err(NotBase64));
    }

    #[test]
    fn a_picture_that_is_a_text_comes_as_it_is_or_as_a_url_writes_it() {
        let svg = format!("<svg><!-- {} --></svg>", "100 % long ".repeat(5_000));
        let url = format!("data:image/svg+xml,{}", svg.replace('%', "%25").replace('<', "%3C"));
        for text in [&svg, &url] {
            assert_eq!(decode(&[text.as_bytes()]).map(String::from_utf8), Ok(Ok(svg.clone())));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_come_back_however_their_text_is_cut(
            bytes in prop::collection::vec(any::<u8>(), 0..50_000),
            cuts in prop::collection::vec(0_usize..60_000, 0..5),
            is_url_safe in any::<bool>(),
        ) {
            let mut text = ENGINE.encode(&bytes);
            if is_url_safe {
                text = text.replace('+', "-").replace('/', "_").replace('=', "");
            }
            let mut pieces = vec![text.as_bytes()];
            for cut in cuts {
                let last = pieces.pop().unwrap();
                let (left, right) = last.split_at(cut.min(last.len()));
                pieces.extend([left, right]);
            }
            prop_assert_eq!(decode(&pieces), Ok(bytes));
        }
    }
}
