//! Pictures made from pictures: files are put into the store, and requests start from them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reel_tests::{Connection, FakeProvider, Sandbox, fake_provider::Fault, studio::studio};
use serde_json::{Value, json};

/// Writes a grey picture of this size and returns its bytes.
fn picture(path: &Path, width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().unwrap().write_image_data(&vec![90; (width * height) as usize]).unwrap();
    fs::write(path, &bytes).unwrap();
    bytes
}

fn put(sandbox: &Sandbox, path: &Path) -> Value {
    sandbox.connect().ok("artifact.put", json!({ "path": path }))
}

fn work(sandbox: &Sandbox, name: &str) -> PathBuf {
    sandbox.work().join(name)
}

#[test]
fn input_pictures_are_sent_unchanged() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "");
    let first = picture(&work(&sandbox, "a.png"), 64, 48);
    let second = picture(&work(&sandbox, "b.png"), 32, 32);
    let mask = picture(&work(&sandbox, "mask.png"), 64, 48);
    // The client follows a symbolic link and puts the file to which it leads.
    symlink(work(&sandbox, "b.png"), work(&sandbox, "link.png")).unwrap();
    let arguments = ["--image", "a.png", "--image", "link.png", "--mask", "mask.png", "-s", "64x64"];
    let ran = sandbox.reel(&[&["generate", "the same at night", "-o", "night.png"], &arguments[..]].concat());
    ran.expect_code(0);
    assert!(fs::read(work(&sandbox, "night.png")).unwrap().starts_with(b"\x89PNG"));
    let request = provider.requests().pop().unwrap();
    assert_eq!(request.path, "/v1/images/edits");
    let parts = request.parts();
    let text = |name: &str| {
        let part = parts.iter().find(|part| part.name == name);
        part.map(|part| String::from_utf8(part.bytes.clone()).unwrap())
    };
    assert_eq!(text("prompt").as_deref(), Some("the same at night"));
    assert_eq!((text("model").as_deref(), text("size").as_deref()), (Some("gpt-image-2"), Some("64x64")));
    let files: Vec<_> = parts.iter().filter(|part| part.file_name.is_some()).collect();
    let sent: Vec<_> = files.iter().map(|part| (part.name.as_str(), part.bytes.as_slice())).collect();
    assert_eq!(sent, [("image[]", &*first), ("image[]", &*second), ("mask", &*mask)]);
    assert!(files.iter().all(|part| part.media_type.as_deref() == Some("image/png")), "{files:?}");

    // The same request is in the cache. A request with another picture is another request.
    let again =
        sandbox.reel(&[&["generate", "the same at night", "-o", "again.png"], &arguments[..]].concat());
    again.expect_code(0);
    assert_eq!(provider.calls(), 1);
    sandbox
        .reel(&["generate", "the same at night", "--image", "a.png", "-s", "64x64", "-o", "c.png"])
        .expect_code(0);
    assert_eq!(provider.calls(), 2);
    assert_eq!(
        provider.requests().pop().unwrap().parts().iter().filter(|part| part.name == "image").count(),
        1
    );
}

