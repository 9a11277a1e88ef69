//! The HTTP routes of the server.

use std::{
    io::{self, BufRead as _, BufReader, Read as _},
    net::{Shutdown, TcpListener, TcpStream},
    ops::ControlFlow,
    sync::Arc,
};

use serde_json::{Value, json};

use super::{ComfyPost, Item, Shared, State, nodes, socket, validate::validate};
use crate::fake_provider::http::{Request, Response};

/// Accepts connections until the server is stopped.
pub(super) fn accept(shared: &Arc<Shared>, listener: &TcpListener) {
    for stream in listener.incoming() {
        let Ok(stream) = stream else { continue };
        let mut state = shared.state();
        if state.is_stopped {
            return;
        }
        state.streams.extend(stream.try_clone());
        drop(state);
        let shared = Arc::clone(shared);
        std::thread::spawn(move || {
            let _ = connection(&shared, &stream);
            let _ = stream.shutdown(Shutdown::Both);
        });
    }
}

fn connection(shared: &Shared, stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while !reader.fill_buf()?.is_empty() {
        let Some(request) = Request::read(&mut reader)? else { break };
        if shared.state().is_stopped {
            break;
        }
        if one(shared, stream, &request)?.is_break() {
            break;
        }
    }
    Ok(())
}

fn one(shared: &Shared, mut stream: &TcpStream, request: &Request) -> io::Result<ControlFlow<()>> {
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    let segments: Vec<_> = path.split('/').skip(1).collect();
    let response = match (request.method.as_str(), segments.as_slice()) {
        ("GET", ["ws"]) if !shared.switches().has_no_socket => {
            socket::begin(&mut shared.state(), &field(query, "clientId"), stream)?;
            // What the client sends is read and dropped, until it leaves.
            let _ = stream.take(u64::MAX).read_to_end(&mut Vec::new());
            return Ok(ControlFlow::Break(()));
        }
        ("POST", ["prompt"]) => match submit(shared, request) {
            Some(response) => response,
            None => return Ok(ControlFlow::Break(())),
        },
        ("GET", ["history"]) => Response::json(200, &json!(shared.state().history)),
        ("GET", ["history", id]) => {
            let state = shared.state();
            let found = state.history.get(*id).map_or_else(|| json!({}), |entry| json!({ *id: entry }));
            Response::json(200, &found)
        }
        ("GET", ["queue"]) => {
            let state = shared.state();
            let shown = |items: &mut dyn Iterator<Item = &Item>| items.map(Item::shown).collect::<Vec<_>>();
            let queue = json!({
                "queue_running": shown(&mut state.running.iter()),
                "queue_pending": shown(&mut state.pending.iter().rev()),
            });
            Response::json(200, &queue)
        }
        ("POST", ["queue"]) => delete(shared, &request.json()),
        ("POST", ["interrupt"]) => interrupt(shared, &request.json()),
        ("POST", ["free"]) => {
            shared.disk().frees.push(request.json());
            Response::new(200, "application/octet-stream", Vec::new())
        }
        ("GET", ["view"]) => view(shared, query),
        ("POST", ["upload", "image"]) => upload(shared, request),
        ("GET", ["system_stats"]) => Response::json(
            200,
            &json!({ "system": { "os": "posix", "comfyui_version": "0.3.64" }, "devices": [] }),
        ),
        ("GET", ["object_info", class]) => {
            let found = nodes::find(class, &shared.switches());
            Response::json(
                200,
                &found.map_or_else(|| json!({}), |found| json!({ *class: found.shown(class) })),
            )
        }
        _ => Response::new(404, "text/plain; charset=utf-8", b"404: Not Found".to_vec()),
    };
    response.write(&mut stream, || ())?;
    Ok(ControlFlow::Continue(()))
}

/// Takes a workflow into the queue. None if the connection ends without an answer.
fn submit(shared: &Shared, request: &Request) -> Option<Response> {
    let mut switches = shared.switches();
    if switches.lost_requests > 0 {
        switches.lost_requests -= 1;
        return None;
    }
    let Ok(body) = serde_json::from_slice::<Value>(&request.body) else {
        return Some(Response::new(
            500,
            "text/plain; charset=utf-8",
            b"500 Internal Server Error\n\nServer got itself in trouble".to_vec(),
        ));
    };
    let Some(graph) = body["prompt"].as_object() else {
        let error = json!({ "type": "no_prompt", "message": "No prompt provided", "details": "No prompt provided", "extra_info": {} });
        return Some(Response::json(400, &json!({ "error": error, "node_errors": {} })));
    };
    let (outputs, node_errors) = match validate(graph, &switches, &shared.disk()) {
        Ok(valid) => valid,
        Err(refusal) => return Some(Response::json(400, &refusal)),
    };
    let is_lost = switches.lost_answers > 0;
    switches.lost_answers = switches.lost_answers.saturating_sub(1);
    let is_old = switches.is_old;
    drop(switches);
    let mut state = shared.state();
    let text = |name: &str| body[name].as_str().map(str::to_owned);
    let id = text("prompt_id").filter(|_| !is_old).unwrap_or_else(|| format!("server-{}", state.number));
    let client = text("client_id").unwrap_or_default();
    let (graph, extra) = (body["prompt"].clone(), body["extra_data"].clone());
    let number = enqueue(shared, &mut state, Post { id: id.clone(), client, graph, extra }, outputs);
    (!is_lost).then(|| {
        Response::json(200, &json!({ "prompt_id": id, "number": number, "node_errors": node_errors }))
    })
}

