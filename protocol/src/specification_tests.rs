//! Checks the examples and tables of the specification against the types. The examples are the golden lines.

use std::{fs, path::PathBuf};

use serde_json::Value;

use crate::{
    ChatParams, ErrorCode, RpcError, StoryMakeParams, StoryboardParams, TaskNote,
    methods::{EVENT, Event, METHODS, SUBSCRIPTION_DROPPED, Topic, rewrite},
    rpc::{Incoming, Request},
};

const SPECIFICATION: &str = include_str!("specification.md");

/// Every example that the specification has or had: a request and its answer, an error, or an event.
const KEPT_LINES: &str = "golden/lines.jsonl";

pub(crate) fn section(method: &str) -> &str {
    let heading = format!("## `{method}`\n");
    let start =
        SPECIFICATION.find(&heading).unwrap_or_else(|| panic!("{method} is not specified")) + heading.len();
    let rest = &SPECIFICATION[start..];
    &rest[..rest.find("\n## ").unwrap_or(rest.len())]
}

pub(crate) fn example(section: &str) -> Vec<&str> {
    let block = section.split("```json\n").nth(1).unwrap();
    block[..block.find("```").unwrap()].lines().collect()
}

#[test]
fn every_method_has_an_example_that_reads_and_writes_back_to_the_letter() {
    for method in METHODS {
        let lines = example(section(method));
        let [request_line, answer_line] = lines[..] else {
            panic!("{method}: an example is a request and its answer")
        };
        let request = Request::parse(request_line.as_bytes()).unwrap();
        assert_eq!(request.method, *method);
        let Incoming::Answer { id, outcome } = Incoming::parse(answer_line.as_bytes()).unwrap() else {
            panic!("{method}")
        };
        assert_eq!(id.map(|id| id.to_string()).as_deref(), request.id.map(serde_json::value::RawValue::get));
        let result = outcome.unwrap();
        let (params_again, result_again) = rewrite(method, request.params, result.get());
        assert_eq!(params_again, request.params, "{method}");
        assert_eq!(result_again, result.get(), "{method}");
    }
}

#[test]
fn the_table_of_errors_is_the_list_of_codes() {
    for code in ErrorCode::ALL {
        let row = format!("| {} | `{}` | {} |\n", code.number(), code.name(), code.meaning());
        assert!(SPECIFICATION.contains(&row), "{row}");
    }
    let rows = SPECIFICATION.split("| number | name | meaning |").nth(1).unwrap().trim().lines();
    assert_eq!(rows.take_while(|line| line.starts_with('|')).count(), 1 + ErrorCode::ALL.len());
}

#[test]
fn every_code_of_notes_and_of_services_is_described() {
    for code in [
        TaskNote::FEWER_OUTPUTS,
        TaskNote::MORE_OUTPUTS,
        TaskNote::OTHER_SIZE,
        TaskNote::NOT_DECODED,
        TaskNote::PROVIDER_MESSAGE,
        TaskNote::OTHER_PROVIDER,
        TaskNote::TRUNCATED,
        TaskNote::DRAFT,
        ChatParams::SCHEMA_MISMATCH,
        StoryMakeParams::SHOTS_MISSING,
        StoryMakeParams::NO_RENDERER,
        StoryMakeParams::NO_FONT,
        StoryMakeParams::OVER_BUDGET,
        StoryboardParams::NO_STORY,
    ] {
        assert!(SPECIFICATION.contains(&format!("`{code}`")), "{code}");
    }
}

#[test]
fn every_event_is_described() {
    let events = SPECIFICATION.split("# Events\n").nth(1).unwrap().split("# Methods\n").next().unwrap();
    for topic in Topic::ALL {
        assert!(events.contains(&format!("`{}`", topic.name())));
        for (event, _) in topic.events() {
            assert!(events.contains(&format!("`{event}`")), "{event}");
        }
    }
    assert!(events.contains(SUBSCRIPTION_DROPPED));
}