#[test]
fn files_that_cannot_be_stored_are_refused_with_a_reason() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let at = |name: &str| work(&sandbox, name);
    fs::write(at("empty.png"), b"").unwrap();
    fs::write(at("cut.png"), &picture(&at("whole.png"), 64, 64)[..60]).unwrap();
    symlink(at("whole.png"), at("link.png")).unwrap();
    fs::create_dir(at("directory")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, at("pipe"), 0o600.into()).unwrap();
    let wide = fs::File::create(at("wide.png")).unwrap();
    let mut encoder = png::Encoder::new(wide, 30_000, 1);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().unwrap().write_image_data(&vec![0; 30_000]).unwrap();
    let huge = fs::File::create(at("huge.bin")).unwrap();
    huge.set_len(300 << 20).unwrap();
    for (name, part) in [
        ("missing.png", "cannot read"),
        ("empty.png", "is empty"),
        ("cut.png", "the picture is cut or damaged"),
        ("wide.png", "30000"),
        ("link.png", "a link"),
        ("directory", "a directory"),
        ("pipe", "a pipe or a device"),
        ("huge.bin", "more than 268435456 bytes"),
    ] {
        let error = connection.err("artifact.put", json!({ "path": at(name) }));
        assert_eq!(error.data.code, "invalid_params", "{name}: {}", error.message);
        assert!(error.message.contains(part), "{name}: {}", error.message);
        assert!(error.data.hint.is_some(), "{name}");
    }
    let error = connection.err("artifact.put", json!({ "path": "whole.png" }));
    assert!(error.message.contains("is not an absolute path"), "{}", error.message);
    let foreign = connection.err("artifact.put", json!({ "path": "/proc/1/environ" }));
    assert_eq!(foreign.data.code, "invalid_params", "{}", foreign.message);
    // The command line names the missing file.
    let ran = sandbox.reel(&["generate", "a", "--image", "missing.png", "-o", "x.png"]);
    ran.expect_code(66);
    assert!(ran.stderr.contains("missing.png"), "{}", ran.stderr);
}

#[test]
fn a_task_starts_only_from_pictures_of_the_store() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "");
    let mut connection = sandbox.connect();
    let mut refused = |inputs: Value| {
        let params = json!({ "prompt": "a", "input_images": inputs });
        connection.err("task.submit", json!({ "kind": "image.generate", "params": params }))
    };
    let error = refused(json!(["00".repeat(32)]));
    assert_eq!(error.data.code, "artifact_not_found", "{}", error.message);
    picture(&work(&sandbox, "whole.png"), 64, 48);
    picture(&work(&sandbox, "mask.png"), 32, 48);
    let ran =
        sandbox.reel(&["generate", "a", "--image", "whole.png", "--mask", "mask.png", "-o", "masked.png"]);
    ran.expect_code(65);
    assert!(ran.stderr.contains("the mask has 32×48 pixels, and the picture"), "{}", ran.stderr);
    fs::write(work(&sandbox, "words.txt"), "no picture").unwrap();
    let words = put(&sandbox, &work(&sandbox, "words.txt"));
    assert_eq!((&words["media_type"], &words["size_bytes"]), (&json!("text/plain"), &json!(10)));
    let error = refused(json!([words["digest"]]));
    assert!(error.message.contains("is no picture: it is text/plain"), "{}", error.message);
    let ran = sandbox.reel(&["generate", "a", "--image", "words.txt", "-o", "x.png"]);
    assert!(
        ran.expect_code(65).stderr.contains("words.txt is no picture: it is text/plain"),
        "{}",
        ran.stderr
    );
    let draft =
        sandbox.reel(&["generate", "a", "--image", "whole.png", "--provider", "draft", "-o", "x.png"]);
    draft.expect_code(65);
    assert!(draft.stderr.contains("draft makes no pictures from other pictures"), "{}", draft.stderr);
    assert_eq!(provider.calls(), 0);
}

#[test]
fn a_stored_file_stays_while_a_task_may_need_it() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "");
    picture(&work(&sandbox, "a.png"), 64, 48);
    let artifact = put(&sandbox, &work(&sandbox, "a.png"));
    assert_eq!((&artifact["width"], &artifact["height"]), (&json!(64), &json!(48)));
    fs::remove_file(work(&sandbox, "a.png")).unwrap();
    let mut connection = sandbox.connect();
    // No task names the artifact yet, and the whole cache is cleared.
    connection.ok("cache.clear", json!({}));
    provider.hold();
    let params = json!({ "prompt": "a", "width": 64, "height": 64, "input_images": [artifact["digest"]] });
    let id = connection.submit("image.generate", params.clone());
    provider.wait_for_in_flight(1);
    sandbox.kill();
    provider.release();
    sandbox.start();
    let mut connection = sandbox.connect();
    let task = connection.wait(id);
    // The call may have been paid for, so a person decides. After the release, it is made again with the same picture.
    assert_eq!((&task["state"], &task["hold_reason"]), (&json!("held"), &json!("outcome_unknown")), "{task}");
    connection.ok("task.release", json!({ "id": id }));
    assert_eq!(connection.wait(id)["state"], "succeeded");
    assert_eq!(provider.calls(), 2);
}

