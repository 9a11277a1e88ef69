//! Escapes the control characters in a program's output, because they would act on the terminal of whoever reads an error. Pure.

use std::fmt::Write as _;

use reel_protocol::is_unprintable;

/// Returns the text with every unprintable character except line feeds as an escape, such as `\u{1b}`. Bytes that are not UTF-8 become `�`.
pub fn escaped(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => shown.push('\n'),
            '\t' => shown.push(' '),
            // Carriage returns come from Windows line ends, and from progress lines that overwrite each other.
            '\r' => {}
            unprintable if is_unprintable(unprintable) => {
                // Writing to a String never fails.
                let _ = write!(shown, "{}", unprintable.escape_default());
            }
            visible => shown.push(visible),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_drives_a_terminal_is_shown_and_not_done() {
        for (bytes, expected) in [
            (&b"bad voice\r\n"[..], "bad voice\n"),
            (b"\x1b[31mred\x07", "\\u{1b}[31mred\\u{7}"),
            (b"a\tb\0", "a b\\u{0}"),
            (b"\xff\xfe", "\u{fffd}\u{fffd}"),
            ("\u{202e}gpj".as_bytes(), "\\u{202e}gpj"),
            ("你好".as_bytes(), "你好"),
        ] {
            assert_eq!(escaped(bytes), expected, "{bytes:?}");
        }
    }
}
