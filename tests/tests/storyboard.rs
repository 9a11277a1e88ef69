//! The storyboard by a language model: `story.storyboard`, and `reel make` with it. The model is a stand-in that answers well, or with one of the
//! faults of real models.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::fs;

use reel_tests::{
    Connection, FakeProvider, Sandbox, eventually, fake_provider::Fault, needs, process, tale::Tale,
};
use rustix::process::Signal;
use serde_json::{Value, json};

const STORY: &str = "# The Lamp\n\nThe keeper climbed the stairs. He lit the lamp. \"Is anybody there?\" he called. Nobody answered.\n\n\
    # The Boat\n\nIn the morning a boat lay on the beach. It was empty.\n";

fn config(service: &FakeProvider, model: &str) -> String {
    format!(
        "[providers.writer]\nkind = \"openai\"\nbase_url = \"{}\"\nmodels = {{ text = \"{model}\" }}\n\
         price = {{ input_mtok = 1.0, output_mtok = 2.0 }}\n",
        service.base_url()
    )
}

fn sandbox(service: &FakeProvider, model: &str) -> Sandbox {
    service.require_key(None);
    let sandbox = Sandbox::new();
    sandbox.configure(&config(service, model));
    sandbox.start();
    sandbox
}

/// Makes a storyboard, and returns its task when it has ended.
fn made(connection: &mut Connection, params: Value) -> Value {
    let task = connection.submit("story.storyboard", params);
    connection.wait(task)
}

fn outputs(task: &Value) -> Vec<Value> {
    let read = |output: &Value| {
        let text = output["text"].as_str().unwrap();
        serde_json::from_str(text).unwrap_or_else(|_| json!(text))
    };
    task["outputs"].as_array().unwrap().iter().map(read).collect()
}

/// Returns the texts of the shots, joined and without white space.
fn told(project: &Value) -> String {
    let texts = project["shots"].as_array().unwrap().iter().map(|shot| shot["text"].as_str().unwrap());
    texts.collect::<String>().split_whitespace().collect()
}

/// The text of [`STORY`] without headings and white space.
fn whole() -> String {
    let lines = STORY.lines().filter(|line| !line.starts_with('#'));
    lines.collect::<Vec<_>>().concat().split_whitespace().collect()
}

#[test]
fn a_model_groups_the_sentences_and_describes_their_pictures() {
    let service = FakeProvider::start();
    let sandbox = sandbox(&service, "director");
    let mut connection = sandbox.connect();
    let params =
        json!({ "text": STORY, "style": "ink", "characters": [{ "id": "gull", "look": "a grey gull" }] });
    let task = made(&mut connection, params.clone());
    assert_eq!(task["state"], "succeeded", "{task}");
    let [project, report] = &outputs(&task)[..] else { panic!("{task}") };
    assert_eq!(told(project), whole());
    assert_eq!(project["shots"][1]["speaker"], "keeper", "{project}");
    assert_eq!(project["shots"][0]["picture"], "Wide shot: the keeper in picture 1");
    assert_eq!(project["scenes"][1]["title"], "The Boat");
    assert_eq!(
        (&project["video"]["style"], &project["characters"][0]["id"]),
        (&json!("ink"), &json!("gull"))
    );
    assert_eq!((&report["provider"], &report["chunks"][0]["is_by_rule"]), (&json!("writer"), &json!(false)));
    assert!(report["cost"]["amount"].as_f64().unwrap() > 0.0, "{report}");
    assert_eq!(service.calls(), 2);
    let steps = connection.ok("task.list", json!({}))["tasks"].clone();
    let named: Vec<&str> =
        steps.as_array().unwrap().iter().filter_map(|step| step["step"].as_str()).collect();
    assert_eq!(named, ["shots/1", "cast/1"]);
    // The answers are cached.
    let again = made(&mut connection, params);
    assert_eq!((&outputs(&again)[0], service.calls()), (project, 2));
}

