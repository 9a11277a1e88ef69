//! The HTTP server of fakes that imitate a program on this machine. It can be stopped and started again at the same address.

use std::{
    collections::HashMap,
    io::{BufReader, Write as _},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use serde_json::Value;

use crate::{raw_server::RawRequest, wait::eventually};

/// Answers one request. It runs on a thread of the request's connection.
pub type Handler = dyn Fn(&RawRequest, &mut Reply<'_>) + Send + Sync;

/// A running server. Dropping it closes all connections and its port.
#[derive(Debug)]
pub struct LocalServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    is_stopped: AtomicBool,
    streams: Mutex<HashMap<u64, TcpStream>>,
}

/// The answer to one request.
#[derive(Debug)]
pub struct Reply<'a> {
    stream: &'a TcpStream,
    is_cut: bool,
}

impl LocalServer {
    /// Starts a server on a free port of 127.0.0.1.
    pub fn start(handler: Arc<Handler>) -> Self {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into(), handler)
    }

    /// Starts a server at an address that another server used before.
    #[track_caller]
    pub fn start_at(address: SocketAddr, handler: Arc<Handler>) -> Self {
        let listener = eventually("the address is free", || TcpListener::bind(address).ok());
        let address = listener.local_addr().unwrap();
        let shared = Arc::<Shared>::default();
        let accepting = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&shared, &listener, &handler)
        });
        Self { address, shared, accepting: Some(accepting) }
    }

    /// Returns the address on which it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for LocalServer {
    fn drop(&mut self) {
        self.shared.is_stopped.store(true, Ordering::SeqCst);
        // The accepting thread looks at the flag only when a connection comes, so make one.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
        for stream in self.shared.streams.lock().unwrap().values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn accept(shared: &Arc<Shared>, listener: &TcpListener, handler: &Arc<Handler>) {
    for (number, stream) in (0..).zip(listener.incoming()) {
        if shared.is_stopped.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let Ok(copy) = stream.try_clone() else { continue };
        shared.streams.lock().unwrap().insert(number, copy);
        let (shared, handler) = (Arc::clone(shared), Arc::clone(handler));
        std::thread::spawn(move || {
            serve(stream, &*handler);
            // Dropping both handles closes the connection when it ends, not when the server stops.
            shared.streams.lock().unwrap().remove(&number);
        });
    }
}

fn serve(stream: TcpStream, handler: &Handler) {
    let _ = stream.set_nodelay(true);
    let Ok(writing) = stream.try_clone() else { return };
    let mut reading = BufReader::new(stream);
    while let Some(request) = RawRequest::read(&mut reading) {
        let mut reply = Reply { stream: &writing, is_cut: false };
        handler(&request, &mut reply);
        if reply.is_cut {
            break;
        }
    }
    let _ = writing.shutdown(Shutdown::Both);
}

impl Reply<'_> {
    /// Sends a whole answer with this body.
    pub fn whole(&mut self, status: u16, media_type: &str, body: &[u8]) {
        let length = body.len();
        let head =
            format!("HTTP/1.1 {status} X\r\ncontent-type: {media_type}\r\ncontent-length: {length}\r\n\r\n");
        self.send(&[head.as_bytes(), body].concat());
    }

    /// Sends a whole answer in JSON.
    pub fn json(&mut self, status: u16, value: &Value) {
        self.whole(status, "application/json", value.to_string().as_bytes());
    }

    /// Begins an answer whose body is sent in chunks.
    pub fn begin(&mut self, media_type: &str) {
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-type: {media_type}\r\ntransfer-encoding: chunked\r\n\r\n");
        self.send(head.as_bytes());
    }

    /// Sends a chunk of the body. Returns whether the client is still there.
    pub fn chunk(&mut self, bytes: &[u8]) -> bool {
        self.send(&[format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat());
        !self.is_cut
    }

    /// Ends the body that was sent in chunks.
    pub fn end(&mut self) {
        self.send(b"0\r\n\r\n");
    }

    /// Closes the connection in the middle of the answer.
    pub const fn cut(&mut self) {
        self.is_cut = true;
    }

    fn send(&mut self, bytes: &[u8]) {
        self.is_cut |= self.stream.write_all(bytes).is_err();
    }
}
