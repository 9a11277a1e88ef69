//! Runs the jobs of the queue, one at a time.

use std::{collections::BTreeMap, sync::MutexGuard};

use serde_json::{Map, Value, json};

use super::{Item, Shared, State, socket};
use crate::fake_provider::videos::FILM;

/// A short film in the form WebM.
const WEBM: &[u8] = include_bytes!("../../../../daemon/src/media/samples/film.webm");
/// The steps of a workflow without a sampler.
const STEPS: u64 = 4;

/// How a job ends.
enum End {
    Done,
    Interrupted,
    Failed(String, String),
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
        shared.disk().runs.push(item.id.clone());
        run(shared, state, &item);
    }
}

fn run(shared: &Shared, mut state: MutexGuard<'_, State>, item: &Item) {
    let id = &item.id;
    socket::tell(&mut state, &item.client, "execution_start", json!({ "prompt_id": id }));
    let key = item.graph.to_string();
    if let Some(outputs) = state.cache.get(&key).cloned() {
        let nodes: Vec<_> = item.graph.as_object().unwrap().keys().collect();
        socket::tell(
            &mut state,
            &item.client,
            "execution_cached",
            json!({ "nodes": nodes, "prompt_id": id }),
        );
        return finish(shared, state, item, &outputs, &End::Done);
    }
    socket::tell(&mut state, &item.client, "execution_cached", json!({ "nodes": [], "prompt_id": id }));
    let (mut state, end) = sample(shared, state, item);
    if state.is_stopped {
        return;
    }
    let outputs = if matches!(end, End::Done) { save(shared, item) } else { json!({}) };
    if matches!(end, End::Done) {
        state.cache.insert(key, outputs.clone());
    }
    finish(shared, state, item, &outputs, &end);
}

/// Runs the steps of the sampler, and tells each of them.
fn sample<'a>(
    shared: &'a Shared,
    mut state: MutexGuard<'a, State>,
    item: &Item,
) -> (MutexGuard<'a, State>, End) {
    let nodes = item.graph.as_object().unwrap();
    let sampler = nodes.iter().find(|(_, node)| node["class_type"] == "KSampler");
    let steps = sampler.and_then(|(_, node)| node["inputs"]["steps"].as_u64()).unwrap_or(STEPS);
    let node = sampler.map_or("1", |(id, _)| id.as_str());
    socket::tell(
        &mut state,
        &item.client,
        "executing",
        json!({ "node": node, "display_node": node, "prompt_id": item.id }),
    );
    for step in 0..=steps {
        let told = json!({ "value": step, "max": steps, "prompt_id": item.id, "node": node });
        socket::tell(&mut state, &item.client, "progress", told);
        let all = json!({ node: { "value": step, "max": steps, "state": "running", "node_id": node } });
        socket::tell(
            &mut state,
            &item.client,
            "progress_state",
            json!({ "prompt_id": item.id, "nodes": all }),
        );
        if step == 1 {
            socket::show(&mut state, &item.client, &png(16, 16, 7));
        }
        if step == steps / 2 {
            state.held_at = Some(step);
            shared.changed.notify_all();
            let waits = |state: &mut State| {
                shared.switches().is_held && !state.is_stopped && !state.interrupted.contains(&item.id)
            };
            state = shared.changed.wait_while(state, waits).unwrap();
            state.held_at = None;
        }
        if state.is_stopped {
            return (state, End::Interrupted);
        }
        if state.interrupted.remove(&item.id) {
            return (state, End::Interrupted);
        }
    }
    let failing = shared.switches().failing.clone();
    match failing {
        Some((prompt, kind, message)) if item.graph.to_string().contains(&prompt) => {
            (state, End::Failed(kind, message))
        }
        _ => (state, End::Done),
    }
}

fn finish(shared: &Shared, mut state: MutexGuard<'_, State>, item: &Item, outputs: &Value, end: &End) {
    let id = &item.id;
    let sampler = item.graph.as_object().unwrap().iter().find(|(_, node)| node["class_type"] == "KSampler");
    let (node, class) =
        sampler.map_or(("1", "None"), |(id, node)| (id.as_str(), node["class_type"].as_str().unwrap()));
    let (status, last) = match end {
        End::Done => ("success", json!(["execution_success", { "prompt_id": id }])),
        End::Interrupted => (
            "error",
            json!(["execution_interrupted", { "prompt_id": id, "node_id": node, "node_type": class, "executed": [] }]),
        ),
        End::Failed(kind, message) => (
            "error",
            json!(["execution_error", { "prompt_id": id, "node_id": node, "node_type": class, "executed": [],
                "exception_message": format!("{message}\n"), "exception_type": kind, "traceback": ["  File \"execution.py\"\n"] }]),
        ),
    };
    let messages =
        json!([["execution_start", { "prompt_id": id }], ["execution_cached", { "nodes": [] }], last]);
    let entry = json!({
        "prompt": [item.number, id, item.graph, item.extra, []],
        "outputs": outputs,
        "status": { "status_str": status, "completed": status == "success", "messages": messages },
        "meta": {},
    });
    state.history.insert(id.clone(), entry);
    state.running = None;
    let (kind, data) = (last[0].as_str().unwrap().to_owned(), last[1].clone());
    socket::tell(&mut state, &item.client, &kind, data);
    socket::tell(&mut state, &item.client, "executing", json!({ "node": null, "prompt_id": id }));
    shared.changed.notify_all();
}

/// Saves the files of a job, and returns its outputs.
fn save(shared: &Shared, item: &Item) -> Value {
    let nodes = item.graph.as_object().unwrap();
    let number = |class: &str, input: &str| {
        nodes
            .values()
            .find(|node| node["class_type"] == class)
            .and_then(|node| node["inputs"][input].as_u64())
    };
    let side = |input: &str| {
        number("EmptyLatentImage", input)
            .or_else(|| number("ImageScale", input))
            .or_else(|| number("EmptyImage", input))
            .unwrap_or(64) as u32
    };
    let count = number("EmptyLatentImage", "batch_size")
        .or_else(|| number("EmptyImage", "batch_size"))
        .or_else(|| number("RepeatLatentBatch", "amount"))
        .unwrap_or(1);
    let mut outputs = Map::new();
    for (id, node) in nodes {
        let class = node["class_type"].as_str().unwrap();
        let files: Vec<(&str, Vec<u8>)> = match class {
            "SaveImage" | "SaveNowhere" | "PreviewImage" => {
                let seed = number("KSampler", "seed").unwrap_or(0);
                (0..count).map(|index| ("png", png(side("width"), side("height"), seed + index))).collect()
            }
            "SaveVideo" => vec![("mp4", FILM.to_vec())],
            "SaveWEBM" => vec![("webm", WEBM.to_vec())],
            _ => continue,
        };
        let prefix = node["inputs"]["filename_prefix"].as_str().unwrap_or("ComfyUI");
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
        let output = if class.starts_with("Save") && class != "SaveImage" && class != "SaveNowhere" {
            json!({ "images": saved, "animated": [true] })
        } else {
            json!({ "images": saved })
        };
        outputs.insert(id.clone(), output);
    }
    Value::Object(outputs)
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
