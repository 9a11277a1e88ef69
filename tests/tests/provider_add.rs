//! `reel providers add` writes a section that the daemon accepts, and nothing else. `remove` removes it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    sync::{Arc, Mutex},
};

use reel_tests::{FakeProvider, Sandbox, eventually};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

fn text(sandbox: &Sandbox) -> String {
    fs::read_to_string(sandbox.config()).unwrap()
}

#[test]
fn a_failed_edit_keeps_the_key_of_the_provider_that_it_should_replace() {
    let sandbox = Sandbox::new();
    let add = |more: &[&str], key: &str| {
        let base =
            ["--no-start", "providers", "add", "studio", "--kind", "openai", "--model", "m", "--key-stdin"];
        sandbox.reel_with_stdin(&[&base[..], more].concat(), key)
    };
    add(&[], "sk-old").expect_code(0);
    let file = sandbox.config().with_file_name("keys").join("studio");
    assert_eq!(fs::read_to_string(&file).unwrap(), "sk-old\n");
    let config = text(&sandbox);
    sandbox.configure(&format!("{config}\n[nothing]\n"));
    add(&["--force"], "sk-new").expect_code(78);
    assert_eq!(fs::read_to_string(&file).unwrap(), "sk-old\n", "the section that names it is the old one");
    sandbox.configure(&config);
    add(&["--force"], "sk-new").expect_code(0);
    assert_eq!(fs::read_to_string(&file).unwrap(), "sk-new\n");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1, "no temporary file is left");
}

#[test]
fn a_provider_is_added_and_makes_the_next_picture() {
    let provider = FakeProvider::start();
    let sandbox = Sandbox::new().with_variable("STUDIO_KEY", FakeProvider::KEY.to_owned());
    sandbox.configure("# mine\n[tasks] # few\nmax_concurrent = 3\n\n# the end\n");
    fs::set_permissions(sandbox.config(), fs::Permissions::from_mode(0o640)).unwrap();
    sandbox.start();
    let url = provider.base_url();
    let base = ["providers", "add", "studio", "--kind", "openai", "--base-url", &url];
    let more = ["--key-env", "STUDIO_KEY", "--model", "image=pencil", "--model", "voice=tts-1"];
    let ran = sandbox.reel(&[&base[..], &more].concat());
    let said = &ran.expect_code(0).stdout;
    assert!(said.contains("added [providers.studio]"), "{said}");
    assert!(
        said.contains("studio is usable: 127.0.0.1:") && said.contains(" answers, and takes the key"),
        "{said}"
    );
    assert_eq!(
        text(&sandbox),
        format!(
            "# mine\n[tasks] # few\nmax_concurrent = 3\n\n# the end\n\n[providers.studio]\nkind = \"openai\"\n\
             base_url = \"{url}\"\napi_key = {{ env = \"STUDIO_KEY\" }}\nmodels = {{ image = \"pencil\", voice = \"tts-1\" }}\n"
        )
    );
    let mode = fs::metadata(sandbox.config()).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o640, "the permissions stay");
    sandbox.reel(&["generate", "a cat", "-s", "64x64", "-o", "cat.png"]).expect_code(0);
    assert_eq!(provider.requests().last().unwrap().json()["model"], "pencil");

    let before = text(&sandbox);
    let ran = sandbox.reel(&[&base[..], &["--model", "other"]].concat());
    assert!(ran.expect_code(73).stderr.contains("--force"), "{}", ran.stderr);
    assert_eq!(text(&sandbox), before);
    sandbox
        .reel(&[&base[..], &["--model", "other", "--force", "--key-env", "STUDIO_KEY"]].concat())
        .expect_code(0);
    let after = text(&sandbox);
    assert!(after.contains("model = \"other\"") && !after.contains("pencil"), "{after}");

    let ran = sandbox.reel(&["providers", "remove", "studio"]);
    assert!(ran.expect_code(0).stdout.contains("removed [providers.studio]"));
    assert!(text(&sandbox).starts_with("# mine\n[tasks] # few") && !text(&sandbox).contains("studio"));
    assert!(!sandbox.reel(&["providers"]).stdout.contains("studio"));
    sandbox.reel(&["providers", "remove", "studio"]).expect_code(66);
}

#[test]
fn a_section_that_the_daemon_would_refuse_is_not_written() {
    let sandbox = Sandbox::new();
    for (arguments, code, part) in [
        (&["x", "--kind", "comfy"][..], 78, "providers.x.kind must be"),
        (&["draft", "--kind", "openai"], 78, "draft is the name of the embedded provider"),
        (&["Big", "--kind", "openai"], 78, "is no name for a provider"),
        (&["x", "--kind", "openai", "--base-url", "nowhere"], 78, "providers.x.base_url must be"),
        (&["x", "--kind", "openai", "--services", "images"], 78, "providers.x.services must be"),
        (&["--kind", "openai"], 64, "name is missing"),
        (&["x"], 64, "--preset or --kind is missing"),
        (&["x", "--preset", "opnai"], 64, "opnai"),
        (&["x", "--kind", "openai", "--key-env", "A", "--key-file", "b"], 64, "cannot be used with"),
    ] {
        let ran = sandbox.reel(&[&["providers", "add"][..], arguments].concat());
        assert!(ran.expect_code(code).stderr.contains(part), "{arguments:?}\n{}", ran.stderr);
        assert!(!ran.stderr.contains(".reel-"), "no file that nobody knows is named\n{}", ran.stderr);
        assert!(!sandbox.config().exists(), "{arguments:?}");
    }
    let broken = "[tasks]\nmax_concurent = 3\n";
    sandbox.configure(broken);
    let ran = sandbox.reel(&["providers", "add", "x", "--kind", "openai"]);
    assert!(ran.expect_code(78).stderr.contains("config.toml:2:1: unknown key"), "{}", ran.stderr);
    assert_eq!(text(&sandbox), broken);
    assert_eq!(
        fs::read_dir(sandbox.root())
            .unwrap()
            .filter(|entry| { entry.as_ref().unwrap().file_name().to_string_lossy().starts_with(".reel-") })
            .count(),
        0,
        "no temporary file is left"
    );
    assert_eq!(sandbox.daemons(), [0_u32; 0], "no provider was asked");
}

