//! `image.generate`: checks the params, applies their defaults, and makes the request to a provider. Pure.

mod key;
mod styles;

use std::ops::RangeInclusive;

use reel_protocol::{
    ErrorCode, ImageParams, JsonText, JsonTextError, MAX_ID, limits::PROMPT_BYTES, methods::StyleInfo,
};

use self::{
    key::image_key,
    styles::{STYLES, find},
};
use super::{BadParams, ProviderWork, Service, Work};
use crate::{
    domain::{CacheKey, ImageCapabilities, ImageRequest, Inputs, ProviderProfile, Quantity, ServiceRequest},
    nearest::nearest,
};

/// How many pictures one request may ask for.
const COUNTS: RangeInclusive<u32> = 1..=16;

/// The most pictures that one request may start from.
const MAX_INPUTS: usize = 16;

/// Free bytes that the store must have for each picture before one is paid for.
const ROOM_BYTES: u64 = 8 * 1024 * 1024;

/// The service `image`: pictures from a text, made by a provider.
#[derive(Debug)]
pub(super) struct Image;

impl Service for Image {
    fn name(&self) -> &'static str {
        "image"
    }

    fn methods(&self) -> &'static [&'static str] {
        &["generate"]
    }

    fn check(&self, _: &str, params: &JsonText) -> Result<Work, BadParams> {
        check(params).map(|params| Work::AtProvider(Box::new(params)))
    }

    fn styles(&self) -> Vec<StyleInfo> {
        styles::infos()
    }
}

impl ProviderWork for ImageParams {
    fn params(&self) -> Result<JsonText, JsonTextError> {
        JsonText::from_value(self)
    }

    fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    fn fits(&self, provider: &ProviderProfile) -> Result<(), BadParams> {
        check_against(&provider.image, self, &provider.name)
    }

    fn key(&self, provider: &ProviderProfile) -> CacheKey {
        image_key(self, provider)
    }

    fn inputs(&self) -> Inputs {
        Inputs { pictures: self.input_images.clone(), mask: self.mask, ..Inputs::default() }
    }

    fn room_bytes(&self) -> u64 {
        ROOM_BYTES * u64::from(self.n)
    }

    fn quantity(&self) -> Quantity {
        #[derive(serde::Deserialize)]
        struct Extra {
            quality: Option<String>,
        }
        let extra = self.extra.as_ref().and_then(|extra| extra.decode::<Extra>().ok());
        Quantity {
            images: Some(self.n.into()),
            size: Some((self.width, self.height)),
            quality: extra.and_then(|extra| extra.quality),
            pixels: Some(u64::from(self.width) * u64::from(self.height) * u64::from(self.n)),
            ..Quantity::default()
        }
    }

    fn into_request(self: Box<Self>, seed: u64) -> ServiceRequest {
        let style = self.style.as_deref().and_then(find);
        let (style_suffix, style_negative) =
            (style.map(|style| style.prompt_suffix), style.map(|style| style.negative_suffix));
        let seed = self.seed.unwrap_or(seed);
        ServiceRequest::Image(ImageRequest {
            params: *self,
            seed,
            style_suffix,
            style_negative,
            inputs: Vec::new(),
        })
    }
}

/// The fields of the params. The error for an unknown field suggests the nearest of them.
const FIELDS: &[&str] = &[
    "prompt",
    "negative_prompt",
    "width",
    "height",
    "n",
    "seed",
    "sample",
    "steps",
    "guidance",
    "style",
    "model",
    "input_images",
    "mask",
    "strength",
    "extra",
];

