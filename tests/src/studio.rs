//! A daemon with one configured provider, which is a [`FakeProvider`].

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::{Connection, FakeProvider, Sandbox};

/// A daemon whose provider `studio` is this server, with more keys in its section.
#[track_caller]
pub fn studio(provider: &FakeProvider, more: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.configure(&config(&sandbox, provider, more));
    sandbox.start();
    sandbox
}

/// The same where a result that an answer names is tried to be fetched for so long.
#[track_caller]
pub fn patient_studio(provider: &FakeProvider, fetch_s: u32, more: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    let config = config(&sandbox, provider, more);
    sandbox.configure(&config.replace("fetch_s = 1\n", &format!("fetch_s = {fetch_s}\n")));
    sandbox.start();
    sandbox
}

/// Its configuration; the key lies in a file of the sandbox, so that it stands in no environment either.
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

/// The same daemon with limits on answers that no test reaches, for calls that the provider holds: how soon a test lets go of them depends on
/// how busy the machine is.
#[track_caller]
pub fn unhurried_studio(provider: &FakeProvider, more: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.configure(&unhurried(&config(&sandbox, provider, more)));
    sandbox.start();
    sandbox
}

/// A configuration whose limits on answers no test reaches.
#[track_caller]
pub fn unhurried(config: &str) -> String {
    let hurried = "first_byte_s = 2\nread_s = 2\ntotal_s = 20\n";
    assert!(config.contains(hurried), "{config}");
    config.replace(hurried, "first_byte_s = 240\nread_s = 240\ntotal_s = 480\n")
}

/// The params of a small picture.
pub fn prompt(text: &str) -> Value {
    json!({ "prompt": text, "width": 64, "height": 64 })
}

/// Submits a small picture and returns its number.
#[track_caller]
pub fn submit(connection: &mut Connection, text: &str) -> u64 {
    connection.submit("image.generate", prompt(text))
}

/// A task with one attempt, once it is settled.
#[track_caller]
pub fn ask_once(connection: &mut Connection, text: &str) -> Value {
    let id =
        connection.submit_as(json!({ "kind": "image.generate", "params": prompt(text), "max_attempts": 1 }));
    connection.wait(id)
}

/// Where the key lies.
pub fn key_file(root: &Path) -> std::path::PathBuf {
    root.join("key")
}
