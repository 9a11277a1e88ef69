//! `image.generate`: whether a request holds, with defaults applied. Pure.

use reel_protocol::{ErrorCode, ImageParams, JsonText, MAX_ID, limits::PROMPT_BYTES};

use super::styles::{STYLES, find};
use crate::nearest::nearest;

/// Sides that every provider of this version can draw, in pixels.
pub const SIDES: std::ops::RangeInclusive<u32> = 64..=2048;

/// Pictures of one request.
const COUNTS: std::ops::RangeInclusive<u32> = 1..=16;

/// Why a request does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadParams {
    /// The stable code.
    pub code: ErrorCode,
    /// What is wrong.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
}

impl BadParams {
    /// A value that does not fit.
    pub fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code: ErrorCode::InvalidParams, message: message.into(), hint: Some(hint.into()) }
    }
}

/// The fields of the params, for the nearest right name.
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
    "strength",
    "extra",
];

/// Reads and checks the params of `image.generate`.
pub fn check(params: &JsonText) -> Result<ImageParams, BadParams> {
    let params: ImageParams = params.decode().map_err(|error| unreadable(params, &error))?;
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
        if !SIDES.contains(&side) {
            let message = format!("{name} {side} is not from {} to {} pixels", SIDES.start(), SIDES.end());
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
    if !params.input_images.is_empty() {
        return Err(BadParams::new(
            "input_images are not served by any provider here",
            "leave input_images out",
        ));
    }
    if params.extra.as_ref().is_some_and(|extra| !extra.is_object()) {
        return Err(BadParams::new("extra is not an object", "extra holds provider-specific fields by name"));
    }
    Ok(params)
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

fn unreadable(params: &JsonText, error: &serde_json::Error) -> BadParams {
    let known = |name: &str| FIELDS.contains(&name);
    let names: std::collections::BTreeMap<String, &serde_json::value::RawValue> =
        params.decode().unwrap_or_default();
    let hint = match names.keys().find(|name| !known(name)) {
        Some(unknown) => nearest(unknown, FIELDS.iter().copied()).map_or_else(
            || format!("the fields are {}", FIELDS.join(", ")),
            |near| format!("did you mean {near}?"),
        ),
        None => format!("the fields are {}", FIELDS.join(", ")),
    };
    BadParams::new(format!("the params do not fit image.generate: {error}"), hint)
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
            (r#"{"prompt":"a","extra":[]}"#, "extra is not an object"),
            (r#"{"prompt":7}"#, "do not fit"),
        ] {
            let bad = checked(json).unwrap_err();
            assert!(bad.message.contains(part), "{json}: {}", bad.message);
            assert!(bad.hint.is_some(), "{json}");
        }
    }

    #[test]
    fn a_mistyped_style_or_field_names_the_nearest() {
        let bad = checked(r#"{"prompt":"a","style":"cinematc"}"#).unwrap_err();
        assert_eq!((bad.code, bad.hint.unwrap().contains("cinematic")), (ErrorCode::UnknownStyle, true));
        let bad = checked(r#"{"prompt":"a","styl":"anime"}"#).unwrap_err();
        assert_eq!(bad.hint.as_deref(), Some("did you mean style?"));
    }
}
