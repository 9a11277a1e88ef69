//! Shuts the daemon down: it accepts no more tasks, waits for running ones, journals, and sends the last responses.
//!
//! The daemon answers requests while its tasks end. Paid calls may take a quarter of an hour (`http.total_s`).

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

/// How long running tasks may take to end by default.
const DRAIN: Duration = Duration::from_secs(30);

/// How long blocking work may delay the end of the process after everything else has ended. A file system that hangs never releases its thread.
const BLOCKED: Duration = Duration::from_secs(5);

/// How long sending the last responses may take.
const ANSWERS: Duration = Duration::from_secs(1);

/// Returns how long a daemon with this configuration may take to end. A call that may be paid is not cut short of its own limit, `http.total_s`.
pub fn longest_drain(config: &Config) -> Duration {
    Duration::from_secs(config.http.total_s.into()).max(DRAIN)
}

/// The inputs of `main`, from the start to the end of the drain.
pub struct Inputs {
    /// The signals to the process.
    pub signals: Signals,
    /// The requests of the sessions.
    pub requests: mpsc::Receiver<ControlRequest>,
    /// The configuration in force.
    pub reload: Reload,
    /// The handle of the log.
    pub log: LogHandle,
}

impl Inputs {
    /// Returns the default time that running tasks get at the end.
    pub fn drain(&self) -> Drain {
        Drain { limit: DRAIN, paid: longest_drain(self.reload.config()) }
    }

    /// Carries out a request of a session. Returns the requested drain time if it is a shutdown (the inner None means the default), else None.
    pub async fn answer(&mut self, request: ControlRequest, rooms: &Rooms) -> Option<Option<Duration>> {
        // Sending fails if the session has ended, which then needs no answer.
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

/// Ends the daemon's work. Tasks that did not end are queued again and start with the next daemon. A task that may have been paid, and did not end
/// within its own longer time, is held.
///
/// Ctrl-C (SIGINT) cuts the drain short, and so does `daemon.shutdown` with a shorter `drain_s`. A further SIGTERM does not: service managers and the
/// next daemon send one without knowing that the daemon is stopping already, and an answer that was paid for would be lost.
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
    // Sessions with nothing left to send end at once. A client that does not read must not delay the end.
    let _ = tokio::time::timeout(ANSWERS, accepting).await;
    let Drained { ended, requeued, abandoned } = drained;
    if abandoned > 0 {
        tracing::warn!(ended, requeued, abandoned, "stopped before all tasks had ended");
    } else {
        tracing::info!(ended, requeued, "stopped");
    }
}

/// Sends the drain to the tracker, and answers requests meanwhile.
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
            // The tracker continues the first drain with the new limit, and answers only the newest request.
            drained = Box::pin(rooms.drain.send(Drain::within(limit)));
        }
    }
}

/// Ends the process with `exit` after five seconds if it still runs, because the runtime waits for blocking threads without a limit. Their results are
/// of no use, because their rows cannot be written any more.
pub fn exit_though_blocked(exit: Exit) {
    let end = move || {
        std::thread::park_timeout(BLOCKED);
        tracing::warn!(
            "blocking work does not end, such as a read of a disk that hangs: the process ends without it"
        );
        logging::flush();
        std::process::exit(exit as i32);
    };
    // If this thread cannot be made, the process ends when the runtime does.
    let _ = std::thread::Builder::new().name("exit".to_owned()).spawn(end);
}
