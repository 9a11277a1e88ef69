//! The signals that tell the daemon to end or to read its configuration again, as something to await.
//!
//! A handler may do next to nothing, so each signal writes a byte to a socket of its own, and no thread is needed to read it.
#![cfg(unix)]

use std::{io, os::unix::net::UnixStream as StdStream};

use signal_hook::{
    SigId,
    consts::{SIGHUP, SIGINT, SIGTERM},
    low_level::{pipe, unregister},
};
use tokio::net::UnixStream;

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM: end in good order.
    Terminate,
    /// SIGINT, Ctrl-C: likewise, from a person who waits.
    Interrupt,
    /// SIGHUP: read the configuration again.
    Reload,
}

/// The registered signals; from then on they no longer end the process by themselves.
#[derive(Debug)]
pub struct Signals {
    terminate: Source,
    interrupt: Source,
    reload: Source,
}

impl Signals {
    /// Must be called inside a tokio runtime.
    pub fn register() -> io::Result<Self> {
        Ok(Self {
            terminate: Source::register(SIGTERM)?,
            interrupt: Source::register(SIGINT)?,
            reload: Source::register(SIGHUP)?,
        })
    }

    /// The next signal; equal ones that came meanwhile are one. May be dropped while it waits: no signal is lost.
    ///
    /// Never ends where the system fails to tell of signals; that is logged.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            // Ending goes before reading a configuration that is not used any more.
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
                return broken(&error).await;
            }
            let mut count = 0;
            // Until it is empty, so that ten signals at once are one.
            loop {
                match self.stream.try_read(&mut bytes) {
                    Ok(0) => return broken(&io::ErrorKind::UnexpectedEof.into()).await,
                    Ok(read) => count += read,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return broken(&error).await,
                }
            }
            if count > 0 {
                return;
            }
        }
    }
}

/// Without its socket a signal can only be ignored; answering as if it had come would end the daemon, or spin.
async fn broken(error: &io::Error) {
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

    /// One test, since signals belong to the whole process and tests run beside each other.
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
