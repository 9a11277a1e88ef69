//! The rules of the repository, run as tests. Each finding names its file and says what to do.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use reel_protocol::{ErrorCode, methods::METHODS};
use reel_tests::module_graph::ModuleGraph;

/// Most lines of a file before its tests. A longer file has more than one purpose.
const FILE_LINES: usize = 400;

/// A file of the repository, with its path relative to the root and its text.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// Returns the lines before the unit tests.
    fn body(&self) -> impl Iterator<Item = &str> {
        self.text.lines().take_while(|line| !line.starts_with("#[cfg(test)]"))
    }

    fn is_rust(&self) -> bool {
        Path::new(&self.path).extension().is_some_and(|extension| extension == "rs")
    }

    /// Whether this is `tidy.rs`, which contains the texts that it forbids.
    fn is_this_one(&self) -> bool {
        self.path.ends_with("tests/tidy.rs")
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns all text files of the repository that people write.
fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    collect(&root(), &mut found);
    assert!(found.iter().any(Source::is_this_one), "the walk misses this file");
    found
}

fn collect(directory: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        let path = entry.path();
        if matches!(name.as_str(), ".git" | "target" | "Cargo.lock") {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            collect(&path, found);
        } else if let Ok(text) = fs::read_to_string(&path) {
            let path = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
            found.push(Source { path, text });
        }
    }
}

#[track_caller]
fn assert_none(rule: &str, findings: &[String]) {
    assert!(findings.is_empty(), "{rule}:\n  {}", findings.join("\n  "));
}

/// Returns the lines of Rust files for which `is_wrong` holds, each with its file and line number.
fn lines_where(is_wrong: impl Fn(&Source, &str) -> bool) -> Vec<String> {
    let mut findings = Vec::new();
    for source in sources().iter().filter(|source| source.is_rust() && !source.is_this_one()) {
        for (index, line) in source.text.lines().enumerate().filter(|(_, line)| is_wrong(source, line)) {
            findings.push(format!("{}:{}: {}", source.path, index + 1, line.trim()));
        }
    }
    findings
}

#[test]
fn every_file_begins_with_a_doc_comment() {
    let sources = sources();
    let silent = sources.iter().filter(|source| source.is_rust() && !source.text.starts_with("//! "));
    assert_none("open the file with `//!`", &silent.map(|source| source.path.clone()).collect::<Vec<_>>());
}

#[test]
fn the_map_is_short_and_names_only_files_that_exist() {
    let sources = sources();
    for page in ["ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let text = read(page);
        let words = text.split('`').skip(1).step_by(2);
        let names: Vec<&str> = words
            .filter(|word| {
                Path::new(word).extension().is_some_and(|extension| extension == "rs")
                    && !word.contains(['*', ' '])
            })
            .collect();
        assert!(names.len() > 10, "{page} has few files: {names:?}");
        let is_there = |name: &str| {
            sources.iter().any(|source| format!("/{}", source.path).ends_with(&format!("/{name}")))
        };
        // A name in capitals stands for any.
        let is_example = |name: &str| name.contains("NAME") || name.contains("GROUP");
        let missing: Vec<&str> =
            names.into_iter().filter(|name| !is_example(name) && !is_there(name)).collect();
        assert!(missing.is_empty(), "{page} names files that do not exist: {missing:?}");
    }
    let lines = read("ARCHITECTURE.md").lines().count();
    assert!(lines <= 200, "ARCHITECTURE.md is a map, and has {lines} lines");
}

#[test]
fn no_file_is_too_long() {
    let sources = sources();
    let long = sources.iter().filter(|source| source.is_rust() && source.body().count() > FILE_LINES);
    let long =
        long.map(|source| format!("{}: {} lines before its tests", source.path, source.body().count()));
    assert_none("split the file", &long.collect::<Vec<_>>());
}

#[test]
fn no_file_has_a_vague_name() {
    let vague = |source: &&Source| {
        let name = Path::new(&source.path).file_stem().unwrap().to_str().unwrap().to_owned();
        name.split(['_', '-']).any(|word| {
            matches!(word, "util" | "utils" | "common" | "helper" | "helpers" | "manager" | "imp" | "misc")
        })
    };
    let sources = sources();
    let named: Vec<_> =
        sources.iter().filter(|s| s.is_rust()).filter(vague).map(|source| source.path.clone()).collect();
    assert_none("name the file after its idea", &named);
}

/// Returns the names in the section `[dependencies]` of a manifest.
fn dependencies(manifest: &str) -> Vec<String> {
    let text = read(manifest);
    let section = text.split("[dependencies]").nth(1).unwrap_or_default();
    let lines = section.lines().take_while(|line| !line.starts_with('['));
    lines.filter_map(|line| Some(line.split(['.', '=', ' ']).next()?.to_owned())).collect()
}

#[test]
fn the_protocol_knows_nobody_and_the_two_sides_know_only_the_protocol() {
    for (manifest, strangers) in [
        ("protocol/Cargo.toml", &["reeld", "reel-client", "reel-cli", "reel-tests"][..]),
        ("client/lib/Cargo.toml", &["reeld", "reel-cli", "reel-tests", "clap", "indicatif"]),
        ("client/Cargo.toml", &["reeld", "reel-tests"]),
        ("daemon/Cargo.toml", &["reel-client", "reel-cli", "reel-tests"]),
    ] {
        let dependencies = dependencies(manifest);
        assert!(!dependencies.is_empty(), "{manifest} has no dependencies section");
        let strangers = strangers.iter().filter(|name| dependencies.iter().any(|found| found == *name));
        assert_none(manifest, &strangers.map(|name| format!("depends on {name}")).collect::<Vec<_>>());
    }
}

