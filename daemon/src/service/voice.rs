//! `voice.speak`: checks the params, applies their defaults, and makes the request to a provider. Pure.

use std::ops::RangeInclusive;

use reel_protocol::{
    JsonText, JsonTextError, SpeechFormat, SpeechParams, is_unprintable, limits::PROMPT_BYTES,
};
use reel_story::speaking_time;

use super::{BadParams, ProviderWork, Service, Work, key::KeyText};
use crate::domain::{CacheKey, ProviderProfile, Quantity, ServiceRequest, SpeechCapabilities};

/// The speeds that may be asked for.
const SPEEDS: RangeInclusive<f64> = 0.25..=4.0;

/// Free bytes that the store must have before speech is paid for: two minutes of a WAV file.
const ROOM_BYTES: u64 = 8 * 1024 * 1024;

/// The version of the cache key. Raise it when the meaning of what [`ProviderWork::key`] hashes changes.
const KEY_VERSION: &str = "reel speech key 1";

/// The fields of the params. The error for an unknown field suggests the nearest of them.
const FIELDS: &[&str] = &["text", "voice", "language", "speed", "format", "model", "sample", "extra"];

/// The service `voice`: speech from a text, made by a provider.
#[derive(Debug)]
pub(super) struct Voice;

impl Service for Voice {
    fn name(&self) -> &'static str {
        "voice"
    }

    fn methods(&self) -> &'static [&'static str] {
        &["speak"]
    }

    fn check(&self, _: &str, params: &JsonText) -> Result<Work, BadParams> {
        check(params).map(|params| Work::AtProvider(Box::new(params)))
    }
}

impl ProviderWork for SpeechParams {
    fn params(&self) -> Result<JsonText, JsonTextError> {
        JsonText::from_value(self)
    }

    fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    fn fits(&self, provider: &ProviderProfile) -> Result<(), BadParams> {
        let SpeechCapabilities { formats, ignored, own_fields, .. } = &provider.speech;
        if let Some(format) = self.format.filter(|format| !formats.contains(format)) {
            let made: Vec<_> = formats.iter().map(|format| format.name()).collect();
            let message =
                format!("{} makes no {}, it makes {}", provider.name, format.name(), made.join(" and "));
            return Err(BadParams::new(
                message,
                "leave out `format`, so that the result has the provider's own format, or name another provider",
            ));
        }
        let given = [
            ("voice", self.voice.is_some()),
            ("model", self.model.is_some()),
            ("extra", self.extra.is_some()),
        ];
        if let Some((name, _)) = given.iter().find(|(name, is_given)| *is_given && ignored.contains(name)) {
            let message = format!("{} takes no {name}", provider.name);
            return Err(BadParams::new(message, format!("leave {name} out, or name another provider")));
        }
        BadParams::of_extra(self.extra.as_ref(), own_fields, &provider.name)
    }

    fn key(&self, provider: &ProviderProfile) -> CacheKey {
        // Destructured without `..`: a new field does not compile until somebody decides whether it changes the speech.
        let Self { text, voice, language, speed, format, model, sample, extra } = self;
        let mut key = KeyText::new(KEY_VERSION, provider, model.as_deref().or(provider.model_for("voice")));
        key.text("text", Some(text));
        key.text("voice", voice.as_deref().or(provider.speech.voice.as_deref()));
        key.text("language", language.as_deref());
        key.number("speed", Some(speed.to_bits()));
        // A provider that makes one format makes the same with and without its name.
        let format = format.filter(|format| provider.speech.formats != [*format]);
        key.text("format", format.map(SpeechFormat::name));
        key.number("sample", Some(u64::from(*sample)));
        key.text("extra", extra.as_ref().map(JsonText::as_str));
        key.hash()
    }

    fn room_bytes(&self) -> u64 {
        ROOM_BYTES
    }

    fn quantity(&self) -> Quantity {
        let length = speaking_time(&self.text, self.language.as_deref()).div_f64(self.speed);
        Quantity {
            characters: Some(self.text.chars().count() as u64),
            milliseconds: Some(length.as_millis() as u64),
            ..Quantity::default()
        }
    }

    fn into_request(self: Box<Self>, _: u64) -> ServiceRequest {
        ServiceRequest::Speech(*self)
    }
}

/// Reads and checks the params of `voice.speak`.
fn check(params: &JsonText) -> Result<SpeechParams, BadParams> {
    let params: SpeechParams =
        params.decode().map_err(|error| BadParams::unreadable("voice.speak", FIELDS, params, &error))?;
    if params.text.chars().all(|character| character.is_whitespace() || is_unprintable(character)) {
        return Err(BadParams::new("the text is empty", "say what shall be spoken"));
    }
    if params.text.len() > PROMPT_BYTES {
        let message = format!("a text of {} bytes is longer than {PROMPT_BYTES}", params.text.len());
        return Err(BadParams::new(message, "have it spoken in several tasks"));
    }
    if !SPEEDS.contains(&params.speed) {
        let message = format!("speed {} is not from {} to {}", params.speed, SPEEDS.start(), SPEEDS.end());
        return Err(BadParams::new(message, "1 is the usual speed"));
    }
    if let Some(language) = params.language.as_deref().filter(|language| !is_language(language)) {
        let message = format!("language {language:?} is no language tag");
        return Err(BadParams::new(message, "a tag is such as en, de, zh-TW or pt-BR"));
    }
    for (name, value) in [("voice", &params.voice), ("model", &params.model)] {
        BadParams::of_name(name, value.as_deref())?;
    }
    if params.extra.as_ref().is_some_and(|extra| !extra.is_object()) {
        return Err(BadParams::new("extra is not an object", "extra holds provider-specific fields by name"));
    }
    Ok(params)
}

