//! The types of nodes that the server knows, with their inputs and outputs as the real server lists them.

use serde_json::{Value, json};

use super::Switches;

/// A type of node.
pub(super) struct Type {
    /// The inputs that a node must have, by name: the type or the list of values, then the options.
    pub required: Value,
    /// The inputs that a node may have.
    pub optional: Value,
    /// The types of its outputs.
    pub outputs: &'static [&'static str],
    /// Whether it saves or shows files, and so makes a workflow one that the server runs.
    pub saves: bool,
}

impl Type {
    /// Returns what the server says about the type.
    pub fn shown(&self, class: &str) -> Value {
        json!({
            "input": { "required": self.required, "optional": self.optional },
            "output": self.outputs, "name": class, "output_node": self.saves,
        })
    }
}

/// Returns a type. None if the server does not have it.
pub(super) fn find(class: &str, switches: &Switches) -> Option<Type> {
    let made = |required: Value, outputs: &'static [&'static str]| {
        Some(Type { required, optional: json!({}), outputs, saves: false })
    };
    let side = || int(1, 16_384);
    let is_a = |name: &str| json!([name, {}]);
    match class {
        "CheckpointLoaderSimple" => made(
            json!({ "ckpt_name": [switches.checkpoints, { "tooltip": "The name." }] }),
            &["MODEL", "CLIP", "VAE"],
        ),
        "CLIPTextEncode" => made(json!({ "text": text(), "clip": is_a("CLIP") }), &["CONDITIONING"]),
        "EmptyLatentImage" => made(
            json!({ "width": int(16, 16_384), "height": int(16, 16_384), "batch_size": int(1, 4_096) }),
            &["LATENT"],
        ),
        "KSampler" => made(
            json!({
                "model": is_a("MODEL"), "seed": int(0, u64::MAX), "steps": int(1, 10_000), "cfg": float(0.0, 100.0),
                "sampler_name": [["euler", "ddim"], {}], "scheduler": [["normal", "karras"], {}],
                "positive": is_a("CONDITIONING"), "negative": is_a("CONDITIONING"), "latent_image": is_a("LATENT"),
                "denoise": float(0.0, 1.0),
            }),
            &["LATENT"],
        ),
        // The real server lists only the files that are in no folder, and takes others too.
        "LoadImage" => {
            made(json!({ "image": [["example.png"], { "image_upload": true }] }), &["IMAGE", "MASK"])
        }
        "LoadImageMask" => made(
            json!({ "image": [["example.png"], { "image_upload": true }], "channel": [["alpha", "red", "green", "blue"]] }),
            &["MASK"],
        ),
        "VAEDecode" => made(json!({ "samples": is_a("LATENT"), "vae": is_a("VAE") }), &["IMAGE"]),
        "VAEEncode" => made(json!({ "pixels": is_a("IMAGE"), "vae": is_a("VAE") }), &["LATENT"]),
        "ImageScale" => made(
            json!({
                "image": is_a("IMAGE"), "upscale_method": [["nearest-exact", "bilinear", "area", "bicubic", "lanczos"]],
                "width": int(0, 16_384), "height": int(0, 16_384), "crop": [["disabled", "center"]],
            }),
            &["IMAGE"],
        ),
        "RepeatLatentBatch" => made(json!({ "samples": is_a("LATENT"), "amount": int(1, 64) }), &["LATENT"]),
        "SetLatentNoiseMask" => made(json!({ "samples": is_a("LATENT"), "mask": is_a("MASK") }), &["LATENT"]),
        "MaskToImage" => made(json!({ "mask": is_a("MASK") }), &["IMAGE"]),
        "ImageToMask" => {
            made(json!({ "image": is_a("IMAGE"), "channel": [["red", "green", "blue", "alpha"]] }), &["MASK"])
        }
        "ImageInvert" => made(json!({ "image": is_a("IMAGE") }), &["IMAGE"]),
        "ImageBlur" => made(
            json!({ "image": is_a("IMAGE"), "blur_radius": int(1, 31), "sigma": float(0.1, 10.0) }),
            &["IMAGE"],
        ),
        "EmptyImage" => made(
            json!({ "width": side(), "height": side(), "batch_size": int(1, 4_096), "color": int(0, 0xff_ffff) }),
            &["IMAGE"],
        ),
        "PrimitiveString" => made(json!({ "value": ["STRING", {}] }), &["STRING"]),
        "PrimitiveInt" => made(json!({ "value": ["INT", {}] }), &["INT"]),
        "PrimitiveFloat" => made(json!({ "value": ["FLOAT", {}] }), &["FLOAT"]),
        "CreateVideo" => Some(Type {
            required: json!({ "images": is_a("IMAGE"), "fps": float(1.0, 120.0) }),
            optional: json!({ "audio": is_a("AUDIO") }),
            outputs: &["VIDEO"],
            saves: false,
        }),
        _ => saving(class),
    }
}

/// Returns a type that saves or shows files.
fn saving(class: &str) -> Option<Type> {
    let is_a = |name: &str| json!([name, {}]);
    let prefix = || json!(["STRING", { "default": "ComfyUI" }]);
    let required = match class {
        "SaveImage" => json!({ "images": is_a("IMAGE"), "filename_prefix": prefix() }),
        // Each start of the real server gives the files of this type a name of their own.
        "PreviewImage" => json!({ "images": is_a("IMAGE") }),
        "SaveVideo" => json!({
            "video": is_a("VIDEO"), "filename_prefix": prefix(),
            "format": ["COMBO", { "options": ["auto", "mp4"] }], "codec": ["COMBO", { "options": ["auto", "h264"] }],
        }),
        "SaveWEBM" => json!({
            "images": is_a("IMAGE"), "filename_prefix": prefix(), "codec": ["COMBO", { "options": ["vp9", "av1"] }],
            "fps": float(0.01, 1_000.0), "crf": float(0.0, 63.0),
        }),
        _ => return None,
    };
    Some(Type { required, optional: json!({}), outputs: &[], saves: true })
}

fn text() -> Value {
    json!(["STRING", { "multiline": true }])
}

fn int(min: u64, max: u64) -> Value {
    json!(["INT", { "default": min, "min": min, "max": max }])
}

fn float(min: f64, max: f64) -> Value {
    json!(["FLOAT", { "default": min, "min": min, "max": max }])
}
