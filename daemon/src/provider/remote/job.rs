//! Runs a remote job from its submission to its files. The code is the same for every kind of service that takes jobs.
//!
//! The fields that name the job at the service are on disk before the first poll. From then on no other job is submitted while the service may
//! still have this one: a failed poll is repeated until the job's timeout, and a restarted daemon continues to poll.

mod ask;
mod deliver;
mod lost;

use std::{cell::Cell, time::Duration};

use reel_protocol::Timestamp;
use tokio::time::sleep;

use self::{
    ask::{Cancelled, Poll},
    deliver::Done,
};
use super::{RemoteProvider, stopped};
use crate::{
    domain::{CancelSignal, Class, Failure, JobFields, JobSink, ProgressSink, RemoteJob},
    provider::{
        Generate, GenerateError, Generated, Permit,
        jobs::{JobState, JobWire, JobWork, Pace},
    },
};

/// Refused polls in a row, such as with a wrong key, that end the attempt, so that a person decides.
const MOST_REFUSED: u32 = 5;

/// The state of one call, besides the provider.
struct Call<'a> {
    wire: &'a dyn JobWire,
    work: JobWork,
    permit: Option<Permit>,
    cancel: CancelSignal,
    progress: ProgressSink,
    /// The last progress that the service reported, from 0 to 1.
    fraction: Cell<f64>,
    jobs: JobSink,
}

/// A job that the service has accepted.
#[derive(Debug, Clone)]
struct Ticket {
    fields: JobFields,
    submitted_at: Timestamp,
    /// Whether a person has allowed a new submission if the service does not have this job any more.
    ask_if_gone: bool,
    /// The cost that the response to the submission named, in millionths of a US dollar.
    cost_microusd: Option<u64>,
}

/// How following a job ended.
enum Followed {
    /// The job is done and its file was fetched.
    Delivered(Box<Generated>),
    /// The service does not have the job any more, and a new one may be submitted.
    Gone,
}

impl RemoteProvider {
    /// Makes pictures or a video as a job. Continues the job of an earlier attempt if there is one, and submits a new one otherwise.
    pub(super) async fn run_job(&self, work: JobWork, call: Generate) -> Result<Generated, GenerateError> {
        let Some(wire) = self.wire.jobs(work.service()) else {
            return Err(GenerateError::Failed(self.takes_no_job(&work)));
        };
        let Generate { job, permit, cancel, progress, jobs, .. } = call;
        let call = Call { wire, work, permit, cancel, progress, fraction: Cell::new(0.0), jobs };
        if let Some(ticket) = self.earlier(&call, job.as_deref()).await? {
            match self.follow(&call, ticket).await? {
                Followed::Delivered(generated) => return Ok(*generated),
                Followed::Gone => self.forget(&call.jobs).await.map_err(GenerateError::Failed)?,
            }
        }
        let ticket = self.submit(&call).await?;
        match self.follow(&call, ticket).await? {
            Followed::Delivered(generated) => Ok(*generated),
            Followed::Gone => {
                let message = format!("{} has lost the job that it accepted", self.config.name);
                let hint = "the task is tried again";
                Err(GenerateError::Failed(Failure::new(Class::Transient(None), message, hint)))
            }
        }
    }

    /// Returns the job of an earlier attempt. If it is unknown whether the service received the submission, searches for the job at the service.
    async fn earlier(
        &self,
        call: &Call<'_>,
        job: Option<&RemoteJob>,
    ) -> Result<Option<Ticket>, GenerateError> {
        match job {
            Some(RemoteJob::Submitted { fields, submitted_at, ask_if_gone, .. }) => Ok(Some(Ticket {
                fields: fields.clone(),
                submitted_at: *submitted_at,
                ask_if_gone: *ask_if_gone,
                cost_microusd: None,
            })),
            Some(RemoteJob::Submitting { since, ask_if_gone, .. }) => {
                let found = self.look_for_lost(call, *since, *ask_if_gone).await;
                found.map_err(GenerateError::Failed)
            }
            Some(RemoteJob::Results { .. }) | None => Ok(None),
        }
    }