/// Reads and checks the params of `image.generate`.
fn check(params: &JsonText) -> Result<ImageParams, BadParams> {
    let params: ImageParams =
        params.decode().map_err(|error| BadParams::unreadable("image.generate", FIELDS, params, &error))?;
    if params.prompt.trim().is_empty() {
        return Err(BadParams::new("the prompt is empty", "say what the picture shall show"));
    }
    let longest = params.negative_prompt.as_deref().unwrap_or_default().len().max(params.prompt.len());
    if longest > PROMPT_BYTES {
        return Err(BadParams::new(
            format!("a prompt of {longest} bytes is longer than {PROMPT_BYTES}"),
            "shorten it",
        ));
    }
    for (name, side) in [("width", params.width), ("height", params.height)] {
        if !ImageCapabilities::SIDES.contains(&side) {
            let message = format!(
                "{name} {side} is not from {} to {} pixels",
                ImageCapabilities::SIDES.start(),
                ImageCapabilities::SIDES.end()
            );
            return Err(BadParams::new(message, "1024x1024 is the default"));
        }
    }
    if !COUNTS.contains(&params.n) {
        let message = format!("n {} is not from {} to {}", params.n, COUNTS.start(), COUNTS.end());
        return Err(BadParams::new(message, "submit several tasks for more pictures"));
    }
    check_numbers(&params)?;
    if let Some(style) = params.style.as_deref().filter(|style| find(style).is_none()) {
        let near = nearest(style, STYLES.iter().map(|style| style.name));
        let hint = near.map_or_else(
            || "reel styles lists them".to_owned(),
            |near| format!("did you mean {near}? reel styles lists all"),
        );
        return Err(BadParams {
            code: ErrorCode::UnknownStyle,
            message: format!("there is no style {style:?}"),
            hint: Some(hint),
        });
    }
    check_inputs(&params)?;
    BadParams::of_name("model", params.model.as_deref())?;
    if params.extra.as_ref().is_some_and(|extra| !extra.is_object()) {
        return Err(BadParams::new("extra is not an object", "extra holds provider-specific fields by name"));
    }
    Ok(params)
}

/// Checks whether a provider with these capabilities can make what the params ask for. `provider` is its name.
fn check_against(able: &ImageCapabilities, params: &ImageParams, provider: &str) -> Result<(), BadParams> {
    for (name, side) in [("width", params.width), ("height", params.height)] {
        if !able.sides.contains(&side) {
            let (least, most) = (able.sides.start(), able.sides.end());
            let message =
                format!("{name} {side} is not from {least} to {most} pixels, as {provider} has them");
            return Err(BadParams::new(message, "1024x1024 is the default"));
        }
    }
    let given = [
        ("negative_prompt", params.negative_prompt.is_some()),
        ("seed", params.seed.is_some()),
        ("steps", params.steps.is_some()),
        ("guidance", params.guidance.is_some()),
        ("input_images", !params.input_images.is_empty()),
        ("mask", params.mask.is_some()),
        ("strength", params.strength.is_some()),
        ("extra", params.extra.is_some()),
        ("model", params.model.is_some()),
    ];
    let is_ignored = |(name, is_given): &(&str, bool)| *is_given && able.ignored.contains(name);
    if let Some((name, _)) = given.into_iter().find(is_ignored) {
        let hint = if able.ignored.contains(&"extra") || matches!(name, "input_images" | "mask" | "model") {
            "leave it out, or name another provider".to_owned()
        } else {
            format!("leave it out; where the server knows it, extra passes it on: {{\"{name}\": …}}")
        };
        let message = match name {
            "input_images" => format!("{provider} makes no pictures from other pictures"),
            "model" => format!("{provider} has no place for a model in its request"),
            _ => format!("{provider} has no {name}"),
        };
        return Err(BadParams::new(message, hint));
    }
    let count = params.input_images.len();
    if count > able.max_inputs {
        let message =
            format!("{provider} starts from {} picture, and input_images has {count}", able.max_inputs);
        return Err(BadParams::new(message, "name one picture, or another provider"));
    }
    BadParams::of_extra(params.extra.as_ref(), able.own_fields, provider)
}

fn check_inputs(params: &ImageParams) -> Result<(), BadParams> {
    let count = params.input_images.len();
    if count > MAX_INPUTS {
        let message = format!("input_images has {count} pictures; at most {MAX_INPUTS} are possible");
        return Err(BadParams::new(message, "choose the ones that matter most"));
    }
    for (name, is_given) in [("mask", params.mask.is_some()), ("strength", params.strength.is_some())] {
        if is_given && count == 0 {
            let message = format!("{name} says how a picture changes, and input_images names none");
            return Err(BadParams::new(
                message,
                "name the picture in input_images (reel generate --image FILE)",
            ));
        }
    }
    Ok(())
}

