//! How the tracker answers: one task, a page, a wait; live progress laid over what the journal says.

use std::{collections::HashSet, pin::Pin, sync::Arc, time::Duration};

use actix::{ActorFuture, ActorFutureExt, Handler, ResponseActFuture, WrapFuture};
use reel_protocol::{
    TaskId, TaskState, TaskView, Timestamp, WaitReason,
    limits::WAIT_IDS,
    methods::{TaskListResult, TaskWaitResult},
};

use tokio::time::Instant;

use super::{
    GetTask, Gone, ListTasks, TaskRefusal, TaskTracker, WaitFor, WaitTasks,
    live::LiveTask,
    wait_reason::{Standing, wait_reason},
};
use crate::{
    provider::Shut,
    store::{self, Found, StoreError},
};

type Answer<T> = Pin<Box<dyn ActorFuture<TaskTracker, Output = Result<T, TaskRefusal>>>>;

impl Handler<GetTask> for TaskTracker {
    type Result = ResponseActFuture<Self, Result<TaskView, TaskRefusal>>;

    fn handle(&mut self, GetTask(id): GetTask, _: &mut Self::Context) -> Self::Result {
        self.view(id)
    }
}

impl Handler<ListTasks> for TaskTracker {
    type Result = ResponseActFuture<Self, Result<TaskListResult, TaskRefusal>>;

    fn handle(&mut self, ListTasks(filter): ListTasks, _: &mut Self::Context) -> Self::Result {
        let artifacts = self.parts.artifacts.clone();
        let read = self.read_in_turn(move |connection| store::list(connection, &artifacts, &filter));
        Box::pin(read.map(move |page, tracker, _| {
            let (mut tasks, has_more) = page?;
            for task in &mut tasks {
                tracker.overlay(task);
            }
            let next_cursor = tasks.last().filter(|_| has_more).map(|task| task.id.to_string());
            Ok(TaskListResult { tasks, next_cursor })
        }))
    }
}

impl Handler<WaitTasks> for TaskTracker {
    type Result = ResponseActFuture<Self, Result<TaskWaitResult, TaskRefusal>>;

    fn handle(
        &mut self,
        WaitTasks { what, is_any, timeout, gone }: WaitTasks,
        _: &mut Self::Context,
    ) -> Self::Result {
        self.wait(what, is_any, timeout, gone)
    }
}

impl TaskTracker {
    /// One task as it is.
    pub(super) fn view(&mut self, id: TaskId) -> Answer<TaskView> {
        let artifacts = self.parts.artifacts.clone();
        let read = self.read_in_turn(move |connection| store::view(connection, &artifacts, id));
        Box::pin(read.map(move |task, tracker, _| {
            let mut task = task?.ok_or(TaskRefusal::NoTask(id))?;
            tracker.overlay(&mut task);
            Ok(task)
        }))
    }

    /// The journal knows no progress, which would be a write for every step of every task, and not what stands in a task's way.
    fn overlay(&self, view: &mut TaskView) {
        if let Some(task) = self.live.get(&view.id).filter(|task| task.rev == view.rev) {
            let shut = task.target().and_then(|target| self.parts.permits.shut(&target));
            view.progress = task.progress.clone();
            view.wait_reason = self.wait_reason(task, shut);
            if task.state == TaskState::Queued
                && let Some(provider) = task.plan.provider()
            {
                view.provider = Some(provider.to_string());
                let model = task.plan.candidates.first().and_then(|first| first.model.as_deref());
                view.model = model.map(str::to_owned).or(view.model.take());
            }
            if task.state == TaskState::Queued && self.flights.is_own(task.id) {
                let until = task.delayed_until.max(shut.and_then(Shut::until));
                view.not_before = until.map(|until| told(until, view.not_before));
            }
        }
    }

    fn wait_reason(&self, task: &LiveTask, shut: Option<Shut>) -> Option<WaitReason> {
        let standing = Standing {
            state: task.state,
            is_follower: !self.flights.is_own(task.id),
            is_delayed: task.delayed_until.is_some(),
            is_provider_missing: task.plan.missing.is_some(),
            has_slot: self.has_slot(),
            shut,
        };
        wait_reason(self.gate(), standing)
    }