    /// Submits a job, unless the task is cancelled before the request leaves.
    async fn submit(&self, call: &Call<'_>) -> Result<Ticket, GenerateError> {
        let has_left = Cell::new(false);
        let leaves = || {
            has_left.set(true);
            if let Some(permit) = &call.permit {
                permit.leaves();
            }
        };
        let submitting = self.submit_job(call, leaves);
        self.unless_stopped(call.permit.as_ref(), call.cancel.clone(), &has_left, submitting).await
    }

    /// Polls a job until it is over, and fetches its file.
    async fn follow(&self, call: &Call<'_>, ticket: Ticket) -> Result<Followed, GenerateError> {
        let mut pace = Pace::default();
        let mut is_cancellable = true;
        let mut refusals = 0;
        let begun = Timestamp::now();
        let mut wait = pace.after_answer(Duration::ZERO, None);
        loop {
            let stop = stopped(call.cancel.clone(), || !is_cancellable);
            let step = tokio::select! {
                biased;
                () = stop => None,
                step = self.poll_after(call, &ticket, wait) => Some(step),
            };
            let Some(poll) = step else {
                let cancelled = self.cancel_job(call, &ticket).await;
                if cancelled == Cancelled::Yes || !self.config.is_paid {
                    return Err(GenerateError::Stopped);
                }
                // The job cannot be stopped and is charged anyway, so continue, and keep the result for the next task that asks for the same.
                is_cancellable = false;
                continue;
            };
            let age = Timestamp::now().since(ticket.submitted_at);
            wait = match self.take(call, &ticket, poll, age).await? {
                Taken::Over(followed) => return Ok(followed),
                Taken::Wait(hint) => {
                    refusals = 0;
                    pace.after_answer(age, hint)
                }
                Taken::Untold { reason, wait, is_refusal } => {
                    let wait = pace.after_failure(wait);
                    refusals = if is_refusal { refusals + 1 } else { 0 };
                    if refusals >= MOST_REFUSED {
                        return Err(GenerateError::Failed(self.not_told(&reason)));
                    }
                    self.say_untold(call, &reason, wait);
                    wait
                }
            };
            // A person who released the task has allowed the whole time once more.
            let since = if ticket.ask_if_gone { begun } else { ticket.submitted_at };
            if Timestamp::now().since(since) >= self.remote.job_timeout {
                return Err(self.late(call, &ticket).await);
            }
        }
    }

    async fn poll_after(&self, call: &Call<'_>, ticket: &Ticket, wait: Duration) -> Poll {
        sleep(wait).await;
        self.poll(call, &ticket.fields).await
    }

    /// Decides what to do after a poll. `age` is the time since the submission.
    async fn take(
        &self,
        call: &Call<'_>,
        ticket: &Ticket,
        poll: Poll,
        age: Duration,
    ) -> Result<Taken, GenerateError> {
        let name = &self.config.name;
        let (state, hint, cost_microusd, inside) = match poll {
            Poll::Told { state, hint, cost_microusd, inside } => (state, hint, cost_microusd, inside),
            Poll::Untold { reason, wait, is_refusal } => {
                return Ok(Taken::Untold { reason, wait, is_refusal });
            }
            Poll::Gone(reason) if age < call.wire.unknown_at_first() => {
                return Ok(Taken::Untold { reason, wait: None, is_refusal: false });
            }
            Poll::Gone(reason) => return self.gone(ticket, &reason).map(Taken::Over),
        };
        match state {
            JobState::Running { fraction, doing } => {
                let percent =
                    fraction.map(|fraction| format!(", {:.0} %", fraction * 100.0)).unwrap_or_default();
                call.fraction.set(fraction.unwrap_or_else(|| call.fraction.get()));
                call.progress.report(call.fraction.get(), format!("{name}: {doing}{percent}"));
                Ok(Taken::Wait(hint))
            }
            JobState::Unreadable => {
                let reason = "the answer does not contain the state of the job".to_owned();
                Ok(Taken::Untold { reason, wait: hint, is_refusal: false })
            }
            JobState::Failed(refusal) => {
                let failure = self.job_failed(refusal).await;
                // A restart must not poll this job again. If this write fails, the next attempt gets the same response from the service.
                let _ = call.jobs.remember(None).await;
                Err(GenerateError::Failed(failure))
            }
            JobState::Done { urls } => {
                call.progress.report(1.0, format!("fetching what {name} has made"));
                let cost_microusd = cost_microusd.or(ticket.cost_microusd);
                let done = Done { urls, inside, age, cost_microusd };
                self.deliver(call, ticket, done).await
            }
        }
    }

