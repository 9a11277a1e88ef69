//! `reel make --english-prompts`: prompts in other languages are translated in the project file.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::fs;

use reel_story::project::read_toml;
use reel_tests::{
    FakeProvider, Sandbox,
    fake_a1111::{Copy, FakeA1111},
    fake_provider::Fault,
};
use serde_json::json;

const STORY: &str = "Le gardien monta lentement l'escalier de la haute tour blanche.\n\nLa mer restait calme et noire sous la lune.\n";

const MAKE: [&str; 8] =
    ["make", "phare.txt", "--split", "rules", "--language", "fr", "--until", "storyboard"];

fn sandbox(service: &FakeProvider, more: &str) -> Sandbox {
    service.require_key(None);
    let sandbox = Sandbox::new();
    sandbox.configure(&format!(
        "[providers.writer]\nkind = \"openai\"\nbase_url = \"{}\"\nmodels = {{ text = \"writer-1\" }}\n\
         price = {{ input_mtok = 1.0, output_mtok = 2.0 }}\n{more}",
        service.base_url()
    ));
    sandbox.start();
    fs::write(sandbox.work().join("phare.txt"), STORY).unwrap();
    sandbox
}

#[test]
fn prompts_are_translated_once_and_written_to_the_project_file() {
    let service = FakeProvider::start();
    let sandbox = sandbox(&service, "");
    sandbox.reel(&MAKE).expect_code(0);
    let project = sandbox.work().join("phare.reel.toml");
    let before = fs::read_to_string(&project).unwrap();
    let english = [&MAKE[..], &["--english-prompts"]].concat();
    let planned = sandbox.reel(&[&english[..], &["--dry-run"]].concat());
    let said = &planned.expect_code(0).stderr;
    assert!(said.contains("2 prompts would be translated into English"), "{said}");
    let refused = sandbox.reel(&[&english[..], &["--budget", "0"]].concat());
    assert!(refused.expect_code(1).stderr.contains("does not fit into the budget"), "{}", refused.stderr);
    assert_eq!((service.calls(), fs::read_to_string(&project).unwrap()), (0, before.clone()));

    let made = sandbox.reel(&english);
    assert!(made.expect_code(0).stderr.contains("2 prompts are English now"), "{}", made.stderr);
    let now = fs::read_to_string(&project).unwrap();
    // The stand-in for a model answers with the question.
    let pictures: Vec<String> = read_toml(&now).unwrap().shots.into_iter().map(|shot| shot.picture).collect();
    assert_eq!(pictures.len(), 2);
    assert!(pictures.iter().all(|picture| picture.starts_with("You asked: ")), "{pictures:?}");
    assert_eq!(now.replace("picture = \"You asked: ", "picture = \""), before, "nothing else has changed");
    let told = service.requests()[0].json();
    assert!(told["messages"][0]["content"].as_str().unwrap().contains("into the language \"en\""), "{told}");

    let again = sandbox.reel(&english);
    assert!(again.expect_code(0).stderr.contains("all prompts are English already"), "{}", again.stderr);
    assert_eq!(service.calls(), 2);
}

#[test]
fn a_translation_that_fails_changes_nothing_and_the_next_run_goes_on() {
    let service = FakeProvider::start();
    let sandbox = sandbox(&service, "");
    sandbox.reel(&MAKE).expect_code(0);
    let project = sandbox.work().join("phare.reel.toml");
    let before = fs::read_to_string(&project).unwrap();
    let refusal = json!({ "error": { "message": "no", "type": "invalid_request_error" } });
    service.script([Fault::Good, Fault::answered(400, refusal.to_string())]);
    let english = [&MAKE[..], &["--english-prompts"]].concat();
    sandbox.reel(&english).expect_code(1);
    assert_eq!(fs::read_to_string(&project).unwrap(), before);
    sandbox.reel(&english).expect_code(0);
    assert_eq!(service.calls(), 3, "the prompt that was translated is not paid for again");
}

#[test]
fn the_option_is_suggested_where_a_provider_reads_english_only() {
    let service = FakeProvider::start();
    let web_ui = FakeA1111::start(Copy::WebUi);
    let own = format!(
        "[providers.home]\nkind = \"a1111\"\nbase_url = \"{}\"\nmodel = \"v1-5\"\nsteps = 2\n",
        web_ui.base_url()
    );
    for (more, is_suggested) in [(own.as_str(), true), ("", false)] {
        let sandbox = sandbox(&service, more);
        let make = ["make", "phare.txt", "--split", "rules", "--language", "fr", "--until", "pictures"];
        let said = sandbox.reel(&make).stderr;
        let suggestion = "2 prompts are not English, which most models of home read best: --english-prompts";
        assert_eq!(said.contains(suggestion), is_suggested, "{said}");
    }
}
