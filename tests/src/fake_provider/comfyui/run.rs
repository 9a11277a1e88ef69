//! Runs the jobs of the queue, one at a time and node by node.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::MutexGuard,
};

use serde_json::{Map, Value, json};

use super::{Item, Shared, State, nodes, socket};
use crate::fake_provider::videos::FILM;

/// A short film in the form WebM.
const WEBM: &[u8] = include_bytes!("../../../../daemon/src/media/samples/film.webm");
/// A preview. The real server encodes them as JPEG.
const PREVIEW: &[u8] = include_bytes!("preview.jpg");
/// The time in all messages, in milliseconds.
const TIME: u64 = 1_795_874_576_435;

/// How a job ends. The text is the id of the node at which it ends early.
enum End {
    Done,
    Interrupted(String),
    Failed(String, String, String),
    /// The server was killed.
    Killed,
}

/// Runs jobs until the server is stopped.
pub(super) fn work(shared: &Shared) {
    loop {
        let waits = |state: &mut State| state.pending.is_empty() && !state.is_stopped;
        let mut state = shared.changed.wait_while(shared.state(), waits).unwrap();
        if state.is_stopped {
            return;
        }
        let first = (0..state.pending.len())
            .min_by(|a, b| state.pending[*a].number.total_cmp(&state.pending[*b].number))
            .unwrap();
        let item = state.pending.remove(first);
        state.running = Some(item.clone());
        socket::tell_queue(&mut state);
        shared.disk().runs.push(item.id.clone());
        Run { shared, item: &item, executed: Vec::new(), progress: Map::new(), outputs: Map::new() }
            .run(state);
    }
}

/// A job that runs.
struct Run<'a> {
    shared: &'a Shared,
    item: &'a Item,
    executed: Vec<String>,
    /// What the server says about each node that runs or has run.
    progress: Map<String, Value>,
    /// The files of each node that has saved some.
    outputs: Map<String, Value>,
}

impl<'a> Run<'a> {
    fn run(mut self, mut state: MutexGuard<'a, State>) {
        let id = &self.item.id;
        self.tell(&mut state, "execution_start", json!({ "prompt_id": id, "timestamp": TIME }));
        let order = order(&self.item.graph, &self.item.outputs);
        let signatures: HashMap<_, _> =
            order.iter().map(|node| (node.clone(), signature(&self.item.graph, node))).collect();
        // The server keeps only what the last workflow has made.
        let wanted: BTreeSet<_> = signatures.values().collect();
        state.cache.retain(|signature, _| wanted.contains(signature));
        let (cached, left): (Vec<_>, Vec<_>) =
            order.into_iter().partition(|node| state.cache.contains_key(&signatures[node]));
        let shown = json!({ "nodes": cached, "prompt_id": id, "timestamp": TIME });
        self.tell(&mut state, "execution_cached", shown);
        for node in &cached {
            let output = state.cache[&signatures[node]].clone();
            self.finished(node, output);
        }
        let (held, mut end) = (hold_at(&self.item.graph, &left).cloned(), End::Done);
        for node in left {
            let output;
            (state, end, output) = self.node(state, &node, held.as_ref() == Some(&node));
            if !matches!(end, End::Done) {
                break;
            }
            state.cache.insert(signatures[&node].clone(), output.clone());
            self.finished(&node, output);
        }
        self.finish(state, &cached, end);
    }

    fn tell(&self, state: &mut State, kind: &str, data: Value) {
        socket::tell(state, &self.item.client, kind, data);
    }

    fn tell_progress(&mut self, state: &mut State, node: &str, value: Value, max: Value, stage: &str) {
        let shown = json!({
            "value": value, "max": max, "state": stage, "node_id": node, "prompt_id": self.item.id,
            "display_node_id": node, "parent_node_id": null, "real_node_id": node,
        });
        self.progress.insert(node.to_owned(), shown);
        let all = json!({ "prompt_id": self.item.id, "nodes": self.progress });
        // If a job has no client, the server tells its progress to everybody.
        if self.item.client.is_empty() {
            socket::tell_all(state, "progress_state", &all);
        } else {
            self.tell(state, "progress_state", all);
        }
    }

