//! Checks the examples and tables of the specification against the types. The examples are the golden lines.

use crate::{
    ErrorCode,
    methods::{EVENT, Event, METHODS, rewrite},
    rpc::{Incoming, Request},
};

const SPECIFICATION: &str = include_str!("specification.md");

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
        let row = format!("| {} | `{}` | ", code.number(), code.name());
        assert!(SPECIFICATION.contains(&row), "{row}");
    }
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
