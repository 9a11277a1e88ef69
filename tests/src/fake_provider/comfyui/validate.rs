//! Validates workflows as the real server does: each node that saves files, with everything on which it depends. A workflow is taken if one of these
//! nodes is valid.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::{Disk, Switches, nodes};

/// The depth of links at which the real server gives up.
const MOST_LINKS: usize = 200;
/// Most values of a list that the real server repeats in an error.
const MOST_VALUES: usize = 20;

/// The error that validating a node has raised at the real server: its type and its text.
struct Raised(&'static str, String);

/// The nodes that were validated, with what is wrong at each itself, and whether all on which it depends is valid.
type Validated = HashMap<String, (bool, Vec<Value>)>;

struct Graph<'a> {
    nodes: &'a Map<String, Value>,
    switches: &'a Switches,
    disk: &'a Disk,
}

/// Returns the ids of the nodes that run, and the errors of nodes that do not. The error is the body of an answer with the status 400.
pub(super) fn validate(
    graph: &Map<String, Value>,
    switches: &Switches,
    disk: &Disk,
) -> Result<(Vec<String>, Value), Value> {
    let mut saving = Vec::new();
    for (id, node) in graph {
        let Some(class) = node["class_type"].as_str() else {
            let message = "Cannot execute because a node is missing the class_type property.";
            return Err(refused("invalid_prompt", message, &format!("Node ID '#{id}'"), json!([])));
        };
        let Some(found) = nodes::find(class, switches) else {
            let message = format!("Cannot execute because node {class} does not exist.");
            return Err(refused("invalid_prompt", &message, &format!("Node ID '#{id}'"), json!([])));
        };
        if found.saves {
            saving.push(id.clone());
        }
    }
    if saving.is_empty() {
        return Err(refused("prompt_no_outputs", "Prompt has no outputs", "", json!([])));
    }
    let graph = Graph { nodes: graph, switches, disk };
    let (mut good, mut node_errors, mut validated, mut words) =
        (Vec::new(), Map::new(), HashMap::new(), Vec::new());
    for id in saving {
        if let Err(raised) = graph.node(&id, &mut validated, 0) {
            validated.insert(
                id.clone(),
                (false, vec![exception("exception_during_validation", &raised, json!({}))]),
            );
        }
        let (is_valid, own) = validated[&id].clone();
        if is_valid {
            good.push(id);
            continue;
        }
        words.extend(own.iter().map(|error| {
            format!("{}: {}", error["message"].as_str().unwrap(), error["details"].as_str().unwrap())
        }));
        for (other, (is_valid, errors)) in &validated {
            if !is_valid && !errors.is_empty() {
                let class = &graph.nodes[other]["class_type"];
                let entry = node_errors.entry(other.clone());
                let entry = entry.or_insert_with(
                    || json!({ "errors": errors, "dependent_outputs": [], "class_type": class }),
                );
                entry["dependent_outputs"].as_array_mut().unwrap().push(json!(id));
            }
        }
    }
    if good.is_empty() {
        let (kind, message) = ("prompt_outputs_failed_validation", "Prompt outputs failed validation");
        return Err(refused(kind, message, &words.join("\n"), Value::Object(node_errors)));
    }
    Ok((good, Value::Object(node_errors)))
}

fn refused(kind: &str, message: &str, details: &str, node_errors: Value) -> Value {
    let error = json!({ "type": kind, "message": message, "details": details, "extra_info": {} });
    json!({ "error": error, "node_errors": node_errors })
}

fn exception(kind: &str, Raised(exception, text): &Raised, extra: Value) -> Value {
    let message = match kind {
        "exception_during_validation" => "Exception when validating node",
        _ => "Exception when validating inner node",
    };
    let mut info = json!({ "exception_type": exception, "traceback": ["  File \"execution.py\"\n"] });
    info.as_object_mut().unwrap().extend(extra.as_object().cloned().unwrap_or_default());
    json!({ "type": kind, "message": message, "details": text, "extra_info": info })
}

