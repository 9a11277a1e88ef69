//! Detects the media type of a picture by the first bytes of a file. Pure.

/// How many bytes are needed to detect a media type.
pub const HEAD_BYTES: usize = 24;

/// The media type of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MediaType {
    /// The media type, such as `image/png`.
    pub name: &'static str,
    /// The file name extension, such as `png`.
    pub extension: &'static str,
    /// Whether other files are very unlikely to begin like this. A signature of two bytes may also begin a text.
    pub is_certain: bool,
}

/// The media type of a file without a known signature.
pub const UNKNOWN: MediaType =
    MediaType { name: "application/octet-stream", extension: "bin", is_certain: false };

/// Signatures with their offsets. Sources: the specifications of the formats, as listed by the IANA media types.
const SIGNATURES: &[(usize, &[u8], &str, &str)] = &[
    (0, b"\x89PNG\r\n\x1a\n", "image/png", "png"),
    (0, b"\xff\xd8\xff", "image/jpeg", "jpg"),
    (8, b"WEBP", "image/webp", "webp"),
    (0, b"GIF87a", "image/gif", "gif"),
    (0, b"GIF89a", "image/gif", "gif"),
    (4, b"ftypavif", "image/avif", "avif"),
    (4, b"ftypavis", "image/avif", "avif"),
    (4, b"ftypheic", "image/heic", "heic"),
    (4, b"ftypheix", "image/heic", "heic"),
    (4, b"ftypmif1", "image/heif", "heif"),
    (0, b"II*\0", "image/tiff", "tiff"),
    (0, b"MM\0*", "image/tiff", "tiff"),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", "image/jp2", "jp2"),
    (0, b"\xff\x4f\xff\x51", "image/j2c", "j2c"),
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", "image/jxl", "jxl"),
    (0, b"\xff\x0a", "image/jxl", "jxl"),
    (0, b"BM", "image/bmp", "bmp"),
];

/// Returns the media type of a picture that begins with these bytes. None if it is not a picture.
pub fn of_picture(head: &[u8]) -> Option<MediaType> {
    let fits = |(offset, signature, ..): &&(usize, &[u8], _, _)| {
        head.get(*offset..).is_some_and(|rest| rest.starts_with(signature))
    };
    if let Some((_, signature, name, extension)) = SIGNATURES.iter().find(fits) {
        return Some(MediaType { name, extension, is_certain: signature.len() > 2 || is_bmp(head) });
    }
    text_type(head)
}

/// Sizes of the second header of a BMP, one for each version of the format.
const BMP_HEADERS: [u8; 7] = [12, 40, 52, 56, 64, 108, 124];

/// Returns whether the bytes are the headers of a BMP. The two letters alone may also begin a text.
fn is_bmp(head: &[u8]) -> bool {
    let [b'B', b'M', _, _, _, _, 0, 0, 0, 0, _, _, _, _, size, 0, 0, 0, ..] = head else { return false };
    BMP_HEADERS.contains(size)
}

/// Returns the media type of a picture that is text (SVG).
fn text_type(head: &[u8]) -> Option<MediaType> {
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    let is_certain = text.starts_with(b"<svg") || text.starts_with(b"<!DOCTYPE svg");
    // An XML declaration may precede the element, but it may also begin other XML.
    let is_svg = is_certain || text.starts_with(b"<?xml");
    is_svg.then_some(MediaType { name: "image/svg+xml", extension: "svg", is_certain })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_told_by_their_first_bytes() {
        for (head, extension) in [
            (&b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR"[..], "png"),
            (b"\xff\xd8\xff\xe0\0\x10JFIF", "jpg"),
            (b"RIFF\x24\0\0\0WEBPVP8 ", "webp"),
            (b"GIF89a\x01\0\x01\0", "gif"),
            (b"\0\0\0\x20ftypavif\0\0\0\0", "avif"),
            (b"II*\0\x08\0\0\0", "tiff"),
            (b"\0\0\0\x0cjP  \r\n\x87\n", "jp2"),
            (b"\xff\x0a\xfa\x1f", "jxl"),
            (b"BM\x36\0\0\0", "bmp"),
            (b"\xef\xbb\xbf <svg xmlns='", "svg"),
            (b"<?xml version=\"1.0\"?><svg", "svg"),
        ] {
            let found = of_picture(head.get(..HEAD_BYTES).unwrap_or(head)).unwrap();
            assert_eq!(found.extension, extension, "{head:?}");
        }
        for head in [&b""[..], b"{\"data\":[]}", b"<!doctype html>", b"RIFF\x24\0\0\0WAVEfmt ", b"hello"] {
            assert_eq!(of_picture(head), None, "{head:?}");
        }
        assert!(of_picture(b"BM\x36\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x08\0\0\0").unwrap().is_certain);
        assert!(!of_picture(b"BMW and others").unwrap().is_certain);
    }
}
