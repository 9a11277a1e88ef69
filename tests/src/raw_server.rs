//! A TCP server for responses that no correct HTTP server sends. Each connection has a thread, which runs code of the test.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

/// The server. Its threads end with the test's process.
#[derive(Debug)]
pub struct RawServer {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<RawRequest>>>,
}

/// A request as it was received.
#[derive(Debug, Clone)]
pub struct RawRequest {
    /// The request line, such as `POST /v1/images/generations HTTP/1.1`.
    pub line: String,
    /// The header lines, unparsed.
    pub headers: Vec<String>,
    /// The body, without transfer encoding: as many bytes as `content-length` says.
    pub body: Vec<u8>,
}

impl RawRequest {
    /// Reads the next request of a connection; None at its end.
    pub fn read(connection: &mut BufReader<TcpStream>) -> Option<Self> {
        let mut next = || {
            let mut line = Vec::new();
            connection.read_until(b'\n', &mut line).ok().filter(|length| *length > 0)?;
            Some(String::from_utf8_lossy(&line).trim().to_owned())
        };
        let line = next()?;
        let headers: Vec<_> = std::iter::from_fn(|| next().filter(|line| !line.is_empty())).collect();
        let length = headers.iter().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        connection.read_exact(&mut body).ok()?;
        Some(Self { line, headers, body })
    }

    /// Whether the method is POST, as for a request for a picture.
    pub fn is_post(&self) -> bool {
        self.line.starts_with("POST ")
    }

    /// Returns the field `prompt` of the JSON body; empty if there is none.
    pub fn prompt(&self) -> String {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        body["prompt"].as_str().unwrap_or_default().to_owned()
    }
}

impl RawServer {
    /// Starts a server that runs `serve` for each connection. `serve` passes each request to the function that it is given, which records it.
    pub fn start(serve: impl Fn(BufReader<TcpStream>, &dyn Fn(&RawRequest)) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::<Mutex<Vec<RawRequest>>>::default();
        let (serve, seen) = (Arc::new(serve), Arc::clone(&requests));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (serve, seen) = (Arc::clone(&serve), Arc::clone(&seen));
                std::thread::spawn(move || {
                    serve(BufReader::new(stream), &|request| seen.lock().unwrap().push(request.clone()));
                });
            }
        });
        Self { address, requests }
    }

    /// Starts a server that answers each request with the bytes that `answer` returns, and keeps the connection open.
    pub fn answering(answer: impl Fn(&RawRequest) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::start(move |mut connection, seen| {
            while let Some(request) = RawRequest::read(&mut connection) {
                seen(&request);
                if std::io::Write::write_all(connection.get_mut(), &answer(&request)).is_err() {
                    break;
                }
            }
        })
    }

    /// Returns the value of `base_url` for a configuration.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Returns the address on which it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns all requests that were recorded, oldest first.
    pub fn requests(&self) -> Vec<RawRequest> {
        self.requests.lock().unwrap().clone()
    }

    /// Returns a configuration section for a provider `studio` at this server, with the keys in `more` added.
    pub fn config(&self, more: &str) -> String {
        format!(
            "[providers.studio]\nkind = \"openai\"\nbase_url = \"{}\"\nmodel = \"m\"\n{more}\n",
            self.base_url()
        )
    }
}

/// Returns an HTTP response with this status, these header lines and this body. It adds `content-length`.
pub fn response(status: &str, headers: &[String], body: &[u8]) -> Vec<u8> {
    let length = format!("content-length: {}", body.len());
    let lines: Vec<&str> = headers.iter().map(String::as_str).chain([length.as_str()]).collect();
    let head = format!("HTTP/1.1 {status}\r\n{}\r\n\r\n", lines.join("\r\n"));
    [head.as_bytes(), body].concat()
}

/// Returns a successful response with a small picture.
pub fn picture(headers: &[String]) -> Vec<u8> {
    let body = json!({ "data": [{ "b64_json": STANDARD.encode(png()) }] });
    response("200 OK", headers, body.to_string().as_bytes())
}

/// Returns a PNG of 64×64 pixels.
pub fn png() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 64, 64);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().and_then(|mut writer| writer.write_image_data(&[7; 64 * 64])).unwrap();
    bytes
}
