//! Receives the signals that tell the daemon to end or to read its configuration again.
//!
//! A signal handler may do very little, so each signal writes a byte to its own socket pair. A task reads it, without a thread.
#![cfg(unix)]

use std::{io, os::unix::net::UnixStream as StdStream};

use signal_hook::{
    SigId,
    consts::{SIGHUP, SIGINT, SIGTERM},
    low_level::{pipe, unregister},
};
use tokio::net::UnixStream;

/// A received signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM: end in order.
    Terminate,
    /// SIGINT (Ctrl-C): end in order, for a person who waits.
    Interrupt,
    /// SIGHUP: read the configuration again.
    Reload,
}

/// The registered signals. Once registered, they do not end the process by themselves.
#[derive(Debug)]
pub struct Signals {
    terminate: Source,
    interrupt: Source,
    reload: Source,
}

impl Signals {
    /// Registers the handlers. Must be called inside a tokio runtime.
    pub fn register() -> io::Result<Self> {
        Ok(Self {
            terminate: Source::register(SIGTERM)?,
            interrupt: Source::register(SIGINT)?,
            reload: Source::register(SIGHUP)?,
        })
    }

    /// Waits for the next signal. Equal signals that arrive before the call count as one. The future may be dropped while it waits: no signal is
    /// lost.
    ///
    /// If the system fails to report a signal, the error is logged, and that signal is never returned.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            // Ending takes precedence over reading a configuration that would not be used.
            biased;
            () = self.terminate.arrival() => Signal::Terminate,
            () = self.interrupt.arrival() => Signal::Interrupt,
            () = self.reload.arrival() => Signal::Reload,
        }
    }
}

#[derive(Debug)]
struct Source {
    stream: UnixStream,
    id: SigId,
}

impl Source {
    fn register(signal: i32) -> io::Result<Self> {
        let (read, write) = StdStream::pair()?;
        read.set_nonblocking(true)?;
        let stream = UnixStream::from_std(read)?;
        let id = pipe::register(signal, write)?;
        Ok(Self { stream, id })
    }

    async fn arrival(&self) {
        let mut bytes = [0; 64];
        loop {
            if let Err(error) = self.stream.readable().await {
                return wait_forever_after(&error).await;
            }
            let mut count = 0;
            // Read until the socket is empty, so that ten signals at once count as one.
            loop {
                match self.stream.try_read(&mut bytes) {
                    Ok(0) => return wait_forever_after(&io::ErrorKind::UnexpectedEof.into()).await,
                    Ok(read) => count += read,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return wait_forever_after(&error).await,
                }
            }
            if count > 0 {
                return;
            }
        }
    }
}

/// Waits for ever. Without its socket a signal can only be ignored: returning would end the daemon, or loop without a pause.
async fn wait_forever_after(error: &io::Error) {
    tracing::error!(%error, "a signal can no longer be received");
    std::future::pending::<()>().await;
}

impl Drop for Source {
    fn drop(&mut self) {
        unregister(self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use signal_hook::low_level::raise;
    use tokio::time::timeout;

    use super::*;

    /// This is one test because signals belong to the whole process, and tests run in parallel.
    #[tokio::test]
    async fn each_signal_arrives_as_itself_and_once() {
        let mut signals = Signals::register().unwrap();
        for (number, signal) in
            [(SIGTERM, Signal::Terminate), (SIGINT, Signal::Interrupt), (SIGHUP, Signal::Reload)]
        {
            raise(number).unwrap();
            raise(number).unwrap();
            assert_eq!(timeout(Duration::from_secs(5), signals.next()).await.unwrap(), signal);
            assert!(timeout(Duration::from_millis(20), signals.next()).await.is_err());
        }
        raise(SIGHUP).unwrap();
        raise(SIGTERM).unwrap();
        assert_eq!(signals.next().await, Signal::Terminate);
        assert_eq!(signals.next().await, Signal::Reload);
    }
}
