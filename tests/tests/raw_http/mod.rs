//! A minimal HTTP/1.1 client that shows the bytes of a response and how the connection ended.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
};

use reel_tests::{FakeProvider, wait::DEADLINE};
use serde_json::Value;

/// What was received until the response or the connection ended, or until as many bytes as the caller asked for.
pub struct Raw {
    pub bytes: Vec<u8>,
    pub end: io::Result<()>,
}

impl Raw {
    /// Returns the head in lower case.
    pub fn head(&self) -> String {
        String::from_utf8_lossy(&self.bytes[..self.head_length()]).to_lowercase()
    }

    /// Returns the length of the head including the blank line after it, or of all bytes if the head is incomplete.
    fn head_length(&self) -> usize {
        let blank = self.bytes.windows(4).position(|four| four == b"\r\n\r\n");
        blank.map_or(self.bytes.len(), |at| at + 4)
    }

    pub fn status(&self) -> u16 {
        self.head().split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0)
    }

    pub fn header(&self, name: &str) -> Option<String> {
        let head = self.head();
        let line = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))?;
        Some(line.to_owned())
    }

    pub fn body(&self) -> &[u8] {
        &self.bytes[self.head_length()..]
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(self.body()).unwrap_or_else(|error| panic!("{error}: {}", self.head()))
    }

    /// Whether the head is complete, and the body has at least as many bytes as `content-length` says.
    fn is_whole(&self) -> bool {
        if !self.bytes.windows(4).take(4096).any(|four| four == b"\r\n\r\n") {
            return false;
        }
        match self.header("content-length") {
            Some(length) => self.body().len() as u64 >= length.parse().unwrap(),
            None => self.body().ends_with(b"\r\n0\r\n\r\n"),
        }
    }
}

/// Sends one request on a new connection and reads the response, until it has at least `most` bytes or ends.
pub fn send(provider: &FakeProvider, head: &str, body: &str, most: usize) -> Raw {
    let mut stream = TcpStream::connect(provider.address()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let request = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    // The server may reset the connection while the request is being written.
    let _ = stream.write_all(request.as_bytes());
    let mut raw = Raw { bytes: Vec::new(), end: Ok(()) };
    let mut chunk = vec![0; 64 * 1024];
    while !raw.is_whole() && raw.bytes.len() < most {
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(length) => raw.bytes.extend_from_slice(&chunk[..length]),
            Err(error) => {
                raw.end = Err(error);
                break;
            }
        }
    }
    raw
}

/// Sends a request for pictures.
pub fn call(provider: &FakeProvider, body: &Value) -> Raw {
    let head = format!(
        "POST /v1/images/generations HTTP/1.1\r\nhost: here\r\nauthorization: Bearer {}",
        FakeProvider::KEY
    );
    send(provider, &head, &body.to_string(), usize::MAX)
}

/// Sends a GET request.
pub fn get(provider: &FakeProvider, path: &str, key: &str) -> Raw {
    let head = format!("GET {path} HTTP/1.1\r\nhost: here\r\nauthorization: Bearer {key}");
    send(provider, &head, "", usize::MAX)
}