impl Graph<'_> {
    /// Validates a node and all on which it depends. Returns whether all of it is valid.
    fn node(&self, id: &str, validated: &mut Validated, depth: usize) -> Result<bool, Raised> {
        if let Some((is_valid, _)) = validated.get(id) {
            return Ok(*is_valid);
        }
        if depth > MOST_LINKS {
            return Err(Raised("RecursionError", "maximum recursion depth exceeded".to_owned()));
        }
        let node = &self.nodes[id];
        let class = node["class_type"].as_str().unwrap();
        let found = nodes::find(class, self.switches).unwrap();
        let (mut errors, mut is_valid) = (Vec::new(), true);
        let optional =
            found.optional.as_object().unwrap().iter().filter(|(input, _)| !node["inputs"][*input].is_null());
        for (input, spec) in found.required.as_object().unwrap().iter().chain(optional) {
            let given = &node["inputs"][input];
            let wrong = match given {
                Value::Null => Some(error(
                    "required_input_missing",
                    "Required input is missing",
                    input,
                    json!({ "input_name": input }),
                )),
                Value::Array(link) if link.len() == 2 => {
                    let mismatch = self.mismatch(input, spec, link)?;
                    if mismatch.is_none() {
                        is_valid &= self.source((input, spec), link, validated, depth);
                    }
                    mismatch
                }
                Value::Array(_) => {
                    let message = "Bad linked input, must be a length-2 list of [node_id, slot_index]";
                    let info = json!({ "input_name": input, "input_config": spec, "received_value": given });
                    Some(error("bad_linked_input", message, input, info))
                }
                _ => self.wrong_value(class, input, spec, given),
            };
            errors.extend(wrong);
        }
        let is_valid = is_valid && errors.is_empty();
        validated.insert(id.to_owned(), (is_valid, errors));
        Ok(is_valid)
    }

    /// Validates the node to which an input is linked. Returns whether it and all on which it depends is valid.
    fn source(
        &self,
        (input, spec): (&str, &Value),
        link: &[Value],
        validated: &mut Validated,
        depth: usize,
    ) -> bool {
        let source = link[0].as_str().unwrap();
        match self.node(source, validated, depth + 1) {
            Ok(is_valid) => is_valid,
            Err(raised) => {
                let info = json!({ "input_name": input, "input_config": spec, "exception_message": raised.1, "linked_node": link });
                let error = exception("exception_during_inner_validation", &raised, info);
                // A loop is blamed on nobody: its nodes replace the errors of each other.
                let errors = if raised.0 == "RecursionError" { Vec::new() } else { vec![error] };
                validated.insert(source.to_owned(), (false, errors));
                false
            }
        }
    }

    /// Returns the error of a link to an output of another type.
    fn mismatch(&self, input: &str, spec: &Value, link: &[Value]) -> Result<Option<Value>, Raised> {
        let received = self.output(link)?;
        let Some(wanted) = spec[0].as_str().filter(|wanted| *wanted != received) else { return Ok(None) };
        let details = format!("{input}, received_type({received}) mismatch input_type({wanted})");
        let info = json!({ "input_name": input, "input_config": spec, "received_type": received, "linked_node": link });
        Ok(Some(error("return_type_mismatch", "Return type mismatch between linked nodes", &details, info)))
    }

    /// Returns the type of the output to which a link leads.
    fn output(&self, link: &[Value]) -> Result<&'static str, Raised> {
        let source = link[0].as_str().unwrap_or_default();
        let node = self.nodes.get(source).ok_or_else(|| Raised("KeyError", format!("'{source}'")))?;
        let outputs = nodes::find(node["class_type"].as_str().unwrap(), self.switches).unwrap().outputs;
        let output = link[1].as_u64().and_then(|slot| outputs.get(slot as usize));
        output.copied().ok_or_else(|| Raised("IndexError", "tuple index out of range".to_owned()))
    }

    /// Returns the error of a value that the input does not allow.
    fn wrong_value(&self, class: &str, input: &str, spec: &Value, given: &Value) -> Option<Value> {
        let text = given.as_str().unwrap_or_default();
        if class.starts_with("LoadImage") && input == "image" {
            let is_there = text == "example.png" || self.disk.inputs.contains_key(text);
            let (message, details) =
                ("Custom validation failed for node", format!("image - Invalid image file: {text}"));
            let wrong =
                || error("custom_validation_failed", message, &details, json!({ "input_name": input }));
            return (!is_there).then(wrong);
        }
        let info =
            |config: &Value| json!({ "input_name": input, "input_config": config, "received_value": given });
        // Lists among the options, which newer types have, are not checked.
        if let Some(list) = spec[0].as_array() {
            let (config, words) = if list.len() > MOST_VALUES {
                (&Value::Null, format!("(list of length {})", list.len()))
            } else {
                (spec, spec[0].to_string().replace('"', "'"))
            };
            let details = format!("{input}: '{text}' not in {words}");
            let wrong = || error("value_not_in_list", "Value not in list", &details, info(config));
            return (!list.contains(given)).then(wrong);
        }
        let kind = spec[0].as_str().filter(|kind| matches!(*kind, "INT" | "FLOAT"))?;
        let Some(number) = given.as_f64().or_else(|| text.trim().parse().ok()) else {
            let exception = format!("invalid literal for int() with base 10: '{text}'");
            let message = format!("Failed to convert an input value to a {kind} value");
            let mut info = info(spec);
            info["exception_message"] = json!(exception);
            return Some(error(
                "invalid_input_type",
                &message,
                &format!("{input}, {text}, {exception}"),
                info,
            ));
        };
        if let Some(min) = spec[1]["min"].as_f64().filter(|min| number < *min) {
            let message = format!("Value {number} smaller than min of {min}");
            return Some(error("value_smaller_than_min", &message, input, info(spec)));
        }
        let max = spec[1]["max"].as_f64().filter(|max| number > *max)?;
        let message = format!("Value {number} bigger than max of {max}");
        Some(error("value_bigger_than_max", &message, input, info(spec)))
    }
}

fn error(kind: &str, message: &str, details: &str, info: Value) -> Value {
    json!({ "type": kind, "message": message, "details": details, "extra_info": info })
}
