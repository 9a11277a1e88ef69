//! Reads the messages of the server's websocket: how far a job is, and that it is over. Pure.
//!
//! The history of the server decides how a job ends. These messages only say when it is worth asking for it.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::workflow::{MARK, inputs, title};

/// The steps of a sampler whose number of steps is not in the workflow.
const USUAL_STEPS: f64 = 20.0;

/// The progress of one job.
#[derive(Debug)]
pub struct Progress {
    id: String,
    /// The share of each node in the work. Samplers count by their steps; the other nodes count only if there is no sampler.
    weights: BTreeMap<String, f64>,
    titles: BTreeMap<String, String>,
    /// The part of each node that is done, from 0 to 1.
    done: BTreeMap<String, f64>,
    current: Option<String>,
}

/// What a message means for the job.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    /// This fraction of the job is done, and this node runs.
    Fraction(f64, String),
    /// The job is over.
    Over,
}

impl Progress {
    /// Returns the progress of a job that has not begun.
    pub fn new(id: &str, graph: &Map<String, Value>) -> Self {
        let steps = |node: &Value| match node.get("inputs").and_then(|inputs| inputs.get("steps")) {
            Some(Value::Number(steps)) => steps.as_f64(),
            Some(link) => {
                let source = link.get(0).and_then(Value::as_str).and_then(|id| graph.get(id));
                Some(
                    source
                        .and_then(|source| inputs(source).find_map(|(_, value)| value.as_f64()))
                        .unwrap_or(USUAL_STEPS),
                )
            }
            None => None,
        };
        let class =
            |node: &Value| node.get("class_type").and_then(Value::as_str).unwrap_or_default().to_owned();
        let is_sampler = |node: &Value| class(node).contains("Sampler") && !class(node).ends_with("Select");
        let sampler = |node: &Value| is_sampler(node).then(|| steps(node).unwrap_or(USUAL_STEPS).max(1.0));
        let mut weights: BTreeMap<_, _> =
            graph.iter().filter_map(|(id, node)| Some((id.clone(), sampler(node)?))).collect();
        if weights.is_empty() {
            weights = graph.keys().map(|id| (id.clone(), 1.0)).collect();
        }
        // A title that only says what is set there is no name for people.
        let named =
            |node: &Value| Some(title(node)).filter(|title| !title.starts_with(MARK)).map(str::to_owned);
        let titles =
            graph.iter().map(|(id, node)| (id.clone(), named(node).unwrap_or_else(|| class(node)))).collect();
        Self { id: id.to_owned(), weights, titles, done: BTreeMap::new(), current: None }
    }

    /// Whether the websocket has said that the job runs.
    pub fn has_begun(&self) -> bool {
        self.current.is_some()
    }

    /// Reads a message. None if it says nothing about this job.
    pub fn read(&mut self, text: &str) -> Option<Told> {
        let message: Value = serde_json::from_str(text).ok()?;
        let data = message.get("data")?;
        let is_ours = |id: &Value| id.as_str() == Some(&self.id);
        if !data.get("prompt_id").is_some_and(is_ours) {
            return None;
        }
        let node = data.get("node").and_then(Value::as_str).map(str::to_owned);
        match message.get("type")?.as_str()? {
            "execution_success" | "execution_error" | "execution_interrupted" => return Some(Told::Over),
            "executing" if node.is_none() => return Some(Told::Over),
            "executing" => self.current = node,
            "executed" => self.set(node?, 1.0),
            "execution_cached" => {
                for node in data.get("nodes")?.as_array()?.iter().filter_map(Value::as_str) {
                    self.set(node.to_owned(), 1.0);
                }
            }
            "progress" => {
                let part = part(data)?;
                let node = node.or_else(|| self.current.clone())?;
                self.set(node, part);
            }
            "progress_state" => {
                for (node, state) in data.get("nodes")?.as_object()? {
                    let is_finished = state.get("state").and_then(Value::as_str) == Some("finished");
                    let part = if is_finished { Some(1.0) } else { part(state) };
                    let Some(part) = part else { continue };
                    self.set(node.clone(), part);
                    if !is_finished {
                        self.current = Some(node.clone());
                    }
                }
            }
            _ => return None,
        }
        let title = self.current.as_ref().and_then(|node| self.titles.get(node)).cloned().unwrap_or_default();
        Some(Told::Fraction(self.fraction(), title))
    }

    fn set(&mut self, node: String, part: f64) {
        // Nodes that the job does not have are not remembered, so that no server can make this grow.
        if self.weights.contains_key(&node) {
            self.done.insert(node, part.clamp(0.0, 1.0));
        }
    }

