//! Reads what the server answers about its jobs: its history, its queue, its lists of allowed values. Pure.

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

/// Most files of one job that are read.
const MAX_FILES: usize = 4_096;

/// A file that a job has made, as the server names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutFile {
    /// The id of the node that saved it.
    pub node: String,
    /// The name without its folder.
    pub filename: String,
    /// The folder below the folder of its kind.
    pub subfolder: String,
    /// The kind: `output`, `temp` or `input`.
    pub kind: String,
}

impl OutFile {
    /// Returns the query of the request for the file.
    pub fn query(&self) -> Vec<(&'static str, String)> {
        vec![
            ("filename", self.filename.clone()),
            ("subfolder", self.subfolder.clone()),
            ("type", self.kind.clone()),
        ]
    }

    /// Returns the extension in lower case.
    pub fn extension(&self) -> String {
        self.filename
            .rsplit_once('.')
            .map(|(_, extension)| extension.to_ascii_lowercase())
            .unwrap_or_default()
    }
}

/// How a job in the history ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Ended {
    /// It is done, and made these files.
    Done(Vec<OutFile>),
    /// A node raised an error.
    Failed {
        /// The title or the type of the node, and its id.
        node: String,
        /// The type of the error, such as `torch.OutOfMemoryError`.
        kind: String,
        /// The text of the error.
        message: String,
    },
    /// Somebody interrupted it.
    Interrupted,
}

/// Reads the entry of a job in an answer of `/history/ID`. None if the history does not have the job, as for a job that waits or runs.
pub fn ended(history: &Value, id: &str) -> Option<Ended> {
    let entry = history.get(id)?;
    let messages =
        entry.pointer("/status/messages").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let message = |name: &str| {
        let found =
            messages.iter().rev().find(|message| message.get(0).and_then(Value::as_str) == Some(name));
        found.and_then(|message| message.get(1))
    };
    let text = |value: &Value, name: &str| {
        value.get(name).and_then(Value::as_str).unwrap_or_default().trim().to_owned()
    };
    if let Some(error) = message("execution_error") {
        let node = text(error, "node_id");
        let titled = entry
            .pointer(&format!("/prompt/2/{}", node.replace('~', "~0").replace('/', "~1")))
            .map(super::workflow::title);
        let title =
            titled.filter(|title| !title.is_empty()).map_or_else(|| text(error, "node_type"), str::to_owned);
        return Some(Ended::Failed {
            node: format!("node {node} ({title})"),
            kind: text(error, "exception_type"),
            message: text(error, "exception_message"),
        });
    }
    if message("execution_interrupted").is_some() {
        return Some(Ended::Interrupted);
    }
    if entry.pointer("/status/status_str").and_then(Value::as_str) == Some("error") {
        let message = "the server gave no reason".to_owned();
        return Some(Ended::Failed { node: "the workflow".to_owned(), kind: String::new(), message });
    }
    Some(Ended::Done(files(entry.get("outputs").unwrap_or(&Value::Null))))
}

/// Returns all files in the outputs of a job: `{"9": {"images": [{"filename": …}], "gifs": […]}}`.
fn files(outputs: &Value) -> Vec<OutFile> {
    let text =
        |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut files: Vec<OutFile> = Vec::new();
    for (node, output) in outputs.as_object().into_iter().flatten() {
        for list in output.as_object().into_iter().flatten().filter_map(|(_, list)| list.as_array()) {
            for item in list.iter().filter(|item| item.get("filename").is_some_and(Value::is_string)) {
                let kind = Some(text(item, "type")).filter(|kind| !kind.is_empty());
                let file = OutFile {
                    node: node.clone(),
                    filename: text(item, "filename"),
                    subfolder: text(item, "subfolder"),
                    kind: kind.unwrap_or_else(|| "output".to_owned()),
                };
                if !files.contains(&file) && files.len() < MAX_FILES {
                    files.push(file);
                }
            }
        }
    }
    files
}

/// The queue of the server.
#[derive(Debug, Deserialize)]
struct Queue {
    queue_running: Vec<Vec<Box<RawValue>>>,
    queue_pending: Vec<Vec<Box<RawValue>>>,
}

/// Where a job is in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The server works on the job.
    Running,
    /// It waits, and so many jobs are before it.
    Pending(usize),
    /// The queue does not have it.
    Nowhere,
}