/// Whether a text has the form of a language tag (BCP 47): a language of 2 to 8 letters, and further parts of up to 8 letters or digits.
pub(super) fn is_language(tag: &str) -> bool {
    let mut parts = tag.split('-');
    let is_part =
        |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric());
    let is_first =
        |part: &str| (2..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphabetic());
    tag.len() <= 35 && parts.next().is_some_and(is_first) && parts.all(is_part)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn checked(json: &str) -> Result<SpeechParams, BadParams> {
        check(&JsonText::parse(json.to_owned()).unwrap())
    }

    #[test]
    fn only_the_text_has_to_be_given() {
        assert_eq!(checked(r#"{"text":"Hello."}"#).unwrap(), SpeechParams::new("Hello."));
        let all = r#"{"text":"a","voice":"v","language":"zh-Hant-TW","speed":4,"format":"mp3","model":"m","sample":1,"extra":{}}"#;
        assert_eq!(checked(all).unwrap().format, Some(SpeechFormat::Mp3));
    }

    #[test]
    fn each_bad_value_is_named_with_its_value_and_a_next_step() {
        for (json, part) in [
            (r"{}", "missing field `text`"),
            (r#"{"text":" \n"}"#, "the text is empty"),
            (r#"{"text":"a","speed":0.2}"#, "speed 0.2 is not from 0.25 to 4"),
            (r#"{"text":"a","speed":4.1}"#, "speed 4.1"),
            (r#"{"text":"a","language":"en_US"}"#, "language \"en_US\" is no language tag"),
            (r#"{"text":"a","language":""}"#, "no language tag"),
            (r#"{"text":"a","voice":" "}"#, "voice is empty"),
            (r#"{"text":"a","format":"ogg"}"#, "ogg"),
            (r#"{"text":"a","extra":[]}"#, "extra is not an object"),
        ] {
            let bad = checked(json).unwrap_err();
            assert!(bad.message.contains(part), "{json}: {}", bad.message);
            assert!(bad.hint.is_some(), "{json}");
        }
        let long = format!("{{\"text\":\"{}\"}}", "a".repeat(PROMPT_BYTES + 1));
        assert!(checked(&long).unwrap_err().message.contains("65537 bytes is longer than 65536"));
        let bad = checked(r#"{"text":"a","langauge":"en"}"#).unwrap_err();
        assert_eq!(bad.hint.as_deref(), Some("did you mean language?"));
    }

    #[test]
    fn a_provider_is_not_asked_for_a_form_that_it_does_not_make() {
        let speech = SpeechCapabilities {
            formats: &[SpeechFormat::Wav],
            own_fields: &["input"],
            ..SpeechCapabilities::default()
        };
        let provider = ProviderProfile { name: "narrator".into(), speech, ..ProviderProfile::default() };
        for (json, part) in [
            (r#"{"text":"a","format":"mp3"}"#, "narrator makes no mp3, it makes wav"),
            (r#"{"text":"a","extra":{"input":"b"}}"#, "extra.input is not passed on"),
        ] {
            let bad = checked(json).unwrap().fits(&provider).unwrap_err();
            assert!(bad.message.contains(part), "{json}: {}", bad.message);
            assert_eq!(checked(json).unwrap().fits(&ProviderProfile::default()), Ok(()));
        }
        let fine = checked(r#"{"text":"a","format":"wav","extra":{"instructions":"sad"}}"#).unwrap();
        assert_eq!(fine.fits(&provider), Ok(()));
        let mut plain = provider;
        plain.speech.ignored = vec!["voice", "model", "extra"];
        for (json, message) in [
            (r#"{"text":"a","voice":"v"}"#, "narrator takes no voice"),
            (r#"{"text":"a","model":"m"}"#, "narrator takes no model"),
            (r#"{"text":"a","extra":{}}"#, "narrator takes no extra"),
        ] {
            assert_eq!(checked(json).unwrap().fits(&plain).unwrap_err().message, message);
        }
        assert_eq!(checked(r#"{"text":"a","language":"en"}"#).unwrap().fits(&plain), Ok(()));
    }

    #[test]
    fn every_field_of_the_request_and_of_the_provider_changes_the_key() {
        type Change = fn(&mut SpeechParams);
        let changes: [Change; 8] = [
            |params| params.text.push('!'),
            |params| params.voice = Some("v".into()),
            |params| params.language = Some("en".into()),
            |params| params.speed = 1.5,
            |params| params.format = Some(SpeechFormat::Wav),
            |params| params.model = Some("m".into()),
            |params| params.sample += 1,
            |params| params.extra = Some(JsonText::empty_object()),
        ];
        let (base, provider) = (SpeechParams::new("Hello."), ProviderProfile::default());
        let mut keys = HashSet::from([base.key(&provider)]);
        for change in changes {
            let mut params = base.clone();
            change(&mut params);
            keys.insert(params.key(&provider));
        }
        keys.insert(base.key(&ProviderProfile { kind: "draft".into(), ..ProviderProfile::default() }));
        assert_eq!(keys.len(), 2 + changes.len());
        let named = ProviderProfile { name: "another".into(), ..ProviderProfile::default() };
        assert_eq!(base.key(&provider), base.key(&named));
        // Where there is only one format, it may be named or not.
        let speech = SpeechCapabilities { formats: &[SpeechFormat::Wav], ..SpeechCapabilities::default() };
        let one_format = ProviderProfile { speech, ..ProviderProfile::default() };
        let wav = SpeechParams { format: Some(SpeechFormat::Wav), ..base.clone() };
        assert_eq!(wav.key(&one_format), base.key(&one_format));
        assert_eq!(base.key(&one_format), base.key(&provider), "entries of before are found again");
    }
}
