//! Text responses that are streamed: they are reported piece by piece, shown on a terminal as they arrive, and lost or refused if the stream breaks.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use reel_tests::{
    Connection, FakeProvider, Sandbox, eventually,
    fake_provider::{Cut, Fault},
    studio::{studio, unhurried_studio},
    terminal::Terminal,
};
use serde_json::{Value, json};

const WRITES: &str = "models = { text = \"writer-1\" }\n";
const QUESTION: &str = "one two three four five six seven eight nine ten";

fn subscribe(sandbox: &Sandbox, partial: bool) -> Connection {
    let mut listener = sandbox.connect();
    listener.ok("events.subscribe", json!({ "topics": ["task"], "partial": partial }));
    listener
}

/// Returns a streamed response with this body.
fn stream(body: &str) -> Fault {
    Fault::Answered { status: 200, media_type: "text/event-stream", headers: Vec::new(), body: body.into() }
}

fn piece(text: &str) -> String {
    format!("data: {}\n\n", json!({ "choices": [{ "delta": { "content": text } }] }))
}

fn ask(connection: &mut Connection, text: &str) -> Value {
    let id =
        connection.submit_as(json!({ "kind": "text.chat", "params": { "prompt": text }, "max_attempts": 1 }));
    connection.wait(id)
}

#[test]
fn subscribers_that_want_pieces_get_them_before_the_answer_is_complete() {
    let provider = FakeProvider::start();
    let sandbox = unhurried_studio(&provider, WRITES);
    let (mut curious, mut plain) = (subscribe(&sandbox, true), subscribe(&sandbox, false));
    provider.script([Fault::Half]);
    let mut connection = sandbox.connect();
    let id = connection.submit("text.chat", json!({ "prompt": QUESTION }));
    let first = loop {
        let event = curious.next_event();
        if event["event"] == "partial" {
            break event;
        }
    };
    assert_eq!((&first["topic"], &first["task"]), (&json!("task"), &Value::Null));
    let partial = &first["partial"];
    assert_eq!((&partial["id"], &partial["index"], &partial["offset"]), (&json!(id), &json!(0), &json!(0)));
    let text = partial["text"].as_str().unwrap();
    assert!(text.starts_with("You asked: one") && !text.contains("ten"), "{text}");
    assert_eq!(connection.task(id)["state"], "running");
    provider.finish_halves();
    let task = connection.wait(id);
    assert_eq!(task["outputs"][0]["text"], format!("You asked: {QUESTION}"));
    let body = provider.requests().last().unwrap().json();
    assert_eq!((&body["stream"], &body["stream_options"]["include_usage"]), (&json!(true), &json!(true)));
    // A client that did not ask for pieces gets no `partial` event.
    loop {
        let event = plain.next_event();
        assert_ne!(event["event"], "partial");
        if event["task"]["state"] == "succeeded" {
            break;
        }
    }
}

#[test]
fn a_terminal_shows_an_answer_as_it_comes_and_a_pipe_gets_it_whole() {
    let provider = FakeProvider::start();
    let sandbox = unhurried_studio(&provider, WRITES);
    provider.script([Fault::Half]);
    let terminal = Terminal::open();
    let mut command = sandbox.reel_command(&["ask", QUESTION]);
    let side = || terminal.program_side();
    let mut child = command.stdin(side()).stdout(side()).stderr(side()).spawn().unwrap();
    eventually("the first half is shown", || terminal.shown().contains("You asked: one").then_some(()));
    assert!(!terminal.shown().contains("nine ten\r\n"), "{}", terminal.shown());
    provider.finish_halves();
    assert!(child.wait().unwrap().success());
    eventually("the rest is shown", || {
        terminal.shown().contains(&format!("You asked: {QUESTION}\r\n")).then_some(())
    });
    let piped = sandbox.reel(&["ask", QUESTION]);
    assert_eq!(piped.expect_code(0).stdout, format!("You asked: {QUESTION}\n"));
    assert_eq!(provider.calls(), 1);
    // Control characters in the text are not sent to the terminal.
    provider.script([stream(&(piece("a\u{1b}]0;title\u{7}b") + "data: [DONE]\n\n"))]);
    let terminal = Terminal::open();
    let side = || terminal.program_side();
    let mut command = sandbox.reel_command(&["ask", "escape"]);
    let mut child = command.stdin(side()).stdout(side()).stderr(side()).spawn().unwrap();
    assert!(child.wait().unwrap().success());
    eventually("the text is shown", || terminal.shown().contains("a]0;titleb").then_some(()));
    assert!(!terminal.shown().contains("\u{1b}]0"), "{}", terminal.shown());
}

