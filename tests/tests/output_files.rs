//! The files that `reel` writes have the requested format. If they cannot be written, that is found before anything is paid for.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{
    ffi::{OsStr, OsString},
    fs,
    io::Cursor,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::Path,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use reel_tests::{FakeProvider, Sandbox, every, fake_provider::Fault, process, studio};
use serde_json::json;

/// Returns a picture of 64×64 pixels in this format.
fn picture(format: ImageFormat) -> Vec<u8> {
    let pixels = RgbImage::from_fn(64, 64, |x, y| Rgb([x as u8 * 4, y as u8 * 4, 90]));
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::from(pixels).write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// Returns a response of a provider that sends these bytes as its picture.
fn sends(bytes: &[u8]) -> Fault {
    let body = json!({ "created": 1, "data": [{ "b64_json": STANDARD.encode(bytes) }] }).to_string();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    Fault::Raw((head + &body).into_bytes())
}

/// Starts a paid provider that sends JPEG for the prompt `jpeg`, WebP for `webp`, and PNG for everything else.
fn paid_studio() -> (FakeProvider, Sandbox) {
    let provider = FakeProvider::start();
    provider.on_prompt("jpeg", sends(&picture(ImageFormat::Jpeg)));
    provider.on_prompt("webp", sends(&picture(ImageFormat::WebP)));
    let sandbox = studio::studio(&provider, "billing = \"paid\"");
    (provider, sandbox)
}

#[track_caller]
fn assert_form(path: &Path, format: ImageFormat) {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(image::guess_format(&bytes).unwrap(), format, "{}", path.display());
    let picture = image::load_from_memory(&bytes).unwrap();
    assert_eq!((picture.width(), picture.height()), (64, 64));
}

fn format_of(name: &str) -> ImageFormat {
    match name.rsplit_once('.').unwrap().1 {
        "png" => ImageFormat::Png,
        "webp" => ImageFormat::WebP,
        _ => ImageFormat::Jpeg,
    }
}

fn names_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = entries.map(|name| name.to_string_lossy().into_owned()).collect();
    names.retain(|name| !name.starts_with('.'));
    names.sort();
    names
}

#[test]
fn a_picture_is_converted_to_the_format_of_its_file_extension() {
    let (provider, sandbox) = paid_studio();
    for prompt in ["jpeg", "webp", "other"] {
        for ending in ["png", "jpg", "jpeg", "webp", "PNG"] {
            let name = format!("{prompt}.{ending}");
            let ran = sandbox.reel(&["generate", prompt, "-s", "64x64", "-o", &name]);
            assert_eq!(ran.expect_code(0).stdout.trim(), name);
            assert_form(&sandbox.work().join(&name), format_of(&name.replace("PNG", "png")));
        }
        sandbox.reel(&["generate", prompt, "-s", "64x64"]).expect_code(0);
    }
    assert_eq!(provider.calls(), 3, "the other forms are made of what was paid once");
    let fetched = sandbox.reel(&["fetch", "1", "-o", "fetched.webp"]);
    assert_eq!(fetched.expect_code(0).stdout, "fetched.webp\n");
    assert_form(&sandbox.work().join("fetched.webp"), ImageFormat::WebP);
    assert_form(&sandbox.work().join("jpeg-2.jpg"), ImageFormat::Jpeg);
    for arguments in [&["fetch", "1", "-o", "x.gif"][..], &["generate", "jpeg", "-o", "x.gif"]] {
        let refused = sandbox.reel(arguments);
        assert!(refused.expect_code(64).stderr.contains(".png, .jpg, .jpeg or .webp"), "{}", refused.stderr);
    }
}

