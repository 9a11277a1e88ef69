//! The machine-checked part of the specification: `schema.json` and `reference.md` of the crate `reel-protocol` are what its types say now, and the
//! examples, the lines of earlier versions and the daemon's real answers fit them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

mod check;
mod served;
mod tables;

use std::{fs, path::PathBuf};

use reel_protocol::schema;
use serde_json::Value;

use self::check::Checker;

fn protocol(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("protocol").join(file)
}

#[test]
fn the_schema_and_the_reference_are_what_the_types_say() {
    let document = schema::document();
    let written = [
        ("schema.json", serde_json::to_string_pretty(&document).unwrap() + "\n"),
        ("src/reference.md", tables::page(&document)),
    ];
    for (file, text) in written {
        if std::env::var_os("REEL_WRITE_REFERENCE").is_some() {
            fs::write(protocol(file), &text).unwrap();
        }
        let kept = fs::read_to_string(protocol(file)).unwrap_or_default();
        let differs = text.lines().zip(kept.lines()).find(|(new, old)| new != old);
        assert!(
            text == kept,
            "protocol/{file} is out of date: REEL_WRITE_REFERENCE=1 cargo test -p reel-tests --test specification writes it anew ({differs:?})"
        );
    }
}

#[test]
fn every_field_and_every_type_is_documented() {
    let document = schema::document();
    let is_told = |schema: &Value| schema["description"].as_str().is_some_and(|text| text.ends_with('.'));
    for (name, definition) in document["$defs"].as_object().unwrap() {
        assert!(is_told(definition), "{name}");
        for (field, schema) in definition["properties"].as_object().into_iter().flatten() {
            assert!(is_told(schema), "{name}.{field}");
        }
        for value in definition["oneOf"].as_array().into_iter().flatten() {
            assert!(is_told(value), "{name}: {value}");
        }
        assert!(definition.get("enum").is_none(), "{name} has a value without a description");
    }
}

/// A page in the tree has no rustdoc, so its links lead to files beside it, and to headings of the reference.
#[test]
fn the_links_of_the_specification_lead_to_files_and_headings() {
    let text = fs::read_to_string(protocol("src/specification.md")).unwrap();
    let reference = fs::read_to_string(protocol("src/reference.md")).unwrap();
    let anchor = |heading: &str| {
        let kept = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        kept.chars().filter(|letter| letter.is_alphanumeric() || "-_".contains(*letter)).collect::<String>()
    };
    let headings: Vec<_> = reference.lines().filter(|line| line.starts_with('#')).map(anchor).collect();
    let defined: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with('['))
        .filter_map(|line| line.split_once("]: "))
        .filter(|(_, target)| !target.contains(' '))
        .collect();
    for (label, target) in &defined {
        let (file, heading) = target.split_once('#').unwrap_or((target, ""));
        assert!(protocol("src").join(file).is_file(), "{label}]: {target}");
        assert!(heading.is_empty() || headings.iter().any(|known| known == heading), "{label}]: {target}");
    }
    for used in text.split("[`").skip(1).filter_map(|rest| rest.split_once("`]")) {
        let (label, rest) = used;
        let is_defined = defined.iter().any(|(known, _)| *known == format!("[`{label}`"));
        assert!(rest.starts_with('(') || is_defined, "[`{label}`] leads nowhere");
    }
}

#[test]
fn every_example_of_the_specification_fits_the_schema() {
    let checker = Checker::new();
    let text = fs::read_to_string(protocol("src/specification.md")).unwrap();
    let mut request = serde_json::json!({});
    let mut checked = 0;
    for line in text.lines().filter(|line| line.starts_with("{\"jsonrpc\"")) {
        let message: Value = serde_json::from_str(line).unwrap();
        if message.get("id").is_some() && message.get("method").is_some() {
            request = message.clone();
        }
        let is_its_answer = message.get("id").is_some() && message["id"] == request["id"];
        let method = is_its_answer.then(|| request["method"].as_str().unwrap());
        checker.message(method, &message);
        checked += 1;
    }
    assert!(checked > 80, "{checked}");
}
