//! What a provider may respond. A picture that arrived whole was paid for, so it is kept, whatever else the response has. If there is no picture, the
//! provider's own message is shown.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::fs;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use reel_tests::{
    FakeProvider, every,
    fake_provider::Fault,
    studio::{ask_once, studio},
};
use serde_json::json;

/// Returns a valid PNG of 64×64 pixels with this many additional bytes in a chunk that decoders ignore.
fn png(more_bytes: usize) -> Vec<u8> {
    let mut file = Vec::new();
    let mut writer = png::Encoder::new(&mut file, 64, 64).write_header().unwrap();
    writer.write_image_data(&[7; 64 * 64]).unwrap();
    if more_bytes > 0 {
        let noise: Vec<u8> = (0..more_bytes).map(|n| ((n * n) >> 3) as u8).collect();
        writer.write_chunk(png::chunk::ChunkType(*b"noIs"), &noise).unwrap();
    }
    writer.finish().unwrap();
    file
}

/// The documented response. `PNG` is replaced by the picture.
const GOOD: &str = r#"{"created":1,"data":[{"b64_json":"PNG"}]}"#;

/// Fields that a response may have beside the picture.
const BESIDE: &[&str] = &[
    r#""error":{}"#,
    r#""error":{"message":"","type":"","param":"","code":null}"#,
    r#""error":"""#,
    r#""error":[]"#,
    r#""error":false"#,
    r#""error":{"code":0,"message":"success"}"#,
    r#""error":{"message":"a warning"}"#,
    r#""cost":NaN"#,
    r#""seed":-Infinity"#,
];

/// Other shapes of a response that contains the picture.
const SHAPES: &[&str] = &[
    r#"{"data":[{"b64_json":"PNG"}],"data":[]}"#,
    r#"{"data":[{"b64_json":"PNG","b64_json":null}]}"#,
    r#"{"data":[{"b64_json":"PNG",},],}"#,
    "{'data': [{'b64_json': 'PNG', 'url': None}]}",
    r#"{"data":[{"b64_json":null,"url":"data:image/png;base64,PNG"}]}"#,
    r#"{"data":[{"b64_json":"data:image/png;base64,PNG"}]}"#,
    r#"{"data":{"b64_json":"PNG"}}"#,
    r#"[{"b64_json":"PNG"}]"#,
    r#"{"data":["PNG"]}"#,
    r#"{"images":["PNG"],"info":"{\"seed\":1}"}"#,
    r#"{"artifacts":[{"base64":"PNG","finishReason":"SUCCESS"}]}"#,
    r#"{"choices":[{"message":{"images":[{"image_url":{"url":"data:image/png;base64,PNG"}}]}}]}"#,
    r#"{"candidates":[{"content":{"parts":[{"inlineData":{"mimeType":"image/png","data":"PNG"}}]}}]}"#,
    r#"{"status":"done","deep":{"deeper":[{"pixels":"PNG"}]}}"#,
    r#"{"created":1,"data":[{"b64_json":"PNG""#,
    r#"ok: {"data":[{"b64_json":"PNG"}]}"#,
    "\u{feff}{\"data\":[{\"b64_json\":\"PNG\"}]}",
    r#"{"data":[{"b64_json":"PNG"}]}x"#,
    "{\"data\":[{\"b64_json\":\"PNG\"}]}\n<!-- 12 ms -->",
    r#"{"data":[{"b64_json":"PNG"}]}{"error":{"message":"late"}}"#,
    "{\"data\":[{\"b64_json\":\"PNG\"}]}\n\ndata: [DONE]\n\n",
    "event: done\ndata: {\"data\":[{\"b64_json\":\"PNG\"}]}\n\ndata: [DONE]\n\n",
    "PNG",
    "\"PNG\"",
    "data:image/png;base64,PNG\n",
];

