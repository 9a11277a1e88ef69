//! `text.chat` and `reel ask`: what is sent, what the response becomes, where it is shown, and what a person sees if there is none.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{fs, process::Stdio};

use reel_tests::{
    Connection, FakeProvider, Sandbox,
    fake_provider::{Cut, Fault},
    process::finish,
    raw_server::{RawRequest, RawServer, response},
    studio::studio,
};
use serde_json::{Value, json};

/// The keys in a provider's section that make it answer questions.
const WRITES: &str = "models = { text = \"writer-1\" }\n";

/// Starts a daemon whose provider `studio` answers questions.
fn writer(provider: &FakeProvider, more: &str) -> Sandbox {
    studio(provider, &format!("{WRITES}{more}"))
}

fn sent(provider: &FakeProvider) -> Value {
    let requests = provider.requests();
    let last = requests.last().unwrap();
    assert_eq!(last.path, "/v1/chat/completions");
    last.json()
}

/// Returns a complete response with this choice.
fn answer(message: &Value, finish_reason: &str) -> Fault {
    let body = json!({ "choices": [{ "index": 0, "message": message, "finish_reason": finish_reason }] });
    Fault::answered(200, body.to_string())
}

fn says(content: &str) -> Value {
    json!({ "role": "assistant", "content": content })
}

