//! Life under systemd, or whatever else speaks its protocol: the socket that it passes, and what it is told of the daemon's state.
//!
//! Where its variables are not set, nothing here runs: no thread, no timer.
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

/// How often the status line is looked at; it is sent only where it changed.
const STATUS_LOOK: Duration = Duration::from_secs(5);

/// Added to a drain when the end is announced: for the journal and the last answers.
const STOP_MARGIN: Duration = Duration::from_secs(15);

/// What a start that waits asks for each time; far more than the time between two calls.
const START_MARGIN: Duration = Duration::from_secs(30);

/// Words that wait for a service manager that does not read: after these, newer ones are dropped.
const WAITING: usize = 16;

/// The states that a status line counts; finished tasks are history.
const SHOWN: [&str; 4] = ["running", "queued", "waiting", "held"];

/// The listening socket that was passed to this process, and where it stands.
#[derive(Debug)]
pub struct PassedSocket {
    /// Listens already; its file belongs to whoever passed it.
    pub listener: UnixListener,
    /// Its path.
    pub path: PathBuf,
}

/// Why what was passed cannot be the daemon's socket.
#[derive(Debug, thiserror::Error)]
pub enum PassedSocketError {
    /// It would be a guess which one is meant.
    #[error("{0} sockets were passed, and one is needed")]
    Many(usize),
    /// Something else stands at that descriptor.
    #[error("what was passed is no Unix stream socket")]
    Kind(#[source] io::Error),
    /// It would never accept anything.
    #[error("the socket that was passed does not listen")]
    Silent,
    /// Clients could not be told where it is.
    #[error("the socket that was passed has no path")]
    Unnamed,
}

/// Takes the socket of `LISTEN_FDS` where it is meant for this process, and clears those variables, so that no child takes it for its own.
///
/// To be called while the process has one thread, as it changes the environment.
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
    // macOS and some BSDs cannot tell; there accepting would.
    if rustix::net::sockopt::socket_acceptconn(&listener).is_ok_and(|is_listening| !is_listening) {
        return Err(PassedSocketError::Silent);
    }
    let address = listener.local_addr().map_err(PassedSocketError::Kind)?;
    let path = address.as_pathname().ok_or(PassedSocketError::Unnamed)?.to_owned();
    Ok(Some(PassedSocket { listener, path }))
}

/// Whether standard error leads to the journal, which dates its lines itself.
pub fn is_stderr_journal() -> bool {
    let Ok(stat) = rustix::fs::fstat(io::stderr()) else { return false };
    env::var("JOURNAL_STREAM").is_ok_and(|stream| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}

/// Tells the service manager how the daemon fares; does nothing where there is none. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Notifier {
    words: Option<mpsc::SyncSender<String>>,
}

impl Notifier {
    /// Tells nobody.
    pub fn silent() -> Self {
        Self { words: None }
    }

    /// Tells whoever `NOTIFY_SOCKET` names.
    ///
    /// A thread does the sending: a service manager that does not read would otherwise hold every session up.
    pub fn from_env() -> Self {
        if env::var_os("NOTIFY_SOCKET").is_none_or(|value| value.is_empty()) {
            return Self::silent();
        }
        let (words, spoken) = mpsc::sync_channel(WAITING);
        match thread::Builder::new().name("notify".to_owned()).spawn(move || send_all(&spoken)) {
            Ok(_) => Self { words: Some(words) },
            Err(error) => {
                warn!(%error, "the service manager is told nothing");
                Self::silent()
            }
        }
    }

    /// The daemon serves. From now on it tells that it is alive, and how many tasks it has.
    ///
    /// Must be called on the thread of the rooms: it is that one whose standstill is to be noticed.
    pub fn begin(&self, counts: Recipient<GetTaskCounts>) {
        if self.words.is_none() {
            return;
        }
        self.ready();
        actix::spawn(self.clone().tell_status(counts));
        if let Some(limit) = sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero()) {
            actix::spawn(self.clone().tell_life(limit / 2));
        }
    }

    /// The daemon serves, for the first time or again.
    pub fn ready(&self) {
        self.tell(&[NotifyState::Ready]);
    }

    /// It reads its configuration again; [`Self::ready`] has to follow, however that ends.
    pub fn reloading(&self) {
        let Ok(now) = NotifyState::monotonic_usec_now() else { return };
        self.tell(&[NotifyState::Reloading, now]);
    }

    /// The daemon does not serve yet: the one that had the home before ends its paid calls first. To be called every few seconds, as the
    /// unit's own limit for a start is shorter.
    pub fn waiting_for(&self, pid: u32) {
        let limit = format!("EXTEND_TIMEOUT_USEC={}", START_MARGIN.as_micros());
        let status = format!("waiting for the former daemon (pid {pid}) to end");
        self.tell(&[NotifyState::Status(&status), NotifyState::Custom(&limit)]);
    }

    /// It ends, and its tasks have `drain` to end first. A drain longer than the unit's own limit is announced, or it would be cut short.
    pub fn stopping(&self, drain: Duration) {
        let limit = format!("EXTEND_TIMEOUT_USEC={}", drain.saturating_add(STOP_MARGIN).as_micros());
        self.tell(&[NotifyState::Stopping, NotifyState::Status("stopping"), NotifyState::Custom(&limit)]);
    }

    async fn tell_life(self, every: Duration) {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.tell(&[NotifyState::Watchdog]);
        }
    }

    async fn tell_status(self, counts: Recipient<GetTaskCounts>) {
        let mut told = String::new();
        let mut looks = interval(STATUS_LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // A tracker that no longer answers belongs to a daemon that ends.
        while let Ok(counts) = counts.send(GetTaskCounts).await {
            let line = status_line(&counts);
            if line != told {
                self.tell(&[NotifyState::Status(&line)]);
                told = line;
            }
            looks.tick().await;
        }
    }

    fn tell(&self, states: &[NotifyState<'_>]) {
        let Some(words) = &self.words else { return };
        let mut text = String::new();
        for state in states {
            // Writing to a text cannot fail.
            let _ = writeln!(text, "{state}");
        }
        if words.try_send(text).is_err() {
            debug!("the service manager does not listen; it was not told");
        }
    }
}

fn send_all(spoken: &mpsc::Receiver<String>) {
    let mut is_failing = false;
    for text in spoken {
        match sd_notify::notify(&[NotifyState::Custom(text.trim_end())]) {
            Ok(()) => is_failing = false,
            Err(error) => {
                // Said once: the watchdog alone would repeat it for ever.
                if !is_failing {
                    warn!(%error, "the service manager cannot be told");
                }
                is_failing = true;
            }
        }
    }
}

/// What `systemctl status` shows.
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
        assert!(notifier.words.is_none());
    }
}
