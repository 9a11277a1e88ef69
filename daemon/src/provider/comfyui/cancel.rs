//! Stops a job at the server, and no other job: it is taken out of the queue, or interrupted by its id while it runs.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{
    ComfyProvider,
    answers::Place,
    attempt::{Call, Ticket},
    server::Ask,
};

/// How long a job is waited for that is told to stop. It stops at its next step, which takes half a minute on a slow machine.
const STOPS: Duration = Duration::from_mins(2);
/// The pause between two looks at the queue.
const PAUSE: Duration = Duration::from_millis(250);
/// The pause before a job is interrupted once more.
const INTERRUPT_PAUSE: Duration = Duration::from_secs(10);

impl ComfyProvider {
    /// Stops a job, and waits until the server does not have it any more. The server answers 200 to every request to stop a job, whether it has the
    /// job or not, so only its queue tells.
    pub(super) async fn cancel(&self, call: &Call, ticket: &Ticket) {
        let name = &self.core.config.name;
        let (begun, mut interrupted): (_, Option<Instant>) = (Instant::now(), None);
        while begun.elapsed() < STOPS {
            match self.place(&ticket.id).await {
                Ok(Place::Nowhere) => {
                    tracing::info!(provider = %name, "a job was cancelled at the server");
                    // The next task that asks for the same must not look for the cancelled job.
                    let _ = call.jobs.remember(None).await;
                    return;
                }
                Ok(Place::Pending(_)) => {
                    let _ = self.ask(Ask::post(&["queue"], &json!({ "delete": [ticket.id] })), || ()).await;
                }
                Ok(Place::Running) if interrupted.is_none_or(|at| at.elapsed() >= INTERRUPT_PAUSE) => {
                    // Without the id, any server would interrupt whatever runs, and old ones do so in any case. So this follows directly on the answer
                    // that the job runs. If it ends in between, an old server interrupts the job that has just begun.
                    let _ =
                        self.ask(Ask::post(&["interrupt"], &json!({ "prompt_id": ticket.id })), || ()).await;
                    interrupted = Some(Instant::now());
                }
                Ok(Place::Running) | Err(_) => {}
            }
            sleep(PAUSE).await;
        }
        tracing::warn!(provider = %name, "a job could not be cancelled within {} s, and goes on at the server", STOPS.as_secs());
    }
}
