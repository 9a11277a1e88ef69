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
    let status =
        json!({ "status": { "exec_info": { "queue_remaining": state.pending.len() } }, "sid": client });
    tell(state, client, "status", status);
    // A client that connects again learns which job runs.
    if let Some(item) = state.running.clone().filter(|item| item.client == client) {
        tell(state, client, "executing", json!({ "node": "5", "prompt_id": item.id }));
    }
    Ok(())
}

/// Sends a message to one client.
pub(super) fn tell(state: &mut State, client: &str, kind: &str, data: Value) {
    let text = json!({ "type": kind, "data": data }).to_string();
    send(state, client, 0x81, text.as_bytes());
}

/// Sends a preview to one client.
pub(super) fn show(state: &mut State, client: &str, picture: &[u8]) {
    let message = [&1_u32.to_be_bytes()[..], &2_u32.to_be_bytes(), picture].concat();
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
