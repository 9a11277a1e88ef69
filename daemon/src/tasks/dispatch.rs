//! How the tracker starts tasks: pick, look again, journal the attempt, and only then let it run.

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};
use reel_protocol::{Source, TaskId, TaskState, Timestamp, methods::MemoryLevel};
use tokio::{sync::watch, time::Instant};

use super::{
    CancelSignal, RunTask, TaskTracker,
    end::End,
    live::LiveTask,
    outcome::shares_unknown,
    progress::progress_sink,
    ready::Place,
    remote_jobs::{job_sink, remote_id},
    tracker::{JOURNAL_PAUSE, Run},
    wait_reason::Gate,
};
use crate::{
    cache::{CountCoalesced, LookUp, Made},
    chain::chain,
    provider::Permit,
    store::{self, Start, StoreError},
};

/// A run on its way from the queue to its services.
pub(super) struct Launch {
    pub run: u64,
    pub id: TaskId,
    pub permit: Option<Permit>,
    pub cancel: CancelSignal,
}

impl TaskTracker {
    /// Puts a queued task into the queues: itself if it stands for itself, else it may lift its leader. One that asks for what may have been
    /// paid already is held with it.
    pub(super) fn enter_queue(&mut self, ctx: &mut Context<Self>, id: TaskId) {
        if !self.has_valid_plan(id) {
            return self.plan_anew(ctx, id);
        }
        if let Some(error) = self.made_elsewhere(id) {
            return self.hold_unknown(ctx, id, error);
        }
        let Some(task) = self.live.get(&id) else { return };
        let (was_own, priority) = (self.flights.is_own(id), task.priority);
        let leader = match task.key() {
            Some(key) => self.flights.join(key, id),
            None => id,
        };
        if was_own
            && leader != id
            && let Err(error) = self.parts.coalesced.try_send(CountCoalesced(1))
        {
            tracing::debug!(%error, "a coalesced request was not counted");
        }
        if leader != id && self.is_unknown(leader) {
            return self.hold_unknown(ctx, id, shares_unknown(leader));
        }
        if leader == id && self.adopt_run(ctx, id) {
            return;
        }
        // A leader that stands high enough is left alone: a flight of thousands must not be gone through for each that joins.
        if leader == id || self.ready.priority(leader).is_none_or(|stands| stands < priority) {
            self.enqueue(leader);
        }
    }

    /// Takes over a paid call that was given up and goes on: asking for the same beside it would pay twice.
    fn adopt_run(&mut self, ctx: &mut Context<Self>, id: TaskId) -> bool {
        let Some(task) = self.live.get(&id).filter(|task| task.run.is_none()) else { return false };
        let Some(key) = task.key() else { return false };
        let is_orphan = |run: &Run| run.leader.is_none() && run.is_paid && run.key == Some(key);
        let Some(run) = self.runs.iter().find(|(_, run)| is_orphan(run)).map(|(number, _)| *number) else {
            return false;
        };
        self.promote(ctx, id, Some(run));
        true
    }

    /// Puts a task that stands for itself where it belongs now, if it may start. One whose transition is on its way to disk may not: it
    /// comes back here once that is settled.
    pub(super) fn enqueue(&mut self, id: TaskId) {
        let Some(task) = self.live.get(&id) else { return };
        let may_start = task.state == TaskState::Queued
            && task.run.is_none()
            && !task.is_committing
            && task.delayed_until.is_none()
            && task.plan.missing.is_none();
        if !may_start || !self.flights.is_own(id) {
            return;
        }
        let members = self.flights.members(id);
        let priority =
            members.iter().filter_map(|member| self.live.get(member)).map(|task| task.priority).max();
        let target = task.target();
        if target.as_ref().is_some_and(|target| self.down.contains(target)) {
            self.leaving.push(id);
        }
        let place = Place {
            target,
            priority: priority.unwrap_or(task.priority),
            client: task.client.clone(),
            lane: task.lane,
        };
        self.ready.insert(id, place);
    }

