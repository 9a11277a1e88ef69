//! Says in words why the server refuses a workflow: which node, which input, and which values the server allows. Pure.

use serde_json::{Map, Value};

use super::{
    answers::choices,
    workflow::{broken_links, title},
};

/// Most complaints of one answer that are shown.
const SHOWN_COMPLAINTS: usize = 3;
/// Most allowed values that are shown.
const SHOWN_VALUES: usize = 4;
/// Longest text of the server that is shown, in characters.
const SHOWN_CHARS: usize = 200;

/// Returns the words for an answer with the status 400. `graph` has the nodes as they were sent.
pub fn words(answer: &Value, graph: &Map<String, Value>) -> String {
    let mut complaints = Vec::new();
    for (id, node) in answer.get("node_errors").and_then(Value::as_object).into_iter().flatten() {
        let named = format!(
            "node {id} ({})",
            graph
                .get(id)
                .map(title)
                .filter(|title| !title.is_empty())
                .unwrap_or_else(|| text(node, "class_type"))
        );
        for error in node.get("errors").and_then(Value::as_array).into_iter().flatten() {
            // The server says only the number of the node that it did not find.
            let broken = if text(error, "type").starts_with("exception_during") {
                graph.get(id).and_then(|node| broken_links(graph, node).next())
            } else {
                None
            };
            complaints.push(format!("{named}: {}", broken.unwrap_or_else(|| complaint(error))));
        }
    }
    if complaints.is_empty() {
        return whole(answer, graph);
    }
    let more = complaints.len().saturating_sub(SHOWN_COMPLAINTS);
    complaints.truncate(SHOWN_COMPLAINTS);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    format!("{}{more}", complaints.join("; "))
}

/// Whether the server may lack what the workflow needs: a type of node, a model, or another file.
pub fn may_lack_something(answer: &Value) -> bool {
    let kind = answer.pointer("/error/type").and_then(Value::as_str);
    let nodes = answer.get("node_errors").and_then(Value::as_object).into_iter().flatten();
    let mut errors = nodes.filter_map(|(_, node)| node.get("errors")?.as_array()).flatten();
    let lacks =
        |error: &Value| matches!(text(error, "type"), "value_not_in_list" | "custom_validation_failed");
    kind == Some("invalid_prompt") || errors.any(lacks)
}

/// Returns the words of an error that concerns the whole workflow.
fn whole(answer: &Value, graph: &Map<String, Value>) -> String {
    let error = answer.get("error").unwrap_or(&Value::Null);
    if let Some(text) = error.as_str() {
        return cut(text);
    }
    let (message, details) = (text(error, "message"), text(error, "details"));
    // Servers name the node of an unknown type only as `Node ID '#4'`, and newer ones also in `extra_info`.
    let in_details = details.split_once("'#").and_then(|(_, rest)| rest.split('\'').next());
    let id = error.pointer("/extra_info/node_id").and_then(Value::as_str).or(in_details);
    let node = id.and_then(|id| Some((id, graph.get(id)?)));
    let named = node
        .map(|(id, node)| format!("node {id} ({}), of the type {}: ", title(node), text(node, "class_type")))
        .unwrap_or_default();
    match (message, details) {
        ("", "") => "the server gave no reason".to_owned(),
        // The server does not name a node if it has found no end of the links, since each node of a loop needs another one first.
        (message, "") if text(error, "type") == "prompt_outputs_failed_validation" => {
            format!("{}, without the name of a node; the links between nodes may be a loop", cut(message))
        }
        (message, "") => format!("{named}{}", cut(message)),
        (message, _) if node.is_some() => format!("{named}{}", cut(message)),
        (message, details) => format!("{named}{}: {}", cut(message), cut(details)),
    }
}

/// Returns the words for one error of a node.
fn complaint(error: &Value) -> String {
    let input = error.pointer("/extra_info/input_name").and_then(Value::as_str).unwrap_or_default();
    let given = error.pointer("/extra_info/received_value").map(shown).unwrap_or_default();
    let bound = |name: &str| {
        error.pointer(&format!("/extra_info/input_config/1/{name}")).map(shown).unwrap_or_default()
    };
    match text(error, "type") {
        "value_not_in_list" if !input.is_empty() => {
            let info = serde_json::json!({ "input": { "required": { input: error.pointer("/extra_info/input_config") } } });
            match choices(&info, input) {
                Some(allowed) => format!("{input} is {given}, and {}", allowed_words(&allowed)),
                None => format!(
                    "{input} is {given}, which the server does not have ({})",
                    cut(text(error, "details"))
                ),
            }
        }
        "value_bigger_than_max" if !input.is_empty() => {
            format!("{input} is {given}, and the most is {}", bound("max"))
        }
        "value_smaller_than_min" if !input.is_empty() => {
            format!("{input} is {given}, and the least is {}", bound("min"))
        }
        "required_input_missing" => format!(
            "the input {} is missing",
            cut(if input.is_empty() { text(error, "details") } else { input })
        ),
        _ => {
            let (message, details) = (text(error, "message"), text(error, "details"));
            if details.is_empty() { cut(message) } else { format!("{}: {}", cut(message), cut(details)) }
        }
    }
}

