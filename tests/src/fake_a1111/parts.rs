//! Parts of the answers: refusals, pictures, and times.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{Copy, SAMPLERS};

/// The value of all pixels of a picture that is not finished.
pub(super) const HALF_DONE: u8 = 0;

/// Some of the samplers of the server of stable-diffusion.cpp.
pub(super) const SDCPP_SAMPLERS: [&str; 3] = ["default", "euler", "euler_a"];
/// Most pictures of one request at the server of stable-diffusion.cpp.
pub(super) const SDCPP_BATCH: u64 = 8;

/// Returns the models of the server of stable-diffusion.cpp.
pub(super) fn sdcpp_models() -> Value {
    let (hash, sha256) = ("8".repeat(10), "8".repeat(64));
    json!([{
        "title": "base", "model_name": "base", "filename": "base.safetensors", "hash": hash, "sha256": sha256, "config": null,
    }])
}

/// Returns the refusal of a request that the real server refuses.
pub(super) fn mistake(copy: Copy, path: &str, body: &Value) -> Option<(u16, Value)> {
    if copy == Copy::SdCpp {
        // An init image that cannot be read is left out without a word.
        return (body["prompt"] == "").then(|| (400, json!({ "error": "prompt required" })));
    }
    for name in ["width", "height", "steps", "batch_size", "n_iter", "seed"] {
        if !body[name].is_null() && !body[name].is_number() {
            let error = json!({ "loc": ["body", name], "msg": "value is not a valid integer", "type": "type_error.integer" });
            return Some((422, json!({ "detail": [error] })));
        }
    }
    let refused = |status, words: &str| {
        Some((status, json!({ "error": "HTTPException", "detail": words, "body": "", "errors": "" })))
    };
    if body["sampler_name"].as_str().is_some_and(|name| !SAMPLERS.contains(&name)) {
        return refused(400, "Sampler not found");
    }
    let init = body["init_images"][0].as_str().and_then(|text| STANDARD.decode(text).ok());
    if path.ends_with("img2img") && !init.is_some_and(|bytes| bytes.starts_with(b"\x89PNG")) {
        return refused(404, "Init image not found");
    }
    None
}

/// The number of a run as a time of the server's clock.
pub(super) fn stamp(began: u64) -> String {
    format!("20261128{began:06}")
}

/// Returns a grey PNG.
pub(super) fn png(width: u32, height: u32, grey: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Grayscale);
    let pixels = vec![grey; (width * height) as usize];
    encoder.write_header().and_then(|mut writer| writer.write_image_data(&pixels)).unwrap();
    bytes
}