#[test]
fn warnings_are_those_of_the_added_provider_and_sd_server_has_a_kind_of_its_own() {
    let sandbox = Sandbox::new();
    let add = |name: &str, preset: &str| {
        sandbox.reel(&["--no-start", "providers", "add", name, "--preset", preset]).stderr
    };
    let said = add("chat", "ollama");
    assert!(said.contains("providers.chat: no model is set"), "{said}");
    let said = add("machine", "sd-server");
    assert!(!said.contains("no model is set"), "{said}");
    assert!(text(&sandbox).contains("[providers.machine]\nkind = \"sdcpp\"\n"), "{}", text(&sandbox));
}

#[test]
fn a_given_key_is_stored_readable_by_its_user_only() {
    let provider = FakeProvider::start();
    let sandbox = Sandbox::new();
    let url = provider.base_url();
    let arguments = ["providers", "add", "studio", "--preset", "openai", "--base-url", &url, "--key-stdin"];
    let ran = sandbox.reel_with_stdin(&arguments, &format!("{}\n", FakeProvider::KEY));
    assert!(ran.expect_code(0).stdout.contains("takes the key"), "{}{}", ran.stdout, ran.stderr);
    let file = sandbox.root().join("keys/studio");
    assert_eq!(fs::read_to_string(&file).unwrap().trim(), FakeProvider::KEY);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!text(&sandbox).contains(FakeProvider::KEY) && text(&sandbox).contains("keys/studio"));
    // A provider that is not usable is written too, and reported as unusable.
    let arguments = [
        "providers",
        "add",
        "other",
        "--preset",
        "openai",
        "--base-url",
        &url,
        "--key-env",
        "NO_SUCH_KEY",
        "--json",
    ];
    let ran = sandbox.reel(&arguments);
    let document = ran.expect_code(1).json();
    assert_eq!((&document["name"], &document["is_usable"]), (&"other".into(), &false.into()), "{document}");
    assert!(document["detail"].as_str().unwrap().contains("NO_SUCH_KEY is not set"), "{document}");
    // If the section is refused, its key file is removed.
    let ran = sandbox.reel_with_stdin(&["providers", "add", "x", "--kind", "comfy", "--key-stdin"], "sk-x");
    ran.expect_code(78);
    assert!(!sandbox.root().join("keys/x").exists());
    let ran = sandbox.reel(&["--no-start", "providers", "add", "narrator", "--preset", "espeak-ng"]);
    ran.expect_code(i32::from(!ran.stdout.contains("narrator is usable")));
    assert!(text(&sandbox).contains("definition = \"espeak-ng\""));
}

#[test]
fn on_a_terminal_it_asks_for_missing_values() {
    let provider = FakeProvider::start();
    let sandbox = Sandbox::new();
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let slave = || File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    let mut command = sandbox.reel_command(&["providers", "add"]);
    let mut child = command.stdin(slave()).stdout(slave()).stderr(slave()).spawn().unwrap();
    let mut master = File::from(terminal);
    let shown = Arc::new(Mutex::new(String::new()));
    std::thread::spawn({
        let (mut master, shown) = (master.try_clone().unwrap(), Arc::clone(&shown));
        move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = master.read(&mut bytes) {
                shown.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        }
    });
    for (question, answer) in [
        ("provider [openai]: ", provider.base_url()),
        ("a name for it [studio]: ", String::new()),
        ("model, or nothing: ", "pencil".to_owned()),
        ("API key, not shown; Enter alone if there is none: ", FakeProvider::KEY.to_owned()),
        ("does it cost money? (y/n) [y]: ", "n".to_owned()),
    ] {
        let is_asked = || shown.lock().unwrap().contains(question).then_some(());
        eventually(&format!("it asks {question:?}: {}", shown.lock().unwrap()), is_asked);
        master.write_all(format!("{answer}\n").as_bytes()).unwrap();
    }
    let ended = eventually("it ends", || child.try_wait().unwrap());
    // The terminal passes the output on a moment after it was written.
    eventually("the check is shown", || shown.lock().unwrap().contains("takes the key").then_some(()));
    let shown = shown.lock().unwrap().clone();
    assert_eq!(ended.code(), Some(0), "{shown}");
    assert!(shown.contains("takes the key") && !shown.contains(FakeProvider::KEY), "{shown}");
    assert!(text(&sandbox).contains("model = \"pencil\"\nbilling = \"free\"\n"), "{}", text(&sandbox));
}
