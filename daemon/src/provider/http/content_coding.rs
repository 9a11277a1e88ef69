//! Reads how a response body is compressed (`Content-Encoding`), and decompresses it while it arrives. Requests ask for no compression, but
//! some servers and reverse proxies compress everything that they send.

use std::io::{self, BufRead, Read};

use bytes::{Buf as _, Bytes};
use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use reel_protocol::is_unprintable;
use reqwest::header::{CONTENT_ENCODING, HeaderMap};

/// Largest piece of a decompressed body, in bytes. A piece from the network is as large, so the memory that a call reserves covers it.
const PIECE_BYTES: usize = 64 * 1024;
/// Every body may decompress to this many bytes, however small it is compressed.
const ALWAYS_BYTES: u64 = 64 * 1024 * 1024;
/// Beyond that, a body may decompress to this many times its compressed size. Pictures and texts stay far below: only a body that was made
/// to fill the memory grows more.
const MOST_TIMES: u64 = 200;
/// Longest part of a coding's name that is shown, in characters.
const SHOWN_CHARS: usize = 60;

/// How a body is compressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ContentCoding {
    /// The body is not compressed.
    None,
    /// The body is compressed, and can be decompressed here.
    Known(Compression),
    /// The body has a coding that is not supported, or several codings. This is their name.
    Unknown(String),
}

/// The compressions that are supported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    /// The body is in the format `gzip` (RFC 1952).
    Gzip,
    /// The body is in the format `deflate`: zlib (RFC 1950), or the bare stream within it (RFC 1951), which some servers send under this name.
    Deflate,
}

impl ContentCoding {
    /// Reads the coding of a body from the headers of its response.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let values = headers.get_all(CONTENT_ENCODING).into_iter();
        let text: Vec<_> = values.map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
        let text = text.join(", ").to_ascii_lowercase();
        let codings: Vec<_> =
            text.split(',').map(str::trim).filter(|coding| !matches!(*coding, "" | "identity")).collect();
        match codings.as_slice() {
            [] => Self::None,
            ["gzip" | "x-gzip"] => Self::Known(Compression::Gzip),
            ["deflate"] => Self::Known(Compression::Deflate),
            others => {
                let name = others.join(", ");
                Self::Unknown(name.chars().filter(|c| !is_unprintable(*c)).take(SHOWN_CHARS).collect())
            }
        }
    }

    /// Decompresses the beginning of a body, until there are at least `most_bytes`. If the coding is not supported, returns a text that says so.
    pub(super) fn beginning(self, body: Vec<u8>, most_bytes: usize) -> Vec<u8> {
        let compression = match self {
            Self::None => return body,
            Self::Known(compression) => compression,
            Self::Unknown(name) => return unreadable(&name).into_bytes(),
        };
        let mut text = Vec::new();
        let pieces = Decompressed::new(std::iter::once(Ok(Bytes::from(body))), compression);
        for piece in pieces.map_while(Result::ok) {
            text.extend_from_slice(&piece);
            if text.len() >= most_bytes {
                break;
            }
        }
        text
    }
}

/// The error for a body whose coding has this name and is not supported.
pub(super) fn unreadable(name: &str) -> String {
    format!(
        "it is compressed ({name}) in a way that reel does not read, though reel asked for an answer without compression"
    )
}

/// The pieces of a compressed body, decompressed, each at most [`PIECE_BYTES`] long. If the body is damaged, ends too early or grows too
/// much, the last item says so.
#[derive(Debug)]
pub(super) struct Decompressed<P> {
    state: State<P>,
    compression: Compression,
    out_bytes: u64,
}

#[derive(Debug)]
enum State<P> {
    /// The first two bytes have not been read yet. They show whether the body is compressed at all.
    Unread(Input<P>),
    AsItComes(Input<P>),
    Gzip(MultiGzDecoder<Input<P>>),
    Zlib(ZlibDecoder<Input<P>>),
    Deflate(DeflateDecoder<Input<P>>),
    Ended,
}

impl<P: Iterator<Item = Result<Bytes, String>>> Decompressed<P> {
    pub(super) const fn new(pieces: P, compression: Compression) -> Self {
        let input = Input { pieces, held: Bytes::new(), cut: None, in_bytes: 0 };
        Self { state: State::Unread(input), compression, out_bytes: 0 }
    }

    fn begin(&mut self) {
        let State::Unread(mut input) = std::mem::replace(&mut self.state, State::Ended) else { return };
        let first = input.first_two();
        self.state = match (self.compression, first) {
            (Compression::Gzip, [0x1f, 0x8b]) => State::Gzip(MultiGzDecoder::new(input)),
            // A proxy has decompressed the body and left the header as it was.
            (Compression::Gzip, _) => State::AsItComes(input),
            // These two bytes are a header of zlib (RFC 1950, 2.2).
            (Compression::Deflate, [cmf, flg])
                if cmf & 0x0f == 8 && (u16::from(cmf) << 8 | u16::from(flg)) % 31 == 0 =>
            {
                State::Zlib(ZlibDecoder::new(input))
            }
            (Compression::Deflate, _) => State::Deflate(DeflateDecoder::new(input)),
        };
    }