    /// Starts whatever may start.
    pub(super) fn dispatch(&mut self, ctx: &mut Context<Self>) {
        self.leave_providers_out_of_order(ctx);
        while self.may_start() {
            let permits = &self.parts.permits;
            let Some((id, place)) =
                self.ready.pick(|target| target.as_ref().is_none_or(|target| permits.is_free(target)))
            else {
                return self.wake_for_gates(ctx);
            };
            if !self.has_valid_plan(id) {
                self.plan_anew(ctx, id);
                continue;
            }
            let permit = place.target.as_ref().and_then(|target| permits.try_acquire(target));
            if place.target.is_some() && permit.is_none() {
                self.ready.insert(id, place);
                return self.wake_for_gates(ctx);
            }
            self.begin(ctx, id, permit);
        }
    }

    /// Tasks that wait for a provider's time wait for nothing else, so nobody else would start them. A gate may have opened since the queue was
    /// searched, a moment ago: then the tracker is woken at once, as no other event would follow.
    fn wake_for_gates(&mut self, ctx: &mut Context<Self>) {
        let permits = &self.parts.permits;
        let due = |target| match permits.shut(target) {
            Some(shut) => shut.until(),
            None => permits.is_free(target).then(Instant::now),
        };
        if let Some(until) = self.ready.targets().filter_map(due).min() {
            self.wake_at(ctx, until);
        }
    }

    pub(super) fn may_start(&self) -> bool {
        // A batch may hold a task of higher priority than those that stand in the queues already.
        self.admitting == 0 && self.gate().reason().is_none() && self.has_slot()
    }

    /// What keeps every task from starting.
    pub(super) fn gate(&self) -> Gate {
        Gate {
            is_stopping: self.is_stopping,
            is_paused: self.is_paused,
            is_memory_critical: *self.parts.level.borrow() == MemoryLevel::Critical,
        }
    }

    pub(super) fn has_slot(&self) -> bool {
        let under_way = self.runs.values().filter(|run| !run.is_over && run.job.is_none()).count();
        under_way < self.parts.limits.max_concurrent
    }

    fn begin(&mut self, ctx: &mut Context<Self>, id: TaskId, permit: Option<Permit>) {
        let job = self.known_job(id);
        let Some(task) = self.live.get_mut(&id) else { return };
        self.next_run += 1;
        let run = self.next_run;
        let (cancel, signal) = watch::channel(false);
        task.run = Some(run);
        task.job.clone_from(&job);
        task.is_committing = true;
        let keys = task.keys();
        let is_paid = task.plan.candidates.first().is_some_and(|first| first.is_paid);
        let key = task.key();
        self.runs.insert(run, Run { leader: Some(id), cancel, key, is_paid, is_over: false, job });
        let launch = Launch { run, id, permit, cancel: signal };
        if keys.is_empty() {
            return self.journal_start(launch);
        }
        // An equal request may have been answered since this one was accepted: nothing is asked of a provider that is there already.
        let found = self.parts.look_up.send(LookUp { requests: vec![keys], is_counted: false });
        ctx.spawn(found.into_actor(self).map(move |found, tracker, ctx| {
            match found.unwrap_or_default().into_iter().next().flatten() {
                Some(made) => tracker.end_from_cache(ctx, launch, &made),
                None => tracker.journal_start(launch),
            }
        }));
    }

    fn end_from_cache(&mut self, ctx: &mut Context<Self>, launch: Launch, made: &Made) {
        self.runs.remove(&launch.run);
        let id = launch.id;
        drop(launch);
        if let Some(task) = self.live.get_mut(&id) {
            task.run = None;
        }
        self.settle_commit(ctx, id);
        for member in self.flights.members(id) {
            self.conclude(ctx, member, End::made(Source::Cache, made));
        }
        self.dispatch(ctx);
    }

    fn journal_start(&mut self, launch: Launch) {
        let Some(task) = self.live.get(&launch.id) else {
            self.runs.remove(&launch.run);
            return;
        };
        let start = start_of(task);
        self.journal_rows_of(
            start,
            |start, connection| store::start(connection, start),
            |_, _| {},
            move |tracker, ctx, start, outcome| tracker.started(ctx, launch, &start, outcome),
        );
    }

