//! Takes the programs from the page for tool authors, `docs/connect.md`.

use std::{fs, path::Path, process::Command};

use serde_json::json;

use crate::Sandbox;

/// Returns the root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Returns the page's code blocks in this language, in their order.
pub fn blocks(language: &str) -> Vec<String> {
    let page = fs::read_to_string(root().join("docs/connect.md")).unwrap();
    let fence = format!("\n```{language}\n");
    let starts = page.split(&fence).skip(1);
    let blocks: Vec<_> = starts.map(|rest| format!("{}\n", rest.split("\n```").next().unwrap())).collect();
    assert!(!blocks.is_empty(), "the page has no block of {language}");
    blocks
}

/// Returns the Python block of the page that contains this text.
pub fn python(part: &str) -> String {
    blocks("python").into_iter().find(|block| block.contains(part)).unwrap()
}

/// Writes a program into the work directory of the sandbox. Returns the command that runs it.
pub fn script(sandbox: &Sandbox, interpreter: &str, name: &str, text: &str) -> Command {
    let path = sandbox.work().join(name);
    fs::write(&path, text).unwrap();
    let mut command = sandbox.command(interpreter);
    command.arg(path);
    command
}

/// Writes the Python program of the page, and beside it another one that imports it. Returns the command that runs the other one.
pub fn beside_connect_py(sandbox: &Sandbox, name: &str, text: &str) -> Command {
    fs::write(sandbox.work().join("connect.py"), &blocks("python")[0]).unwrap();
    script(sandbox, "python3", name, text)
}

/// Returns the number of tasks, at most those of one page.
pub fn task_count(sandbox: &Sandbox) -> usize {
    sandbox.connect().ok("task.list", json!({}))["tasks"].as_array().unwrap().len()
}