    /// Waits; the work goes on whatever becomes of the wait.
    pub(super) fn wait(
        &mut self,
        what: WaitFor,
        is_any: bool,
        timeout: Option<Duration>,
        gone: Gone,
    ) -> Answer<TaskWaitResult> {
        // What is live is known here; what is not must be over, or was never there.
        let known: HashSet<_> = match &what {
            WaitFor::Tasks(ids) => ids.iter().filter(|id| self.live.contains_key(id)).copied().collect(),
            WaitFor::Batch(_) => HashSet::new(),
        };
        if let WaitFor::Tasks(ids) = &what
            && known.len() == ids.len()
        {
            return Self::wait_known(ids.clone(), is_any, timeout, gone);
        }
        let read = self.read(move |connection| match what {
            WaitFor::Tasks(ids) => {
                let unknown: Vec<_> = ids.iter().filter(|id| !known.contains(id)).copied().collect();
                let found: HashSet<_> =
                    store::find_states(connection, &unknown)?.into_iter().map(|(id, _)| id).collect();
                Ok(match unknown.iter().find(|id| !found.contains(id)) {
                    Some(missing) => Err(TaskRefusal::NoTask(*missing)),
                    None => Ok(ids),
                })
            }
            WaitFor::Batch(batch) => {
                let states = store::batch_states(connection, batch)?;
                Ok(states
                    .map(|states| states.into_iter().map(|(id, _)| id).collect())
                    .ok_or(TaskRefusal::NoBatch(batch)))
            }
        });
        Box::pin(read.into_actor(self).then(move |ids, _, _| -> Answer<TaskWaitResult> {
            match ids.map_err(TaskRefusal::from).and_then(|ids| ids) {
                Ok(ids) => Self::wait_known(ids, is_any, timeout, gone),
                Err(refusal) => Box::pin(actix::fut::ready(Err(refusal))),
            }
        }))
    }

    /// Waits for tasks that exist: those that are not live are over.
    fn wait_known(
        ids: Vec<TaskId>,
        is_any: bool,
        timeout: Option<Duration>,
        gone: Gone,
    ) -> Answer<TaskWaitResult> {
        Box::pin(actix::fut::ready(ids).then(move |ids: Vec<TaskId>, tracker: &mut Self, _| {
            let is_open = |id: &TaskId| tracker.live.get(id).is_some_and(|task| !task.state.is_settled());
            let open: HashSet<_> = ids.iter().filter(|id| is_open(id)).copied().collect();
            let is_over = open.is_empty() || (is_any && ids.iter().any(|id| !open.contains(id)));
            let shown: Vec<_> = ids.into_iter().take(WAIT_IDS).collect();
            let told = (!is_over).then(|| tracker.waiters.add(shown.clone(), open, is_any));
            let ended = async move {
                let Some((number, told)) = told else { return Ok(None) };
                let told = tokio::time::timeout(timeout.unwrap_or(Duration::MAX), told);
                tokio::select! { biased;
                    // A tracker that stops drops the channel: the client reconnects and asks again.
                    told = told => told.ok().and_then(Result::ok).ok_or(number),
                    _ = gone => Err(number),
                }
            };
            ended.into_actor(tracker).then(move |ended, tracker, _| match ended {
                Ok(Some(tasks)) => Box::pin(actix::fut::ready(Ok(TaskWaitResult {
                    tasks,
                    timed_out: false,
                    omitted: Vec::new(),
                }))),
                Ok(None) => tracker.wait_result(shown, false),
                Err(number) => {
                    tracker.waiters.forget(number);
                    tracker.wait_result(shown, true)
                }
            })
        }))
    }

    fn wait_result(&mut self, ids: Vec<TaskId>, timed_out: bool) -> Answer<TaskWaitResult> {
        let artifacts = self.parts.artifacts.clone();
        let read = self.read_in_turn(move |connection| store::views(connection, &artifacts, &ids));
        Box::pin(read.map(move |found, tracker, _| {
            let Found { mut tasks, omitted } = found?.map_err(TaskRefusal::NoTask)?;
            for task in &mut tasks {
                tracker.overlay(task);
            }
            Ok(TaskWaitResult { tasks, timed_out, omitted })
        }))
    }

    /// Reads tasks to be shown, a few readers at a time: what is read is in memory, and in no budget, until it is encoded.
    fn read_in_turn<T: Send + 'static>(
        &self,
        read: impl FnOnce(&rusqlite::Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Pin<Box<dyn ActorFuture<Self, Output = Result<T, StoreError>>>> {
        let turns = Arc::clone(&self.read_turns);
        // The semaphore is never closed.
        let turn = async move { turns.acquire_owned().await };
        Box::pin(turn.into_actor(self).then(|turn, tracker: &mut Self, _| {
            let read = tracker.read(read);
            async move {
                let found = read.await;
                drop(turn);
                found
            }
            .into_actor(tracker)
        }))
    }
}

/// A time of the monotonic clock as a time of day: the `journaled` one where that is the same, unless the clock was set since.
fn told(until: Instant, journaled: Option<Timestamp>) -> Timestamp {
    let left = until.saturating_duration_since(Instant::now());
    let told = Timestamp::from_unix_ms(Timestamp::now().unix_ms() + left.as_millis() as u64);
    let is_same = |at: &Timestamp| at.unix_ms().abs_diff(told.unix_ms()) < 1_000;
    journaled.filter(is_same).unwrap_or(told)
}