    fn input(&mut self) -> Option<&mut Input<P>> {
        match &mut self.state {
            State::Unread(input) | State::AsItComes(input) => Some(input),
            State::Gzip(decoder) => Some(decoder.get_mut()),
            State::Zlib(decoder) => Some(decoder.get_mut()),
            State::Deflate(decoder) => Some(decoder.get_mut()),
            State::Ended => None,
        }
    }
}

impl<P: Iterator<Item = Result<Bytes, String>>> Iterator for Decompressed<P> {
    type Item = Result<Bytes, String>;

    fn next(&mut self) -> Option<Self::Item> {
        if matches!(self.state, State::Unread(_)) {
            self.begin();
        }
        let mut piece = vec![0; PIECE_BYTES];
        let read = match &mut self.state {
            State::Unread(_) | State::Ended => return None,
            State::AsItComes(input) => input.read(&mut piece),
            State::Gzip(decoder) => decoder.read(&mut piece),
            State::Zlib(decoder) => decoder.read(&mut piece),
            State::Deflate(decoder) => decoder.read(&mut piece),
        };
        let (cut, in_bytes) = match self.input() {
            Some(input) => (input.cut.take(), input.in_bytes),
            None => (None, 0),
        };
        let length = match read {
            Ok(length) if length > 0 => length,
            read => {
                self.state = State::Ended;
                let damage = read.err().map(|error| format!("its compressed body is not whole: {error}"));
                return cut.or(damage).map(Err);
            }
        };
        if let Some(cut) = cut {
            // Return the reason only after the bytes that arrived before it.
            self.input().into_iter().for_each(|input| input.cut = Some(cut.clone()));
        }
        self.out_bytes += length as u64;
        if self.out_bytes > ALWAYS_BYTES.max(in_bytes.saturating_mul(MOST_TIMES)) {
            self.state = State::Ended;
            return Some(Err(format!("its compressed body grows beyond {MOST_TIMES} times its size")));
        }
        piece.truncate(length);
        Some(Ok(piece.into()))
    }
}

/// The reader that a decoder reads from: the compressed pieces of a body.
#[derive(Debug)]
struct Input<P> {
    pieces: P,
    held: Bytes,
    /// Why the body is incomplete, if it is.
    cut: Option<String>,
    in_bytes: u64,
}

impl<P: Iterator<Item = Result<Bytes, String>>> Input<P> {
    /// Returns the first two bytes without consuming them. Missing bytes are zeros.
    fn first_two(&mut self) -> [u8; 2] {
        let mut gathered = Vec::new();
        while gathered.len() < 2
            && let Some(bytes) = self.next_piece()
        {
            gathered.extend_from_slice(&bytes);
        }
        let first = [gathered.first(), gathered.get(1)].map(|byte| byte.copied().unwrap_or_default());
        self.held = gathered.into();
        first
    }

    fn next_piece(&mut self) -> Option<Bytes> {
        match self.pieces.next()? {
            Ok(bytes) => {
                self.in_bytes += bytes.len() as u64;
                Some(bytes)
            }
            Err(reason) => {
                self.cut = Some(reason);
                None
            }
        }
    }
}

impl<P: Iterator<Item = Result<Bytes, String>>> BufRead for Input<P> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.held.is_empty()
            && self.cut.is_none()
            && let Some(bytes) = self.next_piece()
        {
            self.held = bytes;
        }
        Ok(&self.held)
    }

    fn consume(&mut self, amount: usize) {
        self.held.advance(amount.min(self.held.len()));
    }
}

