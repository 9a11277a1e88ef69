//! Integration with systemd, or another service manager with its protocol: takes the socket that it passes, and reports the daemon's state to it.
//!
//! If the variables of the protocol are not set, no thread and no timer runs.
#![cfg(unix)]

use std::{
    env, fmt::Write as _, io, os::unix::net::UnixListener, path::PathBuf, sync::mpsc, thread, time::Duration,
};

use actix::Recipient;
use listenfd::ListenFd;
use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{debug, warn};

use crate::tasks::{GetTaskCounts, TaskCounts};

/// The interval at which the status line is computed. It is sent only if it changed.
const STATUS_INTERVAL: Duration = Duration::from_secs(5);

/// Time that is added to the drain when the end is announced, for the journal and the last responses.
const STOP_MARGIN: Duration = Duration::from_secs(15);

/// The extension that a waiting start requests each time. It is far longer than the time between two requests.
const START_MARGIN: Duration = Duration::from_secs(30);

/// Most messages that wait for a service manager that does not read. Further messages are dropped.
const WAITING: usize = 16;

/// The states that the status line counts. Finished tasks are not shown.
const SHOWN: [&str; 4] = ["running", "queued", "waiting", "held"];

/// The listening socket that was passed to this process, and its path.
#[derive(Debug)]
pub struct PassedSocket {
    /// The socket, which listens already. Its file belongs to the process that passed it.
    pub listener: UnixListener,
    /// The path of the socket.
    pub path: PathBuf,
}

/// Why the passed file descriptors do not give a usable socket.
#[derive(Debug, thiserror::Error)]
pub enum PassedSocketError {
    /// Several sockets were passed, and nothing says which one to use.
    #[error("{0} sockets were passed, and one is needed")]
    Many(usize),
    /// The file descriptor is not a Unix stream socket.
    #[error("what was passed is no Unix stream socket")]
    Kind(#[source] io::Error),
    /// The socket does not listen, so it would never accept a connection.
    #[error("the socket that was passed does not listen")]
    Silent,
    /// The socket has no path, so clients could not find it.
    #[error("the socket that was passed has no path")]
    Unnamed,
}

/// Takes the socket of `LISTEN_FDS` if it is meant for this process. Clears those variables, so that no child process takes the socket.
///
/// Must be called while the process has one thread, because it changes the environment.
pub fn passed_socket() -> Result<Option<PassedSocket>, PassedSocketError> {
    let mut passed = ListenFd::from_env();
    match passed.len() {
        0 => return Ok(None),
        1 => {}
        many => return Err(PassedSocketError::Many(many)),
    }
    let Some(listener) = passed.take_unix_listener(0).map_err(PassedSocketError::Kind)? else {
        return Ok(None);
    };
    // macOS and some BSDs do not support this query. There, accepting would fail.
    if rustix::net::sockopt::socket_acceptconn(&listener).is_ok_and(|is_listening| !is_listening) {
        return Err(PassedSocketError::Silent);
    }
    let address = listener.local_addr().map_err(PassedSocketError::Kind)?;
    let path = address.as_pathname().ok_or(PassedSocketError::Unnamed)?.to_owned();
    Ok(Some(PassedSocket { listener, path }))
}

/// Returns whether standard error is connected to the journal of systemd, which adds the time to each line itself.
pub fn is_stderr_journal() -> bool {
    let Ok(stat) = rustix::fs::fstat(io::stderr()) else { return false };
    env::var("JOURNAL_STREAM").is_ok_and(|stream| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}

/// Reports the daemon's state to the service manager. Does nothing if there is none. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Notifier {
    messages: Option<mpsc::SyncSender<String>>,
}

impl Notifier {
    /// Creates a notifier that sends nothing.
    pub fn silent() -> Self {
        Self { messages: None }
    }

    /// Creates a notifier for the socket that `NOTIFY_SOCKET` names.
    ///
    /// A thread of its own sends, because a service manager that does not read would otherwise block every session.
    pub fn from_env() -> Self {
        if env::var_os("NOTIFY_SOCKET").is_none_or(|value| value.is_empty()) {
            return Self::silent();
        }
        let (messages, receiver) = mpsc::sync_channel(WAITING);
        match thread::Builder::new().name("notify".to_owned()).spawn(move || send_all(&receiver)) {
            Ok(_) => Self { messages: Some(messages) },
            Err(error) => {
                warn!(%error, "the service manager is told nothing");
                Self::silent()
            }
        }
    }