    /// Runs a node. Returns what it has saved; null if it saves nothing.
    fn node(
        &mut self,
        mut state: MutexGuard<'a, State>,
        node: &str,
        is_held: bool,
    ) -> (MutexGuard<'a, State>, End, Value) {
        let (graph, id) = (&self.item.graph, &self.item.id);
        state.node = Some(node.to_owned());
        self.tell_progress(&mut state, node, json!(0.0), json!(1.0), "running");
        self.tell(&mut state, "executing", json!({ "node": node, "display_node": node, "prompt_id": id }));
        let class = graph[node]["class_type"].as_str().unwrap();
        let steps =
            if class == "KSampler" { graph[node]["inputs"]["steps"].as_u64().unwrap_or(20) } else { 0 };
        for step in 0..=steps {
            if step > 0 {
                self.tell_progress(&mut state, node, json!(step), json!(steps), "running");
                let told = json!({ "value": step, "max": steps, "prompt_id": id, "node": node });
                self.tell(&mut state, "progress", told);
                socket::show(&mut state, &self.item.client, PREVIEW);
            }
            if is_held && step == steps / 2 {
                state.held_at = Some(step);
                self.shared.changed.notify_all();
                let waits = |state: &mut State| {
                    self.shared.switches().is_held && !state.is_stopped && !state.interrupted.contains(id)
                };
                state = self.shared.changed.wait_while(state, waits).unwrap();
                state.held_at = None;
            }
            if state.is_stopped {
                return (state, End::Killed, Value::Null);
            }
            if state.interrupted.remove(id) {
                return (state, End::Interrupted(node.to_owned()), Value::Null);
            }
        }
        let failing = self.shared.switches().failing.clone();
        if let Some((prompt, kind, message)) = failing
            && is_held
            && graph.to_string().contains(&prompt)
        {
            return (state, End::Failed(node.to_owned(), kind, message), Value::Null);
        }
        let output = save(self.shared, graph, node);
        if !output.is_null() {
            let told = json!({ "node": node, "display_node": node, "output": output, "prompt_id": id });
            self.tell(&mut state, "executed", told);
        }
        let (value, max) = if steps > 0 { (json!(steps), json!(steps)) } else { (json!(1.0), json!(1.0)) };
        self.tell_progress(&mut state, node, value, max, "finished");
        (state, End::Done, output)
    }

    fn finished(&mut self, node: &str, output: Value) {
        self.executed.push(node.to_owned());
        if !output.is_null() {
            self.outputs.insert(node.to_owned(), output);
        }
    }

    fn finish(self, mut state: MutexGuard<'_, State>, cached: &[String], end: End) {
        let (item, id) = (self.item, &self.item.id);
        let class = |node: &str| item.graph[node]["class_type"].clone();
        let (status, last) = match end {
            End::Killed => return,
            End::Done => ("success", json!(["execution_success", { "prompt_id": id, "timestamp": TIME }])),
            End::Interrupted(node) => (
                "error",
                json!(["execution_interrupted", { "prompt_id": id, "node_id": node, "node_type": class(&node),
                    "executed": self.executed, "timestamp": TIME }]),
            ),
            End::Failed(node, kind, message) => (
                "error",
                json!(["execution_error", { "prompt_id": id, "node_id": node, "node_type": class(&node),
                    "executed": self.executed, "exception_message": format!("{message}\n"), "exception_type": kind,
                    "traceback": ["  File \"execution.py\"\n"], "current_inputs": {}, "current_outputs": [], "timestamp": TIME }]),
            ),
        };
        let messages = json!([
            ["execution_start", { "prompt_id": id, "timestamp": TIME }],
            ["execution_cached", { "nodes": cached, "prompt_id": id, "timestamp": TIME }],
            last,
        ]);
        let meta: Map<_, _> = self.outputs.keys().map(|node| {
            (node.clone(), json!({ "node_id": node, "display_node": node, "parent_node": null, "real_node_id": node }))
        }).collect();
        let entry = json!({
            "prompt": item.shown(),
            "outputs": self.outputs,
            "status": { "status_str": status, "completed": status == "success", "messages": messages },
            "meta": meta,
        });
        let (kind, data) = (last[0].as_str().unwrap(), last[1].clone());
        // If a job has no client, its interruption is told to everybody, and any other end to nobody.
        if kind == "execution_interrupted" && item.client.is_empty() {
            socket::tell_all(&mut state, kind, &data);
        } else {
            socket::tell(&mut state, &item.client, kind, data);
        }
        state.history.insert(id.clone(), entry);
        state.running = None;
        state.node = None;
        socket::tell_queue(&mut state);
        socket::tell(&mut state, &item.client, "executing", json!({ "node": null, "prompt_id": id }));
        self.shared.changed.notify_all();
    }
}

