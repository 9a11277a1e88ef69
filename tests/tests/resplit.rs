//! `reel make --resplit` of a storyboard that a language model made.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::fs;

use reel_story::project::read_toml;
use reel_tests::{FakeProvider, Sandbox};

/// The model makes shots of two sentences. The rules would take all of them into one.
const STORY: &str = "He climbed up. He lit the lamp. The sea lay still. A gull came by.\n";

fn sandbox(service: &FakeProvider) -> Sandbox {
    service.require_key(None);
    let sandbox = Sandbox::new();
    sandbox.configure(&format!(
        "[providers.writer]\nkind = \"openai\"\nbase_url = \"{}\"\nmodels = {{ text = \"director\" }}\n",
        service.base_url()
    ));
    sandbox.start();
    sandbox
}

#[test]
fn a_changed_story_keeps_the_groups_of_the_model() {
    let service = FakeProvider::start();
    let sandbox = sandbox(&service);
    let (story, project) = (sandbox.work().join("tale.txt"), sandbox.work().join("tale.reel.toml"));
    fs::write(&story, STORY).unwrap();
    let make = ["make", "tale.txt", "--until", "storyboard"];
    sandbox.reel(&make).expect_code(0);
    let before = fs::read_to_string(&project).unwrap();
    fs::write(&story, STORY.replace("lit the lamp", "lit the great lamp")).unwrap();
    let said = sandbox.reel(&[&make[..], &["--resplit"]].concat()).expect_code(0).stderr.clone();
    assert!(said.contains("split anew: 1 shot as they were, 1 with another text, 0 new, 0 gone"), "{said}");
    let without_digest =
        |text: &str| text.lines().filter(|line| !line.starts_with("story = ")).collect::<Vec<_>>().join("\n");
    let now = fs::read_to_string(&project).unwrap();
    assert_eq!(without_digest(&now), without_digest(&before.replace("lit the lamp", "lit the great lamp")));
}

#[test]
fn a_model_describes_the_shots_that_a_changed_story_adds() {
    let service = FakeProvider::start();
    let sandbox = sandbox(&service);
    let (story, project) = (sandbox.work().join("tale.txt"), sandbox.work().join("tale.reel.toml"));
    fs::write(&story, STORY).unwrap();
    let make = ["make", "tale.txt", "--until", "storyboard"];
    sandbox.reel(&make).expect_code(0);
    let before = fs::read_to_string(&project).unwrap();
    let longer = STORY.replace(
        "lamp. ",
        "lamp. Then he waited at the great window for a very long time. \"Is anybody out there tonight?\" he called into the dark. ",
    );
    fs::write(&story, longer).unwrap();
    let resplit = [&make[..], &["--resplit"]].concat();
    let planned = sandbox.reel(&[&resplit[..], &["--dry-run"]].concat()).expect_code(0).stderr.clone();
    assert!(planned.contains("would be made by writer, with about 2 requests"), "{planned}");
    assert_eq!((service.calls(), fs::read_to_string(&project).unwrap()), (2, before.clone()));
    // By rule, the new shots have the story's own words as their prompt.
    let by_rule = sandbox.reel(&[&resplit[..], &["--split", "rules", "--dry-run"]].concat());
    assert!(!by_rule.expect_code(0).stderr.contains("writer"), "{}", by_rule.stderr);

    let said = sandbox.reel(&resplit).expect_code(0).stderr.clone();
    assert!(
        said.contains("2 shots as they were, 0 with another text") && said.contains("storyboard by writer"),
        "{said}"
    );
    assert_eq!(service.calls(), 4);
    let sent = service.requests().iter().map(|request| request.json().to_string()).collect::<Vec<_>>();
    assert!(sent[2].contains("keeper") && sent[2].contains("an old man in a yellow coat"), "{}", sent[2]);
    let now = fs::read_to_string(&project).unwrap();
    let shots = read_toml(&now).unwrap().shots;
    let texts: String = shots.iter().map(|shot| shot.text.as_str()).collect();
    let whole = |text: &str| text.split_whitespace().collect::<String>();
    assert_eq!(whole(&texts), whole(&fs::read_to_string(&story).unwrap()));
    assert!(shots.iter().all(|shot| shot.picture.contains("the keeper in picture")), "{now}");
    assert!(shots.iter().any(|shot| shot.id == "a3"), "{now}");
    for line in before.lines().filter(|line| !line.starts_with("story = ")) {
        assert!(now.contains(line), "{line} is gone from:\n{now}");
    }
    // The same again changes nothing and asks nobody.
    let again = sandbox.reel(&resplit).expect_code(0).stderr.clone();
    assert!(again.contains("0 with another text, 0 new, 0 gone"), "{again}");
    assert_eq!((service.calls(), fs::read_to_string(&project).unwrap()), (4, now));
}
