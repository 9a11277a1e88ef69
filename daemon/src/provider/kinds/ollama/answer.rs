//! Reads the lines of an answer. Pure.

use serde_json::{Map, Value, json};

use crate::provider::chat::ChatAnswer;

/// Adds one line to an answer. What a model thinks before it answers (`thinking`) is not part of the text.
pub(super) fn read(value: &Value, answer: &mut ChatAnswer) {
    if value.get("error").is_some_and(|error| !error.is_null()) {
        answer.error = Some(value.clone());
        return;
    }
    if let Some(message) = value.get("message") {
        answer.has_begun = true;
        let is_text =
            |field: &str| message.get(field).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
        answer.has_written |=
            is_text("content") || is_text("thinking") || message.get("tool_calls").is_some();
        answer.text.push_str(message.get("content").and_then(Value::as_str).unwrap_or_default());
        for call in message.get("tool_calls").and_then(Value::as_array).into_iter().flatten() {
            let call = portable_call(call, answer.tool_calls.len());
            answer.tool_calls.push(call);
        }
    }
    if value.get("done").and_then(Value::as_bool) == Some(true) {
        let reason = value.get("done_reason").and_then(Value::as_str).unwrap_or("stop");
        answer.finish_reason = Some(reason.to_owned());
        // The server leaves a count out if it is 0.
        let count = |name: &str| value.get(name).and_then(Value::as_u64).unwrap_or_default();
        answer.usage = Some(json!({
            "prompt_tokens": count("prompt_eval_count"),
            "completion_tokens": count("eval_count"),
        }));
    }
}

/// Returns a tool call in the form of `OpenAI`'s API, which all providers return: with an id, and with the arguments as a text.
fn portable_call(call: &Value, number: usize) -> Value {
    let function = call.get("function");
    let of = |name: &str| function.and_then(|function| function.get(name));
    let arguments = match of("arguments") {
        Some(Value::String(text)) => text.clone(),
        Some(object) => object.to_string(),
        None => Value::Object(Map::new()).to_string(),
    };
    let id = call.get("id").and_then(Value::as_str).filter(|id| !id.is_empty());
    let id = id.map_or_else(|| format!("call_{number}"), str::to_owned);
    let name = of("name").cloned().unwrap_or_default();
    json!({ "id": id, "type": "function", "function": { "name": name, "arguments": arguments } })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::{chat::ChatReader, kinds::ollama::Ollama};

    fn read_body(body: &str, piece: usize) -> (ChatAnswer, bool) {
        let mut reader = ChatReader::new(&Ollama);
        for bytes in body.as_bytes().chunks(piece) {
            assert!(reader.push(bytes));
        }
        let body = reader.finish();
        (body.answer, body.is_whole)
    }

    #[test]
    fn an_answer_is_read_line_by_line_however_it_is_cut() {
        let body = "{\"message\":{\"role\":\"assistant\",\"content\":\"\",\"thinking\":\"hm\"},\"done\":false}\n\
                    {\"message\":{\"content\":\"Grü\"},\"done\":false}\r\n\
                    {\"message\":{\"content\":\"ße\"},\"done\":false}\n\
                    {\"message\":{\"content\":\"\"},\"done\":true,\"done_reason\":\"length\",\"prompt_eval_count\":3,\"eval_count\":2}";
        for piece in [1, 7, 1_000] {
            let (answer, is_whole) = read_body(body, piece);
            assert_eq!((answer.text.as_str(), is_whole), ("Grüße", true));
            assert_eq!(answer.finish_reason.as_deref(), Some("length"));
            assert_eq!(answer.usage, Some(json!({ "prompt_tokens": 3, "completion_tokens": 2 })));
            let (_, is_whole) = read_body(body.rsplit_once('\n').unwrap().0, piece);
            assert!(!is_whole);
        }
    }

    #[test]
    fn errors_calls_and_endless_lines_are_recognised() {
        let (answer, _) = read_body("{\"message\":{\"content\":\"a\"}}\n{\"error\":\"broken\"}\n", 9);
        assert_eq!((answer.text.as_str(), answer.error), ("a", Some(json!({ "error": "broken" }))));
        for (line, has_written) in [
            ("{\"message\":{\"content\":\"\"}}\n", false),
            ("{\"message\":{\"content\":\"\",\"thinking\":\"hm\"}}\n", true),
        ] {
            assert_eq!(read_body(line, 9).0.has_written, has_written, "{line}");
        }
        let call = r#"{"message":{"content":"","tool_calls":[{"function":{"name":"f","arguments":{"x":1}}}]},"done":true}"#;
        let (answer, is_whole) = read_body(call, 9);
        assert!(is_whole);
        assert_eq!(
            answer.tool_calls,
            [
                json!({ "id": "call_0", "type": "function", "function": { "name": "f", "arguments": "{\"x\":1}" } })
            ]
        );
        let end = "{\"message\":{\"content\":\"\"},\"done\":true}\n";
        for (line, expected) in [("{\"message\":{\"content\":\"a\n", false), (": a comment\n", true)] {
            assert_eq!(read_body(&format!("{line}{end}"), 9).1, expected, "{line}");
        }
        let mut reader = ChatReader::new(&Ollama);
        assert!(reader.push(b"{"));
        assert!(!reader.push(&vec![b' '; 2 * 1024 * 1024]));
    }
}