/// Returns responses with status 200 that contain this picture: the name of the case, the media type and the body.
fn answers(picture: &[u8]) -> Vec<(String, &'static str, Vec<u8>)> {
    let text = STANDARD.encode(picture);
    let json = |shape: &str, body: String| (shape.to_owned(), "application/json", body.into_bytes());
    let with = |shape: &str| json(shape, shape.replace("PNG", &text));
    let mut answers: Vec<_> = SHAPES.iter().map(|shape| with(shape)).collect();
    answers.extend(BESIDE.iter().map(|field| with(&GOOD.replace("\"created\":1", field))));
    for media_type in ["application/json", "text/html; charset=utf-8", "text/event-stream", "image/png"] {
        answers.push((format!("JSON as {media_type}"), media_type, GOOD.replace("PNG", &text).into_bytes()));
        answers.push((format!("the picture as {media_type}"), media_type, picture.to_vec()));
    }
    let escaped = text.replace('/', "\\/").replace('+', "\\u002B");
    let lines = text.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap()).collect::<Vec<_>>();
    answers.push(json("escapes", GOOD.replace("PNG", &escaped)));
    answers.push(json("lines", GOOD.replace("PNG", &lines.join("\\r\\n"))));
    answers.push(json("the alphabet of URLs", GOOD.replace("PNG", &URL_SAFE_NO_PAD.encode(picture))));
    let wide = GOOD.replace("PNG", &text);
    let wide = [0xfeff].into_iter().chain(wide.encode_utf16()).flat_map(u16::to_le_bytes);
    answers.push(("UTF-16".to_owned(), "application/json", wide.collect()));
    let other = GOOD.replace("\"created\":1", "\"note\":\"\u{1}\"").replace("PNG", &text).into_bytes();
    let other = other.into_iter().map(|byte| if byte == 1 { 0xd3 } else { byte });
    answers.push(("no UTF-8".to_owned(), "application/json; charset=gbk", other.collect()));
    answers
}

#[test]
fn a_complete_picture_is_kept_whatever_else_the_response_has() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "max_concurrent = 100");
    let mut connection = sandbox.connect();
    // A small picture stays in memory. A large one is written to a file as it arrives.
    for picture in [png(0), png(1_300_000)] {
        let answers = answers(&picture);
        assert!(answers.len() >= 40);
        let cases = answers.into_iter().map(|(name, media_type, body)| (name, (media_type, body)));
        every(cases, |name, (media_type, body)| {
            let prompt = format!("{name} {}", picture.len());
            provider
                .on_prompt(&prompt, Fault::Answered { status: 200, media_type, headers: Vec::new(), body });
            let task = ask_once(&mut connection, &prompt);
            assert_eq!(task["state"], "succeeded", "{name}: {}", task["error"]);
            let output = &task["outputs"][0];
            assert_eq!(
                (&output["media_type"], &output["width"]),
                (&json!("image/png"), &json!(64)),
                "{name}"
            );
            assert!(fs::read(output["path"].as_str().unwrap()).unwrap() == picture, "{name}");
            assert_eq!(
                (task["outputs"].as_array().unwrap().len(), provider.calls_of(&prompt)),
                (1, 1),
                "{name}"
            );
        });
    }
}

