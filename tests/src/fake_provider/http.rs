//! The part of HTTP/1.1 that a test server needs: it reads a request, writes a response, and keeps connections open.

use std::{
    io::{self, BufRead, Read, Write},
    sync::Arc,
};

use serde_json::Value;

use super::edit::{self, FormPart};

/// Largest head of a request, in bytes.
const MAX_HEAD: u64 = 64 * 1024;
/// Largest body of a request, in bytes. Requests may contain pictures.
const MAX_BODY: usize = 64 * 1024 * 1024;

/// A request as it was received.
#[derive(Debug, Clone)]
pub struct Request {
    /// The method, such as `POST` or `GET`.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// Names and values in the order in which they were sent. The names are in lower case.
    pub headers: Vec<(String, String)>,
    /// The body. In the requests that the server remembers, only its first 256 KiB.
    pub body: Vec<u8>,
}

impl Request {
    /// Returns the value of the first header with this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Parses the body as JSON; null if it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Returns the parts of the body if it is a multipart form.
    pub fn parts(&self) -> Vec<FormPart> {
        edit::parts(self)
    }

    /// Reads the next request; None if the client closed the connection between two requests.
    pub(crate) fn read(reader: &mut impl BufRead) -> io::Result<Option<Self>> {
        let Some(first) = read_line(reader)? else { return Ok(None) };
        let mut words = first.split(' ');
        let (Some(method), Some(path)) = (words.next(), words.next()) else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("no request line: {first}")));
        };
        // A client sends the absolute URL to a proxy, and every server has to accept that form too.
        let absolute = path.strip_prefix("http://").and_then(|rest| rest.find('/').map(|at| &rest[at..]));
        let (method, path) = (method.to_owned(), absolute.unwrap_or(path).to_owned());
        let mut headers = Vec::new();
        loop {
            let line = read_line(reader)?.ok_or(io::ErrorKind::UnexpectedEof)?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or(io::ErrorKind::InvalidData)?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut request = Self { method, path, headers, body: Vec::new() };
        let length = request.header("content-length").map_or(Ok(0), str::parse);
        let length = length.ok().filter(|length| *length <= MAX_BODY).ok_or(io::ErrorKind::InvalidData)?;
        request.body.resize(length, 0);
        reader.read_exact(&mut request.body)?;
        Ok(Some(request))
    }
}

fn read_line(reader: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = String::new();
    if reader.by_ref().take(MAX_HEAD).read_line(&mut line)? == 0 {
        return Ok(None);
    }
    Ok(Some(line.trim_end_matches(['\r', '\n']).to_owned()))
}

/// A response before it is written.
#[derive(Debug)]
pub(crate) struct Response {
    status: u16,
    headers: Vec<(&'static str, String)>,
    pub(crate) body: Body,
}

/// A body in parts. Many responses share one large picture, which is then neither copied nor encoded again.
#[derive(Debug, Default)]
pub(crate) struct Body(Vec<Part>);

#[derive(Debug)]
enum Part {
    Own(Vec<u8>),
    Shared(Arc<[u8]>),
}

impl Body {
    pub(super) fn push(&mut self, bytes: impl Into<Vec<u8>>) {
        let bytes = bytes.into();
        match self.0.last_mut() {
            Some(Part::Own(last)) => last.extend_from_slice(&bytes),
            _ => self.0.push(Part::Own(bytes)),
        }
    }

    pub(super) fn push_shared(&mut self, bytes: Arc<[u8]>) {
        self.0.push(Part::Shared(bytes));
    }

    fn parts(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(|part| match part {
            Part::Own(bytes) => bytes.as_slice(),
            Part::Shared(bytes) => bytes.as_ref(),
        })
    }

    pub(super) fn length(&self) -> usize {
        self.parts().map(<[u8]>::len).sum()
    }

    pub(super) fn flat(&self) -> Vec<u8> {
        self.parts().collect::<Vec<_>>().concat()
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self(vec![Part::Own(bytes)])
    }
}

impl Response {
    pub(crate) fn new(status: u16, media_type: &str, body: impl Into<Body>) -> Self {
        Self { status, headers: vec![("content-type", media_type.to_owned())], body: body.into() }
    }

    pub(crate) fn json(status: u16, value: &Value) -> Self {
        Self::new(status, "application/json", value.to_string().into_bytes())
    }

    #[must_use]
    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Returns the head. `framing` is the header that gives the length: `content-length: 5` or `transfer-encoding: chunked`.
    pub(super) fn head(&self, framing: &str) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        for (name, value) in &self.headers {
            head.extend([*name, ": ", value.as_str(), "\r\n"]);
        }
        head.extend([framing, "\r\n\r\n"]);
        head.into_bytes()
    }

    /// Returns the head with the body's true length.
    pub(super) fn true_head(&self) -> Vec<u8> {
        self.head(&format!("content-length: {}", self.body.length()))
    }

    /// Writes the whole response. `before_end` is called before its last part is written, so that the client cannot have all of it.
    pub(crate) fn write(&self, stream: &mut impl Write, before_end: impl FnOnce()) -> io::Result<()> {
        // The head is sent together with the first part, because two small writes would become two packets.
        let mut pending = self.true_head();
        for part in self.body.parts() {
            if part.len() < MAX_JOINED {
                pending.extend_from_slice(part);
            } else {
                stream.write_all(&pending)?;
                pending.clear();
                stream.write_all(part)?;
            }
        }
        before_end();
        stream.write_all(&pending)
    }

    /// Writes the whole response with chunked encoding. `before_end` works as in [`Self::write`].
    pub(super) fn write_chunked(&self, stream: &mut impl Write, before_end: impl FnOnce()) -> io::Result<()> {
        stream.write_all(&self.head("transfer-encoding: chunked"))?;
        for chunk in self.body.flat().chunks(CHUNK) {
            write_chunk(stream, chunk)?;
        }
        before_end();
        stream.write_all(b"0\r\n\r\n")
    }
}

/// Parts smaller than this, in bytes, are copied behind the part before them and written with it.
const MAX_JOINED: usize = 16 * 1024;
/// The size of a chunk, in bytes. It is so small that even a small response has several chunks.
const CHUNK: usize = 1000;

pub(super) fn write_chunk(stream: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
    chunk.extend_from_slice(bytes);
    chunk.extend_from_slice(b"\r\n");
    stream.write_all(&chunk)
}

const fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Unknown",
    }
}
