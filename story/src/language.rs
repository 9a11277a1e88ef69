//! Detects the language of a text from its letters.

/// Returns the language (BCP 47) of the text's most frequent script. If several languages share the script, it is the one whose own letters the text
/// has, else the one with the most readers. None if the script has fewer than a quarter as many letters as the others, such as Latin, whose languages
/// cannot be told apart here.
pub fn language(text: &str) -> Option<&'static str> {
    let mut counts = [0_u32; SCRIPTS.len()];
    let mut latin = 0;
    for letter in text.chars().filter(|letter| letter.is_alphabetic()) {
        let script = SCRIPTS
            .iter()
            .position(|(_, ranges)| ranges.iter().any(|(first, last)| (*first..=*last).contains(&letter)));
        match script.and_then(|script| counts.get_mut(script)) {
            Some(count) => *count += 1,
            None => latin += 1,
        }
    }
    let (script, most) = counts.iter().enumerate().max_by_key(|(_, count)| **count)?;
    if *most == 0 || *most < latin / 4 {
        return None;
    }
    let (language, _) = SCRIPTS.get(script)?;
    // Japanese mixes Chinese characters with kana.
    let kana = counts.get(KANA).copied().unwrap_or_default();
    if *language == "zh" {
        return Some(if kana * 20 > *most { "ja" } else { language });
    }
    let own = OWN_LETTERS.iter().filter(|(of, ..)| of == language);
    let count = |letters: &str| text.chars().filter(|letter| letters.contains(*letter)).count();
    let counted = own.map(|(_, other, letters)| (count(letters), *other)).filter(|(count, _)| *count > 0);
    // A language that comes first in the list wins a tie, because its letters tell more.
    let best = counted.rev().max_by_key(|(count, _)| *count);
    Some(best.filter(|(count, _)| count * 200 >= *most as usize).map_or(language, |(_, other)| other))
}

/// Other languages of a script, each with letters that the language of the script does not have.
const OWN_LETTERS: [(&str, &str, &str); 7] = [
    ("ru", "be", "ўЎ"),
    ("ru", "uk", "їєґЇЄҐіІ"),
    ("ru", "mk", "ѓќѕЃЌЅ"),
    ("ru", "sr", "ђћџљњЂЋЏЉЊ"),
    ("ru", "kk", "әғқңөұүһӘҒҚҢӨҰҮҺ"),
    ("ar", "ur", "ٹڈڑںے"),
    ("ar", "fa", "پچژگ"),
];

/// The index of the kana in `SCRIPTS`.
const KANA: usize = 1;

/// Scripts by their language with the most readers, each with its character ranges.
const SCRIPTS: [(&str, &[(char, char)]); 9] = [
    (
        "zh",
        &[
            ('\u{3400}', '\u{4dbf}'),
            ('\u{4e00}', '\u{9fff}'),
            ('\u{f900}', '\u{faff}'),
            ('\u{20000}', '\u{323af}'),
        ],
    ),
    ("ja", &[('\u{3041}', '\u{30ff}')]),
    ("ko", &[('\u{1100}', '\u{11ff}'), ('\u{ac00}', '\u{d7a3}')]),
    ("ru", &[('\u{400}', '\u{4ff}')]),
    ("el", &[('\u{370}', '\u{3ff}')]),
    ("ar", &[('\u{600}', '\u{6ff}'), ('\u{750}', '\u{77f}')]),
    ("he", &[('\u{590}', '\u{5ff}')]),
    ("hi", &[('\u{900}', '\u{97f}')]),
    ("th", &[('\u{e00}', '\u{e7f}')]),
];

#[cfg(test)]
mod tests {
    use super::language;

    #[test]
    fn the_script_of_most_letters_tells_the_language() {
        for (text, expected) in [
            ("", None),
            ("123, 45!", None),
            ("The keeper lit the lamp.", None),
            ("守塔人点亮了灯。", Some("zh")),
            ("他说 OK，然后走了。", Some("zh")),
            ("灯台守はランプに火をともした。", Some("ja")),
            ("등대지기가 등불을 켰다.", Some("ko")),
            ("Смотритель зажёг лампу.", Some("ru")),
            ("Доглядач засвітив лампу і вийшов.", Some("uk")),
            ("Вартаўнік запаліў лямпу і выйшаў.", Some("be")),
            ("Чувар је упалио лампу и изашао у ноћ.", Some("sr")),
            ("أشعل الحارس المصباح.", Some("ar")),
            ("نگهبان چراغ را روشن کرد.", Some("fa")),
            ("The word 灯 means lamp in Chinese, and that is all there is to it.", None),
        ] {
            assert_eq!(language(text), expected, "{text}");
        }
    }
}