    fn fraction(&self) -> f64 {
        let all: f64 = self.weights.values().sum();
        let done: f64 = self
            .weights
            .iter()
            .map(|(node, weight)| weight * self.done.get(node).copied().unwrap_or(0.0))
            .sum();
        if all > 0.0 { (done / all).clamp(0.0, 1.0) } else { 0.0 }
    }
}

fn part(state: &Value) -> Option<f64> {
    let number = |name: &str| state.get(name).and_then(Value::as_f64);
    let (value, max) = (number("value")?, number("max")?);
    (max > 0.0).then(|| value / max)
}

/// Returns the picture in a binary message, and its extension. None if the message is no preview.
pub fn preview(message: &[u8]) -> Option<(&[u8], &'static str)> {
    let number = |at: usize| Some(u32::from_be_bytes(message.get(at..at + 4)?.try_into().ok()?));
    let extension = match (number(0)?, number(4)?) {
        (1, 1) => "jpg",
        (1, 2) => "png",
        _ => return None,
    };
    message.get(8..).filter(|picture| !picture.is_empty()).map(|picture| (picture, extension))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn two_samplers_count_by_their_steps() {
        let graph = json!({
            "1": { "class_type": "KSampler", "inputs": { "steps": 30 }, "_meta": { "title": "First" } },
            "2": { "class_type": "KSamplerAdvanced", "inputs": { "steps": ["3", 0] }, "_meta": { "title": "Second" } },
            "3": { "class_type": "PrimitiveInt", "inputs": { "value": 10 } },
            "4": { "class_type": "KSamplerSelect", "inputs": { "sampler_name": "euler" } },
        });
        let mut progress = Progress::new("a", graph.as_object().unwrap());
        let mut read =
            |kind: &str, data: Value| progress.read(&json!({ "type": kind, "data": data }).to_string());
        let at = |fraction, title: &str| Some(Told::Fraction(fraction, title.to_owned()));
        assert_eq!(read("executing", json!({ "node": "1", "prompt_id": "a" })), at(0.0, "First"));
        assert_eq!(
            read("progress", json!({ "value": 15, "max": 30, "node": "1", "prompt_id": "a" })),
            at(0.375, "First")
        );
        assert_eq!(
            read("progress", json!({ "value": 30, "max": 30, "node": "1", "prompt_id": "other" })),
            None
        );
        let nodes = json!({ "1": { "value": 30, "max": 30, "state": "finished" }, "2": { "value": 5, "max": 10, "state": "running" }, "x": { "value": 1, "max": 1, "state": "finished" } });
        assert_eq!(read("progress_state", json!({ "prompt_id": "a", "nodes": nodes })), at(0.875, "Second"));
        assert_eq!(read("progress", json!({ "value": 0, "max": 0, "node": "2", "prompt_id": "a" })), None);
        assert_eq!(read("status", json!({ "status": {} })), None);
        assert_eq!(read("executing", json!({ "node": null, "prompt_id": "a" })), Some(Told::Over));
        assert_eq!(read("execution_error", json!({ "prompt_id": "a" })), Some(Told::Over));
        assert_eq!(progress.read("no json"), None);
        // A title that says what reel sets there is none for people.
        let graph =
            json!({ "1": { "class_type": "KSampler", "inputs": {}, "_meta": { "title": "reel:seed" } } });
        let mut progress = Progress::new("a", graph.as_object().unwrap());
        assert!(!progress.has_begun());
        let begun = json!({ "type": "executing", "data": { "node": "1", "prompt_id": "a" } });
        assert_eq!(progress.read(&begun.to_string()), at(0.0, "KSampler"));
        assert!(progress.has_begun());
    }

    #[test]
    fn a_workflow_without_a_sampler_counts_its_nodes() {
        let graph = json!({ "1": { "class_type": "EmptyImage", "inputs": {} }, "2": { "class_type": "SaveImage", "inputs": {} } });
        let mut progress = Progress::new("a", graph.as_object().unwrap());
        let cached = json!({ "type": "execution_cached", "data": { "nodes": ["1"], "prompt_id": "a" } });
        assert_eq!(progress.read(&cached.to_string()), Some(Told::Fraction(0.5, String::new())));
    }

    #[test]
    fn a_preview_is_a_jpeg_or_a_png_behind_two_numbers() {
        assert_eq!(preview(b"\0\0\0\x01\0\0\0\x01JPEG"), Some((&b"JPEG"[..], "jpg")));
        assert_eq!(preview(b"\0\0\0\x01\0\0\0\x02PNG"), Some((&b"PNG"[..], "png")));
        for other in [&b"\0\0\0\x03\0\0\0\x01text"[..], b"\0\0\0\x01\0\0\0\x01", b"\0\0", b""] {
            assert_eq!(preview(other), None);
        }
    }
}