/// Reads where a job is in an answer of `/queue`. None if the answer is no queue.
pub fn place(queue: &[u8], id: &str) -> Option<Place> {
    let queue: Queue = serde_json::from_slice(queue).ok()?;
    // Each item is `[number, id, graph, …]`. Items with a lower number run first.
    let read = |item: &Vec<Box<RawValue>>| {
        let number: f64 = serde_json::from_str(item.first()?.get()).ok()?;
        let name: String = serde_json::from_str(item.get(1)?.get()).ok()?;
        Some((number, name))
    };
    let running: Vec<_> = queue.queue_running.iter().filter_map(read).collect();
    if running.iter().any(|(_, name)| name == id) {
        return Some(Place::Running);
    }
    let pending: Vec<_> = queue.queue_pending.iter().filter_map(read).collect();
    Some(match pending.iter().find(|(_, name)| name == id) {
        Some((number, _)) => {
            Place::Pending(running.len() + pending.iter().filter(|(other, _)| other < number).count())
        }
        None => Place::Nowhere,
    })
}

/// Returns the values that an input of a node type allows, from an answer of `/object_info/TYPE`. None if the input is no choice.
pub fn choices<'a>(info: &'a Value, input: &str) -> Option<Vec<&'a str>> {
    let inputs =
        ["required", "optional"].into_iter().filter_map(|group| info.get("input")?.get(group)?.get(input));
    let spec = inputs.into_iter().next()?;
    // Older servers send the list in place of the type, newer ones the type "COMBO" and the list among the options.
    let list = spec.get(0).filter(|first| first.is_array()).or_else(|| spec.get(1)?.get("options"))?;
    Some(list.as_array()?.iter().filter_map(Value::as_str).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_end_of_a_job_is_read_from_the_history() {
        let status = |messages: Value| json!({ "status_str": "x", "completed": false, "messages": messages });
        let entry = |outputs: Value, status: Value| json!({ "a": { "prompt": [1, "a", { "3": { "class_type": "KSampler", "_meta": { "title": "Draw" } } }], "outputs": outputs, "status": status } });
        let done = entry(
            json!({ "9": { "images": [{ "filename": "x_00001_.mp4", "subfolder": "reel", "type": "output" }], "animated": [true] },
                    "10": { "gifs": [{ "filename": "y.webm", "subfolder": "", "type": "temp" }] } }),
            json!({ "status_str": "success", "completed": true, "messages": [["execution_start", {}], ["execution_success", {}]] }),
        );
        let Some(Ended::Done(files)) = ended(&done, "a") else { panic!("{done}") };
        let names: Vec<_> = files
            .iter()
            .map(|file| (file.node.as_str(), file.filename.as_str(), file.kind.as_str()))
            .collect();
        assert_eq!(names.len(), 2);
        assert!(
            names.contains(&("9", "x_00001_.mp4", "output")) && names.contains(&("10", "y.webm", "temp")),
            "{names:?}"
        );
        let failed = entry(
            json!({}),
            status(
                json!([["execution_error", { "node_id": "3", "node_type": "KSampler", "exception_type": "RuntimeError", "exception_message": "bad \n" }]]),
            ),
        );
        let expected = Ended::Failed {
            node: "node 3 (Draw)".to_owned(),
            kind: "RuntimeError".to_owned(),
            message: "bad".to_owned(),
        };
        assert_eq!(ended(&failed, "a"), Some(expected));
        let stopped = entry(json!({}), status(json!([["execution_interrupted", { "node_id": "3" }]])));
        assert_eq!(ended(&stopped, "a"), Some(Ended::Interrupted));
        assert_eq!(ended(&json!({}), "a"), None);
        assert_eq!(ended(&json!([]), "a"), None);
    }

    #[test]
    fn a_job_is_found_in_the_queue_with_the_jobs_before_it() {
        let queue = json!({
            "queue_running": [[4, "run", {}, {}, []]],
            "queue_pending": [[9.5, "last", {}, {}, []], [6, "mine", {}, {}, [], {}], [5, "other", {}, {}, []]],
        });
        let at = |id| place(queue.to_string().as_bytes(), id);
        assert_eq!(at("run"), Some(Place::Running));
        assert_eq!(
            (at("other"), at("mine"), at("last")),
            (Some(Place::Pending(1)), Some(Place::Pending(2)), Some(Place::Pending(3)))
        );
        assert_eq!(at("lost"), Some(Place::Nowhere));
        assert_eq!(place(b"<html>", "mine"), None);
    }

    #[test]
    fn the_values_that_an_input_allows_are_read_in_both_forms() {
        let old = json!({ "input": { "required": { "ckpt_name": [["a", "b"], {}], "steps": ["INT", { "min": 1 }] } } });
        let new = json!({ "input": { "optional": { "ckpt_name": ["COMBO", { "options": ["a", "b"] }] } } });
        assert_eq!(choices(&old, "ckpt_name"), Some(vec!["a", "b"]));
        assert_eq!(choices(&new, "ckpt_name"), Some(vec!["a", "b"]));
        assert_eq!((choices(&old, "steps"), choices(&old, "none")), (None, None));
    }
}
