//! Tracks the remote job that a provider holds for a task. It is journaled while the attempt runs, and the next attempt asks for its results first.

use std::sync::Arc;

use reel_protocol::{ErrorCode, TaskError, TaskId, TaskState};

use super::{Answer, Machine, RequestId, RunId, Surroundings, Todo, Write};
use crate::{
    domain::RemoteJob,
    store::{EncodedRemoteJob, Recovered},
    tasks::{Plan, end::task_error, live::LiveTask},
};

impl Recovered {
    /// Returns the remote job in the row. None also if another version of the daemon wrote it in a form that this one cannot read.
    pub(super) fn remote_job(&self) -> Option<RemoteJob> {
        RemoteJob::decode(&self.remote_id.as_ref()?.0)
    }
}

/// Returns the remote job in the form of the journal. None if there is none, or if it is too long.
pub(super) fn remote_id(job: Option<&RemoteJob>) -> Option<EncodedRemoteJob> {
    let text = job?.encode();
    if text.is_none() {
        tracing::warn!("what the provider holds is too long for the journal; a restart will not know of it");
    }
    text.map(EncodedRemoteJob)
}

impl LiveTask {
    /// Returns why the provider that a plan names first may not be asked: another provider has made results for the task, and may have been paid.
    pub(super) fn made_elsewhere(&self, plan: &Plan) -> Option<TaskError> {
        let (job, planned) = (self.job.as_ref()?, plan.candidates.first()?);
        let id = self.id;
        let made_by = job.provider();
        if made_by == &*planned.provider || job.may_ask_again() {
            return None;
        }
        let did = match **job {
            RemoteJob::Results { .. } => "made its results",
            RemoteJob::Submitting { .. } => "may have a job for it",
            RemoteJob::Submitted { .. } => "has a job for it",
        };
        let message = format!(
            "{made_by} {did} and is not configured any more; {} may have to be paid for the same",
            planned.provider
        );
        let hint = format!(
            "configure {made_by} again, then reel release {id} fetches what it made; else it asks {}; reel cancel {id} cancels it",
            planned.provider
        );
        Some(task_error(ErrorCode::AnswerLost, message, &hint, true))
    }
}

impl<S: Surroundings> Machine<S> {
    pub(super) fn remember(&mut self, request: RequestId, run: RunId, job: Option<RemoteJob>) {
        let leader = self.runs.get_mut(&run).and_then(|under_way| {
            under_way.job = job.map(Arc::new);
            under_way.leader
        });
        match leader {
            Some(id) => self.when_settled(id, Todo::Remember { request, run }),
            // The task was given up, so nobody asks for its results after a restart.
            None => self.answer(request, Answer::Remembered(Ok(()))),
        }
    }

    /// Journals the remote job of an attempt in the attempt row of the task that leads it.
    pub(super) fn remember_now(&mut self, request: RequestId, run: RunId) {
        let under_way = self.runs.get(&run).and_then(|run| Some((run.leader?, run.job.clone())));
        let task = under_way.and_then(|(id, job)| Some((self.live.get_mut(&id)?, job)));
        let Some((task, job)) = task else { return self.answer(request, Answer::Remembered(Ok(()))) };
        task.job.clone_from(&job);
        if task.state != TaskState::Running {
            // The task has taken over the attempt, and its own row of the attempt could not be journaled.
            return self.answer(request, Answer::Remembered(Ok(())));
        }
        let (id, number) = (task.id, task.attempts);
        self.commit(Write::Remember { request, id, number, remote_id: remote_id(job.as_deref()) });
    }

    /// Returns the remote job of the task or of an equal task, if the provider that holds it is the one that would be asked.
    pub(super) fn known_job(&self, id: TaskId) -> Option<Arc<RemoteJob>> {
        let provider = &self.live.get(&id)?.plan.candidates.first()?.provider;
        let others = self.flights.members(id).into_iter().filter(|other| *other != id);
        let mut jobs = std::iter::once(id).chain(others).filter_map(|one| self.live.get(&one)?.job.as_ref());
        jobs.find(|job| job.provider() == &**provider).cloned()
    }

    /// Allows the provider to be asked again if the task's results are gone, because a person released or retried the task.
    pub(super) fn allow_asking_again(&mut self, id: TaskId) {
        let job = self.known_job(id);
        let Some(task) = self.live.get_mut(&id) else { return };
        task.job = job.or_else(|| task.job.take()).map(|job| Arc::new(job.or_ask_again()));
    }

    /// Returns what a person should know about a cancelled task: results that were made but not fetched, or a call that may have been paid.
    pub(super) fn what_is_given_up(&self, id: TaskId) -> Option<TaskError> {
        let task = self.live.get(&id)?;
        let asks_again = format!("reel retry {id} asks again, and may pay again");
        let (message, hint) = match task.job.as_deref() {
            Some(RemoteJob::Submitted { provider, .. }) if task.run.is_some() => {
                let told = "is told to stop its job, and may charge for what it has done";
                (format!("cancelled; {provider} {told}"), asks_again)
            }
            Some(RemoteJob::Submitted { provider, ask_if_gone: false, .. }) => {
                let hint = format!(
                    "reel retry {id} asks for it first, and submits, and pays, again only if it is gone"
                );
                (format!("cancelled; {provider} has its job: reel retry {id} fetches what it makes"), hint)
            }
            Some(RemoteJob::Results { ask_if_gone: false, .. }) => {
                let hint =
                    format!("reel retry {id} fetches it first, and asks, and pays, again only if it is gone");
                (format!("cancelled; the result was made: reel retry {id} fetches it"), hint)
            }
            Some(RemoteJob::Submitting { .. }) => ("cancelled; it may have been paid".to_owned(), asks_again),
            _ if task.is_unknown() => ("cancelled; it may have been paid".to_owned(), asks_again),
            _ => return None,
        };
        Some(task_error(ErrorCode::Cancelled, message, &hint, true))
    }

    /// Passes the remote job of a task that leaves its flight, because it is finished or held, to the members that have none. They keep it in memory
    /// only.
    pub(super) fn pass_job_on(&mut self, id: TaskId, job: Option<&Arc<RemoteJob>>) {
        for other in self.flights.members(id) {
            if let Some(task) = self.live.get_mut(&other).filter(|task| task.job.is_none()) {
                task.job = job.cloned();
            }
        }
    }
}

/// Returns what a person can do about a task whose results the provider may have made, but that are not here.
pub(super) fn hint_to_release(id: TaskId, job: &RemoteJob) -> String {
    let provider = job.provider();
    let does = match job {
        RemoteJob::Results { .. } => {
            "fetches it first, and asks, and pays, again only if it is gone".to_owned()
        }
        RemoteJob::Submitting { .. } => {
            format!("looks for it at {provider} first, and submits, and pays, again only if it is not there")
        }
        RemoteJob::Submitted { .. } => {
            format!("asks {provider} for it first, and submits, and pays, again only if it is gone")
        }
    };
    format!("reel release {id} {does}; reel cancel {id} cancels it")
}
