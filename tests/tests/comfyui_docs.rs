//! The page about the kind `comfyui`, and the complaints about its configuration.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{fs, path::Path};

use reel_tests::{
    Sandbox,
    process::{Ran, binary, run},
};

/// A workflow in API form without any title that reel knows.
const PLAIN: &str = r#"{
  "6": { "class_type": "CLIPTextEncode", "inputs": { "text": "a cat", "clip": ["30", 1] }, "_meta": { "title": "Positive" } },
  "25": { "class_type": "RandomNoise", "inputs": { "noise_seed": 1 } },
  "27": { "class_type": "EmptySD3LatentImage", "inputs": { "width": 1024, "height": 1024, "batch_size": 1 } },
  "30": { "class_type": "ModelSamplingFlux", "inputs": { "width": 1024, "height": 1024, "model": ["31", 0] } },
  "31": { "class_type": "UNETLoader", "inputs": { "unet_name": "flux1-dev.safetensors" } },
  "52": { "class_type": "LoadImage", "inputs": { "image": "example.png" } },
  "9": { "class_type": "SaveImage", "inputs": { "filename_prefix": "ComfyUI", "images": ["8", 0] } }
}"#;

#[track_caller]
fn check(config: &str, workflow: &str) -> Ran {
    let sandbox = Sandbox::new();
    for name in ["flux.json", "flux-fill.json", "wan.json"] {
        fs::write(sandbox.root().join(name), workflow).unwrap();
    }
    sandbox.configure(config);
    let mut check = sandbox.command(binary("reeld"));
    run(check.arg("--check-config"))
}

#[test]
fn the_examples_in_the_comfyui_documentation_are_valid() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/providers/comfyui.md");
    let page = fs::read_to_string(page).unwrap();
    let examples: Vec<&str> =
        page.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(examples.len(), 4);
    let titled = PLAIN.replace("Positive", "reel:prompt");
    for example in examples {
        check(example, &titled).expect_code(0);
    }
    for key in reeld::provider::KINDS.iter().find(|kind| kind.name() == "comfyui").unwrap().keys() {
        assert!(page.contains(&format!("`{key}`")), "the page does not explain {key}");
    }
    for name in reeld::provider::comfyui_params() {
        assert!(page.contains(&format!("`{name}`")), "the page does not name {name}");
    }
}

#[test]
fn a_workflow_that_cannot_be_used_is_refused_with_what_to_do() {
    let editor = r#"{ "nodes": [{ "id": 6, "type": "CLIPTextEncode" }], "links": [], "version": 0.4 }"#;
    let titled = PLAIN.replace("Positive", "reel:prompt");
    let strange = PLAIN.replace("Positive", "reel:prompt=nothing");
    let own = "workflow = \"flux.json\"\n";
    for (more, workflow, words) in [
        (own.to_owned(), editor, "choose Workflow > Export (API)"),
        (own.to_owned(), "{", "is no JSON"),
        (own.to_owned(), "{}", "has 0 nodes"),
        (own.to_owned(), r#"{"1":{"inputs":{}}}"#, "is no workflow in API form"),
        (own.to_owned(), PLAIN, "give the node with the prompt the title \"reel:prompt\""),
        (own.to_owned(), PLAIN, "nodes with a text: 6 (Positive)"),
        (own.to_owned(), &strange, "no input nothing that can be set (it has: text)"),
        (format!("{own}patch = {{ prompt = \"/6/inputs/nothing\" }}"), PLAIN, "node 6 has no input nothing"),
        (format!("{own}patch = {{ prompt = \"/7/inputs/text\" }}"), PLAIN, "it has no node 7"),
        (
            format!("{own}patch = {{ prompt = \"6.text\" }}"),
            PLAIN,
            "a pointer has the form /NODE/inputs/NAME",
        ),
        (format!("{own}patch = {{ prompt = \"/6/inputs/clip\" }}"), PLAIN, "comes from node 30"),
        (format!("{own}patch = 7"), PLAIN, "patch must be a table of JSON pointers"),
        ("patch = { prompt = \"/6/inputs/text\" }".to_owned(), PLAIN, "needs workflow"),
        ("workflow = \"missing.json\"".to_owned(), PLAIN, "cannot be read"),
        ("workflow = \".\"".to_owned(), PLAIN, "is no file"),
        ("services = [\"image\", \"video\"]".to_owned(), PLAIN, "needs video_workflow"),
        ("workflw = \"flux.json\"".to_owned(), &titled, "did you mean workflow?"),
    ] {
        let ran = check(&format!("[providers.comfy]\nkind = \"comfyui\"\n{more}\n"), workflow);
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert_ne!(ran.code, Some(0), "{more}");
        assert!(said.contains(words), "{more}\n{words}\n{said}");
    }
}
