//! `video.generate`: checks the params, applies their defaults, and makes the request to a provider. Pure.

use std::ops::RangeInclusive;

use reel_protocol::{JsonText, JsonTextError, MAX_ID, VideoParams, limits::PROMPT_BYTES};

use super::{BadParams, ProviderWork, Service, Work, assemble::checked_timeline, key::KeyText};
use crate::domain::{
    CacheKey, Inputs, ProviderProfile, Quantity, ServiceRequest, VideoCapabilities, VideoRequest,
};

/// The sides that may be asked for, in pixels.
const SIDES: RangeInclusive<u32> = 16..=8_192;
/// The lengths that may be asked for, in seconds.
const LENGTHS: RangeInclusive<f64> = 0.1..=600.0;
/// The frame rates that may be asked for, in frames per second.
const RATES: RangeInclusive<u32> = 1..=240;

/// Free bytes that the store must have before a video is paid for.
const ROOM_BYTES: u64 = 64 * 1024 * 1024;

/// The version of the cache key. Raise it when the meaning of what [`ProviderWork::key`] hashes changes.
const KEY_VERSION: &str = "reel video key 1";

/// The fields of the params. The error for an unknown field suggests the nearest of them.
const FIELDS: &[&str] = &[
    "prompt",
    "image",
    "last_image",
    "duration_s",
    "width",
    "height",
    "fps",
    "seed",
    "model",
    "sample",
    "extra",
];

/// The service `video`: videos from a text and pictures, made by a provider.
#[derive(Debug)]
pub(super) struct Video;

impl Service for Video {
    fn name(&self) -> &'static str {
        "video"
    }

    fn methods(&self) -> &'static [&'static str] {
        &["generate", "assemble"]
    }

    fn check(&self, method: &str, params: &JsonText) -> Result<Work, BadParams> {
        if method == "assemble" {
            let files = checked_timeline(params)?.files().collect();
            return Ok(Work::Workflow(Inputs { files, ..Inputs::default() }));
        }
        check(params).map(|params| Work::AtProvider(Box::new(params)))
    }
}

impl ProviderWork for VideoParams {
    fn params(&self) -> Result<JsonText, JsonTextError> {
        JsonText::from_value(self)
    }

    fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    fn fits(&self, provider: &ProviderProfile) -> Result<(), BadParams> {
        let VideoCapabilities { ignored, remedy, duration_needs_fps, own_fields, sides, longest_s } =
            &provider.video;
        let name = &provider.name;
        let given = [
            ("image", self.image.is_some()),
            ("last_image", self.last_image.is_some()),
            ("duration_s", self.duration_s.is_some()),
            ("width", self.width.is_some()),
            ("height", self.height.is_some()),
            ("fps", self.fps.is_some()),
            ("seed", self.seed.is_some()),
            ("extra", self.extra.is_some()),
            ("model", self.model.is_some()),
        ];
        let is_ignored = |(field, is_given): &(&str, bool)| *is_given && ignored.contains(field);
        if let Some((field, _)) = given.into_iter().find(is_ignored) {
            let hint = match (remedy, field) {
                (Some(remedy), _) => format!("leave it out, or name another provider; {remedy}"),
                (None, "image" | "last_image" | "extra" | "model") => {
                    "leave it out, or name another provider".to_owned()
                }
                (None, _) => {
                    format!("leave it out; where the server knows it, extra passes it on: {{\"{field}\": …}}")
                }
            };
            return Err(BadParams::new(format!("{name} makes nothing of {field}"), hint));
        }
        if *duration_needs_fps && self.duration_s.is_some() && self.fps.is_none() {
            let message = format!("{name} counts frames, so a duration needs fps");
            return Err(BadParams::new(message, "give fps, or leave duration_s out"));
        }
        if let Some((width, height)) = self.size()
            && !(sides.contains(&width) && sides.contains(&height))
        {
            let message = format!(
                "{width}x{height}: {name} makes videos whose sides are from {} to {} pixels",
                sides.start(),
                sides.end()
            );
            return Err(BadParams::new(message, "leave width and height out for the provider's own size"));
        }
        if let Some((length, longest)) =
            self.duration_s.zip(*longest_s).filter(|(length, most)| length > most)
        {
            let message =
                format!("{length} s is longer than {longest} s, which is the most that {name} makes");
            return Err(BadParams::new(message, "make several shorter videos"));
        }
        BadParams::of_extra(self.extra.as_ref(), own_fields, name)
    }