/// Returns the words for the values that an input allows.
pub fn allowed_words(allowed: &[&str]) -> String {
    if allowed.is_empty() {
        return "the server has none to choose from".to_owned();
    }
    let first: Vec<_> = allowed.iter().take(SHOWN_VALUES).map(|value| cut(value)).collect();
    let more = allowed.len() - first.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("the server has {}{more}", first.join(", "))
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default().trim()
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{:?}", cut(text)),
        other => cut(&other.to_string()),
    }
}

fn cut(text: &str) -> String {
    let mut shown: String = text.trim().chars().take(SHOWN_CHARS).collect();
    if text.trim().chars().nth(SHOWN_CHARS).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_broken_link_and_a_loop_are_named_where_the_server_names_neither() {
        let graph = json!({ "7": { "class_type": "SaveImage", "inputs": { "images": ["77", 0] }, "_meta": { "title": "Save" } } });
        let graph = graph.as_object().unwrap();
        let error = json!({ "type": "exception_during_validation", "message": "Exception when validating node", "details": "'77'" });
        let broken =
            json!({ "error": {}, "node_errors": { "7": { "errors": [error], "class_type": "SaveImage" } } });
        assert_eq!(
            words(&broken, graph),
            "node 7 (Save): images is linked to node 77, which the workflow does not have"
        );
        let error = json!({ "type": "prompt_outputs_failed_validation", "message": "Prompt outputs failed validation", "details": "" });
        let said = words(&json!({ "error": error, "node_errors": {} }), graph);
        assert!(said.ends_with("the links between nodes may be a loop"), "{said}");
    }

    #[test]
    fn each_refusal_names_the_node_the_input_and_what_the_server_allows() {
        let graph = json!({
            "4": { "class_type": "CheckpointLoaderSimple", "inputs": {}, "_meta": { "title": "Load Checkpoint" } },
            "5": { "class_type": "KSampler", "inputs": {} },
            "6": { "class_type": "Nonsense", "inputs": {}, "_meta": { "title": "Mine" } },
        });
        let graph = graph.as_object().unwrap();
        let of_node = |id: &str, error: Value| {
            let errors =
                json!({ id: { "errors": [error], "dependent_outputs": ["9"], "class_type": "KSampler" } });
            json!({ "error": { "type": "prompt_outputs_failed_validation", "message": "Prompt outputs failed validation" }, "node_errors": errors })
        };
        let list = |list: Value| {
            json!({
                "type": "value_not_in_list", "message": "Value not in list", "details": "ckpt_name: 'x' not in …",
                "extra_info": { "input_name": "ckpt_name", "input_config": [list, {}], "received_value": "x" },
            })
        };
        let cases = [
            (
                of_node("4", list(json!([]))),
                "node 4 (Load Checkpoint): ckpt_name is \"x\", and the server has none to choose from",
            ),
            (
                of_node("4", list(json!(["a", "b", "c", "d", "e", "f"]))),
                "node 4 (Load Checkpoint): ckpt_name is \"x\", and the server has a, b, c, d and 2 more",
            ),
            (
                of_node(
                    "5",
                    json!({ "type": "value_bigger_than_max", "message": "Value 20000 bigger than max of 10000", "details": "steps",
                    "extra_info": { "input_name": "steps", "input_config": ["INT", { "max": 10_000 }], "received_value": 20_000 } }),
                ),
                "node 5 (KSampler): steps is 20000, and the most is 10000",
            ),
            (
                of_node(
                    "5",
                    json!({ "type": "required_input_missing", "message": "Required input is missing", "details": "vae", "extra_info": { "input_name": "vae" } }),
                ),
                "node 5 (KSampler): the input vae is missing",
            ),
            (
                of_node(
                    "5",
                    json!({ "type": "exception_during_inner_validation", "message": "Exception", "details": "KeyError" }),
                ),
                "node 5 (KSampler): Exception: KeyError",
            ),
            (
                json!({ "error": { "type": "invalid_prompt", "message": "Cannot execute because node Nonsense does not exist.", "details": "Node ID '#6'", "extra_info": {} }, "node_errors": [] }),
                "node 6 (Mine), of the type Nonsense: Cannot execute because node Nonsense does not exist.",
            ),
            (json!({ "error": "no prompt" }), "no prompt"),
            (json!([]), "the server gave no reason"),
        ];
        for (answer, expected) in &cases {
            assert_eq!(words(answer, graph), *expected, "{answer}");
        }
        assert!(may_lack_something(&cases[0].0) && may_lack_something(&cases[5].0));
        assert!(!may_lack_something(&cases[2].0) && !may_lack_something(&json!([])));
        let many = json!({ "error": {}, "node_errors": { "4": { "errors": vec![list(json!([])); 9] } } });
        assert!(words(&many, graph).ends_with("; and 6 more") && words(&many, graph).len() < 400);
    }
}