/// Returns the nodes on which these depend, and these themselves, each after those on which it depends.
fn order(graph: &Value, outputs: &[String]) -> Vec<String> {
    fn visit(graph: &Value, node: &str, order: &mut Vec<String>) {
        if order.iter().any(|other| other == node) {
            return;
        }
        for source in sources(&graph[node]) {
            visit(graph, source, order);
        }
        order.push(node.to_owned());
    }
    let mut order = Vec::new();
    for node in outputs {
        visit(graph, node, &mut order);
    }
    order
}

/// Returns the nodes to which the inputs of a node are linked.
fn sources(node: &Value) -> impl Iterator<Item = &str> {
    let inputs = node["inputs"].as_object().into_iter().flatten();
    inputs.filter_map(|(_, value)| value.as_array()?.first()?.as_str())
}

/// Returns what decides the result of a node: its inputs, and those of all nodes on which it depends.
fn signature(graph: &Value, node: &str) -> String {
    let sources: Vec<_> = sources(&graph[node]).map(|source| signature(graph, source)).collect();
    json!([graph[node]["class_type"], graph[node]["inputs"], sources]).to_string()
}

/// Returns the node at which jobs are held and fail: the sampler, or the one in the middle.
fn hold_at<'a>(graph: &Value, nodes: &'a [String]) -> Option<&'a String> {
    let is_sampler = |node: &&String| graph[node.as_str()]["class_type"] == "KSampler";
    nodes.iter().find(is_sampler).or_else(|| nodes.get(nodes.len() / 2))
}

/// Saves the files of a node, and returns them. Null if the node saves none.
fn save(shared: &Shared, graph: &Value, id: &str) -> Value {
    let all = graph.as_object().unwrap();
    let number = |class: &str, input: &str| {
        let node = all.values().find(|node| node["class_type"] == class);
        node.and_then(|node| node["inputs"][input].as_u64())
    };
    let first = |inputs: &[(&str, &str)]| inputs.iter().find_map(|(class, input)| number(class, input));
    let side = |input: &str| {
        first(&[("EmptyLatentImage", input), ("ImageScale", input), ("EmptyImage", input)]).unwrap_or(64)
            as u32
    };
    let batches =
        [("EmptyLatentImage", "batch_size"), ("EmptyImage", "batch_size"), ("RepeatLatentBatch", "amount")];
    let (node, class) = (&all[id], all[id]["class_type"].as_str().unwrap());
    if !nodes::find(class, &shared.switches()).is_some_and(|found| found.saves) {
        return Value::Null;
    }
    let files: Vec<(&str, Vec<u8>)> = match class {
        "SaveVideo" => vec![("mp4", FILM.to_vec())],
        "SaveWEBM" => vec![("webm", WEBM.to_vec())],
        _ => {
            let colour = first(&[("KSampler", "seed"), ("EmptyImage", "color")]).unwrap_or(0);
            let count = first(&batches).unwrap_or(1);
            (0..count).map(|index| ("png", png(side("width"), side("height"), colour + index))).collect()
        }
    };
    let prefix = node["inputs"]["filename_prefix"].as_str().unwrap_or("ComfyUI_temp_kpcih");
    let (folder, name) = prefix.rsplit_once('/').unwrap_or(("", prefix));
    let kind = if class == "PreviewImage" { "temp" } else { "output" };
    let mut disk = shared.disk();
    let saved: Vec<_> = files
        .into_iter()
        .map(|(extension, bytes)| {
            let filename = next_name(&disk.outputs, folder, name, extension);
            disk.outputs.insert((folder.to_owned(), filename.clone()), bytes);
            json!({ "filename": filename, "subfolder": folder, "type": kind })
        })
        .collect();
    if class.ends_with("Image") {
        json!({ "images": saved })
    } else {
        json!({ "images": saved, "animated": [true] })
    }
}

/// Numbers follow the files on the disk, whatever their extension is.
fn next_name(
    outputs: &BTreeMap<(String, String), Vec<u8>>,
    folder: &str,
    name: &str,
    extension: &str,
) -> String {
    let begins = format!("{name}_");
    let count = outputs.keys().filter(|(one, file)| one == folder && file.starts_with(&begins)).count();
    format!("{name}_{:05}_.{extension}", count + 1)
}

/// Returns a picture of one colour, which depends on the seed.
fn png(width: u32, height: u32, seed: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let colour = [seed as u8, (seed >> 8) as u8, (seed >> 16) as u8];
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&colour.repeat(width as usize * height as usize)).unwrap();
    drop(writer);
    bytes
}