    /// The service no longer has a job that it had accepted. Returns a failure if that job may have been paid and no person has allowed a new one.
    fn gone(&self, ticket: &Ticket, reason: &str) -> Result<Followed, GenerateError> {
        if ticket.ask_if_gone || !self.config.is_paid {
            return Ok(Followed::Gone);
        }
        let (name, at) = (&self.config.name, ticket.submitted_at);
        let message = format!("{name} accepted the job at {at} and does not have it any more: {reason}");
        Err(GenerateError::Failed(Failure::new(Class::Ambiguous, message, "it may have been paid")))
    }

    /// The job did not end within the job timeout. A job of a free provider is cancelled at its service.
    async fn late(&self, call: &Call<'_>, ticket: &Ticket) -> GenerateError {
        if !self.config.is_paid {
            self.cancel_job(call, ticket).await;
        }
        GenerateError::Failed(self.late_job())
    }

    /// The failure of a job that did not end within the job timeout. A paid service may still complete the job, so a person decides whether to wait.
    pub(in crate::provider) fn late_job(&self) -> Failure {
        let (name, limit) = (&self.config.name, self.remote.job_timeout.as_secs());
        let message =
            format!("{name} did not finish the job within {limit} s (providers.{name}.job_timeout_s)");
        if self.config.is_paid {
            return Failure::new(Class::Ambiguous, message, "it may have been paid");
        }
        let hint = "raise job_timeout_s if it takes so long; the task is tried again";
        Failure::new(Class::Transient(None), message, hint)
    }

    /// The failure when a service refuses to report the state of a job, such as for a wrong key.
    fn not_told(&self, reason: &str) -> Failure {
        let name = &self.config.name;
        let message = format!("{name} has the job and does not say how it stands: {reason}");
        Failure::new(Class::Ambiguous, message, format!("reel providers check {name} says more"))
    }

    fn say_untold(&self, call: &Call<'_>, reason: &str, wait: Duration) {
        let name = &self.config.name;
        let seconds = wait.as_secs_f64().ceil();
        tracing::debug!(provider = %name, reason, "a poll told nothing");
        let message =
            format!("{name} does not report the state of the job: {reason} (next try in {seconds} s)");
        call.progress.report(call.fraction.get(), message);
    }

    /// Journals that the provider holds nothing for this task, before a new job is submitted: a restart must not mistake the new job for the former
    /// one.
    async fn forget(&self, jobs: &JobSink) -> Result<(), Failure> {
        if jobs.remember(None).await {
            return Ok(());
        }
        let message = "that the former job is gone could not be journaled, so nothing was submitted";
        Err(Failure::new(Class::Transient(None), message, "reel daemon logs shows the cause"))
    }
}

/// The decision after a poll.
enum Taken {
    /// The job is over: it was delivered, or it is gone.
    Over(Followed),
    /// The job is still running. The duration is the delay until the next poll, if the service named one.
    Wait(Option<Duration>),
    /// The poll did not tell how the job stands.
    Untold { reason: String, wait: Option<Duration>, is_refusal: bool },
}
