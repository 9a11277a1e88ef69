//! The end of the daemon: accept no more tasks, let running ones end, journal, let the last answers leave.
//!
//! The daemon goes on answering while its tasks end, which paid calls may make a quarter of an hour.

use std::time::Duration;

use reel_protocol::methods::Topic;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

use crate::{
    chain::chain,
    config::Config,
    control::ControlRequest,
    exit::Exit,
    logging,
    logging::LogHandle,
    reload::Reload,
    signals::{Signal, Signals},
    tasks::{Drain, Drained},
    wiring::Rooms,
};

/// How long running tasks may take to end when nobody says otherwise.
const DRAIN: Duration = Duration::from_secs(30);

/// How long blocking work may keep the process, once everything else has ended: a file system that hangs never lets go of its thread.
const BLOCKED: Duration = Duration::from_secs(5);

/// How long the last answers may take to leave.
const ANSWERS: Duration = Duration::from_secs(1);

/// How long a daemon with this configuration may take to end: a call that may be paid ends as any call does, within its own limit.
pub fn longest_drain(config: &Config) -> Duration {
    Duration::from_secs(config.http.total_s.into()).max(DRAIN)
}

/// What main listens to, from the start to the end of the drain.
pub struct Inputs {
    /// The signals.
    pub signals: Signals,
    /// What the sessions ask.
    pub requests: mpsc::Receiver<ControlRequest>,
    /// The configuration.
    pub reload: Reload,
    /// The log.
    pub log: LogHandle,
}

impl Inputs {
    /// How long running tasks may take at the end when nobody says otherwise.
    pub fn drain(&self) -> Drain {
        Drain { limit: DRAIN, paid: longest_drain(self.reload.config()) }
    }

    /// Does what a session asks; gives the drain where that is the daemon's end.
    pub async fn answer(&mut self, request: ControlRequest, rooms: &Rooms) -> Option<Option<Duration>> {
        // A session that has ended meanwhile does not need its answer.
        match request {
            ControlRequest::Shutdown { drain, answer } => {
                let _ = answer.send(());
                return Some(drain);
            }
            ControlRequest::Reload { answer } => {
                let _ = answer.send(self.reload.apply(rooms).await);
            }
            ControlRequest::SetLogFilter { filter, answer } => {
                let _ = answer.send(self.log.set_filter(&filter).map_err(|error| chain(&error)));
            }
        }
        None
    }
}

/// Ends the daemon's work. What did not end is queued again and starts with the next daemon; what may have been paid, and did not end even
/// within its own longer time, is held.
///
/// An interrupt of a person (Ctrl-C) cuts the drain short, and so does `daemon.shutdown` with a shorter `drain_s`. A further SIGTERM does
/// not: service managers and the next daemon send one without knowing that the daemon is stopping already, and an answer that was paid for
/// would be lost.
pub async fn run(
    rooms: &Rooms,
    drain: Drain,
    stop: &watch::Sender<bool>,
    accepting: JoinHandle<()>,
    inputs: &mut Inputs,
) {
    tracing::info!(limit_s = drain.limit.as_secs(), paid_s = drain.paid.as_secs(), "stopping");
    rooms.events.plain(Topic::Daemon, "stopping");
    let drained = end_tasks(rooms, drain, inputs).await;
    stop.send_replace(true);
    // Sessions that have nothing left to say end at once; one that nobody reads must not hold the end up.
    let _ = tokio::time::timeout(ANSWERS, accepting).await;
    let Drained { ended, requeued, abandoned } = drained;
    if abandoned > 0 {
        tracing::warn!(ended, requeued, abandoned, "stopped before all tasks had ended");
    } else {
        tracing::info!(ended, requeued, "stopped");
    }
}

/// Has the tracker drain, and answers requests meanwhile.
async fn end_tasks(rooms: &Rooms, drain: Drain, inputs: &mut Inputs) -> Drained {
    let mut drained = Box::pin(rooms.drain.send(drain));
    loop {
        let sooner = tokio::select! {
            drained = &mut drained => return drained.unwrap_or_default(),
            signal = inputs.signals.next() => (signal == Signal::Interrupt).then_some(Duration::ZERO),
            Some(request) = inputs.requests.recv() => inputs.answer(request, rooms).await.flatten(),
        };
        if let Some(limit) = sooner {
            tracing::info!(limit_s = limit.as_secs(), "stopping sooner");
            // The tracker goes on from the first drain and answers this one alone.
            drained = Box::pin(rooms.drain.send(Drain::within(limit)));
        }
    }
}

/// Ends the process with `exit` after a while, should it still be there: the runtime's end waits for blocking threads without a limit. What
/// they do is of no use any more, as its rows cannot be written.
pub fn exit_though_blocked(exit: Exit) {
    let end = move || {
        std::thread::park_timeout(BLOCKED);
        tracing::warn!(
            "blocking work does not end, such as a read of a disk that hangs: the process ends without it"
        );
        logging::flush();
        std::process::exit(exit as i32);
    };
    // Without a thread for it the process ends as the runtime does.
    let _ = std::thread::Builder::new().name("exit".to_owned()).spawn(end);
}
