//! The reference for every round trip: a thread that answers 64 bytes with 64 bytes over a Unix socket, and does nothing else.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
};

/// Length of a request and of its response, in bytes.
const BYTES: usize = 64;

/// The client side of a socket pair. The thread on the other side ends when this is dropped.
#[derive(Debug)]
pub struct Echo(UnixStream);

impl Echo {
    /// Starts the thread that echoes.
    pub fn start() -> Self {
        Self::start_with(|| ())
    }

    /// Starts the thread, which runs `first` before it echoes.
    pub fn start_with(first: impl FnOnce() + Send + 'static) -> Self {
        let (near, mut far) = UnixStream::pair().unwrap();
        std::thread::spawn(move || {
            first();
            let mut bytes = [0; BYTES];
            while far.read_exact(&mut bytes).is_ok() && far.write_all(&bytes).is_ok() {}
        });
        Self(near)
    }

    /// Sends 64 bytes and waits for the response.
    pub fn round_trip(&mut self) {
        let mut bytes = [7; BYTES];
        self.0.write_all(&bytes).unwrap();
        self.0.read_exact(&mut bytes).unwrap();
    }
}