#[test]
fn the_faults_of_models_lose_nothing_and_the_report_tells_them() {
    // The model, the number of requests, and whether the rules had to help.
    for (model, requests, is_by_rule) in [
        ("director-thinks", 2, false),
        ("director-fences", 2, false),
        ("director-prose", 2, false),
        ("director-empty", 4, true),
        ("director-hole", 4, true),
        ("director-hole-once", 3, false),
        ("director-overlap", 4, true),
        ("director-500", 4, true),
        ("director-foreign", 4, true),
        ("director-stranger", 2, false),
        ("director-long", 2, false),
        ("director-half", 4, true),
        ("director-strict", 4, false),
    ] {
        let service = FakeProvider::start();
        let sandbox = sandbox(&service, model);
        let task = made(&mut sandbox.connect(), json!({ "text": STORY }));
        assert_eq!(task["state"], "succeeded", "{model}: {task}");
        let [project, report] = &outputs(&task)[..] else { panic!("{task}") };
        assert_eq!(told(project), whole(), "{model}");
        assert_eq!(
            (service.calls(), &report["chunks"][0]["is_by_rule"]),
            (requests, &json!(is_by_rule)),
            "{model}: {report}"
        );
        for shot in project["shots"].as_array().unwrap() {
            assert!(shot["picture"].as_str().unwrap().chars().count() < 1_100, "{model}: {shot}");
            assert_ne!(shot["speaker"], "a dragon", "{model}");
        }
    }
}

#[test]
fn a_provider_that_goes_down_ends_the_work_and_the_next_run_goes_on() {
    let service = FakeProvider::start();
    service.script([Fault::Good, Fault::Unauthorized]);
    let sandbox = sandbox(&service, "director");
    let mut connection = sandbox.connect();
    let task = made(&mut connection, json!({ "text": STORY }));
    assert_eq!(
        (&task["state"], &task["error"]["code"]),
        (&json!("failed"), &json!("provider_auth")),
        "{task}"
    );
    assert!(task["error"]["message"].as_str().unwrap().starts_with("shots/1: "), "{task}");
    let again = made(&mut connection, json!({ "text": STORY, "shots": null }));
    assert_eq!((&again["state"], service.calls()), (&json!("succeeded"), 3), "{again}");
}

#[test]
fn a_budget_limits_the_requests_and_a_moderated_part_is_divided_by_rule() {
    let service = FakeProvider::start();
    let sandbox = sandbox(&service, "director");
    let mut connection = sandbox.connect();
    let task = made(&mut connection, json!({ "text": STORY, "provider": "nobody" }));
    let message = task["error"]["message"].as_str().unwrap();
    assert!(message.contains("nobody") && task["state"] == "failed", "{task}");
    let task = made(&mut connection, json!({ "text": STORY, "budget_usd": 0.0 }));
    assert_eq!((&task["error"]["code"], service.calls()), (&json!("over_budget"), 0), "{task}");
    service.script([Fault::Good, Fault::Moderated]);
    let task = made(&mut connection, json!({ "text": STORY }));
    let [project, report] = &outputs(&task)[..] else { panic!("{task}") };
    assert_eq!((told(project), &report["chunks"][0]["is_by_rule"]), (whole(), &json!(true)), "{report}");
    assert_eq!(service.calls(), 2, "a moderated request is not repeated");
}

