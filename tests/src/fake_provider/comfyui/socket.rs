//! The websocket of the server, as far as messages go from the server to its clients.

use std::{
    io::{self, Write as _},
    net::TcpStream,
};

use serde_json::{Value, json};

use super::State;

/// The answer that begins a websocket. No client of these tests checks the value of `Sec-WebSocket-Accept`.
const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: accepted\r\n\r\n";

/// Begins the websocket of a client, and tells it the state of the queue.
pub(super) fn begin(state: &mut State, client: &str, stream: &TcpStream) -> io::Result<()> {
    let mut socket = stream.try_clone()?;
    socket.write_all(SWITCHING.as_bytes())?;
    state.sockets.entry(client.to_owned()).or_default().push(socket);
    let remaining = remaining(state);
    let status = json!({ "status": { "exec_info": { "queue_remaining": remaining } }, "sid": client });
    tell(state, client, "status", status);
    // A client that connects again learns which node runs, and not of which job.
    if state.node.is_some() && state.running.as_ref().is_some_and(|item| item.client == client) {
        let node = json!({ "node": state.node });
        tell(state, client, "executing", node);
    }
    Ok(())
}

fn remaining(state: &State) -> usize {
    state.pending.len() + usize::from(state.running.is_some())
}

/// Tells every client how many jobs are in the queue.
pub(super) fn tell_queue(state: &mut State) {
    let status = json!({ "status": { "exec_info": { "queue_remaining": remaining(state) } } });
    tell_all(state, "status", &status);
}

/// Sends a message to every client.
pub(super) fn tell_all(state: &mut State, kind: &str, data: &Value) {
    let clients: Vec<_> = state.sockets.keys().cloned().collect();
    for client in clients {
        tell(state, &client, kind, data.clone());
    }
}

/// Sends a message to one client.
pub(super) fn tell(state: &mut State, client: &str, kind: &str, data: Value) {
    let text = json!({ "type": kind, "data": data }).to_string();
    send(state, client, 0x81, text.as_bytes());
}

/// Sends a preview to one client.
pub(super) fn show(state: &mut State, client: &str, picture: &[u8]) {
    // The picture is a JPEG.
    let message = [&1_u32.to_be_bytes()[..], &1_u32.to_be_bytes(), picture].concat();
    send(state, client, 0x82, &message);
}

fn send(state: &mut State, client: &str, kind: u8, payload: &[u8]) {
    let mut frame = vec![kind];
    match u16::try_from(payload.len()) {
        Ok(length) if length < 126 => frame.push(length as u8),
        Ok(length) => {
            frame.push(126);
            frame.extend(length.to_be_bytes());
        }
        Err(_) => {
            frame.push(127);
            frame.extend((payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend(payload);
    if let Some(sockets) = state.sockets.get_mut(client) {
        sockets.retain_mut(|socket| socket.write_all(&frame).is_ok());
    }
}
