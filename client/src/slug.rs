//! Makes file names from prompts. Pure.

use reel_protocol::is_unprintable;
use unicode_segmentation::UnicodeSegmentation as _;

/// Longest slug, in bytes. With a number and an extension the name stays far below the 255 bytes that file systems allow.
const SLUG_BYTES: usize = 80;

/// The file name for a prompt that has no letter or digit.
const PICTURE: &str = "picture";

/// Device names that Windows reserves, whatever the extension.
const RESERVED: [&str; 4] = ["con", "prn", "aux", "nul"];
const RESERVED_WITH_DIGIT: [&str; 2] = ["com", "lpt"];

/// Makes a slug: letters and digits of any script with their marks in lower case, and one `-` for everything between them. It is never empty, never
/// longer than 80 bytes, and never cut inside a grapheme cluster.
pub fn slug(text: &str) -> String {
    slug_or(text, PICTURE)
}

/// Like [`slug`], but with `fallback` as the name for a text that has no letter or digit.
pub fn slug_or(text: &str, fallback: &str) -> String {
    let mut slug = String::new();
    let mut is_gap = false;
    for cluster in text.graphemes(true) {
        if !cluster.contains(char::is_alphanumeric) {
            is_gap = true;
            continue;
        }
        let piece = piece(cluster);
        let gap = if is_gap && !slug.is_empty() { "-" } else { "" };
        if slug.len() + gap.len() + piece.len() > SLUG_BYTES {
            break;
        }
        if is_gap {
            end_word(&mut slug);
        }
        slug.push_str(gap);
        slug.push_str(&piece);
        is_gap = false;
    }
    end_word(&mut slug);
    if slug.is_empty() || is_reserved(&slug) {
        let prefix = if slug.is_empty() { fallback.to_owned() } else { format!("{fallback}-") };
        slug.insert_str(0, &prefix);
    }
    slug
}

/// Removes joiners at the end of a word, where they join nothing.
fn end_word(slug: &mut String) {
    slug.truncate(slug.trim_end_matches(['\u{200c}', '\u{200d}']).len());
}

/// Converts a grapheme cluster to lower case. The zero-width joiners stay, because Indic and Persian text needs them. Variation selectors, which only
/// choose between two glyphs of a character, and unprintable characters are removed.
fn piece(cluster: &str) -> String {
    let is_ascii = cluster.starts_with(|first: char| first.is_ascii());
    let is_kept = |character: char| match character {
        '\u{200c}' | '\u{200d}' => !is_ascii,
        '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}' => false,
        other => !is_unprintable(other) && !other.is_whitespace(),
    };
    cluster.chars().filter(|character| is_kept(*character)).flat_map(char::to_lowercase).collect()
}

fn is_reserved(slug: &str) -> bool {
    RESERVED.contains(&slug)
        || RESERVED_WITH_DIGIT.iter().any(|name| {
            slug.strip_prefix(name)
                .is_some_and(|rest| rest.len() == 1 && rest.chars().all(|digit| digit.is_ascii_digit()))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_become_names() {
        for (prompt, expected) in [
            ("A lighthouse at dusk", "a-lighthouse-at-dusk"),
            ("  ...wow!!  (35mm) ", "wow-35mm"),
            ("灯台、夕暮れの海", "灯台-夕暮れの海"),
            ("Ünïcode Straße", "ünïcode-straße"),
            ("../../etc/passwd", "etc-passwd"),
            ("", "picture"),
            ("🔥🔥", "picture"),
            ("Con", "picture-con"),
            ("lpt1", "picture-lpt1"),
            ("console", "console"),
            ("a\0b\n", "a-b"),
            ("हिन्दी", "हिन्दी"),
            ("தமிழ் கடல்", "தமிழ்-கடல்"),
            ("บ้าน ริมน้ำ", "บ้าน-ริมน้ำ"),
            ("cha\u{302}teau", "cha\u{302}teau"),
            ("Khmer ខ្មែរ", "khmer-ខ្មែរ"),
            ("क्\u{200d}ष", "क्\u{200d}ष"),
            ("र\u{94d}\u{200d} य", "र\u{94d}-य"),
            ("می\u{200c}خواهم", "می\u{200c}خواهم"),
            ("pay\u{200d}pal", "paypal"),
            ("gpj\u{202e}x \u{200b}\u{feff}y", "gpj-x-y"),
            ("1\u{fe0f} a", "1-a"),
        ] {
            assert_eq!(slug(prompt), expected, "{prompt:?}");
        }
    }

    #[test]
    fn long_prompts_are_cut_between_characters_and_words_end_cleanly() {
        assert_eq!(slug(&"灯".repeat(100)), "灯".repeat(26));
        assert_eq!(slug(&"x".repeat(100)).len(), SLUG_BYTES);
        let cut = slug(&format!("{} tail", "x".repeat(SLUG_BYTES)));
        assert_eq!(cut, "x".repeat(SLUG_BYTES));
        assert!(slug(&"İ".repeat(200)).len() <= SLUG_BYTES);
        assert_eq!(slug(&"நி".repeat(40)), "நி".repeat(13), "a vowel sign is not cut off its letter");
        assert_eq!(slug(&format!("a{}", "\u{301}".repeat(400))), "picture");
    }
}