#[test]
fn reel_make_has_the_model_make_the_storyboard_of_a_new_story() {
    let service = FakeProvider::start();
    let tale = Tale::named(sandbox(&service, "director"), "story", "story.txt", STORY);
    let dry = tale.make(&["--dry-run"]);
    let words = &dry.expect_code(0).stderr;
    assert!(words.contains("made by writer, with about 2 requests; about 0.00"), "{words}");
    assert!(words.contains("storyboard: 2 to ask of writer; cost: about 0.00"), "{words}");
    assert_eq!(service.calls(), 0);
    let ran = tale.make(&["--until", "storyboard"]);
    let stderr = &ran.expect_code(0).stderr;
    assert!(stderr.contains("storyboard by writer: 3 shots, 1 character, 1 place; cost: 0.000"), "{stderr}");
    if needs::program("espeak-ng") {
        assert!(stderr.contains("voices: keeper has en-us+m3"), "{stderr}");
    }
    let written = fs::read_to_string(tale.project()).unwrap();
    for part in [
        "look = \"an old man in a yellow coat\"",
        "speaker = \"keeper\"",
        "place = \"tower\"",
        "motion = \"the light turns\"",
    ] {
        assert!(written.contains(part), "{part}: {written}");
    }
    // A project that exists is a person's, and nobody is asked.
    tale.make(&["--until", "storyboard", "--split", "llm"]).expect_code(0);
    assert_eq!((service.calls(), fs::read_to_string(tale.project()).unwrap()), (2, written));
}

#[test]
fn rules_are_used_where_they_are_wanted_and_where_nobody_answers() {
    let service = FakeProvider::start();
    let tale = Tale::named(sandbox(&service, "director"), "story", "story.txt", STORY);
    tale.make(&["--until", "storyboard", "--split", "rules"]).expect_code(0);
    assert_eq!(service.calls(), 0);
    let alone = Tale::named(Sandbox::new(), "story", "story.txt", STORY);
    let ran = alone.make(&["--until", "storyboard", "--split", "llm"]);
    assert!(ran.expect_code(78).stderr.contains("reel providers add"), "{}", ran.stderr);
    assert!(!alone.project().exists());
    let refused = alone.make(&["--until", "storyboard", "--split", "rules", "--shots", "3"]);
    assert!(refused.expect_code(64).stderr.contains("--split rules asks none"), "{}", refused.stderr);
    let warned = alone.make(&["--until", "storyboard", "--shots", "3"]);
    assert!(warned.expect_code(0).stderr.contains("the shots are made by rule"), "{}", warned.stderr);
}

#[test]
fn after_ctrl_c_the_same_command_with_a_budget_comes_back_to_its_task() {
    let service = FakeProvider::start();
    service.require_key(None);
    let sandbox = Sandbox::new();
    let models = "models = { text = \"director\", image = \"gpt-image-2\" }";
    let config = config(&service, "director").replace("models = { text = \"director\" }", models);
    sandbox.configure(&config.replace("price = {", "price = { image = 0.04,"));
    sandbox.start();
    let tale = Tale::named(sandbox, "story", "story.txt", STORY);
    service.script([Fault::Good, Fault::Good]);
    service.always(Fault::Half);
    let command = ["--until", "pictures", "--budget", "5"];
    let child = tale.begin(&command);
    eventually("the task is noted", || {
        let state = fs::read_to_string(tale.path(".story.reel-state.json")).ok()?;
        serde_json::from_str::<Value>(&state).ok()?["running"]["task"].as_u64()
    });
    process::signal(child.id(), Signal::INT);
    process::finish(child).expect_code(130);
    let child = tale.begin(&command);
    service.finish_halves();
    service.be_good();
    let ran = process::finish(child);
    assert!(ran.expect_code(0).stderr.contains("continuing task"), "{}", ran.stderr);
}

#[test]
fn a_theme_becomes_a_story_and_a_storyboard() {
    let service = FakeProvider::start();
    let sandbox = sandbox(&service, "director");
    let directory = sandbox.work();
    let make = |flags: &[&str]| {
        let arguments = [&["make", "tale.txt", "--theme", "a lighthouse"], flags].concat();
        let mut command = sandbox.reel_command(&arguments);
        reel_tests::process::run(command.current_dir(&directory))
    };
    let dry = make(&["--dry-run"]);
    assert!(
        dry.expect_code(0).stderr.contains("made by writer, with about 3 requests; about 0.00"),
        "{}",
        dry.stderr
    );
    assert!(dry.stderr.contains("for the story, and more for its shots"), "{}", dry.stderr);
    assert_eq!(service.calls(), 0);
    make(&["--until", "storyboard"]).expect_code(0);
    let story = fs::read_to_string(directory.join("tale.txt")).unwrap();
    assert!(story.starts_with("The keeper lit the lamp"), "{story}");
    assert!(directory.join("tale.reel.toml").exists());
    assert_eq!(service.calls(), 3);
    let refused = make(&["--until", "storyboard"]);
    assert!(refused.expect_code(73).stderr.contains("tale.txt exists"), "{}", refused.stderr);
}

