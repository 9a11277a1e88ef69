//! Warns that espeak-ng cannot read the Chinese characters of a Japanese text.

use reel_client::Session;
use reel_protocol::{JsonText, SpeechParams, TaskSpec};

use crate::{dry_run, output::Output};

/// The provider that says `Chinese letter` for each character that it cannot read.
const ESPEAK: &str = "espeak-ng";

/// What is going to be spoken.
#[derive(Debug, Clone, Copy)]
pub struct Speech<'a> {
    /// The text.
    pub text: &'a str,
    /// Its language; None if it is recognised by its characters.
    pub language: Option<&'a str>,
    /// The provider that the user chose; None for the best one.
    pub provider: Option<&'a str>,
}

/// Prints one warning if espeak-ng is going to speak a Japanese text with kanji. Prints nothing if it cannot be found out who speaks.
pub async fn warn(output: Output, session: &Session, speech: Speech<'_>) {
    if !has_kanji(speech.text, speech.language) {
        return;
    }
    let params = SpeechParams { language: Some("ja".to_owned()), ..SpeechParams::new("灯") };
    let Ok(params) = JsonText::from_value(&params) else { return };
    let provider = speech.provider.map(str::to_owned);
    let spec = TaskSpec { kind: "voice.speak".to_owned(), params, provider, ..TaskSpec::default() };
    let Ok(plan) = dry_run::ask(session, &spec).await else { return };
    if plan.provider.as_deref() == Some(ESPEAK) {
        output.warn(
            "espeak-ng cannot read kanji, and says words such as \"Chinese letter\" for them: write what is spoken in kana, or add another provider of voices: reel providers add",
        );
    }
}

/// Whether a text is Japanese and has characters that are no kana.
fn has_kanji(text: &str, language: Option<&str>) -> bool {
    let language = language.or_else(|| reel_story::language(text));
    let is_japanese =
        language.is_some_and(|tag| tag.split('-').next().is_some_and(|tag| tag.eq_ignore_ascii_case("ja")));
    is_japanese
        && text.chars().any(|letter| matches!(letter, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}'))
}

#[cfg(test)]
mod tests {
    use super::has_kanji;

    #[test]
    fn only_japanese_texts_have_kanji() {
        for (text, language, expected) in [
            ("灯台守はランプに火をともした。", None, true),
            ("とうだいもりはランプにひをともした。", None, false),
            ("守塔人点亮了灯。", None, false),
            ("灯", Some("ja-JP"), true),
            ("The lamp.", Some("ja"), false),
        ] {
            assert_eq!(has_kanji(text, language), expected, "{text} {language:?}");
        }
    }
}