impl<P: Iterator<Item = Result<Bytes, String>>> Read for Input<P> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut available = self.fill_buf()?;
        let length = available.read(buffer)?;
        self.consume(length);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{
        Compression as Level,
        write::{DeflateEncoder, GzEncoder, ZlibEncoder},
    };
    use reqwest::header::HeaderValue;

    use super::*;

    fn coding(values: &[&'static str]) -> ContentCoding {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(CONTENT_ENCODING, HeaderValue::from_static(value));
        }
        ContentCoding::of(&headers)
    }

    #[test]
    fn the_head_says_how_a_body_is_compressed() {
        let (gzip, deflate) =
            (ContentCoding::Known(Compression::Gzip), ContentCoding::Known(Compression::Deflate));
        for (values, expected) in [
            (&[][..], ContentCoding::None),
            (&["identity"], ContentCoding::None),
            (&[""], ContentCoding::None),
            (&["GZIP"], gzip.clone()),
            (&["x-gzip"], gzip.clone()),
            (&["identity, gzip"], gzip),
            (&["deflate"], deflate),
            (&["br"], ContentCoding::Unknown("br".to_owned())),
            (&["gzip, gzip"], ContentCoding::Unknown("gzip, gzip".to_owned())),
            (&["gzip", "zstd"], ContentCoding::Unknown("gzip, zstd".to_owned())),
        ] {
            assert_eq!(coding(values), expected, "{values:?}");
        }
    }

    /// Decompresses a body that arrives in pieces of this size. Returns the bytes, and the error at the end if there is one.
    fn decompress(
        body: &[u8],
        compression: Compression,
        piece: usize,
        cut: Option<&str>,
    ) -> (Vec<u8>, Option<String>) {
        let pieces = body.chunks(piece).map(|piece| Ok(Bytes::copy_from_slice(piece)));
        let pieces = pieces.chain(cut.map(|cut| Err(cut.to_owned())));
        let (mut bytes, mut fault) = (Vec::new(), None);
        for piece in Decompressed::new(pieces, compression) {
            assert!(fault.is_none(), "nothing comes after the end");
            match piece {
                Ok(piece) => bytes.extend_from_slice(&piece),
                Err(reason) => fault = Some(reason),
            }
        }
        (bytes, fault)
    }

    fn text() -> Vec<u8> {
        (0..200_000_u32).flat_map(u32::to_be_bytes).collect()
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Level::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn each_way_of_compressing_gives_back_what_was_sent() {
        let text = text();
        let mut zlib = ZlibEncoder::new(Vec::new(), Level::fast());
        zlib.write_all(&text).unwrap();
        let mut deflate = DeflateEncoder::new(Vec::new(), Level::fast());
        deflate.write_all(&text).unwrap();
        let (zlib, deflate) = (zlib.finish().unwrap(), deflate.finish().unwrap());
        let two = [gzip(&text), gzip(b"and more")].concat();
        let twice = [&text[..], b"and more"].concat();
        for (body, compression, expected) in [
            (&gzip(&text), Compression::Gzip, &text),
            (&two, Compression::Gzip, &twice),
            (&zlib, Compression::Deflate, &text),
            (&deflate, Compression::Deflate, &text),
            // The header says gzip, but the body is not compressed.
            (&b"{\"a\":1}".to_vec(), Compression::Gzip, &b"{\"a\":1}".to_vec()),
            (&Vec::new(), Compression::Gzip, &Vec::new()),
        ] {
            for piece in [1, 7, 4_096, 1 << 20] {
                let (bytes, fault) = decompress(body, compression, piece, None);
                assert!(bytes == *expected && fault.is_none(), "{compression:?} {piece} {fault:?}");
            }
        }
    }

    #[test]
    fn what_is_not_whole_says_so_behind_what_came() {
        let (text, body) = (text(), gzip(&text()));
        let (half, _) = body.split_at(body.len() / 2);
        let (bytes, fault) = decompress(half, Compression::Gzip, 500, None);
        assert!(text.starts_with(&bytes) && !bytes.is_empty());
        assert!(fault.unwrap().contains("not whole"));
        let (bytes, fault) = decompress(half, Compression::Gzip, 500, Some("the connection broke"));
        assert!(text.starts_with(&bytes) && !bytes.is_empty());
        assert_eq!(fault.unwrap(), "the connection broke");
        let (_, fault) = decompress(b"{\"a\"", Compression::Gzip, 1, Some("the connection broke"));
        assert_eq!(fault.unwrap(), "the connection broke");
        let mut damaged = body.clone();
        let middle = damaged.len() / 2;
        damaged[middle..middle + 40].fill(0xff);
        assert!(decompress(&damaged, Compression::Gzip, 500, None).1.is_some());
        let mut wrong_sum = body;
        *wrong_sum.last_mut().unwrap() ^= 1;
        assert!(decompress(&wrong_sum, Compression::Gzip, 500, None).1.is_some());
    }

    #[test]
    fn a_body_that_was_made_to_fill_memory_ends() {
        let bomb = gzip(&vec![0; 80 * 1024 * 1024]);
        let (bytes, fault) = decompress(&bomb, Compression::Gzip, 4_096, None);
        assert!(bytes.len() as u64 <= ALWAYS_BYTES && fault.unwrap().contains("grows"));
        let beginning = ContentCoding::Known(Compression::Gzip).beginning(bomb, 1_000);
        assert!((1_000..=PIECE_BYTES).contains(&beginning.len()));
        let unknown = ContentCoding::Unknown("br".to_owned()).beginning(b"\x0b\x02".to_vec(), 1_000);
        assert!(String::from_utf8(unknown).unwrap().contains("compressed (br)"));
    }
}