#[test]
fn a_batch_names_its_files_after_the_formats_that_the_provider_sent() {
    let (provider, sandbox) = paid_studio();
    let lines = [
        "jpeg".to_owned(),
        "webp".to_owned(),
        "other".to_owned(),
        json!({ "prompt": "jpeg", "name": "Shot 4.png" }).to_string(),
    ];
    fs::write(sandbox.work().join("p.txt"), lines.join("\n")).unwrap();
    let batch = ["batch", "p.txt", "-o", "out", "-s", "64x64", "--json"];
    let names = ["001-jpeg.jpg", "002-webp.webp", "003-other.png", "004-shot-4.png"];
    let out = sandbox.work().join("out");
    for (made, kept) in [(4, 0), (0, 4)] {
        let document = sandbox.reel(&batch).expect_code(0).json();
        assert_eq!((&document["made"], &document["kept"]), (&json!(made), &json!(kept)), "{document}");
        let files: Vec<_> = document["lines"].as_array().unwrap().iter().map(|line| &line["file"]).collect();
        assert_eq!(files, names);
        assert_eq!(names_in(&out), names);
    }
    for name in names {
        assert_form(&out.join(name), format_of(name));
    }
    // The provider sends another format this time. The new file replaces the old one, although its extension differs.
    provider.on_prompt("jpeg", sends(&picture(ImageFormat::Png)));
    sandbox.reel(&[&batch[..], &["--fresh"]].concat()).expect_code(0);
    assert_eq!(names_in(&out), ["001-jpeg.png", "002-webp.webp", "003-other.png", "004-shot-4.png"]);
    fs::write(sandbox.work().join("p.txt"), r#"{"prompt":"a","name":"x.gif"}"#).unwrap();
    let refused = sandbox.reel(&batch);
    assert!(refused.expect_code(65).stderr.contains(".png, .jpg, .jpeg or .webp"), "{}", refused.stderr);
}

#[test]
fn a_picture_that_cannot_be_converted_is_kept_unchanged() {
    let (provider, sandbox) = paid_studio();
    let gif = b"GIF89a\x40\0\x40\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\x40\0\x40\0\0\x02\x02D\x01\0;";
    let unknown = b"\x01\x02\x03 a format of tomorrow";
    provider.on_prompt("gif", sends(gif));
    provider.on_prompt("unknown", sends(unknown));
    for (prompt, ending, bytes) in [("gif", "gif", &gif[..]), ("unknown", "bin", unknown)] {
        let ran = sandbox.reel(&["generate", prompt, "-s", "64x64", "-o", &format!("{prompt}.png")]);
        let name = format!("{prompt}.{ending}");
        assert_eq!(ran.expect_code(0).stdout.trim(), name);
        assert!(ran.stderr.contains("cannot be converted") && ran.stderr.contains(&name), "{}", ran.stderr);
        assert_eq!(fs::read(sandbox.work().join(name)).unwrap(), bytes);
        assert!(!sandbox.work().join(format!("{prompt}.png")).exists());
    }
    let lines = ["gif".to_owned(), json!({ "prompt": "unknown", "name": "x.png" }).to_string()];
    fs::write(sandbox.work().join("p.txt"), lines.join("\n")).unwrap();
    for kept in [0, 2] {
        let ran = sandbox.reel(&["batch", "p.txt", "-o", "out", "-s", "64x64", "--json"]);
        assert_eq!(ran.expect_code(0).json()["kept"], kept, "{}", ran.stdout);
        assert_eq!(names_in(&sandbox.work().join("out")), ["001-gif.gif", "002-x.bin"]);
    }
    assert_eq!(provider.calls(), 2);
}

#[test]
fn outputs_that_cannot_be_written_are_refused_before_anything_is_paid() {
    let (provider, sandbox) = paid_studio();
    let work = sandbox.work();
    fs::write(work.join("mine.png"), "mine").unwrap();
    std::os::unix::fs::symlink("nowhere", work.join("dangling.png")).unwrap();
    let _listener = std::os::unix::net::UnixListener::bind(work.join("socket.png")).unwrap();
    let long_name = "a".repeat(252) + ".png";
    let long_path = "d/".repeat(2100) + "a.png";
    let table = [
        (long_name.as_str(), &[][..]),
        (&long_path, &[]),
        ("no/such/directory/x.png", &[]),
        ("mine.png/x.png", &[]),
        ("mine.png", &[]),
        ("dangling.png", &[]),
        ("socket.png", &["--force"]),
        ("/proc/x.png", &[]),
    ];
    every(table, |path, more| {
        let ran = sandbox.reel(&[&["generate", "x", "-s", "64x64", "-o", path], more].concat());
        assert_eq!(ran.code, Some(73), "{path}: {}", ran.stderr);
        assert!(ran.stdout.is_empty() && !ran.stderr.contains("at path"), "{path}: {}", ran.stderr);
        assert_eq!(provider.calls(), 0, "{path}");
    });
    fs::write(work.join("p.txt"), "x\n").unwrap();
    for out in ["mine.png", "dangling.png", "/proc/out"] {
        sandbox.reel(&["batch", "p.txt", "-o", out]).expect_code(73);
    }
    sandbox.reel(&["generate", "\u{200b}\u{feff}", "-o", "blank.png"]).expect_code(65);
    assert_eq!(provider.calls(), 0, "nothing was asked");
    assert_eq!(fs::read(work.join("mine.png")).unwrap(), b"mine");
    // `--force` replaces a dangling link, and does not create its target.
    sandbox.reel(&["generate", "x", "-s", "64x64", "-o", "dangling.png", "--force"]).expect_code(0);
    assert!(work.join("dangling.png").is_file() && !work.join("nowhere").exists());
}

#[test]
fn standard_output_needs_no_temporary_directory() {
    let (provider, sandbox) = paid_studio();
    let mut command = sandbox.reel_command(&["generate", "jpeg", "-s", "64x64", "-o", "-"]);
    let ran = process::run(command.env("TMPDIR", "/nonexistent"));
    assert_eq!(ran.expect_code(0).bytes, picture(ImageFormat::Jpeg), "the bytes as they came");
    let mut command = sandbox.reel_command(&["generate", "jpeg", "-s", "64x64", "-o", "x.png"]);
    process::run(command.env("TMPDIR", "/nonexistent")).expect_code(0);
    assert_eq!(provider.calls(), 1);
}

#[test]
fn a_failed_write_names_the_file_and_how_to_get_the_picture() {
    let (provider, sandbox) = paid_studio();
    provider.picture_bytes(100_000);
    // A limit on the file size simulates a full disk. Its signal is ignored, so the write fails.
    let script = "trap '' XFSZ; ulimit -f 16; exec \"$0\" \"$@\"";
    let mut command = sandbox.command("sh");
    command.args(["-c", script]).arg(process::binary("reel"));
    let ran = process::run(command.args(["generate", "x", "-s", "64x64", "-o", "full.png"]));
    assert_eq!(ran.expect_code(74).stdout, "");
    assert!(ran.stderr.contains("cannot write full.png"), "{}", ran.stderr);
    assert!(ran.stderr.contains("reel fetch 1 -o full.png"), "{}", ran.stderr);
    assert_eq!(names_in(&sandbox.work()), [""; 0]);
    sandbox.reel(&["fetch", "1", "-o", "full.png"]).expect_code(0);
    assert_eq!(provider.calls(), 1);
}

#[test]
fn a_file_name_that_is_not_utf_8_is_printed_so_that_it_can_be_used() {
    let sandbox = Sandbox::started();
    let name = OsStr::from_bytes(b"a\xffb.png");
    let ran = process::run(sandbox.reel_command(&["generate", "x", "-s", "64x64", "-o"]).arg(name));
    let printed = OsString::from_vec(ran.expect_code(0).bytes.strip_suffix(b"\n").unwrap().to_vec());
    assert_eq!(printed, name);
    assert!(sandbox.work().join(&printed).is_file());
    let again = process::run(sandbox.reel_command(&["generate", "x", "-s", "64x64", "-o"]).arg(name));
    assert!(again.expect_code(73).stderr.contains(r"a\xFFb.png exists"), "{}", again.stderr);
    let mut command = sandbox.reel_command(&["generate", "x", "-s", "64x64", "--force", "--json", "-o"]);
    let document = process::run(command.arg(name)).expect_code(0).json();
    assert_eq!(document["files"][0], r"a\xFFb.png");
}

#[test]
fn file_names_keep_combining_marks() {
    let sandbox = Sandbox::started();
    for prompt in ["हिन्दी", "தமிழ்", "บ้าน", "cha\u{302}teau"] {
        let ran = sandbox.reel(&["generate", prompt, "-s", "64x64"]);
        assert_eq!(ran.expect_code(0).stdout, format!("{prompt}.png\n"));
    }
}

#[test]
fn editing_a_configuration_behind_a_dangling_link_creates_its_target() {
    let sandbox = Sandbox::new();
    let target = sandbox.root().join("dotfiles/reel/config.toml");
    let middle = sandbox.root().join("middle.toml");
    std::os::unix::fs::symlink("dotfiles/reel/config.toml", &middle).unwrap();
    std::os::unix::fs::symlink(&middle, sandbox.config()).unwrap();
    let mut command = sandbox.reel_command(&["config", "edit"]);
    process::run(command.env("VISUAL", "true")).expect_code(0);
    assert!(sandbox.config().is_symlink() && middle.is_symlink());
    assert!(fs::read_to_string(target).unwrap().starts_with('#'));
    let circle = Sandbox::new();
    std::os::unix::fs::symlink(circle.config(), circle.config()).unwrap();
    let mut command = circle.reel_command(&["config", "edit"]);
    process::run(command.env("VISUAL", "true")).expect_code(73);
}
