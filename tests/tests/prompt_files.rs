//! Files of prompts as people and tools write them: what is requested, what is refused before anything is paid for, and what happens to output files
//! whose line moved.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{collections::BTreeSet, fs, path::Path};

use reel_tests::{FakeProvider, Ran, Sandbox, every, studio};
use serde_json::json;

fn paid_studio() -> (FakeProvider, Sandbox) {
    let provider = FakeProvider::start();
    let sandbox = studio::studio(&provider, "billing = \"paid\"");
    (provider, sandbox)
}

#[track_caller]
fn batch(sandbox: &Sandbox, text: impl AsRef<[u8]>, more: &[&str]) -> Ran {
    fs::write(sandbox.work().join("p.txt"), text).unwrap();
    sandbox.reel(&[&["batch", "p.txt", "-o", "out", "-s", "64x64"], more].concat())
}

fn files(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = entries.map(|name| name.into_string().unwrap()).collect();
    names.retain(|name| !name.starts_with('.'));
    names.sort();
    names
}

/// Returns the prompts that the provider received.
fn asked(provider: &FakeProvider) -> BTreeSet<String> {
    let requests = provider.requests();
    let prompts = requests.iter().filter_map(|request| request.json()["prompt"].as_str().map(str::to_owned));
    prompts.collect()
}

#[test]
fn byte_order_marks_line_ends_braces_and_invisible_lines_are_read_as_intended() {
    every(
        [
            (
                "a mark at a line's start",
                (
                    "\u{feff}{\"prompt\":\"a\"}\n\u{feff}{\"prompt\":\"b\"}\r\n\u{feff}a harbour",
                    &["a", "b", "a harbour"][..],
                ),
            ),
            ("a lone CR", ("a harbour\rlone cr", &["a harbour", "lone cr"])),
            ("an invisible line", ("a\n\u{200b}\nb", &["a", "b"])),
            (
                "braces",
                (
                    "{red|blue} car\n{masterpiece}, {{best quality}}",
                    &["{red|blue} car", "{masterpiece}, {{best quality}}"],
                ),
            ),
            ("a hash tag", ("#sunset", &["#sunset"])),
        ],
        |_, (text, expected)| {
            let (provider, sandbox) = paid_studio();
            batch(&sandbox, text, &[]).expect_code(0);
            assert_eq!(asked(&provider), expected.iter().map(|&prompt| prompt.to_owned()).collect());
            assert_eq!(provider.calls(), expected.len());
        },
    );
}

#[test]
fn unambiguous_tables_and_arrays_are_read_and_reported() {
    let table = [
        (
            "id,name,description\n1,Anna,\"a knight, red hair\"\n2,Ben,a cook\n",
            "p.txt",
            &[][..],
            "read as a table: 2 prompts from the column `description`, with name; not used: id\n",
        ),
        ("text\n\"a knight, red hair\"\na cook\n", "p.csv", &[], "2 prompts from the column `text`\n"),
        ("Prompt\na knight, red hair\na cook\n", "p.txt", &[], "2 prompts from the column `Prompt`\n"),
        ("prompt\tsize\na knight, red hair\t64x64\na cook\t64x64\n", "p.tsv", &[], "with size\n"),
        (
            "scene;visual\n1;a knight, red hair\n2;a cook\n",
            "p.txt",
            &["--column", "visual"],
            "not used: scene\n",
        ),
        ("[\n  \"a knight, red hair\",\n  {\"prompt\": \"a cook\"}\n]\n", "p.json", &[], ""),
        ("{\"prompts\": [\"a knight, red hair\", \"a cook\"]}", "p.txt", &[], ""),
    ];
    every(
        table.map(|(text, name, options, note)| (text, (name, options, note))),
        |text, (name, options, note)| {
            let (provider, sandbox) = paid_studio();
            fs::write(sandbox.work().join(name), text).unwrap();
            let ran = sandbox.reel(&[&["batch", name, "-o", "out", "-s", "64x64"], options].concat());
            assert!(ran.expect_code(0).stderr.contains(note), "{text}: {}", ran.stderr);
            assert_eq!(
                asked(&provider),
                ["a knight, red hair", "a cook"].map(str::to_owned).into(),
                "{text}"
            );
            if text.starts_with("id") {
                assert_eq!(files(&sandbox.work().join("out")), ["001-anna.png", "002-ben.png"]);
            }
        },
    );
}

