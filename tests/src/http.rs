//! One plain HTTP request of a test to a server on this machine or in its network.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use serde_json::Value;

/// How long an answer is waited for.
const WAIT: Duration = Duration::from_mins(1);

/// Sends a request to the server at `base_url`, such as `http://127.0.0.1:8188`. Returns the status and the body of the answer.
#[track_caller]
pub fn exchange(base_url: &str, method: &str, path: &str, body: Option<&Value>) -> (u16, Vec<u8>) {
    let authority = base_url.strip_prefix("http://").expect("a plain HTTP address").trim_end_matches('/');
    let mut stream = TcpStream::connect(authority).unwrap();
    stream.set_read_timeout(Some(WAIT)).unwrap();
    let body = body.map(Value::to_string).unwrap_or_default();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let mut length = None;
    loop {
        line.clear();
        reader.read_line(&mut line).unwrap();
        let Some((name, value)) = line.split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = Some(value.trim().parse().unwrap());
        }
    }
    let mut body = vec![0; length.expect("a content-length")];
    reader.read_exact(&mut body).unwrap();
    (status, body)
}

/// Sends a request, and returns the status and the body as JSON; null if it is none.
#[track_caller]
pub fn json(base_url: &str, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
    let (status, body) = exchange(base_url, method, path, body);
    (status, serde_json::from_slice(&body).unwrap_or_default())
}