#[test]
fn the_examples_of_errors_and_events_read() {
    let lines: Vec<_> = SPECIFICATION.lines().filter(|line| line.starts_with("{\"jsonrpc\"")).collect();
    let mut seen = (false, false);
    for line in lines {
        match Incoming::parse(line.as_bytes()) {
            Ok(Incoming::Answer { outcome: Err(error), .. }) => {
                assert_eq!(error.known().map(ErrorCode::number), Some(error.code));
                seen.0 = true;
            }
            Ok(Incoming::Notification { method, params }) if method == EVENT => {
                let event: Event = serde_json::from_str(params.get()).unwrap();
                assert_eq!(serde_json::to_string(&event).unwrap(), params.get());
                seen.1 = true;
            }
            _ => {}
        }
    }
    assert_eq!(seen, (true, true));
}

fn kept_lines() -> (PathBuf, String) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(KEPT_LINES);
    let lines = fs::read_to_string(&path).unwrap();
    (path, lines)
}

#[test]
fn every_example_is_among_the_lines_that_are_kept_for_ever() {
    let (path, mut kept) = kept_lines();
    let examples = SPECIFICATION.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let missing: String = examples.filter(|example| !kept.contains(*example)).collect();
    if std::env::var_os("REEL_WRITE_GOLDEN").is_some() && !missing.is_empty() {
        kept += &missing;
        fs::write(path, &kept).unwrap();
        return;
    }
    assert_eq!(
        missing, "",
        "add these lines to {KEPT_LINES} with REEL_WRITE_GOLDEN=1, and change none that is there"
    );
}

/// Whether a value still has all that an older one had. Fields may have been added.
fn has_all_of(new: &Value, old: &Value) -> bool {
    match (new, old) {
        (Value::Object(new), Value::Object(old)) => {
            old.iter().all(|(name, old)| new.get(name).is_some_and(|new| has_all_of(new, old)))
        }
        (Value::Array(new), Value::Array(old)) => {
            new.len() == old.len() && new.iter().zip(old).all(|(new, old)| has_all_of(new, old))
        }
        (Value::Number(new), Value::Number(old)) => new.as_f64() == old.as_f64(),
        (new, old) => new == old,
    }
}

#[test]
fn every_kept_line_is_read_with_the_types_of_today_and_loses_nothing() {
    #[track_caller]
    fn assert_kept(now: &str, line_part: &str) {
        let [new, old] = [now, line_part].map(|text| serde_json::from_str::<Value>(text).unwrap());
        assert!(has_all_of(&new, &old), "{line_part} is now read as {now}");
    }
    let (_, lines) = kept_lines();
    let mut request = None;
    let mut read = 0;
    for line in lines.lines() {
        read += 1;
        if let Ok(asked @ Request { id: Some(_), .. }) = Request::parse(line.as_bytes()) {
            request = Some(asked);
            continue;
        }
        match Incoming::parse(line.as_bytes()).unwrap() {
            Incoming::Notification { method, params } => {
                assert_eq!(method, EVENT);
                let event: Event = serde_json::from_str(params.get()).unwrap();
                assert_kept(&serde_json::to_string(&event).unwrap(), params.get());
            }
            Incoming::Answer { outcome: Err(error), .. } => {
                let again: RpcError = serde_json::from_str(&serde_json::to_string(&error).unwrap()).unwrap();
                assert!(again == error && error.known().is_some(), "{line}");
            }
            Incoming::Answer { id, outcome: Ok(result) } => {
                let Some(Request { id: Some(asked_id), method, params }) = &request else { panic!("{line}") };
                assert_eq!(id.map(|id| id.to_string()).as_deref(), Some(asked_id.get()), "{line}");
                let (params_now, result_now) = rewrite(method, params, result.get());
                assert_kept(&params_now, params);
                assert_kept(&result_now, result.get());
            }
        }
    }
    assert!(read > 80, "{read}");
}

#[test]
fn a_field_that_is_lost_is_noticed() {
    let value = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let old = value(r#"{"a":[{"b":1}],"c":null}"#);
    assert!(has_all_of(&value(r#"{"a":[{"b":1.0,"x":2}],"c":null,"d":3}"#), &old));
    for new in [r#"{"a":[{"b":1}]}"#, r#"{"a":[],"c":null}"#, r#"{"a":[{"b":2}],"c":null}"#] {
        assert!(!has_all_of(&value(new), &old), "{new}");
    }
}
