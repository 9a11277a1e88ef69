//! Serves one connection: reads requests, responds as the script says, and applies the faults of the connection.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{Shutdown, TcpStream},
    ops::ControlFlow,
    time::{Duration, Instant},
};

use rustix::net::sockopt;

use super::{
    Server,
    answer::{self, ParsedRequest},
    fault::Fault,
    http::{Request, Response, write_chunk},
    ledger::OpenCall,
};

/// The block that is sent repeatedly where only the amount of data matters.
static FILLING: [u8; 64 * 1024] = [b' '; 64 * 1024];

/// Whether the connection serves another request.
type Next = io::Result<ControlFlow<()>>;

/// Serves one connection to its end. An error means that the client left or that a reset was intended, so callers ignore it.
pub(super) fn connection(server: &Server, stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::with_capacity(64 * 1024, stream);
    while !reader.fill_buf()?.is_empty() {
        if server.script.take_reset() {
            return Err(reset(stream));
        }
        let Some(request) = Request::read(&mut reader)? else { break };
        if one(server, stream, &request)?.is_break() {
            break;
        }
    }
    stream.shutdown(Shutdown::Both)
}

fn one(server: &Server, mut stream: &TcpStream, request: &Request) -> Next {
    server.ledger.remember(request);
    let path = request.path.split('?').next().unwrap_or_default();
    let response = match (request.method.as_str(), path) {
        (
            "POST",
            "/v1/images/generations" | "/v1/images/edits" | "/v1/audio/speech" | "/v1/chat/completions",
        ) => {
            return generate(server, stream, request);
        }
        ("GET", "/v1/models") if server.admits(request) => answer::models(),
        ("GET", "/v1/models") => answer::unauthorized(),
        (_, path) if path.starts_with("/v1/videos") && server.admits(request) => {
            return server.videos.serve(request, stream);
        }
        (_, path) if path.starts_with("/v1/videos") => answer::unauthorized(),
        ("GET", path) if path.starts_with("/files/") => {
            let good = answer::file(&server.gallery, path.trim_start_matches("/files/"));
            return server.files.serve(good, stream);
        }
        _ => answer::no_such_path(path),
    };
    response.write(&mut stream, || ())?;
    Ok(ControlFlow::Continue(()))
}

fn generate(server: &Server, mut stream: &TcpStream, request: &Request) -> Next {
    let came = Instant::now();
    let parsed = ParsedRequest::read(request);
    let prompt = parsed.as_ref().map_or_else(
        |_| {
            let body = request.json();
            let words = body["prompt"].as_str().or(body["input"].as_str());
            words.unwrap_or_default().to_owned()
        },
        |parsed| parsed.prompt.clone(),
    );
    let call = server.ledger.begin(&prompt);
    let fault = server.script.next(&prompt);
    let parsed = match parsed {
        _ if !server.admits(request) => Err(answer::unauthorized()),
        parsed => parsed.map(|parsed| server.complete(parsed, call.number)),
    };
    // Make the response during the delay, as a real service does, so that the delay is not prolonged.
    let good = parsed.as_ref().ok().filter(|_| matches!(fault, Fault::Good));
    let good = good.map(|parsed| parsed.good(&server.gallery));
    server.pause_before_answer(came);
    match (parsed, good) {
        (_, Some(good)) => good.write(&mut stream, || drop(call)).map(ControlFlow::Continue),
        (Ok(parsed), None) => act(server, stream, call, &fault, &parsed),
        (Err(refusal), _) => refusal.write(&mut stream, || drop(call)).map(ControlFlow::Continue),
    }
}

/// Applies a fault to the connection. The call ends before the client can have the last byte of its response. Otherwise a client that makes one call
/// after the other would seem to have two in flight.
fn act(
    server: &Server,
    mut stream: &TcpStream,
    call: OpenCall<'_>,
    fault: &Fault,
    parsed: &ParsedRequest,
) -> Next {
    if let Some(response) = answer::faulty(fault, parsed) {
        return response.write(&mut stream, || drop(call)).map(ControlFlow::Continue);
    }
    let good = || parsed.good(&server.gallery);
    let end = || drop(call);
    match fault {
        Fault::Chunked => good().write_chunked(&mut stream, end)?,
        Fault::Gzip => answer::gzipped(good()).write(&mut stream, end)?,
        Fault::Deflate => answer::deflated(good()).write(&mut stream, end)?,
        Fault::GoodThenClose => return good().write(&mut stream, end).map(ControlFlow::Break),
        Fault::Cut(cut) => {
            let response = good();
            let head = response.true_head();
            let length = cut.length(head.len(), head.len() + response.body.length());
            let whole = [head, response.body.flat()].concat();
            end();
            return stream.write_all(&whole[..length]).map(ControlFlow::Break);
        }
        Fault::ResetBeforeRequest | Fault::ResetAfterRequest => {
            return Err(reset(stream));
        }
        Fault::CloseAfterRequest => return Ok(ControlFlow::Break(())),
        Fault::Garbage => {
            return stream.write_all(b"\x16\x03\x01\x00\xff\xfe garbage\0\r\n\r\n").map(ControlFlow::Break);
        }
        Fault::Raw(bytes) => {
            end();
            return stream.write_all(bytes).map(ControlFlow::Break);
        }
        Fault::HugeLength => return fill(stream, &good().head(&format!("content-length: {}", 1_u64 << 60))),
        Fault::EndlessBody => return endless(stream, &good()),
        Fault::Drip { every } => drip(server, stream, &good(), *every, end)?,
        Fault::Half => {
            let response = good();
            let (head, body) = (response.true_head(), response.body.flat());
            let (first, rest) = body.split_at(body.len() / 2);
            stream.write_all(&[&head, first].concat())?;
            server.pause_at_half();
            end();
            stream.write_all(rest)?;
        }
        Fault::StallAfterHead => {
            stream.write_all(&good().true_head())?;
            return until_gone(stream);
        }
        Fault::Never => return until_gone(stream),
        // Like `Fault::Good`, whose response was written before.
        _ => good().write(&mut stream, end)?,
    }
    Ok(ControlFlow::Continue(()))
}

/// Makes the connection end with a reset when it is dropped. Returns an error, so that the caller does not shut the connection down in good order
/// first.
fn reset(stream: &TcpStream) -> io::Error {
    match sockopt::set_socket_linger(stream, Some(Duration::ZERO)) {
        Ok(()) => io::ErrorKind::ConnectionReset.into(),
        Err(error) => error.into(),
    }
}

fn fill(mut stream: &TcpStream, head: &[u8]) -> Next {
    stream.write_all(head)?;
    loop {
        stream.write_all(&FILLING)?;
    }
}

fn endless(mut stream: &TcpStream, response: &Response) -> Next {
    stream.write_all(&response.head("transfer-encoding: chunked"))?;
    loop {
        write_chunk(&mut stream, &FILLING)?;
    }
}

fn drip(
    server: &Server,
    mut stream: &TcpStream,
    response: &Response,
    every: Duration,
    before_end: impl FnOnce(),
) -> io::Result<()> {
    let whole = [response.true_head(), response.body.flat()].concat();
    let (others, last) = whole.split_at(whole.len() - 1);
    for byte in others {
        stream.write_all(&[*byte])?;
        if server.stops_within(every) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
    }
    before_end();
    stream.write_all(last)
}

/// Waits until the client closes the connection or the server stops.
fn until_gone(mut stream: &TcpStream) -> Next {
    let mut ignored = [0; 1024];
    while stream.read(&mut ignored)? > 0 {}
    Ok(ControlFlow::Break(()))
}