#[test]
fn equal_edits_are_one_call_and_a_refused_one_says_why() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "");
    picture(&work(&sandbox, "a.png"), 64, 48);
    let artifact = put(&sandbox, &work(&sandbox, "a.png"));
    let mut connection = sandbox.connect();
    let params = |prompt: &str| json!({ "prompt": prompt, "width": 64, "height": 64, "input_images": [artifact["digest"]] });
    provider.hold();
    let equal = vec![json!({ "kind": "image.generate", "params": params("the same") }); 64];
    let (_, ids) = connection.submit_batch(equal);
    provider.wait_for_in_flight(1);
    provider.release();
    for id in ids {
        assert_eq!(connection.wait(id)["state"], "succeeded");
    }
    assert_eq!(provider.calls(), 1);
    provider.on_prompt("forbidden", Fault::Moderated);
    let id = connection.submit("image.generate", params("forbidden"));
    assert_eq!(connection.wait(id)["error"]["code"], "moderated");
}

#[test]
fn a_thumbnail_is_a_small_png_that_the_cache_keeps() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    picture(&work(&sandbox, "wide.png"), 600, 300);
    let digest = put(&sandbox, &work(&sandbox, "wide.png"))["digest"].clone();
    let files = |connection: &mut Connection| connection.ok("cache.stats", json!({}))["artifacts"].as_u64();
    let before = files(&mut connection);
    let small = |connection: &mut Connection, max_px: u32| {
        let asked = json!({ "digest": digest, "max_px": max_px });
        PathBuf::from(connection.ok("artifact.thumbnail", asked)["path"].as_str().unwrap())
    };
    let size = |path: &Path| {
        let reader = png::Decoder::new(std::io::BufReader::new(fs::File::open(path).unwrap())).read_info();
        let info = reader.unwrap().info().clone();
        (info.width, info.height)
    };
    let path = small(&mut connection, 128);
    assert_eq!(size(&path), (128, 64));
    assert_eq!(small(&mut connection, 128), path);
    assert_eq!(size(&small(&mut connection, 1024)), (600, 300), "nothing is enlarged");
    assert!(files(&mut connection) > before, "it counts in the cache");
    // The thumbnail was used just now, so clearing the cache keeps its file. Its entry is removed, so it is made again after the file is deleted.
    connection.ok("cache.clear", json!({}));
    assert_eq!(size(&path), (128, 64));
    fs::remove_file(&path).unwrap();
    assert_eq!((small(&mut connection, 128), size(&path)), (path.clone(), (128, 64)));

    fs::write(work(&sandbox, "words.txt"), "no picture").unwrap();
    let words = put(&sandbox, &work(&sandbox, "words.txt"))["digest"].clone();
    for (asked, code, part) in [
        (json!({ "digest": words, "max_px": 128 }), "invalid_params", "is no picture: it is text/plain"),
        (json!({ "digest": digest, "max_px": 63 }), "invalid_params", "max_px 63 is not from 64 to 1024"),
        (json!({ "digest": digest, "max_px": 1025 }), "invalid_params", "max_px 1025"),
        (json!({ "digest": "00".repeat(32), "max_px": 128 }), "artifact_not_found", "000"),
    ] {
        let error = connection.err("artifact.thumbnail", asked);
        assert_eq!(error.data.code, code, "{}", error.message);
        assert!(error.message.contains(part) && error.data.hint.is_some(), "{}", error.message);
    }
}