#[test]
fn a_sheet_of_each_character_and_place_is_made_once_and_sent_with_its_pictures() {
    let service = FakeProvider::start();
    service.require_key(None);
    let sandbox = Sandbox::new();
    sandbox.configure(&format!(
        "[providers.writer]\nkind = \"openai\"\nbase_url = \"{}\"\n\
         models = {{ text = \"director\", image = \"gpt-image-2\", voice = \"tts-1\" }}\nprice = {{ image = 0.04 }}\n",
        service.base_url()
    ));
    sandbox.start();
    let tale = Tale::named(sandbox, "story", "story.txt", STORY);
    let calls = |path: &str| service.requests().iter().filter(|request| request.path.ends_with(path)).count();
    tale.make(&["--until", "storyboard"]).expect_code(0);
    let dry = tale.make(&["--until", "pictures", "--dry-run"]);
    assert!(
        dry.expect_code(0).stderr.contains("sheets of characters and places: 2 to make by writer"),
        "{}",
        dry.stderr
    );
    assert!(dry.stderr.contains("pictures: 3 to make by writer"), "{}", dry.stderr);
    tale.make(&["--until", "pictures"]).expect_code(0);
    assert_eq!((calls("/images/generations"), calls("/images/edits")), (2, 3));
    let sheet = tale.path("story.reel/sheet-keeper.png");
    let read = |name: &str| fs::read(tale.path(format!("story.reel/{name}.png"))).unwrap();
    let sheets = [read("sheet-keeper"), read("place-tower")];
    let has = |body: &[u8], bytes: &[u8]| body.windows(bytes.len()).any(|part| part == bytes);
    let sent = service
        .requests()
        .iter()
        .filter(|request| request.path.ends_with("/images/edits"))
        .all(|request| sheets.iter().all(|sheet| has(&request.body, sheet)));
    assert!(sent, "each picture is made from both sheets");
    let page = fs::read_to_string(tale.path("story.reel/review.html")).unwrap();
    assert!(
        page.contains("src=\"sheet-keeper.png\"")
            && page.contains("src=\"place-tower.png\"")
            && page.contains("The reference pictures show: the keeper, the place (tower)"),
        "{page}"
    );
    // Everything is cached, and the dry run knows it.
    let dry = tale.make(&["--until", "pictures", "--dry-run"]);
    assert!(
        dry.expect_code(0).stderr.contains("pictures: 3 are in the cache, nothing to make; cost: nothing"),
        "{}",
        dry.stderr
    );
    // Another look makes the sheet and its pictures anew, and no voice.
    let voices = calls("/audio/speech");
    tale.edit("an old man in a yellow coat", "a young woman in a red coat");
    tale.make(&["--until", "pictures"]).expect_code(0);
    assert_eq!(
        (calls("/images/generations"), calls("/images/edits"), calls("/audio/speech")),
        (3, 6, voices)
    );
    // The user's own sheet wins.
    fs::copy(&sheet, tale.path("keeper.png")).unwrap();
    tale.edit("id = \"keeper\"\n", "id = \"keeper\"\nsheet = \"keeper.png\"\n");
    tale.make(&["--until", "pictures"]).expect_code(0);
    assert_eq!(calls("/images/generations"), 3);
    tale.edit("sheets = true", "sheets = false");
    tale.make(&["--until", "pictures"]).expect_code(0);
    assert_eq!(
        (calls("/images/generations"), calls("/images/edits")),
        (6, 6),
        "without sheets, only the looks are told"
    );
}
