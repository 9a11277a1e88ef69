//! The reference of every round trip: a thread that answers 64 bytes with 64 bytes over a Unix socket, and nothing else.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
};

/// Bytes of a request, and of its answer.
const BYTES: usize = 64;

/// One side of the pair; the other one is a thread that ends with it.
#[derive(Debug)]
pub struct Echo(UnixStream);

impl Echo {
    /// Starts the thread.
    pub fn start() -> Self {
        Self::start_with(|| ())
    }

    /// Starts the thread, which does this first.
    pub fn start_with(first: impl FnOnce() + Send + 'static) -> Self {
        let (near, mut far) = UnixStream::pair().unwrap();
        std::thread::spawn(move || {
            first();
            let mut bytes = [0; BYTES];
            while far.read_exact(&mut bytes).is_ok() && far.write_all(&bytes).is_ok() {}
        });
        Self(near)
    }

    /// One round trip.
    pub fn round_trip(&mut self) {
        let mut bytes = [7; BYTES];
        self.0.write_all(&bytes).unwrap();
        self.0.read_exact(&mut bytes).unwrap();
    }
}