    fn key(&self, provider: &ProviderProfile) -> CacheKey {
        // Destructured without `..`: a new field does not compile until somebody decides whether it changes the video.
        let Self { prompt, image, last_image, duration_s, width, height, fps, seed, model, sample, extra } =
            self;
        let mut key = KeyText::new(KEY_VERSION, provider, model.as_deref().or(provider.model_for("video")));
        key.text("prompt", Some(prompt));
        for (name, picture) in [("image", image), ("last image", last_image)] {
            if let Some(picture) = picture {
                key.bytes(name, picture.as_bytes());
            }
        }
        key.number("duration", duration_s.map(f64::to_bits));
        key.number("width", width.map(u64::from));
        key.number("height", height.map(u64::from));
        key.number("fps", fps.map(u64::from));
        key.number("seed", *seed);
        key.number("sample", Some(u64::from(*sample)));
        key.text("extra", extra.as_ref().map(JsonText::as_str));
        key.hash()
    }

    fn room_bytes(&self) -> u64 {
        ROOM_BYTES
    }

    fn inputs(&self) -> Inputs {
        Inputs { pictures: self.image.iter().chain(&self.last_image).copied().collect(), ..Inputs::default() }
    }

    fn quantity(&self) -> Quantity {
        Quantity {
            size: self.size(),
            milliseconds: self.duration_s.map(|seconds| (seconds * 1e3).round() as u64),
            ..Quantity::default()
        }
    }

    fn into_request(self: Box<Self>, seed: u64) -> ServiceRequest {
        ServiceRequest::Video(VideoRequest {
            seed: self.seed.unwrap_or(seed),
            params: *self,
            inputs: Vec::new(),
        })
    }
}

/// Reads and checks the params of `video.generate`.
fn check(params: &JsonText) -> Result<VideoParams, BadParams> {
    let params: VideoParams =
        params.decode().map_err(|error| BadParams::unreadable("video.generate", FIELDS, params, &error))?;
    if params.prompt.trim().is_empty() {
        return Err(BadParams::new("the prompt is empty", "say what the video shall show"));
    }
    if params.prompt.len() > PROMPT_BYTES {
        let message = format!("a prompt of {} bytes is longer than {PROMPT_BYTES}", params.prompt.len());
        return Err(BadParams::new(message, "shorten it"));
    }
    check_size(&params)?;
    if let Some(length) = params.duration_s.filter(|length| !LENGTHS.contains(length)) {
        let message =
            format!("duration_s {length} is not from {} to {} seconds", LENGTHS.start(), LENGTHS.end());
        return Err(BadParams::new(message, "4 to 12 seconds are usual"));
    }
    if let Some(rate) = params.fps.filter(|rate| !RATES.contains(rate)) {
        let message = format!("fps {rate} is not from {} to {}", RATES.start(), RATES.end());
        return Err(BadParams::new(message, "24 is usual"));
    }
    if let Some(seed) = params.seed.filter(|seed| *seed > MAX_ID) {
        let message = format!("seed {seed} is not below 2^53");
        return Err(BadParams::new(message, "larger numbers are not exact in every language"));
    }
    BadParams::of_name("model", params.model.as_deref())?;
    if params.extra.as_ref().is_some_and(|extra| !extra.is_object()) {
        return Err(BadParams::new("extra is not an object", "extra holds provider-specific fields by name"));
    }
    Ok(params)
}