#[test]
fn a_file_can_be_uploaded_in_pieces() {
    let sandbox = Sandbox::started();
    let bytes = picture(&work(&sandbox, "a.png"), 1_200, 900);
    let whole = put(&sandbox, &work(&sandbox, "a.png"));
    let mut connection = sandbox.connect();
    let mut upload = Value::Null;
    let mut offset = 0;
    let pieces: Vec<_> = bytes.chunks(bytes.len().div_ceil(3)).collect();
    for (number, piece) in pieces.iter().enumerate() {
        let is_last = number + 1 == pieces.len();
        let data = STANDARD.encode(piece);
        let params = json!({ "upload": upload, "offset": offset, "data": data, "last": is_last });
        let answer = connection.ok("artifact.put", params);
        offset += piece.len();
        assert_eq!(answer["size_bytes"], offset);
        if is_last {
            assert_eq!((&answer["digest"], &answer["upload"]), (&whole["digest"], &Value::Null));
        } else {
            assert_eq!(answer["digest"], Value::Null);
            upload = answer["upload"].clone();
        }
    }
    for (params, part) in [
        (json!({ "upload": 99, "data": "aGVsbG8=" }), "there is no upload 99"),
        (json!({ "offset": 7, "data": "aGVsbG8=" }), "the piece begins at 7, and 0 bytes came before"),
        (json!({ "data": STANDARD.encode(vec![0; 600_000]) }), "at most 524288 bytes"),
        (json!({ "data": "", "last": true }), "is empty"),
        (json!({}), "either `path` or `data`"),
        (json!({ "path": "/a", "data": "aGVsbG8=" }), "either `path` or `data`"),
    ] {
        let error = connection.err("artifact.put", params);
        assert_eq!(error.data.code, "invalid_params");
        assert!(error.message.contains(part), "{part}: {}", error.message);
    }
    // The number of unfinished uploads is bounded.
    let begin = || json!({ "data": "aGVsbG8=" });
    while connection.call("artifact.put", begin()).is_ok() {}
    let error = connection.err("artifact.put", begin());
    assert!(error.message.contains("16 uploads are under way"), "{}", error.message);
}

#[test]
fn accepted_picture_formats_are_sent_unchanged_and_others_as_png() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "");
    let pixels = image::RgbaImage::from_fn(40, 30, |x, y| image::Rgba([x as u8, y as u8, 7, 255]));
    let pixels = image::DynamicImage::ImageRgba8(pixels);
    for (name, is_sent_as_it_is) in
        [("a.png", true), ("a.jpg", true), ("a.webp", true), ("a.gif", false), ("a.bmp", false)]
    {
        let path = work(&sandbox, name);
        let picture = if name == "a.jpg" { pixels.to_rgb8().into() } else { pixels.clone() };
        picture.save(&path).unwrap();
        let output = format!("of-{name}.png");
        let ran = sandbox.reel(&["generate", name, "--image", name, "-s", "64x64", "-o", &output]);
        ran.expect_code(0);
        let parts = provider.requests().pop().unwrap().parts();
        let sent = parts.iter().find(|part| part.name == "image").unwrap();
        if is_sent_as_it_is {
            assert!(sent.bytes == fs::read(&path).unwrap(), "{name}");
            continue;
        }
        assert_eq!(sent.media_type.as_deref(), Some("image/png"), "{name}");
        assert_eq!(sent.file_name.as_deref(), Some("image-1.png"), "{name}");
        let png = image::load_from_memory_with_format(&sent.bytes, image::ImageFormat::Png).unwrap();
        assert_eq!((png.width(), png.height()), (40, 30), "{name}");
        let original = image::open(&path).unwrap().to_rgba8();
        assert!(png.to_rgba8() == original, "{name}: each pixel is what the file has");
    }
    // A format that reel cannot decode is refused before anything is sent.
    fs::write(work(&sandbox, "a.avif"), b"\0\0\0\x20ftypavif\0\0\0\0avifmif1miafMA1B").unwrap();
    let calls = provider.calls();
    let ran = sandbox.reel(&["generate", "a", "--image", "a.avif", "-s", "64x64", "-o", "of-avif.png"]);
    assert!(ran.stderr.contains("convert it to PNG"), "{}", ran.stderr);
    ran.expect_code(1);
    assert_eq!(provider.calls(), calls);
}