/// A workflow that was submitted.
pub(super) struct Post {
    pub id: String,
    pub client: String,
    pub graph: Value,
    pub extra: Value,
}

/// Adds a job to the queue, also if another one has the same id, as the real server does.
pub(super) fn enqueue(shared: &Shared, state: &mut State, post: Post, outputs: Vec<String>) -> f64 {
    let number = state.number as f64;
    state.number += 1;
    let Post { id, client, graph, extra } = post;
    let mut disk = shared.disk();
    let life = disk.life;
    disk.posts.push(ComfyPost { id: id.clone(), graph: graph.clone(), life });
    drop(disk);
    state.pending.push(Item { number, id, client, graph, extra, outputs });
    socket::tell_queue(state);
    shared.changed.notify_all();
    number
}

/// Deletes waiting jobs: one for each id, even if several have the same. The answer is always 200.
fn delete(shared: &Shared, body: &Value) -> Response {
    let mut state = shared.state();
    for id in body["delete"].as_array().into_iter().flatten() {
        if let Some(index) = state.pending.iter().position(|item| item.id == *id) {
            state.pending.remove(index);
            socket::tell_queue(&mut state);
        }
    }
    Response::new(200, "application/octet-stream", Vec::new())
}

/// Interrupts the running job if it has this id, or whatever runs if the body has no id. The answer is always 200.
fn interrupt(shared: &Shared, body: &Value) -> Response {
    let is_old = shared.switches().is_old;
    let mut state = shared.state();
    if let Some(running) = state.running.as_ref().map(|item| item.id.clone()) {
        let wanted = body["prompt_id"].as_str().filter(|id| !id.is_empty() && !is_old);
        if wanted.is_none_or(|wanted| wanted == running) {
            shared.disk().interrupts.push(running.clone());
            state.interrupted.insert(running);
            shared.changed.notify_all();
        }
    }
    Response::new(200, "application/octet-stream", Vec::new())
}

fn view(shared: &Shared, query: &str) -> Response {
    let key = (field(query, "subfolder"), field(query, "filename"));
    if key.1.is_empty()
        || key.1.starts_with('/')
        || key.1.contains("..")
        || !matches!(field(query, "type").as_str(), "output" | "temp" | "input")
    {
        return Response::new(400, "text/plain; charset=utf-8", Vec::new());
    }
    if key.0.starts_with('/') || key.0.contains("..") {
        return Response::new(403, "text/plain; charset=utf-8", Vec::new());
    }
    match shared.disk().outputs.get(&key) {
        Some(bytes) => Response::new(200, "application/octet-stream", bytes.clone()),
        None => Response::new(404, "text/plain; charset=utf-8", b"404: Not Found".to_vec()),
    }
}

fn upload(shared: &Shared, request: &Request) -> Response {
    let parts = request.parts();
    let text = |name: &str| {
        let part = parts.iter().find(|part| part.name == name);
        part.map(|part| String::from_utf8_lossy(&part.bytes).into_owned()).unwrap_or_default()
    };
    let Some(part) = parts.iter().find(|part| part.name == "image") else {
        return Response::new(400, "text/plain; charset=utf-8", Vec::new());
    };
    let (mut name, folder) = (part.file_name.clone().unwrap_or_default(), text("subfolder"));
    let path = |name: &str| if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
    let mut disk = shared.disk();
    // Unless it may replace a file, a picture with other bytes gets another name.
    let (stem, extension) =
        name.rsplit_once('.').map(|(stem, end)| (stem.to_owned(), end.to_owned())).unwrap_or_default();
    let mut number = 1;
    while text("overwrite") != "true"
        && disk.inputs.get(&path(&name)).is_some_and(|bytes| *bytes != part.bytes)
    {
        name = format!("{stem} ({number}).{extension}");
        number += 1;
    }
    disk.inputs.insert(path(&name), part.bytes.clone());
    drop(disk);
    Response::json(200, &json!({ "name": name, "subfolder": folder, "type": "input" }))
}

/// Returns a field of a query, decoded.
fn field(query: &str, name: &str) -> String {
    let value = query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name);
    let value = value.map(|(_, value)| value.replace('+', " ")).unwrap_or_default();
    let mut bytes = Vec::new();
    let mut rest = value.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = if *first == b'%' {
            after.get(..2).and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok())
        } else {
            None
        };
        bytes.push(hex.unwrap_or(*first));
        rest = if hex.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
