//! File names from prompts.

/// Longest slug in bytes: with a number and an extension a name stays far below the 255 bytes that file systems allow.
const SLUG_BYTES: usize = 80;

/// The name of a picture whose prompt holds no letter.
const FALLBACK: &str = "picture";

/// Names that Windows keeps for devices, whatever the extension.
const RESERVED: [&str; 4] = ["con", "prn", "aux", "nul"];
const RESERVED_WITH_DIGIT: [&str; 2] = ["com", "lpt"];

/// Letters and digits of any script in lower case, everything between them as one `-`; never empty, never longer than 80 bytes.
pub fn slug(text: &str) -> String {
    let mut slug = String::new();
    let mut is_gap = false;
    for character in text.chars() {
        if !character.is_alphanumeric() {
            is_gap = true;
            continue;
        }
        let piece: String = character.to_lowercase().filter(|lower| lower.is_alphanumeric()).collect();
        let gap = if is_gap && !slug.is_empty() { "-" } else { "" };
        if slug.len() + gap.len() + piece.len() > SLUG_BYTES {
            break;
        }
        slug.push_str(gap);
        slug.push_str(&piece);
        is_gap = false;
    }
    if slug.is_empty() || is_reserved(&slug) {
        slug.insert_str(0, if slug.is_empty() { FALLBACK } else { "picture-" });
    }
    slug
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
    }
}