#[test]
fn a_stream_that_breaks_is_lost_or_refused_and_never_half_an_answer() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, WRITES);
    let mut connection = sandbox.connect();
    let overloaded =
        "data: {\"error\":{\"message\":\"Rate limit reached\",\"code\":\"rate_limit_exceeded\"}}\n\n";
    for (text, fault, state, code) in [
        ("cut", Fault::Cut(Cut::Base64), "held", "answer_lost"),
        ("ends early", stream(&piece("Once")), "held", "answer_lost"),
        (
            "an error at once",
            stream("data: {\"error\":{\"code\":\"insufficient_quota\"}}\n\n"),
            "failed",
            "quota_exceeded",
        ),
        ("an error in the middle", stream(&(piece("Once") + overloaded)), "failed", "provider_failed"),
        (
            "an error after thoughts",
            stream(
                &("data: {\"choices\":[{\"delta\":{\"content\":null,\"reasoning_content\":\"hm\"}}]}\n\n"
                    .to_owned()
                    + overloaded),
            ),
            "failed",
            "provider_failed",
        ),
        (
            "an error by name",
            stream("event: error\ndata: {\"error\":\"no model\"}\n\n"),
            "failed",
            "provider_failed",
        ),
        ("nothing", stream("data: [DONE]\n\n"), "failed", "provider_failed"),
        ("only signs of life", stream(": keep-alive\n\n: keep-alive\n\n"), "failed", "provider_failed"),
    ] {
        provider.on_prompt(text, fault);
        let task = ask(&mut connection, text);
        let found = (task["state"].as_str().unwrap(), task["error"]["code"].as_str().unwrap_or_default());
        assert_eq!(found, (state, code), "{text}: {}", task["error"]);
    }
    // A stream is complete once it has a `finish_reason`. Keep-alive comments are ignored.
    let end = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"length\"}]}\n\n";
    provider.on_prompt(
        "no DONE",
        stream(&(": keep-alive\n\n".to_owned() + &piece("Once") + ": keep-alive\n\n" + end)),
    );
    let task = ask(&mut connection, "no DONE");
    assert_eq!(
        (&task["outputs"][0]["text"], &task["notes"][0]["code"]),
        (&json!("Once"), &json!("truncated"))
    );
    for fault in [Fault::Chunked, Fault::Drip { every: std::time::Duration::from_millis(1) }] {
        provider.script([fault]);
        let task = ask(&mut connection, &format!("piece by piece {}", provider.calls()));
        assert_eq!(task["state"], "succeeded", "{}", task["error"]);
    }
}

#[test]
fn a_service_without_streaming_gets_a_plain_request() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, &format!("{WRITES}stream = false\n"));
    let task = ask(&mut sandbox.connect(), "Why?");
    assert_eq!(task["outputs"][0]["text"], "You asked: Why?");
    let body = provider.requests().last().unwrap().json();
    assert_eq!((&body["stream"], &body["stream_options"]), (&Value::Null, &Value::Null));
}

#[test]
fn the_tokens_of_a_stream_are_priced_once() {
    let provider = FakeProvider::start();
    let sandbox =
        studio(&provider, &format!("{WRITES}price = {{ input_mtok = 1000.0, output_mtok = 2000.0 }}\n"));
    let mut connection = sandbox.connect();
    // The fake provider counts a word as a token: the question has one and the response three.
    let task = ask(&mut connection, "Why?");
    let amount = task["cost"]["amount"].as_f64().unwrap_or_default();
    assert!((amount - 0.007).abs() < 1e-9, "{}", task["cost"]);
    let again = ask(&mut connection, "Why?");
    assert_eq!((&again["source"], &again["cost"]["amount"]), (&json!("cache"), &json!(0.0)));
}
