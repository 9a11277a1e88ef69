//! The times at which the machine must act without another event. The driver is asked for one wake-up at a time, for the earliest of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use reel_protocol::TaskId;

use super::{Machine, Moment, RequestId, Surroundings, Todo, Write};

/// What is done when a timer fires. Each timer fires once.
#[derive(Debug)]
pub(super) enum Timer {
    /// Sends a write again that must not be lost and that the journal refused.
    Write(Arc<Write>),
    /// Ends a wait whose timeout has passed.
    WaitEnds(RequestId),
    /// Sends a progress event that was postponed because the last one was sent a moment ago.
    Progress(TaskId),
    /// Tells the attempts that still run during a drain to stop. Attempts that may have been paid get this much more time afterwards.
    StopRuns(Duration),
    /// Gives up the attempts that did not stop. Those that may have been paid get this much more time.
    AwaitPaid(Duration),
    /// Gives up all attempts.
    Abandon,
}

/// The time of a timer, and a number that distinguishes timers with the same time.
pub(super) type TimerKey = (Moment, u64);

/// All timers, deadlines and delays.
#[derive(Debug, Default)]
pub(super) struct Timers {
    /// Queued tasks whose next attempt may not begin yet.
    delayed: BTreeSet<(Moment, TaskId)>,
    deadlines: BTreeSet<(Moment, TaskId)>,
    once: BTreeMap<TimerKey, Timer>,
    next: u64,
    /// The timers of the waits that have a timeout.
    waits: BTreeMap<RequestId, TimerKey>,
    /// The wake-up that was requested last.
    armed: Option<Moment>,
}

impl Timers {
    pub(super) fn add(&mut self, due: Moment, timer: Timer) -> TimerKey {
        self.next += 1;
        self.once.insert((due, self.next), timer);
        (due, self.next)
    }

    pub(super) fn add_wait(&mut self, due: Moment, request: RequestId) {
        let key = self.add(due, Timer::WaitEnds(request));
        self.waits.insert(request, key);
    }

    pub(super) fn remove_wait(&mut self, request: RequestId) {
        if let Some(key) = self.waits.remove(&request) {
            self.once.remove(&key);
        }
    }

    pub(super) fn add_deadline(&mut self, due: Moment, id: TaskId) {
        self.deadlines.insert((due, id));
    }

    pub(super) fn remove_deadline(&mut self, due: Moment, id: TaskId) {
        self.deadlines.remove(&(due, id));
    }

    pub(super) fn add_delay(&mut self, due: Moment, id: TaskId) {
        self.delayed.insert((due, id));
    }

    pub(super) fn remove_delay(&mut self, due: Moment, id: TaskId) {
        self.delayed.remove(&(due, id));
    }

    pub(super) fn has_delayed(&self) -> bool {
        !self.delayed.is_empty()
    }

    /// Returns the number of deadlines and delays of tasks. A task that has both counts twice.
    pub(super) fn tasks(&self) -> usize {
        self.delayed.len() + self.deadlines.len()
    }

    /// Returns the earliest due time. `gates_open` is when a provider's gate opens.
    fn next_due(&self, gates_open: Option<Moment>) -> Option<Moment> {
        let tasks = [self.deadlines.first(), self.delayed.first()].into_iter().flatten().map(|(due, _)| *due);
        let once = self.once.keys().next().map(|(due, _)| *due);
        tasks.chain(once).chain(gates_open).min()
    }
}

impl<S: Surroundings> Machine<S> {
    /// Does everything that is due.
    pub(super) fn run_timers(&mut self) {
        let now = self.now.moment;
        if self.timers.armed.is_some_and(|armed| armed <= now) {
            // The wake-up has happened or is about to happen, so the driver must be asked for another one.
            self.timers.armed = None;
        }
        while let Some((due, id)) = self.timers.deadlines.first().copied().filter(|(due, _)| *due <= now) {
            self.timers.deadlines.remove(&(due, id));
            self.when_settled(id, Todo::PassDeadline);
        }
        while let Some((_, id)) = self.timers.delayed.first().copied().filter(|(due, _)| *due <= now) {
            self.end_delay(id);
            self.enter_queue(id);
        }
        while let Some(entry) = self.timers.once.first_entry().filter(|entry| entry.key().0 <= now) {
            match entry.remove() {
                Timer::Write(write) => self.effects.push(super::Effect::Commit(write)),
                Timer::WaitEnds(request) => self.end_wait(request),
                Timer::Progress(id) => self.tell_delayed_progress(id),
                Timer::StopRuns(longer) => self.stop_runs(longer),
                Timer::AwaitPaid(longer) => self.await_paid(longer),
                Timer::Abandon => self.abandon_runs(),
            }
        }
    }

    /// Requests a wake-up for the earliest due time, unless that time was already requested.
    pub(super) fn arm_timer(&mut self, gates_open: Option<Moment>) {
        let next = self.timers.next_due(gates_open);
        if std::mem::replace(&mut self.timers.armed, next) != next {
            self.effects.push(super::Effect::WakeAt(next));
        }
    }

    /// Delays a task in memory only: after the journal refused a write, or until a time that is already in the journal.
    pub(super) fn delay(&mut self, id: TaskId, until: Moment) {
        self.end_delay(id);
        self.ready.remove(id);
        let Some(task) = self.live.get_mut(&id) else { return };
        task.delayed_until = Some(until);
        self.timers.add_delay(until, id);
    }

    /// Ends the delay of a task, if it has one.
    pub(super) fn end_delay(&mut self, id: TaskId) {
        if let Some(until) = self.live.get_mut(&id).and_then(|task| task.delayed_until.take()) {
            self.timers.remove_delay(until, id);
        }
    }
}