#[test]
fn files_that_are_not_prompt_lists_are_refused_before_anything_is_paid() {
    let (provider, sandbox) = paid_studio();
    let utf16: Vec<u8> = "\u{feff}a\nb".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let table = [
        (
            b"[\"a lighthouse\",\"ink\"]\n[\"a\",\"oil\"]".as_slice(),
            "line 1: this is a JSON array",
            "jq -c '.[]'",
        ),
        (b"[\n\"a\",\n\"b\",\n]", "line 1: this is a part of a JSON text", "jq"),
        (
            b"```json\n{\"prompt\":\"a\"}\n```",
            "line 1: this line begins or ends a Markdown code block",
            "remove",
        ),
        (
            b"prompt,quality\na,high",
            "line 1: the column `quality` of this table is no field of a picture",
            "--column prompt takes",
        ),
        (
            b"scene,shot\n1,\"a hill, dusk\"\n2,a cat",
            "line 1: this is a table, and none of its columns",
            "--column",
        ),
        (b"prompt,style\na, b,ink", "line 2: 3 cells, and the header has 2", "quotation marks"),
        (b"prompts:\n  - a cat\n", "line 1: this is a heading, or the key of a list", "sed -n"),
        (b"- prompt: a cat\n  style: ink\n", "line 1: this line holds the parameters", "{\"prompt\":"),
        (b"a\n# comment", "line 2: this is a comment", "{\"prompt\": \"# ...\"}"),
        (b"--prompt \"a\" --steps 20", "line 1: this line has options of a command", "negative_prompt"),
        (b"{'prompt': 'a'}", "line 1: not a JSON object", "{\"prompt\": \"a lighthouse\""),
        (&utf16, "UTF-16", "iconv -f UTF-16 -t UTF-8"),
        (
            b"a\n\xba\xa3\xb1\xdf\xb5\xc4\xb5\xc6\xcb\xfe",
            "line 2: not UTF-8, but most likely GBK",
            "iconv -f GBK",
        ),
        (b"\x97\x5b\x95\xe9\x82\xea\x82\xcc", "most likely SHIFT-JIS", "iconv -f SHIFT-JIS"),
        (b"ch\xe2teau", "most likely WINDOWS-1252", "iconv -f WINDOWS-1252"),
        (b"a\nb\0c", "line 2: zero bytes", ""),
    ];
    every(table.map(|(bytes, message, hint)| (message, (bytes, hint))), |message, (bytes, hint)| {
        let ran = batch(&sandbox, bytes, &[]);
        assert!(ran.expect_code(65).stderr.contains(message), "{message}: {}", ran.stderr);
        assert!(ran.stderr.contains(hint), "{hint}: {}", ran.stderr);
    });
    assert_eq!(provider.calls(), 0);
    assert!(!sandbox.work().join("out").exists());
    batch(&sandbox, "# comment\n[\"a\"]\n{\"prompt\":\"b\"}", &["--literal"]).expect_code(0);
    let expected = ["# comment", "[\"a\"]", "{\"prompt\":\"b\"}"].map(str::to_owned);
    assert_eq!(asked(&provider), expected.into());
}

#[test]
fn files_are_renamed_when_their_lines_move_and_nothing_is_paid_twice() {
    let (provider, sandbox) = paid_studio();
    let out = sandbox.work().join("out");
    batch(&sandbox, "a\nb\nc", &[]).expect_code(0);
    let before: Vec<_> =
        ["001-a.png", "002-b.png", "003-c.png"].map(|name| fs::read(out.join(name)).unwrap()).into();
    let ran = batch(&sandbox, "new\na\nb\nc", &[]);
    assert!(ran.expect_code(0).stderr.contains("renamed 3 files"), "{}", ran.stderr);
    assert_eq!(files(&out), ["001-new.png", "002-a.png", "003-b.png", "004-c.png"]);
    let after: Vec<_> =
        ["002-a.png", "003-b.png", "004-c.png"].map(|name| fs::read(out.join(name)).unwrap()).into();
    assert_eq!(after, before);
    assert_eq!(provider.calls(), 4);
    // A line was removed. Its file stays and is reported. A file that a person changed keeps its name.
    fs::write(out.join("004-c.png"), "changed by hand").unwrap();
    let document = batch(&sandbox, "a\nc", &["--json"]).expect_code(0).json();
    assert_eq!(document["renamed"], 1, "{document}");
    assert_eq!(document["unasked"], json!(["001-new.png", "003-b.png", "004-c.png"]));
    assert_eq!(files(&out), ["001-a.png", "001-new.png", "002-c.png", "003-b.png", "004-c.png"]);
    assert_eq!(fs::read(out.join("004-c.png")).unwrap(), b"changed by hand");
    assert_eq!(provider.calls(), 4);
    // Another file of prompts with the same output directory removes nothing.
    fs::write(sandbox.work().join("q.txt"), "x\nb").unwrap();
    let other = sandbox.reel(&["batch", "q.txt", "-o", "out", "-s", "64x64", "--json"]).expect_code(0).json();
    assert_eq!((&other["renamed"], &other["unasked"]), (&json!(0), &json!([])), "{other}");
    assert!(out.join("003-b.png").exists() && out.join("002-b.png").exists());
}