fn check_size(params: &VideoParams) -> Result<(), BadParams> {
    for (name, side) in [("width", params.width), ("height", params.height)] {
        if let Some(side) = side.filter(|side| !SIDES.contains(side)) {
            let message = format!("{name} {side} is not from {} to {} pixels", SIDES.start(), SIDES.end());
            return Err(BadParams::new(message, "1280x720 is usual"));
        }
    }
    if params.width.is_some() != params.height.is_some() {
        let message = "width and height are given together, or neither of them";
        return Err(BadParams::new(message, "leave both out for the provider's own size"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use reel_protocol::Digest;

    use super::*;

    fn checked(json: &str) -> Result<VideoParams, BadParams> {
        check(&JsonText::parse(json.to_owned()).unwrap())
    }

    #[test]
    fn only_the_prompt_has_to_be_given() {
        assert_eq!(checked(r#"{"prompt":"waves"}"#).unwrap(), VideoParams::new("waves"));
        let all = r#"{"prompt":"a","duration_s":8,"width":1280,"height":720,"fps":24,"seed":1,"model":"m","sample":1,"extra":{}}"#;
        assert_eq!(checked(all).unwrap().size(), Some((1280, 720)));
    }

    #[test]
    fn each_bad_value_is_named_with_its_value_and_a_next_step() {
        for (json, part) in [
            (r"{}", "missing field `prompt`"),
            (r#"{"prompt":" \n"}"#, "the prompt is empty"),
            (r#"{"prompt":"a","width":8,"height":8}"#, "width 8 is not from 16"),
            (r#"{"prompt":"a","width":1280}"#, "given together"),
            (r#"{"prompt":"a","duration_s":0}"#, "duration_s 0 is not from 0.1"),
            (r#"{"prompt":"a","duration_s":601}"#, "duration_s 601"),
            (r#"{"prompt":"a","fps":0}"#, "fps 0"),
            (r#"{"prompt":"a","seed":9007199254740992}"#, "2^53"),
            (r#"{"prompt":"a","model":" "}"#, "model is empty"),
            (r#"{"prompt":"a","image":"x"}"#, "do not fit"),
            (r#"{"prompt":"a","extra":[]}"#, "extra is not an object"),
        ] {
            let bad = checked(json).unwrap_err();
            assert!(bad.message.contains(part), "{json}: {}", bad.message);
            assert!(bad.hint.is_some(), "{json}");
        }
        let bad = checked(r#"{"prompt":"a","duration":4}"#).unwrap_err();
        assert_eq!(bad.hint.as_deref(), Some("did you mean duration_s?"));
    }

    #[test]
    fn a_provider_is_not_asked_for_what_it_would_ignore() {
        let video = VideoCapabilities {
            ignored: vec!["seed", "last_image"],
            remedy: None,
            duration_needs_fps: true,
            own_fields: &["seconds"],
            sides: 64..=1_920,
            longest_s: Some(20.0),
        };
        let provider = ProviderProfile { name: "studio".into(), video, ..ProviderProfile::default() };
        let digest = "00".repeat(32);
        for (json, part) in [
            (r#"{"prompt":"a","seed":7}"#.to_owned(), "studio makes nothing of seed"),
            (format!(r#"{{"prompt":"a","last_image":"{digest}"}}"#), "studio makes nothing of last_image"),
            (r#"{"prompt":"a","width":32,"height":64}"#.to_owned(), "sides are from 64 to 1920 pixels"),
            (r#"{"prompt":"a","duration_s":2}"#.to_owned(), "a duration needs fps"),
            (r#"{"prompt":"a","duration_s":21,"fps":24}"#.to_owned(), "21 s is longer than 20 s"),
            (r#"{"prompt":"a","extra":{"seconds":"9"}}"#.to_owned(), "extra.seconds is not passed on"),
        ] {
            let bad = checked(&json).unwrap().fits(&provider).unwrap_err();
            assert!(bad.message.contains(part), "{json}: {}", bad.message);
            assert_eq!(checked(&json).unwrap().fits(&ProviderProfile::default()), Ok(()));
        }
        let fine = checked(r#"{"prompt":"a","extra":{"seed":7}}"#).unwrap();
        assert_eq!(fine.fits(&provider), Ok(()));
    }

    #[test]
    fn every_field_of_the_request_and_of_the_provider_changes_the_key() {
        type Change = fn(&mut VideoParams);
        let changes: [Change; 11] = [
            |params| params.prompt.push('!'),
            |params| params.image = Some(Digest::from_bytes([1; 32])),
            |params| params.last_image = Some(Digest::from_bytes([1; 32])),
            |params| params.duration_s = Some(4.0),
            |params| params.width = Some(64),
            |params| params.height = Some(64),
            |params| params.fps = Some(24),
            |params| params.seed = Some(1),
            |params| params.model = Some("m".into()),
            |params| params.sample += 1,
            |params| params.extra = Some(JsonText::empty_object()),
        ];
        let (base, provider) = (VideoParams::new("waves"), ProviderProfile::default());
        let mut keys = HashSet::from([base.key(&provider)]);
        for change in changes {
            let mut params = base.clone();
            change(&mut params);
            keys.insert(params.key(&provider));
        }
        keys.insert(base.key(&ProviderProfile { kind: "draft".into(), ..ProviderProfile::default() }));
        assert_eq!(keys.len(), 2 + changes.len());
    }
}
