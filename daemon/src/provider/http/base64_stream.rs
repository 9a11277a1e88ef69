//! Base64 that arrives in pieces: white space and a `data:` prefix are skipped, padding may be absent. Pure.

use std::sync::LazyLock;

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
use base64::engine::GeneralPurpose;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use base64::engine::Simd;
use base64::{
    Engine,
    engine::{DecodePaddingMode, GeneralPurposeConfig},
};

/// Characters that are decoded at once; a multiple of four.
const BLOCK: usize = 16 * 1024;
/// Longest `data:image/png;base64,` before the text is taken for something else.
const MAX_PREFIX_BYTES: usize = 128;

const CONFIG: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
/// It looks once what the processor can do.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
static ENGINE: LazyLock<Simd> = LazyLock::new(|| Simd::standard(CONFIG));
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
static ENGINE: LazyLock<GeneralPurpose> =
    LazyLock::new(|| GeneralPurpose::new(&base64::alphabet::STANDARD, CONFIG));

/// The text is not base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotBase64;

/// The decoder of one text.
#[derive(Debug)]
pub struct Base64Stream {
    /// Characters that wait for their block.
    waiting: Vec<u8>,
    decoded: Vec<u8>,
    /// Whether a prefix may still be there: until enough characters came, or it was skipped.
    is_at_start: bool,
    /// Padding came: nothing may follow.
    has_ended: bool,
}

impl Default for Base64Stream {
    fn default() -> Self {
        let (waiting, decoded) = (Vec::with_capacity(BLOCK), Vec::with_capacity(BLOCK));
        Self { waiting, decoded, is_at_start: true, has_ended: false }
    }
}

impl Base64Stream {
    /// Takes characters; gives the decoded bytes to `take` in blocks.
    pub fn push<E: From<NotBase64>>(
        &mut self,
        mut text: &[u8],
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        while !text.is_empty() {
            let room = BLOCK.saturating_sub(self.waiting.len()).max(1);
            let (now, later) = text.split_at(text.len().min(room));
            // Services write none; looking for it is far cheaper than picking every byte.
            if has_white_space(now) {
                self.waiting.extend(now.iter().filter(|byte| !byte.is_ascii_whitespace()));
            } else {
                self.waiting.extend_from_slice(now);
            }
            text = later;
            if self.is_at_start {
                self.skip_prefix()?;
            }
            if self.waiting.len() >= BLOCK {
                self.decode(BLOCK, &mut take)?;
            }
        }
        Ok(())
    }

    /// The text is over: gives the rest.
    pub fn finish<E: From<NotBase64>>(
        &mut self,
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.decode(self.waiting.len(), &mut take)
    }

    fn skip_prefix(&mut self) -> Result<(), NotBase64> {
        let head = self.waiting.get(..5).unwrap_or(&self.waiting);
        if !b"data:".starts_with(head) {
            self.is_at_start = false;
        } else if let Some(comma) = self.waiting.iter().position(|byte| *byte == b',') {
            self.waiting.drain(..=comma);
            self.is_at_start = false;
        } else if self.waiting.len() > MAX_PREFIX_BYTES {
            return Err(NotBase64);
        }
        Ok(())
    }

    fn decode<E: From<NotBase64>>(
        &mut self,
        length: usize,
        take: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let block = self.waiting.get(..length).unwrap_or_default();
        if block.is_empty() {
            return Ok(());
        }
        if self.has_ended {
            return Err(NotBase64.into());
        }
        self.has_ended = block.last() == Some(&b'=');
        self.decoded.clear();
        ENGINE.decode_vec(block, &mut self.decoded).map_err(|_| NotBase64)?;
        self.waiting.drain(..length);
        take(&self.decoded)
    }
}

/// Without an early end within a chunk, so that the compiler looks at many bytes at once.
fn has_white_space(text: &[u8]) -> bool {
    text.chunks(512).any(|chunk| chunk.iter().fold(false, |any, byte| any | byte.is_ascii_whitespace()))
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
        for text in
            ["aGVsbG8=", "aGVsbG8", "data:image/png;base64,aGVsbG8=", "aGVs\r\nbG8=\n", " data:,aGVsbG8="]
        {
            assert_eq!(decode(&[text.as_bytes()]).as_deref(), Ok(&b"hello"[..]), "{text}");
        }
        assert_eq!(decode(&[b""]), Ok(Vec::new()));
        for text in ["aGVsbG8!", "aGVs=bG8=", "aGVsbG8=aGVs", "a", "data:image/png;base64", "héllo"] {
            assert_eq!(decode(&[text.as_bytes()]), Err(NotBase64), "{text}");
        }
        let endless = [&b"data:"[..], &[b'a'; 200]].concat();
        assert_eq!(decode(&[&endless]), Err(NotBase64));
    }

    proptest! {
        #[test]
        fn any_bytes_come_back_however_their_text_is_cut(
            bytes in prop::collection::vec(any::<u8>(), 0..50_000),
            cuts in prop::collection::vec(0_usize..60_000, 0..5),
        ) {
            let text = ENGINE.encode(&bytes);
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
