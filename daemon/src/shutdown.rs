//! The way out: accept no more, let running tasks end, journal, let the last answers leave.

use std::time::Duration;

use reel_protocol::methods::Topic;
use tokio::{sync::watch, task::JoinHandle};

use crate::{
    signals::{Signal, Signals},
    tasks::Drain,
    wiring::Rooms,
};

/// How long running tasks may take to end when nobody says otherwise.
pub const DRAIN: Duration = Duration::from_secs(30);

/// How long the last answers may take to leave.
const ANSWERS: Duration = Duration::from_secs(1);

/// Ends the daemon's work; a second signal cuts the drain short. What did not end is queued again and starts with the next daemon; what may
/// have been paid, and did not end even within its own longer time, is held by it.
pub async fn run(
    rooms: &Rooms,
    drain: Drain,
    stop: &watch::Sender<bool>,
    accepting: JoinHandle<()>,
    signals: &mut Signals,
) {
    tracing::info!(limit_s = drain.limit.as_secs(), paid_s = drain.paid.as_secs(), "stopping");
    rooms.events.plain(Topic::Daemon, "stopping");
    let drained = tokio::select! {
        drained = rooms.drain.send(drain) => drained.unwrap_or_default(),
        () = again(signals) => rooms.drain.send(Drain::within(Duration::ZERO)).await.unwrap_or_default(),
    };
    stop.send_replace(true);
    // Sessions that have nothing left to say end at once; one that nobody reads must not hold the end up.
    let _ = tokio::time::timeout(ANSWERS, accepting).await;
    tracing::info!(
        ended = drained.ended,
        requeued = drained.requeued,
        abandoned = drained.abandoned,
        "stopped"
    );
}

async fn again(signals: &mut Signals) {
    while signals.next().await == Signal::Reload {}
}
