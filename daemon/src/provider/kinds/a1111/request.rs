//! Builds the requests for pictures: `txt2img`, and `img2img` for a picture to start from. Pure.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use super::settings::WebUiSettings;
use crate::{
    domain::ImageRequest,
    provider::wire::{InputPicture, Submission},
};

/// Fields of the request that this module sets, so that `extra` may not contain them.
pub(super) const OWN_FIELDS: &[&str] = &[
    "prompt",
    "negative_prompt",
    "width",
    "height",
    "steps",
    "cfg_scale",
    "seed",
    "batch_size",
    "n_iter",
    "init_images",
    "include_init_images",
    "mask",
    "denoising_strength",
    "send_images",
    "force_task_id",
];

/// The value of `inpainting_fill` that begins with the picture as it is under the mask.
const FILL_ORIGINAL: u32 = 1;

/// Builds the request. `inputs` has the picture to start from, followed by the mask, in which white changes.
pub(super) fn request(
    request: &ImageRequest,
    model: Option<&str>,
    settings: &WebUiSettings,
    task_id: Option<&str>,
    inputs: Vec<InputPicture>,
) -> Submission {
    let params = &request.params;
    let mut fields = Map::new();
    let mut set = |name: &str, value: Value| {
        fields.insert(name.to_owned(), value);
    };
    let style = request.style_suffix.filter(|suffix| !suffix.is_empty());
    set(
        "prompt",
        json!(style.map_or_else(|| params.prompt.clone(), |style| format!("{}, {style}", params.prompt))),
    );
    if let Some(negative) = request.negative_prompt() {
        set("negative_prompt", json!(negative));
    }
    set("width", json!(params.width));
    set("height", json!(params.height));
    set("seed", json!(seed(request)));
    let (batch_size, n_iter) = settings.batches(params.n);
    set("batch_size", json!(batch_size));
    set("n_iter", json!(n_iter));
    if let Some(steps) = params.steps.or(settings.steps) {
        set("steps", json!(steps));
    }
    if let Some(scale) = params.guidance.or(settings.cfg_scale) {
        set("cfg_scale", json!(scale));
    }
    if let Some(sampler) = &settings.sampler {
        set("sampler_name", json!(sampler));
    }
    if let Some(scheduler) = &settings.scheduler {
        set("scheduler", json!(scheduler));
    }
    set("send_images", json!(true));
    set("save_images", json!(false));
    if let Some(id) = task_id {
        set("force_task_id", json!(id));
    }
    let has_inputs = !inputs.is_empty();
    let mut inputs = inputs.into_iter().map(|input| STANDARD.encode(input.bytes));
    if has_inputs {
        set("init_images", json!([inputs.next().unwrap_or_default()]));
        set("include_init_images", json!(false));
        if let Some(strength) = params.strength {
            set("denoising_strength", json!(strength));
        }
    }
    if let Some(mask) = inputs.next() {
        set("mask", json!(mask));
        set("inpainting_mask_invert", json!(0));
        set("inpainting_fill", json!(FILL_ORIGINAL));
    }
    let extra = params.extra.as_ref().and_then(|extra| extra.decode::<Map<String, Value>>().ok());
    fields.extend(extra.unwrap_or_default());
    if let Some(model) = model {
        let overrides = fields.entry("override_settings").or_insert_with(|| Value::Object(Map::new()));
        if let Some(overrides) = overrides.as_object_mut() {
            overrides.insert("sd_model_checkpoint".to_owned(), json!(model));
        }
    }
    let path = if has_inputs { "sdapi/v1/img2img" } else { "sdapi/v1/txt2img" };
    Submission::json(path, Value::Object(fields).to_string().into_bytes())
}

/// Returns the seed. One that the daemon derived is cut to 32 bits: some samplers and extensions accept no larger one.
fn seed(request: &ImageRequest) -> u64 {
    request.params.seed.unwrap_or(request.seed & u64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use reel_protocol::{ImageParams, JsonText};

    use super::*;

    fn sent(params: ImageParams, settings: &WebUiSettings, inputs: &[&[u8]]) -> (&'static str, Value) {
        let asked = ImageRequest {
            params,
            seed: (7 << 32) | 5,
            style_suffix: Some("in ink"),
            style_negative: Some("photo"),
            inputs: Vec::new(),
        };
        let picture = |bytes: &&[u8]| InputPicture {
            media_type: "image/png".into(),
            extension: "png".into(),
            bytes: bytes.to_vec(),
        };
        let inputs = inputs.iter().map(picture).collect();
        let submission = request(&asked, Some("m"), settings, Some("task(x)"), inputs);
        (submission.path, serde_json::from_slice(&submission.body).unwrap())
    }

    #[test]
    fn a_request_has_what_was_given_and_the_configuration_fills_the_rest() {
        let params = ImageParams { width: 64, height: 32, n: 2, ..ImageParams::new("a cat") };
        let plain = json!({
            "prompt": "a cat, in ink", "width": 64, "height": 32, "seed": 5, "batch_size": 1, "n_iter": 2, "negative_prompt": "photo",
            "send_images": true, "save_images": false, "force_task_id": "task(x)",
            "override_settings": { "sd_model_checkpoint": "m" },
        });
        assert_eq!(sent(params.clone(), &WebUiSettings::default(), &[]), ("sdapi/v1/txt2img", plain));
        let settings = WebUiSettings {
            sampler: Some("Euler a".into()),
            scheduler: Some("karras".into()),
            steps: Some(30),
            cfg_scale: Some(5.5),
            batch_size: 4,
        };
        let extra = r#"{"sampler_name":"LCM","override_settings":{"CLIP_stop_at_last_layers":2}}"#;
        let params = ImageParams {
            steps: Some(8),
            seed: Some(1 << 40),
            negative_prompt: Some("fog".into()),
            extra: Some(JsonText::parse(extra.into()).unwrap()),
            ..params
        };
        let (_, body) = sent(params, &settings, &[]);
        let of = |name: &str| body[name].clone();
        assert_eq!(
            (of("steps"), of("cfg_scale"), of("sampler_name"), of("scheduler")),
            (json!(8), json!(5.5), json!("LCM"), json!("karras"))
        );
        assert_eq!((of("batch_size"), of("n_iter"), of("seed")), (json!(2), json!(1), json!(1_u64 << 40)));
        assert_eq!(of("negative_prompt"), "fog, photo");
        let overrides = json!({ "CLIP_stop_at_last_layers": 2, "sd_model_checkpoint": "m" });
        assert_eq!(of("override_settings"), overrides);
    }

    #[test]
    fn a_picture_and_a_mask_are_sent_in_the_body() {
        let params = ImageParams { strength: Some(0.4), ..ImageParams::new("a cat") };
        let (path, body) = sent(params, &WebUiSettings::default(), &[b"pic", b"msk"]);
        assert_eq!((path, &body["init_images"]), ("sdapi/v1/img2img", &json!(["cGlj"])));
        assert_eq!(
            (&body["mask"], &body["inpainting_mask_invert"], &body["inpainting_fill"]),
            (&json!("bXNr"), &json!(0), &json!(1))
        );
        assert_eq!(body["denoising_strength"], json!(0.4));
    }
}
