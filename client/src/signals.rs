//! Ctrl-C as something to wait for.

#[cfg(unix)]
use std::{io, os::unix::net::UnixStream as StdStream};

use crate::{exit::Exit, failure::Failure};

/// SIGINT and SIGTERM since [`Interrupts::listen`]; before it they end the process as usual.
#[derive(Debug)]
pub struct Interrupts {
    #[cfg(unix)]
    signals: tokio::net::UnixStream,
}

#[cfg(unix)]
impl Interrupts {
    /// Begins to listen. Where the system has no descriptor left, the signals keep ending the process, which loses no work.
    pub fn listen() -> Option<Self> {
        Self::try_listen().ok()
    }

    fn try_listen() -> io::Result<Self> {
        let (reader, writer) = StdStream::pair()?;
        reader.set_nonblocking(true)?;
        writer.set_nonblocking(true)?;
        signal_hook::low_level::pipe::register(signal_hook::consts::SIGINT, writer.try_clone()?)?;
        signal_hook::low_level::pipe::register(signal_hook::consts::SIGTERM, writer)?;
        Ok(Self { signals: tokio::net::UnixStream::from_std(reader)? })
    }

    /// The next signal.
    pub async fn next(&mut self) {
        use tokio::io::AsyncReadExt as _;
        if self.signals.read_u8().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(not(unix))]
impl Interrupts {
    /// Untested elsewhere: the signals end the process as usual, which loses no work.
    pub fn listen() -> Option<Self> {
        None
    }

    /// Never comes.
    pub async fn next(&mut self) {
        std::future::pending().await
    }
}

/// The next signal of a listener, if there is one.
pub async fn next(interrupts: &mut Option<Interrupts>) {
    match interrupts {
        Some(interrupts) => interrupts.next().await,
        None => std::future::pending().await,
    }
}

/// Looks on until Ctrl-C, which ends the looking and nothing else.
pub async fn look_until_interrupted<T>(
    interrupts: &mut Option<Interrupts>,
    looking: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::select! {
        ended = looking => ended,
        () = next(interrupts) => Err(Failure::new(Exit::Interrupted, "interrupted", "interrupted").said()),
    }
}
