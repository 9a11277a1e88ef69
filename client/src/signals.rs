//! Receives Ctrl-C and SIGTERM as events that a command can wait for.

#[cfg(unix)]
use std::{io, os::unix::net::UnixStream as StdStream};

use crate::{exit::Exit, failure::Failure};

/// SIGINT and SIGTERM since [`Interrupts::listen`]. Before that call they end the process as usual.
#[derive(Debug)]
pub struct Interrupts {
    #[cfg(unix)]
    signals: tokio::net::UnixStream,
}

#[cfg(unix)]
impl Interrupts {
    /// Starts to receive the signals. If no file descriptor is free, None is returned and the signals still end the process. Tasks are not lost then.
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

    /// Waits for the next signal.
    pub async fn next(&mut self) {
        use tokio::io::AsyncReadExt as _;
        if self.signals.read_u8().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(not(unix))]
impl Interrupts {
    /// Signals are not received on other systems. They end the process as usual, and tasks are not lost. This is untested.
    pub fn listen() -> Option<Self> {
        None
    }

    /// Waits for ever: this system has no such signals.
    pub async fn next(&mut self) {
        std::future::pending().await
    }
}

/// Waits for the next signal. Without a listener it never returns.
pub async fn next(interrupts: &mut Option<Interrupts>) {
    match interrupts {
        Some(interrupts) => interrupts.next().await,
        None => std::future::pending().await,
    }
}

/// Runs `displaying`, which only displays something, until it ends or Ctrl-C is pressed. Tasks continue after Ctrl-C.
pub async fn run_until_interrupted<T>(
    interrupts: &mut Option<Interrupts>,
    displaying: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::select! {
        ended = displaying => ended,
        () = next(interrupts) => Err(Failure::new(Exit::Interrupted, "interrupted", "interrupted").said()),
    }
}
