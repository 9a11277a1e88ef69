//! Estimates from the characters of a text how long it takes to be spoken. Where there is real speech, its length is used instead. The estimate
//! serves plans, and silence in place of a voice. Pure.
//!
//! Sources of the rates:
//! - Alphabets: narrators are asked for 150 to 160 English words a minute, which with six characters a word, the space included, is 15
//!   to 16 characters a second. People who read aloud speak 183 words a minute on average (Brysbaert, "How many words do we read per
//!   minute?", Journal of Memory and Language 109, 2019), without the pauses of a narrator.
//! - Chinese: 5.18 syllables a second (Pellegrino, Coupé and Marsico, "A cross-language perspective on speech information rate",
//!   Language 87, 2011), one a character; with the pauses between phrases 4.5.
//! - Japanese: 7.84 syllables a second (the same study). A kana is one, and a kanji about two of them, so that mixed text is read at 4 to 6
//!   characters a second.
//! - Korean: a character is a syllable; the rate lies between those of the study's languages with simple and with complex syllables.
//! - Pauses: a quarter of a second behind a sentence and half of it at a comma, as speech synthesisers with short pauses make them.

use std::time::Duration;

/// Characters of an alphabet a second, spaces included.
const ALPHABET: f64 = 15.0;
/// Chinese characters a second in Chinese.
const HAN: f64 = 4.5;
/// Chinese characters a second in Japanese.
const KANJI: f64 = 4.0;
/// Kana a second.
const KANA: f64 = 7.0;
/// Korean syllables a second.
const HANGUL: f64 = 5.5;
/// Digits a second. Each is read as a word.
const DIGIT: f64 = 4.0;
/// Pause behind a sentence, in seconds.
const SENTENCE_S: f64 = 0.25;
/// Pause at a comma, semicolon, colon or dash, in seconds.
const COMMA_S: f64 = 0.12;

/// The class of a character, which determines how long it takes to be spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SpokenClass {
    /// A Chinese character. It takes longer in Japanese.
    Han,
    Kana,
    Hangul,
    Digit,
    Letter,
    /// White space. A run of it counts as one character.
    Space,
    /// A mark that pauses wherever it occurs.
    FullStop,
    Comma,
    /// A mark that pauses unless a letter or digit follows, as it also occurs inside numbers and abbreviations.
    AsciiStop,
    AsciiComma,
    /// A character that takes no time: a quote, a bracket, or a mark that combines with a letter.
    Silent,
}

/// Returns about how long the text takes to be spoken at the usual speed. The language (BCP 47) only tells whether Chinese characters are read as
/// Chinese or Japanese. For other characters it is not needed.
pub fn speaking_time(text: &str, language: Option<&str>) -> Duration {
    let is_japanese = is_japanese(text, language);
    let mut seconds = 0.0;
    let mut former = SpokenClass::Space;
    let mut characters = text.trim().chars().peekable();
    while let Some(character) = characters.next() {
        let ends_word = characters.peek().is_none_or(|next| !next.is_alphanumeric());
        let sound = match SpokenClass::of(character) {
            SpokenClass::AsciiStop if ends_word => SpokenClass::FullStop,
            SpokenClass::AsciiComma if ends_word => SpokenClass::Comma,
            SpokenClass::AsciiStop | SpokenClass::AsciiComma => SpokenClass::Letter,
            sound => sound,
        };
        seconds += match sound {
            SpokenClass::Han if is_japanese => KANJI.recip(),
            SpokenClass::Han => HAN.recip(),
            SpokenClass::Kana => KANA.recip(),
            SpokenClass::Hangul => HANGUL.recip(),
            SpokenClass::Digit => DIGIT.recip(),
            // Several marks in a row make one pause.
            SpokenClass::FullStop if former != SpokenClass::FullStop => SENTENCE_S,
            SpokenClass::Comma if !matches!(former, SpokenClass::Comma | SpokenClass::FullStop) => COMMA_S,
            SpokenClass::Letter => ALPHABET.recip(),
            SpokenClass::Space if former == SpokenClass::Letter => ALPHABET.recip(),
            _ => 0.0,
        };
        if sound != SpokenClass::Silent {
            former = sound;
        }
    }
    Duration::from_secs_f64(seconds)
}