    pub(super) fn started(
        &mut self,
        ctx: &mut Context<Self>,
        launch: Launch,
        start: &Start,
        outcome: Result<(), StoreError>,
    ) {
        let Launch { run, id, permit, cancel } = launch;
        if let Err(error) = outcome {
            tracing::error!(
                task = id.0,
                error = chain(&error),
                "the begin of an attempt could not be journaled; trying again"
            );
            self.runs.remove(&run);
            drop(permit);
            if let Some(task) = self.live.get_mut(&id) {
                task.run = None;
            }
            self.delay(ctx, id, Instant::now() + JOURNAL_PAUSE);
            return self.settle_commit(ctx, id);
        }
        self.mark_running(id, start);
        let Some(task) = self.live.get(&id) else {
            self.runs.remove(&run);
            return;
        };
        let message = RunTask {
            kind: task.kind.clone(),
            params: task.plan.params.clone(),
            provider: task.plan.candidates.first().cloned(),
            job: task.job.clone(),
            permit,
            cache: task.cache,
            cancel,
            progress: progress_sink(ctx.address().recipient(), run),
            jobs: job_sink(ctx.address().recipient(), run),
            make_room: ctx.address().recipient(),
        };
        let running = self.parts.run.run(message);
        ctx.spawn(running.into_actor(self).map(move |end, tracker, ctx| tracker.ended(ctx, run, end)));
        self.settle_commit(ctx, id);
    }

    fn mark_running(&mut self, id: TaskId, start: &Start) {
        let Some(task) = self.live.get_mut(&id) else { return };
        let from = std::mem::replace(&mut task.state, TaskState::Running);
        task.rev = start.rev;
        task.attempts += 1;
        task.attempts_left = task.attempts_left.saturating_sub(1);
        task.not_before = None;
        task.progress = reel_protocol::Progress::default();
        let (batch, event) = (task.batch, task.event(None, None));
        self.count(batch, Some(from), Some(TaskState::Running));
        self.parts.events.task("changed", || event);
    }

    /// Lets a task wait in memory alone: after a journal that refused, or for a time that is journaled already.
    pub(super) fn delay(&mut self, ctx: &mut Context<Self>, id: TaskId, until: Instant) {
        self.end_delay(id);
        self.ready.remove(id);
        let Some(task) = self.live.get_mut(&id) else { return };
        task.delayed_until = Some(until);
        self.delayed.insert((until, id));
        self.wake_at(ctx, until);
    }

    /// Takes a task out of those that wait for a time.
    pub(super) fn end_delay(&mut self, id: TaskId) {
        if let Some(until) = self.live.get_mut(&id).and_then(|task| task.delayed_until.take()) {
            self.delayed.remove(&(until, id));
        }
    }

    /// A follower takes the place of a leader that was given up: of its run if there is one, else of its place in the queue.
    pub(super) fn promote(&mut self, ctx: &mut Context<Self>, id: TaskId, run: Option<u64>) {
        let Some(running) = run.and_then(|run| self.runs.get_mut(&run)) else {
            self.enqueue(id);
            return self.dispatch(ctx);
        };
        running.leader = Some(id);
        if let Some(task) = self.live.get_mut(&id) {
            task.run = run;
            task.job.clone_from(&running.job);
        }
        self.when_settled(ctx, id, move |tracker, _| {
            let Some(task) = tracker
                .live
                .get_mut(&id)
                .filter(|task| task.state == TaskState::Queued && task.run.is_some())
            else {
                return;
            };
            task.is_committing = true;
            let start = start_of(task);
            tracker.journal_rows_of(
                start,
                |start, connection| store::start(connection, start),
                |_, _| {},
                move |tracker, ctx, start, outcome| {
                    match outcome {
                        Ok(()) => tracker.mark_running(id, &start),
                        Err(error) => tracing::error!(
                            task = id.0,
                            error = chain(&error),
                            "a shared attempt could not be journaled"
                        ),
                    }
                    tracker.settle_commit(ctx, id);
                },
            );
        });
    }
}

pub(super) fn start_of(task: &LiveTask) -> Start {
    let candidate = task.plan.candidates.first();
    Start {
        id: task.id,
        rev: task.rev + 1,
        at: Timestamp::now(),
        number: task.attempts + 1,
        provider: candidate.map(|candidate| candidate.provider.to_string()),
        model: candidate.and_then(|candidate| candidate.model.as_deref()).map(str::to_owned),
        remote_id: remote_id(task.job.as_deref()),
    }
}
