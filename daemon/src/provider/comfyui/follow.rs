//! Follows a job until the history of the server says how it ended, or until the server does not have it.

use std::{cell::RefCell, time::Duration};

use reel_protocol::Timestamp;
use tokio::{sync::Notify, time::sleep};

use super::{
    ComfyProvider,
    answers::{Ended, OutFile, Place},
    attempt::{Call, Job, Ticket},
    progress::Progress,
    server::Seen,
};
use crate::{
    domain::{Class, Failure},
    provider::{
        GenerateError,
        remote::{shown, stopped},
    },
};

/// The shortest time between two polls. The server is near, and small jobs take less than a second.
const SHORTEST: Duration = Duration::from_millis(250);
/// The longest time between two polls that are answered.
const LONGEST: Duration = Duration::from_secs(5);
/// The longest time between two polls that are not answered.
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);
/// The pause before a job that is nowhere is looked for once more, because its submission may still be on its way.
const NOWHERE_PAUSE: Duration = Duration::from_secs(1);

/// How following a job ended.
pub(super) enum Followed {
    /// The job is done, and made these files.
    Made(Vec<OutFile>),
    /// The server does not have the job.
    Nowhere,
}

/// What the websocket and the polls share.
pub(super) struct Shared {
    pub progress: RefCell<Progress>,
    /// Told when the websocket says that the job is over.
    pub over: Notify,
}

impl ComfyProvider {
    /// Follows a job to its end, and shows its progress. A cancelled job is stopped at the server.
    pub(super) async fn follow(&self, call: &Call, job: Job) -> Result<Followed, GenerateError> {
        let Job { ticket, graph, socket } = job;
        let ticket = &ticket;
        let shared =
            Shared { progress: RefCell::new(Progress::new(&ticket.id, &graph)), over: Notify::new() };
        tokio::select! {
            biased;
            () = stopped(call.cancel.clone(), || false) => {
                self.cancel(call, ticket).await;
                Err(GenerateError::Stopped)
            }
            followed = self.poll(call, ticket, &shared) => followed,
            never = self.listen(call, ticket, &shared, socket) => match never {},
        }
    }

    async fn poll(&self, call: &Call, ticket: &Ticket, shared: &Shared) -> Result<Followed, GenerateError> {
        let name = &self.core.config.name;
        let begun = Timestamp::now();
        let (mut untold, mut is_missing) = (0_u32, false);
        loop {
            let age = Timestamp::now().since(begun);
            let wait = match self.look(&ticket.id).await {
                Ok(Seen::Ended(Ended::Done(files))) => return Ok(Followed::Made(files)),
                // A person allowed to run the job again after it was interrupted, such as by a cancel of the same task.
                Ok(Seen::Ended(Ended::Interrupted)) if ticket.ask_if_gone => return Ok(Followed::Nowhere),
                Ok(Seen::Ended(ended)) => {
                    // The next attempt must not find this job again.
                    let _ = call.jobs.remember(None).await;
                    return Err(GenerateError::Failed(self.ended_badly(&ended)));
                }
                Ok(Seen::At(Place::Nowhere)) if is_missing => return Ok(Followed::Nowhere),
                Ok(Seen::At(place)) => {
                    is_missing = place == Place::Nowhere;
                    untold = 0;
                    match place {
                        Place::Nowhere => NOWHERE_PAUSE,
                        Place::Pending(before) => {
                            call.report(0.0, format!("{name}: queued, {before} before it"));
                            pace(age)
                        }
                        Place::Running => {
                            // The websocket says more, unless there is none.
                            if !shared.progress.borrow().has_begun() {
                                call.report(0.0, format!("{name}: running"));
                            }
                            pace(age)
                        }
                    }
                }
                Err(reason) => {
                    let wait = (SHORTEST * 2_u32.saturating_pow(untold.min(10))).min(LONGEST_BACKOFF);
                    untold = untold.saturating_add(1);
                    tracing::debug!(provider = %name, reason, "a poll told nothing");
                    let seconds = wait.as_secs_f64().ceil();
                    let reason = shown(&reason, None);
                    call.report(
                        0.0,
                        format!(
                            "{name} does not report the state of the job: {reason} (next try in {seconds} s)"
                        ),
                    );
                    wait
                }
            };
            // A person who released the task has allowed the whole time once more.
            let since = if ticket.ask_if_gone { begun } else { ticket.submitted_at };
            if Timestamp::now().since(since) >= self.core.remote.job_timeout {
                return Err(GenerateError::Failed(self.late(call, ticket).await));
            }
            tokio::select! {
                () = sleep(wait) => {}
                () = shared.over.notified() => {}
            }
        }
    }

    /// The failure of a job that ended without a result.
    fn ended_badly(&self, ended: &Ended) -> Failure {
        let name = &self.core.config.name;
        let (message, hint) = match ended {
            Ended::Failed { node, kind, message } if kind.contains("OutOfMemory") => (
                format!("ran out of memory at {node}: {message}"),
                "make it smaller, or fewer at once; or close other programs that use the graphics card",
            ),
            Ended::Failed { node, kind, message } => {
                let kind = if kind.is_empty() { String::new() } else { format!("{kind}: ") };
                let hint = "run the workflow in ComfyUI to see more; reel retry runs it again";
                (format!("failed at {node}: {kind}{message}"), hint)
            }
            Ended::Interrupted | Ended::Done(_) => {
                let message = "was told by somebody to stop the job, and has interrupted it".to_owned();
                (message, "reel retry runs it again")
            }
        };
        let message = format!("{name} {}", shown(&message, None));
        Failure::new(Class::Unknown, message, hint)
    }

    /// The job did not end within the job timeout. A free one is stopped.
    async fn late(&self, call: &Call, ticket: &Ticket) -> Failure {
        if !self.core.config.is_paid {
            self.cancel(call, ticket).await;
        }
        self.core.late_job()
    }
}

/// Returns the time until the next poll of a job of this age.
fn pace(age: Duration) -> Duration {
    (age / 10).clamp(SHORTEST, LONGEST)
}
