//! Adds the content of short texts to outputs. It is read from the files, because the journal does not store it a second time. Blocks.

use std::{
    fs::File,
    io::{self, Read as _},
};

use reel_protocol::{Digest, Output, limits::INLINE_TEXT_BYTES};

/// Returns whether the output is a text of at most [`INLINE_TEXT_BYTES`], whose content is shown with it.
pub fn is_inline(output: &Output) -> bool {
    let is_text = output.media_type.starts_with("text/") || output.media_type == "application/json";
    is_text && output.size_bytes <= INLINE_TEXT_BYTES
}

/// Sets `text` of each short text. It stays None if the file is missing, damaged or not UTF-8.
pub fn add_texts(outputs: &mut [Output]) {
    for output in outputs.iter_mut().filter(|output| is_inline(output)) {
        output.text = read(output).unwrap_or_else(|error| {
            tracing::warn!(path = output.path, %error, "a text cannot be read to be shown");
            None
        });
    }
}

/// Returns the size of all texts that were added, in bytes.
pub fn text_bytes(outputs: &[Output]) -> usize {
    outputs.iter().filter_map(|output| output.text.as_ref()).map(String::len).sum()
}

fn read(output: &Output) -> io::Result<Option<String>> {
    let mut bytes = Vec::with_capacity(output.size_bytes as usize);
    File::open(&output.path)?.take(INLINE_TEXT_BYTES + 1).read_to_end(&mut bytes)?;
    let is_the_same = Digest::from_bytes(*blake3::hash(&bytes).as_bytes()) == output.digest;
    Ok(String::from_utf8(bytes).ok().filter(|_| is_the_same))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_short_texts_that_are_whole_are_shown() {
        let home = tempfile::tempdir().unwrap();
        let output = |media_type: &str, bytes: &[u8], file: &[u8]| {
            let path = home.path().join("file");
            std::fs::write(&path, file).unwrap();
            let mut outputs = [Output {
                digest: Digest::from_bytes(*blake3::hash(bytes).as_bytes()),
                media_type: media_type.to_owned(),
                size_bytes: bytes.len() as u64,
                width: None,
                height: None,
                duration_s: None,
                path: path.to_string_lossy().into_owned(),
                text: None,
            }];
            add_texts(&mut outputs);
            outputs[0].text.clone()
        };
        let full = vec![b'a'; INLINE_TEXT_BYTES as usize];
        let more = vec![b'a'; INLINE_TEXT_BYTES as usize + 1];
        for (media_type, bytes, file, is_shown) in [
            ("text/plain", &b"h\xc3\xa9"[..], &b"h\xc3\xa9"[..], true),
            ("application/json", b"{}", b"{}", true),
            ("text/plain", &full, &full, true),
            ("text/plain", &more, &more, false),
            ("image/svg+xml", b"<svg/>", b"<svg/>", false),
            ("text/plain", b"\xff", b"\xff", false),
            ("text/plain", b"abc", b"abd", false),
            ("text/plain", b"abc", b"abcd", false),
        ] {
            assert_eq!(output(media_type, bytes, file).is_some(), is_shown, "{media_type} {}", bytes.len());
        }
        std::fs::remove_file(home.path().join("file")).unwrap();
    }
}
