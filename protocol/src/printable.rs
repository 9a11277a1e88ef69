//! Makes text of other programs safe to show on a terminal and in a log line. Pure.

/// Whether a character must not be shown: it drives a terminal (control characters), reorders the text around it (bidirectional
/// formatting), breaks a line (U+2028, U+2029), or cannot be seen (zero-width and other invisible formatting characters).
///
/// The joiners U+200C and U+200D are among them; [`printable`] keeps them where a script or an emoji needs them.
pub fn is_unprintable(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// Removes every unprintable character but line feeds and tabs. A joiner is kept between two visible characters beyond ASCII, as emoji and Indic and
/// Persian text have it. Elsewhere it only makes two different texts look equal.
pub fn printable(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    let can_join =
        |character: char| !character.is_ascii() && !character.is_whitespace() && !is_unprintable(character);
    while let Some(character) = characters.next() {
        let is_kept = match character {
            '\n' | '\t' => true,
            '\u{200c}' | '\u{200d}' => {
                kept.chars().next_back().is_some_and(can_join)
                    && characters.peek().copied().is_some_and(can_join)
            }
            other => !is_unprintable(other),
        };
        if is_kept {
            kept.push(character);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_seen_is_left() {
        for (text, expected) in [
            ("a\x1b[31mb\x07\r\nc\td", "a[31mb\nc\td"),
            ("\u{9b}2J\u{7f}\u{85}x", "2Jx"),
            ("in\u{202e}gpj.exe\u{2066}x\u{2069}", "ingpj.exex"),
            ("pay\u{200d}pal \u{200b}\u{feff}\u{200e}\u{200f}\u{2028}x", "paypal x"),
            ("tag\u{e0041}ged", "tagged"),
        ] {
            assert_eq!(printable(text), expected, "{text:?}");
        }
    }

    #[test]
    fn joiners_stay_where_a_script_or_an_emoji_needs_them() {
        for text in
            ["👩\u{200d}🚀", "❤\u{fe0f}\u{200d}🔥", "क्\u{200d}ष", "می\u{200c}خواهم", "château", "שלום"]
        {
            assert_eq!(printable(text), text);
        }
        for (text, expected) in [
            ("👩\u{200d}", "👩"),
            ("\u{200d}👩", "👩"),
            ("👩\u{200d}\u{200d}🚀", "👩\u{200d}🚀"),
            ("क\u{200d} ष", "क ष"),
        ] {
            assert_eq!(printable(text), expected, "{text:?}");
        }
    }
}