#[test]
fn a_picture_that_reel_cannot_decode_is_kept_unchanged() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "");
    let mut connection = sandbox.connect();
    let svg =
        b"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"8\" height=\"8\"><path d=\"M0 0h8v8z\"/></svg>";
    let mut damaged = png(2_000);
    let late = damaged.len() - 12 - 4 - 100;
    damaged[late] ^= 1;
    let formats = [
        ("image/avif", "avif", &b"\0\0\0\x20ftypavif\0\0\0\0avifmif1miafMA1B and more of it, until it is long enough"[..]),
        ("image/gif", "gif", b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff!\xf9\x04\x01\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x01D\0;"),
        ("image/bmp", "bmp", b"BM\x3a\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\x18\0\0\0\0\0\x04\0\0\0"),
        ("image/tiff", "tiff", b"II*\0\x08\0\0\0\0\0\0\0\0\0"),
        ("image/jp2", "jp2", b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\x14ftypjp2 "),
        ("image/jxl", "jxl", b"\xff\x0a\xfa\x7f\x01\x90\x08\x06"),
        ("image/svg+xml", "svg", svg),
        ("application/octet-stream", "bin", b"\x01\x02\x03\x04\xff\xfe\xfd no format at all"),
        ("image/png", "png", &damaged),
    ];
    let ways = ["as base64", "as a URL", "as it is"];
    let cases =
        formats.into_iter().flat_map(|format| ways.map(|way| (format!("{} {way}", format.1), (format, way))));
    every(cases, |name, ((media_type, extension, bytes), way)| {
        if way == "as it is" && extension == "bin" {
            return;
        }
        let url = format!("data:{media_type};base64,{}", STANDARD.encode(bytes));
        let body = match way {
            "as base64" => {
                json!({ "data": [{ "b64_json": STANDARD.encode(bytes) }] }).to_string().into_bytes()
            }
            "as a URL" => json!({ "data": [{ "url": url }] }).to_string().into_bytes(),
            _ => bytes.to_vec(),
        };
        provider.on_prompt(name, Fault::answered(200, body));
        let task = ask_once(&mut connection, name);
        assert_eq!(task["state"], "succeeded", "{name}: {}", task["error"]);
        let output = &task["outputs"][0];
        assert_eq!(output["media_type"], media_type, "{name}");
        let path = output["path"].as_str().unwrap();
        assert!(path.ends_with(&format!(".{extension}")), "{path}");
        assert!(fs::read(path).unwrap() == bytes, "{name}");
    });
    // A base64 text instead of a picture is not kept, but its words are shown.
    let body = json!({ "data": [{ "b64_json": STANDARD.encode("out of paint, sorry") }] });
    provider.on_prompt("a text", Fault::answered(200, body.to_string()));
    let task = ask_once(&mut connection, "a text");
    assert_eq!(task["error"]["code"], "provider_failed", "{task}");
    assert!(task["error"]["message"].as_str().unwrap().contains("out of paint"), "{task}");
}

/// Responses that refuse a request: status and body, and the error's code, words and hint to which they lead.
const REFUSALS: &[(u16, &str, &str, &str, &str)] = &[
    (
        422,
        r#"{"detail":[{"loc":["body","size"],"msg":"WORDS"}]}"#,
        "provider_refused",
        "size: WORDS",
        "request",
    ),
    (
        422,
        r#"{"success":false,"errors":[{"code":7,"message":"WORDS"}]}"#,
        "provider_refused",
        "WORDS",
        "request",
    ),
    (422, r#"[{"error":{"message":"WORDS"}}]"#, "provider_refused", "WORDS", "request"),
    (422, r#"{"error":{"error":{"message":"WORDS"}}}"#, "provider_refused", "WORDS", "request"),
    (422, "WORDS", "provider_refused", "WORDS", "request"),
    (
        404,
        r#"{"error":{"message":"Invalid URL (POST /v1/x)"}}"#,
        "provider_refused",
        "Invalid URL",
        "base_url",
    ),
    (404, "<html><title>404 Not Found</title></html>", "provider_refused", "404 Not Found", "base_url"),
    (500, "WORDS: no key", "provider_unavailable", "WORDS: no key", "reel providers"),
    (
        400,
        r#"{"error":{"message":"No connected db.","type":"no_db_connection","code":"400"}}"#,
        "provider_auth",
        "No connected db.",
        "providers key studio",
    ),
    (
        400,
        r#"{"error":{"message":"litellm.ContentPolicyViolationError: WORDS","type":"invalid_request_error","code":"400"}}"#,
        "moderated",
        "WORDS",
        "prompt",
    ),
    (
        400,
        r#"{"error":{"message":"rejected by the safety system. safety_violations=[x]","type":"image_generation_user_error","code":"400"}}"#,
        "moderated",
        "safety",
        "prompt",
    ),
    (
        429,
        r#"{"error":{"message":"You exceeded your current quota","type":"throttling_error","code":"429"}}"#,
        "quota_exceeded",
        "quota",
        "top it up",
    ),
    (200, r#"{"code":1001,"msg":"余额不足"}"#, "quota_exceeded", "余额不足", "top it up"),
    (200, r#"{"detail":"model not loaded"}"#, "provider_failed", "model not loaded", "reel retry"),
    (200, r#"{"data":[],"note":"WORDS"}"#, "provider_failed", "WORDS", "reel retry"),
    (
        200,
        "<!doctype html><title>Log in</title>",
        "provider_failed",
        "web page instead of JSON: Log in",
        "base_url",
    ),
];

#[test]
fn the_message_and_the_status_of_a_provider_are_shown() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "billing = \"free\"");
    let mut connection = sandbox.connect();
    let cases = REFUSALS.iter().map(|case| (format!("{} {}", case.0, case.1), case));
    every(cases, |name, (status, body, code, words, hint)| {
        provider.on_prompt(name, Fault::answered(*status, *body));
        let task = ask_once(&mut connection, name);
        let error = &task["error"];
        assert_eq!(
            (&error["code"], &error["provider_status"]),
            (&json!(code), &json!(status)),
            "{name}: {error}"
        );
        let shown = error["message"].as_str().unwrap();
        assert!(shown.contains(words), "{name}: {error}");
        assert!(*status == 200 || shown.contains(&format!("(status {status})")), "{name}: {error}");
        assert!(error["hint"].as_str().unwrap().contains(hint), "{name}: {error}");
    });
}

#[test]
fn a_gateway_that_lost_its_upstream_response_is_named_and_the_task_is_held() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "");
    let mut connection = sandbox.connect();
    let message =
        "litellm.APIConnectionError: Connection refused\nTraceback (most recent call last):\n  File \"x.py\"";
    let body = json!({ "error": { "message": message, "type": null, "code": "500" } }).to_string();
    provider.always(Fault::answered(500, body));
    let task = ask_once(&mut connection, "lost behind");
    assert_eq!((&task["state"], &task["hold_reason"]), (&json!("held"), &json!("outcome_unknown")), "{task}");
    let shown = task["error"]["message"].as_str().unwrap();
    assert!(shown.contains("the service behind it") && !shown.contains("Traceback"), "{shown}");
    assert_eq!(provider.calls(), 1);
}

#[test]
fn a_complete_picture_in_a_response_with_a_failure_status_is_kept() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "");
    let mut connection = sandbox.connect();
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 64, 64);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().unwrap().write_image_data(&[90; 64 * 64]).unwrap();
    let body = |picture: &str| {
        json!({ "error": { "message": "upstream timed out" }, "data": [{ "b64_json": picture }] }).to_string()
    };
    let good = body(&STANDARD.encode(&bytes));
    for status in [500, 429, 400, 504] {
        let text = format!("a picture with {status}");
        provider.on_prompt(&text, Fault::answered(status, good.clone()));
        let task = ask_once(&mut connection, &text);
        assert_eq!((&task["state"], &task["attempts"]), (&json!("succeeded"), &json!(1)), "{status}: {task}");
        assert!(task["notes"].to_string().contains("upstream timed out"), "{task}");
    }
    // A part of a picture, or the URL of one, is not a picture that was received.
    let cut = body(&STANDARD.encode(&bytes[..bytes.len() / 2]));
    let address = json!({ "error": { "message": "no" }, "data": [{ "url": format!("{}/files/x.png", provider.base_url()) }] });
    for (text, body) in [("cut", cut), ("an address", address.to_string())] {
        provider.on_prompt(text, Fault::answered(400, body));
        let task = ask_once(&mut connection, text);
        assert_eq!(
            (&task["state"], &task["error"]["code"]),
            (&json!("failed"), &json!("provider_refused")),
            "{text}: {task}"
        );
    }
    assert_eq!(provider.fetches(), 0);
}
