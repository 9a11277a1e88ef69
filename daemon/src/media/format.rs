//! Detects the format of a file by its first bytes. The media type that a service names is not used. Pure.

use super::picture_type::{MediaType, of_picture};
use super::{adts, mp3};

/// How much of a file's beginning is needed to detect its format, in bytes: two frames of AAC, which have up to 8,191 bytes each.
pub const HEAD_BYTES: usize = 16 * 1024;

/// The format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A picture. The inspection of pictures decodes it.
    Picture(MediaType),
    /// Audio samples in a RIFF container.
    Wav,
    /// MPEG audio, layer III. A tag (ID3) in front may also precede another format.
    Mp3,
    /// AAC in frames with a header each (ADTS).
    Adts,
    /// FLAC in its own container.
    Flac,
    /// An Ogg container, usually with Opus or Vorbis.
    Ogg,
    /// The container of MP4, M4A and QuickTime.
    Mp4,
    /// The container of Matroska and WebM.
    Matroska,
    /// Text in UTF-8, which includes JSON.
    Text,
    /// None of the above.
    Unknown,
}

/// Signatures of containers with their offsets. Sources: RFC 9639 (FLAC), RFC 3533 (Ogg), RFC 8794 (EBML), id3.org.
const SIGNATURES: &[(usize, &[u8], Format)] = &[
    (0, b"fLaC", Format::Flac),
    (0, b"OggS", Format::Ogg),
    (0, b"\x1a\x45\xdf\xa3", Format::Matroska),
    (0, b"ID3", Format::Mp3),
    (4, b"ftyp", Format::Mp4),
];

impl Format {
    /// Returns the format of a file that begins with these bytes: the first [`HEAD_BYTES`] of the file, or the whole file.
    pub fn of(head: &[u8]) -> Self {
        if let Some(picture) = of_picture(head).filter(|picture| picture.is_certain) {
            return Self::Picture(picture);
        }
        if head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WAVE") {
            return Self::Wav;
        }
        let fits = |(offset, signature, _): &&(usize, &[u8], Self)| {
            head.get(*offset..).is_some_and(|rest| rest.starts_with(signature))
        };
        if let Some((.., format)) = SIGNATURES.iter().find(fits) {
            return *format;
        }
        if is_text(head) {
            return text_format(head);
        }
        if mp3::begins(head) {
            return Self::Mp3;
        }
        if adts::begins(head) {
            return Self::Adts;
        }
        of_picture(head).map_or(Self::Unknown, Self::Picture)
    }
}

/// Returns whether bytes are the beginning of a text: UTF-8 without control characters that texts do not contain. The last character may be cut.
fn is_text(head: &[u8]) -> bool {
    let is_utf8 = match std::str::from_utf8(head) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    };
    is_utf8 && !head.is_empty() && !head.iter().copied().any(is_binary)
}

/// Returns whether a byte is a control character that texts do not contain.
pub(super) const fn is_binary(byte: u8) -> bool {
    byte.is_ascii_control() && !byte.is_ascii_whitespace() && byte != b'\x0b' && byte != b'\x1b'
}

/// Returns a picture for XML with an SVG element, and text for other XML, such as the errors of storage services.
fn text_format(head: &[u8]) -> Format {
    let is_drawing = head.windows(4).any(|window| window == b"<svg");
    match of_picture(head) {
        Some(picture) if picture.extension == "svg" && is_drawing => Format::Picture(picture),
        _ => Format::Text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_by_their_first_bytes() {
        for (head, format) in [
            (&b"RIFF\x24\0\0\0WAVEfmt "[..], Format::Wav),
            (b"fLaC\0\0\0\x22", Format::Flac),
            (b"OggS\0\x02", Format::Ogg),
            (b"\0\0\0\x20ftypisom\0\0\x02\0", Format::Mp4),
            (b"\0\0\0\x1cftypM4A \0\0\x02\0", Format::Mp4),
            (b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81", Format::Matroska),
            (b"ID3\x04\0\0\0\0\0\x23", Format::Mp3),
            (b"{\"error\":\"no\"}", Format::Text),
            ("很抱歉".as_bytes(), Format::Text),
            (&"很抱歉".as_bytes()[..4], Format::Text),
            (b"BMW and others", Format::Text),
            (b"<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code></Error>", Format::Text),
            (b"", Format::Unknown),
            (b"\0\x01\x02\x03", Format::Unknown),
            (b"\xff\xfe\0\0", Format::Unknown),
        ] {
            assert_eq!(Format::of(head), format, "{head:?}");
        }
        for (head, extension) in [
            (&b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR"[..], "png"),
            (b"RIFF\x24\0\0\0WEBPVP8 ", "webp"),
            (b"\0\0\0\x20ftypavif\0\0\0\0", "avif"),
            (b"<?xml version=\"1.0\"?><svg xmlns=''/>", "svg"),
            (b"BM\x36\0\0\0\0\0\0\0", "bmp"),
        ] {
            let format = Format::of(head);
            assert!(matches!(format, Format::Picture(media) if media.extension == extension), "{format:?}");
        }
    }
}
