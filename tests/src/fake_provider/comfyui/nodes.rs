//! The types of nodes that the server knows, and what it says about workflows that do not fit them.

use serde_json::{Map, Value, json};

use super::{Disk, Switches};

/// The types that save files, and so make a workflow one that the server runs.
const OUTPUTS: [&str; 5] = ["SaveImage", "PreviewImage", "SaveVideo", "SaveWEBM", "SaveNowhere"];

/// Returns what the server says about a type. None if it does not have the type.
pub(super) fn info(class: &str, switches: &Switches) -> Option<Value> {
    let text = json!(["STRING", { "multiline": true }]);
    let number = |max: u64| json!(["INT", { "default": 1, "min": 1, "max": max }]);
    let required = match class {
        "CheckpointLoaderSimple" => {
            json!({ "ckpt_name": [switches.checkpoints, { "tooltip": "The name." }] })
        }
        "CLIPTextEncode" => json!({ "text": text, "clip": ["CLIP"] }),
        "EmptyLatentImage" => {
            json!({ "width": number(16_384), "height": number(16_384), "batch_size": number(4_096) })
        }
        "KSampler" => {
            json!({ "seed": ["INT", { "min": 0 }], "steps": number(10_000), "sampler_name": ["COMBO", { "options": ["euler", "ddim"] }] })
        }
        "LoadImage" | "LoadImageMask" => json!({ "image": [[], { "image_upload": true }] }),
        "VAEDecode" => json!({ "samples": ["LATENT"], "vae": ["VAE"] }),
        "VAEEncode" => json!({ "pixels": ["IMAGE"], "vae": ["VAE"] }),
        "ImageScale" => json!({ "image": ["IMAGE"], "width": number(16_384), "height": number(16_384) }),
        "RepeatLatentBatch" => json!({ "samples": ["LATENT"], "amount": number(64) }),
        "SetLatentNoiseMask" => json!({ "samples": ["LATENT"], "mask": ["MASK"] }),
        "MaskToImage" => json!({ "mask": ["MASK"] }),
        "ImageToMask" => json!({ "image": ["IMAGE"], "channel": [["red", "green", "blue", "alpha"]] }),
        "SaveImage" | "SaveNowhere" | "PreviewImage" => json!({ "images": ["IMAGE"] }),
        "SaveVideo" | "SaveWEBM" => json!({ "filename_prefix": ["STRING", {}] }),
        "EmptyImage" => {
            let colour = json!(["INT", { "default": 0, "min": 0, "max": 0xff_ffff }]);
            json!({ "width": number(4_096), "height": number(4_096), "batch_size": number(4_096), "color": colour })
        }
        "PrimitiveString" => json!({ "value": ["STRING", {}] }),
        "PrimitiveInt" => json!({ "value": ["INT", {}] }),
        _ => return None,
    };
    Some(
        json!({ "input": { "required": required, "optional": {} }, "name": class, "output_node": OUTPUTS.contains(&class) }),
    )
}

/// Checks a workflow. Returns the body of the answer with the status 400 if it does not hold.
pub(super) fn check(graph: &Map<String, Value>, switches: &Switches, disk: &Disk) -> Result<(), Value> {
    let refused = |kind: &str, message: String, details: String, node_errors: Value| {
        let error = json!({ "type": kind, "message": message, "details": details, "extra_info": {} });
        Err(json!({ "error": error, "node_errors": node_errors }))
    };
    for (id, node) in graph {
        let class = node["class_type"].as_str().unwrap_or_default();
        if info(class, switches).is_none() {
            let message = format!("Cannot execute because node {class} does not exist.");
            return refused("invalid_prompt", message, format!("Node ID '#{id}'"), json!([]));
        }
    }
    if !graph.values().any(|node| OUTPUTS.contains(&node["class_type"].as_str().unwrap())) {
        return refused("prompt_no_outputs", "Prompt has no outputs".to_owned(), String::new(), json!([]));
    }
    let mut errors = Map::new();
    for (id, node) in graph {
        let found = node_errors(node, switches, disk);
        if !found.is_empty() {
            errors.insert(
                id.clone(),
                json!({ "errors": found, "dependent_outputs": ["7"], "class_type": node["class_type"] }),
            );
        }
    }
    if errors.is_empty() {
        return Ok(());
    }
    let message = "Prompt outputs failed validation".to_owned();
    refused("prompt_outputs_failed_validation", message, String::new(), Value::Object(errors))
}

fn node_errors(node: &Value, switches: &Switches, disk: &Disk) -> Vec<Value> {
    let class = node["class_type"].as_str().unwrap();
    let info = info(class, switches).unwrap();
    let mut errors = Vec::new();
    for (input, spec) in info["input"]["required"].as_object().unwrap() {
        let given = &node["inputs"][input];
        let error = |kind: &str, message: String, details: String| {
            json!({ "type": kind, "message": message, "details": details,
                    "extra_info": { "input_name": input, "input_config": spec, "received_value": given } })
        };
        if given.is_null() && !matches!(class, "KSampler" | "VAEDecode" | "SaveVideo" | "SaveWEBM") {
            errors.push(error(
                "required_input_missing",
                "Required input is missing".to_owned(),
                input.clone(),
            ));
            continue;
        }
        if class.starts_with("LoadImage") {
            let name = given.as_str().unwrap_or_default();
            if !disk.inputs.contains_key(name) {
                errors.push(json!({ "type": "custom_validation_failed", "message": "Custom validation failed for node",
                    "details": format!("image - Invalid image file: {name}"), "extra_info": { "input_name": input } }));
            }
            continue;
        }
        let list = spec[0].as_array().or_else(|| spec[1]["options"].as_array());
        if let Some(list) = list.filter(|list| given.is_string() && !list.contains(given)) {
            let details = format!("{input}: {given} not in {}", Value::Array(list.clone()));
            errors.push(error("value_not_in_list", "Value not in list".to_owned(), details));
        }
        if let (Some(value), Some(max)) = (given.as_f64(), spec[1]["max"].as_f64())
            && value > max
        {
            errors.push(error(
                "value_bigger_than_max",
                format!("Value {value} bigger than max of {max}"),
                input.clone(),
            ));
        }
        if let (Some(value), Some(min)) = (given.as_f64(), spec[1]["min"].as_f64())
            && value < min
        {
            let message = format!("Value {value} smaller than min of {min}");
            errors.push(error("value_smaller_than_min", message, input.clone()));
        }
    }
    errors
}
