//! Sandboxes with a daemon whose only provider is a [`FakeProvider`].

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::{Connection, FakeProvider, Sandbox};

/// Starts a daemon whose provider `studio` is this server, with the keys in `more` added to its section.
#[track_caller]
pub fn studio(provider: &FakeProvider, more: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.configure(&config(&sandbox, provider, more));
    sandbox.start();
    sandbox
}

/// Starts a daemon that retries to fetch a result by its URL for `fetch_s` seconds, instead of 1 second.
#[track_caller]
pub fn patient_studio(provider: &FakeProvider, fetch_s: u32, more: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    let config = config(&sandbox, provider, more);
    sandbox.configure(&config.replace("fetch_s = 1\n", &format!("fetch_s = {fetch_s}\n")));
    sandbox.start();
    sandbox
}

/// Returns the configuration of that daemon. The key is in a file of the sandbox, so that no environment variable contains it.
pub fn config(sandbox: &Sandbox, provider: &FakeProvider, more: &str) -> String {
    let key = key_file(sandbox.root());
    fs::write(&key, FakeProvider::KEY).unwrap();
    format!(
        "[http]\nfirst_byte_s = 2\nread_s = 2\ntotal_s = 20\nfetch_s = 1\n\
         [providers.studio]\nkind = \"openai\"\nbase_url = \"{}\"\napi_key = {{ file = \"{}\" }}\nmodel = \"gpt-image-2\"\n{more}\n",
        provider.base_url(),
        key.display()
    )
}

/// Starts a daemon whose response timeouts no test reaches. It is for calls that the provider holds: how soon a test releases them depends on how
/// busy the machine is.
#[track_caller]
pub fn unhurried_studio(provider: &FakeProvider, more: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.configure(&unhurried(&config(&sandbox, provider, more)));
    sandbox.start();
    sandbox
}

/// Raises the response timeouts of a configuration so far that no test reaches them.
#[track_caller]
pub fn unhurried(config: &str) -> String {
    let hurried = "first_byte_s = 2\nread_s = 2\ntotal_s = 20\n";
    assert!(config.contains(hurried), "{config}");
    config.replace(hurried, "first_byte_s = 240\nread_s = 240\ntotal_s = 480\n")
}

/// Returns the params of a picture of 64×64 pixels.
pub fn prompt(text: &str) -> Value {
    json!({ "prompt": text, "width": 64, "height": 64 })
}

/// Submits a small picture and returns the id of its task.
#[track_caller]
pub fn submit(connection: &mut Connection, text: &str) -> u64 {
    connection.submit("image.generate", prompt(text))
}

/// Submits a small picture with one attempt, waits until the task is settled, and returns the task.
#[track_caller]
pub fn ask_once(connection: &mut Connection, text: &str) -> Value {
    let id =
        connection.submit_as(json!({ "kind": "image.generate", "params": prompt(text), "max_attempts": 1 }));
    connection.wait(id)
}

/// Returns the path of the file with the key.
pub fn key_file(root: &Path) -> std::path::PathBuf {
    root.join("key")
}
