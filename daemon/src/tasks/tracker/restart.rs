//! Reads the journal before the tracker handles any message.

use std::{io::Write as _, sync::Arc};

use actix::{ActorFutureExt, Context, ContextFutureSpawner, WrapFuture};
use reel_protocol::Timestamp;
use tokio::time::Instant;

use super::{TaskTracker, now};
use crate::{
    chain::chain,
    exit::Exit,
    store::{self, Store, StoreError, Transition},
    tasks::machine::{Event, Restart},
};

impl TaskTracker {
    /// Reads the journal, and settles the tasks that were running when the last daemon ended.
    pub(super) fn recover(&mut self, ctx: &mut Context<Self>) {
        let (store, plan, origin) = (self.parts.store.clone(), Arc::clone(&self.parts.plan), self.origin);
        let permits = self.parts.permits.clone();
        let read_at_opening = self.parts.recovery.take();
        let recovered = async move {
            let recovery = match read_at_opening {
                Some(recovery) => recovery,
                None => store.read(store::recover).await?,
            };
            for (provider, at) in &recovery.recent_requests {
                if let Some(then) = Instant::now().checked_sub(Timestamp::now().since(*at)) {
                    permits.remember(provider, then);
                }
            }
            let restart = Restart::new(recovery, &*plan, now(origin));
            write_transitions(&store, restart.transitions()).await?;
            Ok(restart)
        };
        recovered
            .into_actor(self)
            .map(|recovered: Result<_, StoreError>, tracker, ctx| match recovered {
                Ok(restart) => {
                    if tracker.parts.is_paused {
                        tracing::warn!(
                            "the queue is paused since before the start: reel resume lets tasks start"
                        );
                        // The queue is empty before the restore, so that this event has no effects.
                        let _ = tracker.machine.handle(Event::Pause(true), now(tracker.origin));
                    }
                    let effects = tracker.machine.restore(restart, now(tracker.origin));
                    tracker.carry_out(ctx, effects);
                }
                // Continuing without the accepted tasks would lose them. The process ends, and the next start tries again.
                Err(error) => end(&error),
            })
            .wait(ctx);
    }
}

/// Journals the transitions of tasks that were running when the daemon ended. If the disk is full, it tries once more, because the log is folded back by
/// then.
async fn write_transitions(store: &Store, transitions: Arc<Vec<Transition>>) -> Result<(), StoreError> {
    let write = || {
        let transitions = Arc::clone(&transitions);
        store.write(move |connection| {
            transitions.iter().try_for_each(|transition| store::record_transition(connection, transition))
        })
    };
    match write().await {
        Err(StoreError::Full(_)) => write().await,
        written => written,
    }
}

/// Ends the process with [`Exit::Io`]. The reason goes to the log and to stderr. No connection has been accepted at this time.
fn end(error: &StoreError) -> ! {
    let text = chain(error);
    let hint = error.hint().unwrap_or("reel daemon logs shows the cause");
    tracing::error!(error = text, hint, "the unfinished tasks cannot be taken up");
    // If writing to stderr fails, there is no other way to tell.
    let _ = writeln!(std::io::stderr(), "reeld: the unfinished tasks cannot be taken up: {text}; {hint}");
    crate::logging::flush();
    std::process::exit(Exit::Io as i32)
}
