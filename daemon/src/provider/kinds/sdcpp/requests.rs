//! The bodies of submissions. The fields are those of the native API; whatever a request leaves out, the server takes from its command line. Pure.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reel_protocol::JsonText;
use serde_json::{Map, Value, json};

use super::InputUse;
use crate::{
    domain::{ImageRequest, VideoRequest},
    provider::wire::InputPicture,
};

/// The fields of `img_gen` that are set from params.
pub(super) const OWN_IMAGE_FIELDS: &[&str] = &[
    "prompt",
    "negative_prompt",
    "width",
    "height",
    "seed",
    "batch_count",
    "strength",
    "init_image",
    "mask_image",
    "ref_images",
    "output_format",
];
/// The fields of `vid_gen` that are set from params.
pub(super) const OWN_VIDEO_FIELDS: &[&str] =
    &["prompt", "width", "height", "seed", "fps", "video_frames", "init_image", "end_image", "output_format"];

/// The frame rate of the server if a request names none.
const FPS: u32 = 16;
/// The models make 4 frames at a time after the first one.
const FRAMES_AT_A_TIME: u64 = 4;

/// Builds the body of `img_gen`. `inputs` has the pictures that the params name, followed by the mask if there is one.
pub(super) fn image(request: &ImageRequest, input_use: InputUse, inputs: Vec<InputPicture>) -> Vec<u8> {
    let params = &request.params;
    let mut prompt = params.prompt.clone();
    if let Some(suffix) = request.style_suffix.filter(|suffix| !suffix.is_empty()) {
        prompt = format!("{prompt}, {suffix}");
    }
    let mut body = extra(params.extra.as_ref());
    let mut set = |name: &str, value: Value| body.insert(name.to_owned(), value);
    set("prompt", json!(prompt));
    set("width", json!(params.width));
    set("height", json!(params.height));
    set("seed", json!(request.seed));
    set("batch_count", json!(params.n));
    set("output_format", json!("png"));
    if let Some(negative) = request.negative_prompt() {
        set("negative_prompt", json!(negative));
    }
    if let Some(strength) = params.strength {
        set("strength", json!(strength));
    }
    let count = params.input_images.len();
    let mut pictures: Vec<_> = inputs.into_iter().map(base64).collect();
    let mask = pictures.split_off(count.min(pictures.len())).pop();
    match input_use {
        InputUse::Init => {
            for (name, picture) in [("init_image", pictures.pop()), ("mask_image", mask)] {
                if let Some(picture) = picture {
                    set(name, picture);
                }
            }
        }
        InputUse::Reference if pictures.is_empty() => {}
        InputUse::Reference => {
            set("ref_images", Value::Array(pictures));
        }
    }
    if params.steps.is_some() || params.guidance.is_some() {
        let sampling = object(&mut body, "sample_params");
        if let Some(steps) = params.steps {
            sampling.insert("sample_steps".to_owned(), json!(steps));
        }
        if let Some(guidance) = params.guidance {
            object(sampling, "guidance").insert("txt_cfg".to_owned(), json!(guidance));
        }
    }
    Value::Object(body).to_string().into_bytes()
}

/// Builds the body of `vid_gen`. `inputs` has the first picture and the last picture, as far as the params name them.
pub(super) fn video(request: &VideoRequest, inputs: Vec<InputPicture>) -> Vec<u8> {
    let params = &request.params;
    let mut body = extra(params.extra.as_ref());
    let mut set = |name: &str, value: Value| body.insert(name.to_owned(), value);
    set("prompt", json!(params.prompt));
    set("seed", json!(request.seed));
    // The only container of the server that is checked to its end here.
    set("output_format", json!("webm"));
    if let Some((width, height)) = params.size() {
        set("width", json!(width));
        set("height", json!(height));
    }
    if let Some(fps) = params.fps.or(params.duration_s.map(|_| FPS)) {
        set("fps", json!(fps));
        if let Some(seconds) = params.duration_s {
            set("video_frames", json!(frames(seconds, fps)));
        }
    }
    let names = [params.image.map(|_| "init_image"), params.last_image.map(|_| "end_image")];
    for (name, picture) in names.into_iter().flatten().zip(inputs) {
        set(name, base64(picture));
    }
    Value::Object(body).to_string().into_bytes()
}

/// Returns the least number of frames that the models can make and that last so long.
fn frames(seconds: f64, fps: u32) -> u64 {
    let least = (seconds * f64::from(fps)).round().max(1.0) as u64;
    (least - 1).div_ceil(FRAMES_AT_A_TIME) * FRAMES_AT_A_TIME + 1
}

fn base64(picture: InputPicture) -> Value {
    Value::String(STANDARD.encode(picture.bytes))
}

fn extra(extra: Option<&JsonText>) -> Map<String, Value> {
    extra.and_then(|extra| extra.decode().ok()).unwrap_or_default()
}

/// Returns the object in this field. A value of another type is replaced.
fn object<'a>(map: &'a mut Map<String, Value>, name: &str) -> &'a mut Map<String, Value> {
    let value = map.entry(name).or_insert_with(|| json!({}));
    if !value.is_object() {
        *value = json!({});
    }
    match value {
        Value::Object(object) => object,
        _ => unreachable!("the value was made an object above"),
    }
}