#[test]
fn an_answer_is_printed_written_kept_and_paid_once() {
    let provider = FakeProvider::start();
    let sandbox = writer(&provider, "");
    let asked =
        sandbox.reel(&["ask", "Why is the sea salt?", "--system", "Be brief.", "--temperature", "0.5"]);
    assert_eq!(asked.expect_code(0).stdout, "You asked: Why is the sea salt?\n");
    let body = sent(&provider);
    assert_eq!((&body["model"], &body["temperature"]), (&json!("writer-1"), &json!(0.5)));
    let messages = json!([
        { "role": "system", "content": "Be brief." }, { "role": "user", "content": "Why is the sea salt?" },
    ]);
    assert_eq!(body["messages"], messages);

    let same = ["ask", "Why is the sea salt?", "--system", "Be brief.", "--temperature", "0.5", "--json"];
    let again = sandbox.reel(&same).expect_code(0).json();
    assert_eq!(
        (&again["text"], &again["task"]["source"]),
        (&json!("You asked: Why is the sea salt?"), &json!("cache"))
    );
    let output = &again["task"]["outputs"][0];
    assert_eq!((&output["media_type"], &output["text"]), (&json!("text/plain"), &again["text"]));
    assert_eq!(
        fs::read_to_string(output["path"].as_str().unwrap()).unwrap(),
        "You asked: Why is the sea salt?"
    );

    let written = sandbox.reel(&["ask", "Why is the sea salt?", "-o", "sea.md"]);
    assert_eq!(written.expect_code(0).stdout, "sea.md\n");
    assert_eq!(fs::read_to_string(sandbox.work().join("sea.md")).unwrap(), "You asked: Why is the sea salt?");
    assert_eq!(provider.calls(), 2);
    sandbox.reel(&["ask", "Why is the sea salt?", "-o", "sea.md"]).expect_code(73);
    sandbox.reel(&["ask", "Why is the sea salt?", "--fresh"]).expect_code(0);
    assert_eq!(provider.calls(), 3);

    // All commands that show outputs show the text, also after a restart.
    sandbox.kill();
    sandbox.start();
    let id = again["task"]["id"].to_string();
    for arguments in [&["show", id.as_str(), "--json"][..], &["wait", &id, "--json"], &["ls", "--json"]] {
        let shown = sandbox.reel(arguments).expect_code(0).stdout.clone();
        assert!(shown.contains(r#""text":"You asked: Why is the sea salt?""#), "{arguments:?}: {shown}");
    }
    let called = sandbox.connect().ok(
        "service.call",
        json!({ "service": "text", "method": "chat", "params": { "prompt": "Why is the sea salt?" } }),
    );
    assert_eq!((&called["source"], &called["outputs"][0]["text"]), (&json!("cache"), &again["text"]));
    let shown = sandbox.reel(&["show", &id]).expect_code(0).stdout.clone();
    assert!(shown.contains("You asked: Why is the sea salt?"), "{shown}");
}

#[test]
fn a_conversation_and_tools_are_sent_as_they_are_and_calls_come_back_as_json() {
    let provider = FakeProvider::start();
    let sandbox = writer(&provider, "");
    let messages = json!([
        { "role": "user", "content": [{ "type": "text", "text": "what time?" }, { "type": "image_url", "image_url": { "url": "data:" } }] },
        { "role": "assistant", "content": null, "tool_calls": [{ "id": "1", "type": "function", "function": { "name": "clock", "arguments": "{}" } }] },
        { "role": "tool", "tool_call_id": "1", "content": "noon" },
    ]);
    let tools =
        json!([{ "type": "function", "function": { "name": "clock", "parameters": { "type": "object" } } }]);
    let calls = json!([{ "id": "2", "type": "function", "function": { "name": "clock", "arguments": "{\"zone\":\"UTC\"}" } }]);
    provider.script([answer(
        &json!({ "role": "assistant", "content": null, "tool_calls": calls }),
        "tool_calls",
    )]);
    let mut connection = sandbox.connect();
    let params =
        json!({ "messages": messages, "tools": tools, "tool_choice": "auto", "extra": { "top_p": 0.1 } });
    let id = connection.submit("text.chat", params);
    let task = connection.wait(id);
    let body = sent(&provider);
    assert_eq!(
        (&body["messages"], &body["tools"], &body["tool_choice"]),
        (&messages, &tools, &json!("auto"))
    );
    assert_eq!(body["top_p"], 0.1);
    let output = &task["outputs"][0];
    assert_eq!(output["media_type"], "application/json", "{task}");
    let message: Value = serde_json::from_str(output["text"].as_str().unwrap()).unwrap();
    assert_eq!(message, json!({ "role": "assistant", "content": null, "tool_calls": calls }));
}

#[test]
fn each_fault_leads_to_an_error_with_a_next_step() {
    let provider = FakeProvider::start();
    let sandbox = writer(&provider, "");
    let mut connection = sandbox.connect();
    let failed = |code| ("failed", code);
    for (text, fault, (state, code), words) in [
        ("moderated", Fault::Moderated, failed("moderated"), "safety"),
        ("filtered", answer(&says("I"), "content_filter"), failed("moderated"), "filter"),
        (
            "refused",
            answer(&json!({ "content": null, "refusal": "I will not." }), "stop"),
            failed("moderated"),
            "I will not.",
        ),
        ("no quota", Fault::InsufficientQuota, failed("quota_exceeded"), "quota"),
        ("no key", Fault::Unauthorized, failed("provider_auth"), "API key"),
        ("a web page", Fault::Html, failed("provider_failed"), "web page"),
        ("other JSON", Fault::OtherJson, failed("provider_failed"), "without a result"),
        ("an error inside", Fault::ErrorInside, failed("provider_failed"), "The server had an error."),
        ("nothing", Fault::answered(200, b""), failed("provider_failed"), "the answer is empty"),
        ("empty", answer(&says(" \n"), "stop"), failed("provider_failed"), "the answer is empty"),
        ("all thinking", answer(&says(""), "length"), failed("provider_failed"), "raise max_tokens"),
        (
            "no resources",
            answer(&says("Half"), "insufficient_system_resource"),
            failed("provider_failed"),
            "no resources",
        ),
        ("cut", Fault::Cut(Cut::Base64), ("held", "answer_lost"), "lost"),
        ("reset", Fault::ResetAfterRequest, ("held", "answer_lost"), "lost"),
        ("10 MB", answer(&says(&"a".repeat(10 << 20)), "stop"), failed("provider_failed"), "larger than"),
    ] {
        provider.on_prompt(text, fault);
        let spec = json!({ "kind": "text.chat", "params": { "prompt": text }, "max_attempts": 1 });
        let id = connection.submit_as(spec);
        let task = connection.wait(id);
        let found = (task["state"].as_str().unwrap(), task["error"]["code"].as_str().unwrap_or_default());
        assert_eq!(found, (state, code), "{text}: {}", task["error"]);
        assert!(task["error"]["message"].as_str().unwrap().contains(words), "{text}: {}", task["error"]);
    }
    let said = |connection: &mut Connection, text: &str, fault: Fault| {
        provider.on_prompt(text, fault);
        let id = connection.submit("text.chat", json!({ "prompt": text }));
        connection.wait(id)
    };
    // These are white space before the JSON to keep the connection alive, an array of parts instead of a text, and a response that the token limit
    // cut.
    let spaces = [
        b"\n\n \r\n".repeat(1_000),
        json!({ "choices": [{ "message": says("Hi.") }] }).to_string().into_bytes(),
    ];
    let busy = said(&mut connection, "busy", Fault::answered(200, spaces.concat()));
    assert_eq!(busy["outputs"][0]["text"], "Hi.", "{busy}");
    let parts = json!({ "content": [{ "type": "text", "text": "Hi." }] });
    assert_eq!(said(&mut connection, "parts", answer(&parts, "stop"))["outputs"][0]["text"], "Hi.");
    let short = said(&mut connection, "short", answer(&says("Once upon a"), "length"));
    assert_eq!(
        (&short["outputs"][0]["text"], &short["notes"][0]["code"]),
        (&json!("Once upon a"), &json!("truncated"))
    );
    let large = said(&mut connection, "large", answer(&says(&"a".repeat(100_000)), "stop"));
    assert_eq!(
        (&large["outputs"][0]["text"], &large["outputs"][0]["size_bytes"]),
        (&Value::Null, &json!(100_000))
    );
    let asked = sandbox.reel(&["ask", "large"]);
    assert_eq!(asked.expect_code(0).stdout.len(), 100_001);
}

#[test]
fn invalid_questions_are_refused_before_anything_is_paid() {
    let provider = FakeProvider::start();
    let sandbox = writer(&provider, "");
    fs::write(sandbox.work().join("question.txt"), "\u{feff}Why?\n").unwrap();
    assert_eq!(sandbox.reel(&["ask", "@question.txt"]).expect_code(0).stdout, "You asked: Why?\n");
    let mut command = sandbox.reel_command(&["ask", "-"]);
    command.stdin(fs::File::open(sandbox.work().join("question.txt")).unwrap());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    assert_eq!(finish(child).expect_code(0).stdout, "You asked: Why?\n");
    assert_eq!(provider.calls(), 1);
    fs::write(sandbox.work().join("large.txt"), "a".repeat(1 << 20)).unwrap();
    for (arguments, code, words) in [
        (&["ask", " "][..], 65, "the prompt is empty"),
        (&["ask", "@missing.txt"], 66, "missing.txt"),
        (&["ask", "@large.txt"], 65, "more than 524288 bytes"),
        (&["ask", "a", "--temperature", "3"], 65, "temperature 3 is not from 0 to 2"),
        (&["ask", "a", "--max-tokens", "0"], 64, "a number of tokens is a whole number from 1"),
        (&["ask", "a", "--provider", "draft"], 65, "draft is not configured for text"),
    ] {
        let ran = sandbox.reel(arguments);
        assert!(ran.expect_code(code).stderr.contains(words), "{arguments:?}: {}", ran.stderr);
    }
    let error = sandbox
        .connect()
        .err("task.submit", json!({ "kind": "text.chat", "params": { "prompt": "a".repeat(600 * 1024) } }));
    assert_eq!(error.data.code, "invalid_params");
    assert!(error.message.contains("at most 524288"), "{}", error.message);
    let half = "é".repeat(250 * 1024);
    let task = sandbox
        .connect()
        .ok("service.call", json!({ "service": "text", "method": "chat", "params": { "prompt": half } }));
    assert_eq!(task["state"], "succeeded", "{}", task["error"]);
    assert_eq!(provider.calls(), 2);
}

#[test]
fn without_a_text_provider_the_error_names_the_next_step() {
    let provider = FakeProvider::start();
    let pictures_only = studio(&provider, "");
    for sandbox in [Sandbox::started(), pictures_only] {
        let refused = sandbox.reel(&["ask", "Why?", "--json"]);
        let error = refused.expect_code(78).json()["error"].clone();
        assert_eq!(error["code"], "no_provider");
        assert!(error["hint"].as_str().unwrap().contains("reel providers add"), "{error}");
    }
    assert_eq!(provider.calls(), 0);
}

#[test]
fn an_answer_that_fits_its_schema_is_json_and_one_that_does_not_is_kept_and_reported() {
    let provider = FakeProvider::start();
    let sandbox = writer(&provider, "");
    let schema = json!({
        "type": "object", "required": ["names"], "additionalProperties": false,
        "properties": { "names": { "type": "array", "items": { "type": "string" } } },
    });
    fs::write(sandbox.work().join("names.json"), schema.to_string()).unwrap();
    provider.script([answer(&says("<think>hm</think>\n```json\n{\"names\": [\"Ada\"]}\n```"), "stop")]);
    let asked = sandbox.reel(&["ask", "Name one.", "--schema", "names.json"]);
    assert_eq!(asked.expect_code(0).stdout, "{\"names\": [\"Ada\"]}\n");
    let format = &sent(&provider)["response_format"];
    assert_eq!((&format["type"], &format["json_schema"]["schema"]), (&json!("json_schema"), &schema));
    let again = sandbox.reel(&["ask", "Name one.", "--schema", "names.json", "--json"]).expect_code(0).json();
    assert_eq!(again["task"]["outputs"][0]["media_type"], "application/json");
    assert_eq!((&again["task"]["source"], provider.calls()), (&json!("cache"), 1));

    for (content, finish, words) in [
        ("{\"names\": [7]}", "stop", "/names/0: 7 is not of the type string"),
        ("I know none.", "stop", "it is no JSON"),
        ("{\"names\": [\"A", "length", "it is no JSON"),
    ] {
        provider.script([answer(&says(content), finish)]);
        let asked = sandbox.reel(&["ask", "Name another.", "--schema", "names.json", "--json"]);
        let error = asked.expect_code(1).json()["error"].clone();
        assert_eq!(error["code"], "schema_mismatch");
        assert!(error["message"].as_str().unwrap().contains(words), "{error}");
        // The text was paid for, so it is kept.
        let shown = sandbox.reel(&["show", &error["task"].to_string()]).expect_code(0).stdout.clone();
        assert!(shown.contains(content) && shown.contains("schema_mismatch"), "{shown}");
    }
    assert_eq!(provider.calls(), 4, "an answer that breaks its schema is not taken from the cache");
    // After a retry, the task has the new text instead of the former one.
    let id = sandbox.reel(&["ls", "--json"]).expect_code(0).json()["tasks"][0]["id"].as_u64().unwrap();
    provider.script([answer(&says("{\"names\": []}"), "stop")]);
    let mut connection = sandbox.connect();
    connection.ok("task.retry", json!({ "id": id }));
    let task = connection.wait(id);
    assert_eq!(
        (&task["state"], &task["outputs"][0]["text"]),
        (&json!("succeeded"), &json!("{\"names\": []}")),
        "{task}"
    );
    assert_eq!((task["outputs"].as_array().unwrap().len(), &task["error"]), (1, &Value::Null));

    fs::write(
        sandbox.work().join("bad.json"),
        r#"{"type": "object", "properties": {"a": {"pattern": "^a"}}}"#,
    )
    .unwrap();
    fs::write(sandbox.work().join("no.json"), "{").unwrap();
    for (file, code, words) in [
        ("bad.json", 65, "the keyword pattern cannot be checked here at /properties/a/pattern"),
        ("no.json", 65, "not valid JSON"),
        ("missing.json", 66, "missing.json"),
    ] {
        let ran = sandbox.reel(&["ask", "Name one.", "--schema", file]);
        assert!(ran.expect_code(code).stderr.contains(words), "{file}: {}", ran.stderr);
    }
    assert_eq!(provider.calls(), 5);
}

#[test]
fn a_server_that_refuses_a_way_of_asking_for_json_is_asked_in_the_next_way_and_remembered() {
    // The error messages are those of DeepSeek and of LM Studio.
    let refusals = [
        ("json_schema", "This response_format type is unavailable now"),
        ("json_object", "'response_format.type' must be 'json_schema' or 'text'"),
    ];
    let format = |request: &RawRequest| -> Value {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        body["response_format"]["type"].clone()
    };
    for refused in 0..=refusals.len() {
        let server = RawServer::answering(move |request| {
            let asked = format(request);
            let said = refusals.iter().take(refused).find(|(name, _)| asked == *name);
            let (status, body) = if let Some((_, words)) = said {
                ("400 Bad Request", json!({ "error": { "message": words, "type": "invalid_request_error" } }))
            } else {
                let message = json!({ "role": "assistant", "content": "{\"name\": \"Ada\"}" });
                ("200 OK", json!({ "choices": [{ "message": message, "finish_reason": "stop" }] }))
            };
            response(status, &["content-type: application/json".to_owned()], body.to_string().as_bytes())
        });
        let sandbox = Sandbox::new();
        sandbox.configure(&server.config(WRITES));
        sandbox.start();
        let schema =
            r#"{"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}"#;
        fs::write(sandbox.work().join("name.json"), schema).unwrap();
        for question in ["Name one.", "Name another."] {
            let asked = sandbox.reel(&["ask", question, "--schema", "name.json"]);
            assert_eq!(asked.expect_code(0).stdout, "{\"name\": \"Ada\"}\n", "{refused} refused");
        }
        let mut formats: Vec<Value> =
            [json!("json_schema"), json!("json_object"), Value::Null].into_iter().take(refused + 1).collect();
        formats.extend(formats.last().cloned());
        let requests = server.requests();
        assert_eq!(requests.iter().map(format).collect::<Vec<_>>(), formats);
        // Where the service is not sent the schema, the instructions have it.
        let has_schema =
            |request: &RawRequest| String::from_utf8_lossy(&request.body).contains("JSON Schema");
        assert_eq!(
            requests.iter().map(has_schema).collect::<Vec<_>>(),
            formats.iter().map(|format| format != "json_schema").collect::<Vec<_>>()
        );
    }
}

#[test]
fn a_schema_that_a_service_cannot_use_is_a_refusal() {
    let server = RawServer::answering(|_| {
        let words =
            "Invalid schema for response_format 'answer': 'additionalProperties' is required to be false.";
        let body = json!({ "error": { "message": words, "type": "invalid_request_error" } });
        response(
            "400 Bad Request",
            &["content-type: application/json".to_owned()],
            body.to_string().as_bytes(),
        )
    });
    let sandbox = Sandbox::new();
    sandbox.configure(&server.config(WRITES));
    sandbox.start();
    fs::write(sandbox.work().join("any.json"), r#"{"type": "object"}"#).unwrap();
    let asked = sandbox.reel(&["ask", "Name one.", "--schema", "any.json"]);
    assert!(asked.expect_code(1).stderr.contains("Invalid schema"), "{}", asked.stderr);
    assert_eq!(server.requests().len(), 1);
}