fn check_numbers(params: &ImageParams) -> Result<(), BadParams> {
    if let Some(seed) = params.seed.filter(|seed| *seed > MAX_ID) {
        return Err(BadParams::new(
            format!("seed {seed} is not below 2^53"),
            "larger numbers are not exact in every language",
        ));
    }
    if let Some(steps) = params.steps.filter(|steps| !(1..=500).contains(steps)) {
        return Err(BadParams::new(format!("steps {steps} is not from 1 to 500"), "20 to 50 is usual"));
    }
    if let Some(guidance) = params.guidance.filter(|guidance| !(0.0..=100.0).contains(guidance)) {
        return Err(BadParams::new(format!("guidance {guidance} is not from 0 to 100"), "7 is usual"));
    }
    if let Some(strength) = params.strength.filter(|strength| !(0.0..=1.0).contains(strength)) {
        return Err(BadParams::new(format!("strength {strength} is not from 0 to 1"), "0.75 is usual"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(json: &str) -> Result<ImageParams, BadParams> {
        check(&JsonText::parse(json.to_owned()).unwrap())
    }

    #[test]
    fn defaults_are_applied() {
        let params = checked(r#"{"prompt":"a cat"}"#).unwrap();
        assert_eq!(
            (params.width, params.height, params.n, params.sample, params.seed),
            (1024, 1024, 1, 0, None)
        );
    }

    #[test]
    fn each_bad_value_is_named_with_its_value_and_a_next_step() {
        for (json, part) in [
            (r#"{"prompt":""}"#, "prompt is empty"),
            (r#"{"prompt":" \n"}"#, "prompt is empty"),
            (r"{}", "missing field `prompt`"),
            (r#"{"prompt":"a","width":0}"#, "width 0"),
            (r#"{"prompt":"a","height":100000}"#, "height 100000"),
            (r#"{"prompt":"a","width":-5}"#, "-5"),
            (r#"{"prompt":"a","n":0}"#, "n 0"),
            (r#"{"prompt":"a","n":17}"#, "n 17"),
            (r#"{"prompt":"a","seed":9007199254740992}"#, "2^53"),
            (r#"{"prompt":"a","steps":0}"#, "steps 0"),
            (r#"{"prompt":"a","guidance":-1}"#, "guidance -1"),
            (r#"{"prompt":"a","strength":2}"#, "strength 2"),
            (r#"{"prompt":"a","strength":0.5}"#, "strength says how a picture changes"),
            (r#"{"prompt":"a","input_images":["x"]}"#, "do not fit"),
            (r#"{"prompt":"a","extra":[]}"#, "extra is not an object"),
            (r#"{"prompt":7}"#, "do not fit"),
        ] {
            let bad = checked(json).unwrap_err();
            assert!(bad.message.contains(part), "{json}: {}", bad.message);
            assert!(bad.hint.is_some(), "{json}");
        }
    }

    #[test]
    fn a_provider_is_not_asked_for_what_it_would_ignore() {
        let plain = ImageCapabilities {
            sides: 64..=2048,
            ignored: vec!["seed", "steps", "mask"],
            own_fields: &["n", "stream"],
            max_inputs: 1,
        };
        let digest = "00".repeat(32);
        let two = format!(r#"{{"prompt":"a","input_images":["{digest}","{digest}"]}}"#);
        let masked = format!(r#"{{"prompt":"a","input_images":["{digest}"],"mask":"{digest}"}}"#);
        for (json, part) in [
            (r#"{"prompt":"a","width":32}"#, "width 32 is not from 64 to 2048 pixels, as studio"),
            (r#"{"prompt":"a","seed":7}"#, "studio has no seed"),
            (r#"{"prompt":"a","steps":7}"#, "studio has no steps"),
            (&two, "studio starts from 1 picture, and input_images has 2"),
            (&masked, "studio has no mask"),
            (r#"{"prompt":"a","extra":{"quality":"low","stream":true}}"#, "extra.stream is not passed on"),
        ] {
            let params = checked(json).unwrap();
            let bad = check_against(&plain, &params, "studio").unwrap_err();
            assert!(bad.message.contains(part), "{}", bad.message);
            assert_eq!(check_against(&ImageCapabilities::default(), &params, "other"), Ok(()));
        }
        let fine = checked(r#"{"prompt":"a","extra":{"quality":"low"}}"#).unwrap();
        assert_eq!(check_against(&plain, &fine, "studio"), Ok(()));
    }

    #[test]
    fn a_mistyped_style_or_field_names_the_nearest() {
        let bad = checked(r#"{"prompt":"a","style":"cinematc"}"#).unwrap_err();
        assert_eq!((bad.code, bad.hint.unwrap().contains("cinematic")), (ErrorCode::UnknownStyle, true));
        let bad = checked(r#"{"prompt":"a","styl":"anime"}"#).unwrap_err();
        assert_eq!(bad.hint.as_deref(), Some("did you mean style?"));
    }
}