#[test]
fn one_file_knows_bincode_so_that_it_can_be_replaced() {
    let findings = lines_where(|source, line| {
        source.path != "protocol/src/binary.rs"
            && line.contains("bincode::")
            && !line.trim_start().starts_with("//")
    });
    assert_none("ask `reel_protocol::binary` instead", &findings);
}

#[test]
fn rooms_of_the_daemon_hold_recipients_and_only_the_wiring_names_actors() {
    // Fakes and tests do the work of the wiring.
    let is_test =
        |path: &str| path.contains("/tests") || path.ends_with("_tests.rs") || path.ends_with("/fakes.rs");
    let findings = lines_where(|source, line| {
        let is_room = source.path.starts_with("daemon/src/") && !source.path.ends_with("wiring.rs");
        is_room && !is_test(&source.path) && line.contains("Addr<") && !line.trim_start().starts_with("//")
    });
    assert_none("hold a `Recipient<M>` instead of an `Addr<A>`", &findings);
}

#[test]
fn no_two_rooms_of_the_daemon_import_each_other() {
    let mut graph = ModuleGraph::default();
    for source in sources().iter().filter(|source| source.is_rust()) {
        let Some(path) = source.path.strip_prefix("daemon/src/") else { continue };
        let room = path.split_once('/').map_or(path, |(room, _)| room).trim_end_matches(".rs");
        // These modules connect the rooms, so they import them.
        if !matches!(room, "main" | "lib" | "wiring") {
            graph.add(room, &source.text);
        }
    }
    assert!(graph.len() > 20, "the walk misses the rooms of the daemon");
    assert_none("move what both speak of to `domain`, or turn one import round", &graph.cycles());
}

#[test]
fn no_todo_marks_are_left() {
    let findings = lines_where(|_, line| {
        ["TODO", "FIXME", "XXX", "dbg!(", "todo!(", "unimplemented!(", "#[ignore"]
            .iter()
            .any(|mark| line.contains(mark))
    });
    assert_none("do it, or say it where the next one looks", &findings);
}

#[test]
fn no_merge_conflict_marks_are_left() {
    let marks = ["<<<<<<< ", ">>>>>>> "];
    let findings = lines_where(|_, line| marks.iter().any(|mark| line.starts_with(mark)));
    assert_none("resolve the conflict", &findings);
}

#[test]
fn no_path_of_one_machine_is_in_the_repository() {
    // The texts are split, so that other tools that search for such paths do not find them here.
    let places = [concat!("/wo", "rk/"), concat!("/ho", "me/")];
    let mut findings = Vec::new();
    for source in sources() {
        let lines = source.text.lines().enumerate();
        let wrong = lines.filter(|(_, line)| places.iter().any(|place| has_absolute(line, place)));
        findings.extend(wrong.map(|(index, line)| format!("{}:{}: {}", source.path, index + 1, line.trim())));
    }
    assert_none("write a path that every machine has", &findings);
}

/// Returns whether the line contains `place` as an absolute path, not as part of a longer path.
fn has_absolute(line: &str, place: &str) -> bool {
    line.match_indices(place).any(|(at, _)| {
        // This is the user in the examples of the specification.
        if line[at..].starts_with(concat!("/ho", "me/ada/")) {
            return false;
        }
        let before = line[..at].chars().next_back();
        !before.is_some_and(|character| character.is_alphanumeric() || "_-.}$)/".contains(character))
    })
}

#[test]
fn the_specification_names_every_method_and_every_error() {
    let text = read("protocol/src/lib.rs");
    assert!(
        text.contains("#![doc = include_str!(\"specification.md\")]"),
        "the crate's doc is the specification"
    );
    let doc = read("protocol/src/specification.md");
    let methods = METHODS.iter().filter(|method| !doc.contains(*method)).map(|name| format!("method {name}"));
    let codes = ErrorCode::ALL.iter().map(|code| code.name());
    let codes = codes.filter(|name| !doc.contains(name)).map(|name| format!("error {name}"));
    assert_none("describe it in protocol/src/specification.md", &methods.chain(codes).collect::<Vec<_>>());
}

#[test]
fn the_readme_begins_with_two_commands_that_a_fresh_clone_can_run() {
    let text = read("README.md");
    let block = text.split("```").nth(1).expect("a block of commands");
    let commands: Vec<&str> = block.lines().filter(|line| !line.trim().is_empty()).collect();
    let [main_job, check] = commands[..] else { panic!("two commands, not {commands:?}") };
    assert!(main_job.starts_with("cargo build --release && ./target/release/reel make "), "{main_job}");
    let input = main_job.split_whitespace().find(|word| word.starts_with("examples/")).expect("an example");
    assert!(root().join(input).exists(), "{input} is not there");
    assert_eq!(check, "cargo test --workspace");
    let is_blank = |word: &&str| word.len() > 2 && word.starts_with('@') && word.ends_with('@');
    let blanks: Vec<String> = text.split_whitespace().filter(is_blank).map(str::to_owned).collect();
    assert_none("README.md: show the real output", &blanks);
}