    /// Reports that the daemon serves, and starts the watchdog and the status line with the counts of tasks.
    ///
    /// Must be called on the thread of the rooms, because the watchdog must notice when that thread stands still.
    pub fn begin(&self, counts: Recipient<GetTaskCounts>) {
        if self.messages.is_none() {
            return;
        }
        self.ready();
        actix::spawn(self.clone().tell_status(counts));
        if let Some(limit) = sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero()) {
            actix::spawn(self.clone().send_watchdog(limit / 2));
        }
    }

    /// Reports that the daemon serves, for the first time or after a reload.
    pub fn ready(&self) {
        self.tell(&[NotifyState::Ready]);
    }

    /// Reports that the daemon reads its configuration again. [`Self::ready`] must follow, whether the reading succeeds or fails.
    pub fn reloading(&self) {
        let Ok(now) = NotifyState::monotonic_usec_now() else { return };
        self.tell(&[NotifyState::Reloading, now]);
    }

    /// Reports that the daemon waits for the former daemon, which ends its paid calls first. Must be called every few seconds, because the unit's own
    /// start limit is shorter.
    pub fn waiting_for(&self, pid: u32) {
        let limit = format!("EXTEND_TIMEOUT_USEC={}", START_MARGIN.as_micros());
        let status = format!("waiting for the former daemon (pid {pid}) to end");
        self.tell(&[NotifyState::Status(&status), NotifyState::Custom(&limit)]);
    }

    /// Reports that the daemon ends, and that its tasks have `drain` to end. The time is announced because the unit's own stop limit may be shorter.
    pub fn stopping(&self, drain: Duration) {
        let limit = format!("EXTEND_TIMEOUT_USEC={}", drain.saturating_add(STOP_MARGIN).as_micros());
        self.tell(&[NotifyState::Stopping, NotifyState::Status("stopping"), NotifyState::Custom(&limit)]);
    }

    async fn send_watchdog(self, every: Duration) {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.tell(&[NotifyState::Watchdog]);
        }
    }

    async fn tell_status(self, counts: Recipient<GetTaskCounts>) {
        let mut sent = String::new();
        let mut ticks = interval(STATUS_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Sending fails if the tracker has ended, and then the daemon is ending.
        while let Ok(counts) = counts.send(GetTaskCounts).await {
            let line = status_line(&counts);
            if line != sent {
                self.tell(&[NotifyState::Status(&line)]);
                sent = line;
            }
            ticks.tick().await;
        }
    }

    fn tell(&self, states: &[NotifyState<'_>]) {
        let Some(messages) = &self.messages else { return };
        let mut text = String::new();
        for state in states {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{state}");
        }
        if messages.try_send(text).is_err() {
            debug!("the service manager does not listen; it was not told");
        }
    }
}

fn send_all(messages: &mpsc::Receiver<String>) {
    let mut is_failing = false;
    for text in messages {
        match sd_notify::notify(&[NotifyState::Custom(text.trim_end())]) {
            Ok(()) => is_failing = false,
            Err(error) => {
                // Log the error once, because the watchdog alone would repeat it for ever.
                if !is_failing {
                    warn!(%error, "the service manager cannot be told");
                }
                is_failing = true;
            }
        }
    }
}

/// Returns the status line for `systemctl status`.
fn status_line(counts: &TaskCounts) -> String {
    let shown = SHOWN.into_iter().filter_map(|state| {
        let count = counts.by_state.get(state).filter(|count| **count > 0)?;
        Some(format!("{count} {state}"))
    });
    let mut parts: Vec<String> = shown.collect();
    if parts.is_empty() {
        parts.push("idle".to_owned());
    }
    if counts.is_paused {
        parts.push("queue paused".to_owned());
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_line_counts_what_is_unfinished() {
        let counts = |states: &[(&str, u64)], is_paused| TaskCounts {
            by_state: states.iter().map(|(state, count)| ((*state).to_owned(), *count)).collect(),
            steps_by_state: std::collections::BTreeMap::new(),
            is_paused,
            wait_reason: None,
            is_idle: false,
            missing_providers: std::collections::BTreeMap::new(),
        };
        let cases = [
            (counts(&[], false), "idle"),
            (counts(&[("succeeded", 9), ("running", 0)], false), "idle"),
            (counts(&[("queued", 14), ("running", 2), ("failed", 1)], false), "2 running, 14 queued"),
            (counts(&[("held", 1), ("waiting", 3)], true), "3 waiting, 1 held, queue paused"),
        ];
        for (counts, line) in cases {
            assert_eq!(status_line(&counts), line);
        }
    }

    #[tokio::test]
    async fn without_a_service_manager_nothing_is_told() {
        let notifier = Notifier::silent();
        notifier.ready();
        notifier.reloading();
        notifier.stopping(Duration::MAX);
        assert!(notifier.messages.is_none());
    }
}
