//! Receives Ctrl-C and SIGTERM as events that a command can wait for.

#[cfg(unix)]
use std::{
    io,
    os::unix::net::UnixStream as StdStream,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

#[cfg(unix)]
use signal_hook::{
    SigId,
    consts::{SIGINT, SIGTERM},
    flag, low_level,
};

use crate::{exit::Exit, failure::Failure};

/// Whether the signals end the process, as they do while nobody listens. The handler of a signal stays installed for ever once it was installed.
#[cfg(unix)]
static ENDS_PROCESS: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// SIGINT and SIGTERM since [`Interrupts::listen`]. Before that call, and after the value is dropped, they end the process as usual.
#[derive(Debug)]
pub struct Interrupts {
    #[cfg(unix)]
    signals: tokio::net::UnixStream,
    #[cfg(unix)]
    writers: [SigId; 2],
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
        let signals = tokio::net::UnixStream::from_std(reader)?;
        let ends_process = ends_process()?;
        let writers = [
            low_level::pipe::register(SIGINT, writer.try_clone()?)?,
            low_level::pipe::register(SIGTERM, writer)?,
        ];
        ends_process.store(false, Ordering::SeqCst);
        Ok(Self { signals, writers })
    }

    /// Waits for the next signal.
    pub async fn next(&mut self) {
        use tokio::io::AsyncReadExt as _;
        if self.signals.read_u8().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Returns [`ENDS_PROCESS`]. The first call installs the handlers that obey it.
#[cfg(unix)]
fn ends_process() -> io::Result<&'static Arc<AtomicBool>> {
    if let Some(installed) = ENDS_PROCESS.get() {
        return Ok(installed);
    }
    let ends_process = Arc::new(AtomicBool::new(true));
    for signal in [SIGINT, SIGTERM] {
        flag::register_conditional_default(signal, Arc::clone(&ends_process))?;
    }
    Ok(ENDS_PROCESS.get_or_init(|| ends_process))
}

#[cfg(unix)]
impl Drop for Interrupts {
    fn drop(&mut self) {
        if let Some(ends_process) = ENDS_PROCESS.get() {
            ends_process.store(true, Ordering::SeqCst);
        }
        for writer in self.writers {
            low_level::unregister(writer);
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

#[cfg(all(test, unix))]
mod tests {
    use std::{env, io::Write as _, os::unix::process::ExitStatusExt as _, process::Command};

    use super::*;

    /// Set in the process that this test starts, which is the one that is signalled.
    const SIGNALLED: &str = "REEL_TEST_SIGNALLED";

    #[test]
    fn a_signal_is_received_while_somebody_listens_and_ends_the_process_after_that() {
        if env::var_os(SIGNALLED).is_some() {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                for _ in 0..2 {
                    let mut interrupts = Interrupts::listen().unwrap();
                    low_level::raise(SIGINT).unwrap();
                    interrupts.next().await;
                }
                io::stdout().write_all(b"received\n").unwrap();
                low_level::raise(SIGINT).unwrap();
            });
            return;
        }
        let name =
            "signals::tests::a_signal_is_received_while_somebody_listens_and_ends_the_process_after_that";
        let ended = Command::new(env::current_exe().unwrap())
            .args([name, "--exact", "--nocapture"])
            .env(SIGNALLED, "1")
            .output()
            .unwrap();
        assert_eq!(ended.status.signal(), Some(SIGINT), "{ended:?}");
        assert!(String::from_utf8_lossy(&ended.stdout).contains("received"), "{ended:?}");
    }
}
