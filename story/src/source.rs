//! Decodes the bytes of a story. Bytes that are not UTF-8 are refused with the name of their likely encoding. They are never converted, because a
//! wrong guess would be spoken and paid for.

use thiserror::Error;

/// Largest size of a story, in bytes. A novel of 100,000 English words has about 600 KB.
pub const MAX_BYTES: usize = 2 * 1024 * 1024;

/// Why a file cannot be read as a story.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StoryError {
    /// The file has no text.
    #[error("the story is empty: it has no text to speak")]
    Empty,
    /// The file has headings or separators, but no text below them.
    #[error("the story has headings and no text below them, so there is nothing to speak")]
    HeadingsOnly,
    /// The file is larger than a story may be.
    #[error(
        "the story has {bytes} bytes and the limit is {MAX_BYTES}: split it into several files, such as one for each chapter"
    )]
    TooLarge {
        /// The file's size in bytes.
        bytes: usize,
    },
    /// The file has a NUL byte, so it is not a text file.
    #[error("the story has a NUL byte at position {at}, so it is no plain text: save it as text in UTF-8")]
    Nul {
        /// Number of bytes before the NUL byte.
        at: usize,
    },
    /// The file is text in another encoding than UTF-8.
    #[error(
        "the story is not in UTF-8, it looks like {likely}: convert it with `iconv -f {likely} -t UTF-8 STORY > STORY.utf8`"
    )]
    OtherEncoding {
        /// The name of the likely encoding for `iconv`.
        likely: &'static str,
    },
    /// The file is not in UTF-8, and no other encoding is likely.
    #[error(
        "the story is not in UTF-8: line {line} has a byte that no character begins with; save the file in UTF-8"
    )]
    NotUtf8 {
        /// The line of the first invalid byte, from 1.
        line: usize,
    },
}

/// Decodes a story's bytes, and removes a byte order mark.
pub fn decode(bytes: &[u8]) -> Result<&str, StoryError> {
    if bytes.len() > MAX_BYTES {
        return Err(StoryError::TooLarge { bytes: bytes.len() });
    }
    if let Some(likely) = utf16(bytes) {
        return Err(StoryError::OtherEncoding { likely });
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => match text.find('\0') {
            Some(at) => Err(StoryError::Nul { at }),
            None => Ok(text.strip_prefix('\u{feff}').unwrap_or(text)),
        },
        Err(_) if is_gbk(bytes) => Err(StoryError::OtherEncoding { likely: "GBK" }),
        Err(error) => {
            let before = bytes.iter().take(error.valid_up_to());
            Err(StoryError::NotUtf8 { line: 1 + before.filter(|byte| **byte == b'\n').count() })
        }
    }
}

/// Returns the form of UTF-16 that the bytes seem to have: the one of their byte order mark, or the one in which ASCII text has zeros, if at least a
/// third of the bytes at even or at odd positions are zero and none at the others.
fn utf16(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xff, 0xfe, ..] => return Some("UTF-16LE"),
        [0xfe, 0xff, ..] => return Some("UTF-16BE"),
        _ => {}
    }
    let head: Vec<&[u8]> = bytes.chunks_exact(2).take(2048).collect();
    let zeros = |parity: usize| head.iter().filter(|pair| pair.get(parity) == Some(&0)).count();
    let (high_first, low_first) = (zeros(0), zeros(1));
    let many = head.len().div_ceil(3);
    if head.len() < 2 {
        None
    } else if low_first >= many && high_first == 0 {
        Some("UTF-16LE")
    } else if high_first >= many && low_first == 0 {
        Some("UTF-16BE")
    } else {
        None
    }
}

/// Whether all bytes are ASCII or pairs of GBK, and at least 70 % of the pairs are common Chinese characters (GB 2312, first level) or punctuation.
fn is_gbk(bytes: &[u8]) -> bool {
    let mut rest = bytes.iter().copied();
    let (mut pairs, mut common) = (0_usize, 0_usize);
    while let Some(lead) = rest.next() {
        match lead {
            0x01..=0x7f => {}
            0x81..=0xfe => {
                let Some(trail) = rest.next() else { return false };
                if !matches!(trail, 0x40..=0x7e | 0x80..=0xfe) {
                    return false;
                }
                pairs += 1;
                common += usize::from(matches!(lead, 0xa1 | 0xa3 | 0xb0..=0xd7) && trail >= 0xa1);
            }
            _ => return false,
        }
    }
    pairs > 0 && common * 10 >= pairs * 7
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str, order: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(order).collect()
    }

    #[test]
    fn each_kind_of_bytes_is_a_text_or_is_named() {
        let gbk = b"\xb4\xd3\xc7\xb0\xd3\xd0\xd7\xf9\xc9\xbd\xa3\xac\xc9\xbd\xc0\xef\xd3\xd0\xd7\xf9\xc3\xed\xa1\xa3";
        let other = |likely| Err(StoryError::OtherEncoding { likely });
        for (bytes, result) in [
            (b"A story.".to_vec(), Ok("A story.")),
            (b"\xef\xbb\xbfA story.".to_vec(), Ok("A story.")),
            ("从前有座山。".into(), Ok("从前有座山。")),
            (b"".to_vec(), Ok("")),
            (b"A sto\0ry.".to_vec(), Err(StoryError::Nul { at: 5 })),
            (b"\xff\xfeA\0".to_vec(), other("UTF-16LE")),
            (utf16("Once upon a time", u16::to_le_bytes), other("UTF-16LE")),
            (utf16("Once upon a time", u16::to_be_bytes), other("UTF-16BE")),
            (utf16("\u{feff}从前", u16::to_be_bytes), other("UTF-16BE")),
            (gbk.to_vec(), other("GBK")),
            (b"One line\nand caf\xe9 there".to_vec(), Err(StoryError::NotUtf8 { line: 2 })),
            (vec![b'a'; MAX_BYTES + 1], Err(StoryError::TooLarge { bytes: MAX_BYTES + 1 })),
        ] {
            let head = &bytes[..bytes.len().min(20)];
            assert_eq!(decode(&bytes), result, "{head:x?}");
        }
        assert!(decode(&vec![b'a'; MAX_BYTES]).is_ok());
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        let refusal = decode(b"\xff\xfeA\0").unwrap_err().to_string();
        assert_eq!(
            refusal,
            "the story is not in UTF-8, it looks like UTF-16LE: convert it with `iconv -f UTF-16LE -t UTF-8 STORY > STORY.utf8`"
        );
    }
}