/// Whether Chinese characters are read as in Japanese: the language is Japanese, or it is unknown and the text has kana.
fn is_japanese(text: &str, language: Option<&str>) -> bool {
    match language {
        Some(language) => {
            let primary = language.split(['-', '_']).next().unwrap_or_default();
            primary.eq_ignore_ascii_case("ja")
        }
        None => text.chars().any(|character| SpokenClass::of(character) == SpokenClass::Kana),
    }
}

impl SpokenClass {
    fn of(character: char) -> Self {
        match character {
            '.' | '!' | '?' => Self::AsciiStop,
            ',' | ';' | ':' => Self::AsciiComma,
            '。' | '！' | '？' | '…' | '．' | '؟' | '।' => Self::FullStop,
            '，' | '、' | '；' | '：' | '،' | '؛' | '—' | '–' => Self::Comma,
            '\u{3040}'..='\u{30ff}' | '\u{31f0}'..='\u{31ff}' | '\u{ff66}'..='\u{ff9f}' => Self::Kana,
            '\u{3400}'..='\u{4dbf}'
            | '\u{4e00}'..='\u{9fff}'
            | '\u{f900}'..='\u{faff}'
            | '\u{20000}'..='\u{323af}'
            | '々' => Self::Han,
            '\u{ac00}'..='\u{d7af}' => Self::Hangul,
            character if character.is_whitespace() => Self::Space,
            character if character.is_numeric() => Self::Digit,
            character if character.is_alphabetic() => Self::Letter,
            // These signs are read as words: "and", "percent", "at".
            '&' | '%' | '@' | '+' | '=' | '$' | '€' | '£' | '¥' => Self::Digit,
            '-' | '\'' | '’' => Self::Letter,
            _ => Self::Silent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_takes_as_long_as_its_characters_and_pauses() {
        let letters = |count: u32| f64::from(count) / ALPHABET;
        for (text, language, seconds) in [
            ("", None, 0.0),
            (" \n\t", None, 0.0),
            ("«»“”()", None, 0.0),
            ("a", None, letters(1)),
            // Ten letters and one space.
            ("hello  world", Some("en"), letters(11)),
            ("hello,\n world.", Some("en"), letters(10) + COMMA_S + SENTENCE_S),
            ("What?! No...", Some("en"), letters(6) + 2.0 * SENTENCE_S),
            // The decimal point and the comma in a number do not pause.
            ("1,000.5", Some("en"), 5.0 / DIGIT + letters(2)),
            ("你好，世界。", Some("zh"), 4.0 / HAN + COMMA_S + SENTENCE_S),
            ("你好", Some("zh-Hant-TW"), 2.0 / HAN),
            ("你好", None, 2.0 / HAN),
            ("東京へ", Some("ja"), 2.0 / KANJI + 1.0 / KANA),
            ("東京へ", None, 2.0 / KANJI + 1.0 / KANA),
            ("東京", Some("ja_JP"), 2.0 / KANJI),
            ("안녕", Some("ko"), 2.0 / HANGUL),
            ("Привет", Some("ru"), letters(6)),
            ("AI是什么？", Some("zh"), letters(2) + 3.0 / HAN + SENTENCE_S),
        ] {
            let estimate = speaking_time(text, language).as_secs_f64();
            assert!((estimate - seconds).abs() < 1e-6, "{text:?} takes {estimate} s, not {seconds} s");
        }
    }

    #[test]
    fn the_rates_are_those_that_people_speak_at() {
        let english = "The old lighthouse keeper climbed the stairs every evening, lit the lamp, and looked out over \
                       the sea. Nobody had come to visit him for twenty years, but he did not mind.";
        let chinese = "从前有一个孤独的守塔人，每天晚上都要爬上高高的楼梯，点亮那盏灯，望着大海。二十年来没有人来看过他。";
        let japanese =
            "昔々、一人の灯台守がいました。毎晩、彼は長い階段を上り、灯りをともして、海を眺めていました。";
        for (text, language, slowest, fastest) in
            [(english, "en", 12.0, 16.0), (chinese, "zh", 3.8, 5.0), (japanese, "ja", 4.0, 6.0)]
        {
            let rate = text.chars().count() as f64 / speaking_time(text, Some(language)).as_secs_f64();
            assert!((slowest..fastest).contains(&rate), "{language}: {rate} characters a second");
        }
    }
}
