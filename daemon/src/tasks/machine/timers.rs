//! When the machine has something to do by itself. One wake-up serves all of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use reel_protocol::TaskId;

use super::{Machine, Moment, RequestId, Surroundings, Todo, Write};

/// What is due once.
#[derive(Debug)]
pub(super) enum Timer {
    /// A write that must not be lost, and that the journal refused, is sent again.
    Write(Arc<Write>),
    /// A wait ends.
    WaitEnds(RequestId),
    /// A task's progress is told, as it was told a moment ago.
    Progress(TaskId),
    /// Attempts that still run during a drain are told to stop, and so much later those that may have been paid are given up.
    StopRuns(Duration),
    /// Attempts that did not stop are given up, but for those that may have been paid.
    AwaitPaid(Duration),
    /// All attempts are given up.
    Abandon,
}

/// A timer's time, and a number that tells timers of one time apart.
pub(super) type TimerKey = (Moment, u64);

/// All timers.
#[derive(Debug, Default)]
pub(super) struct Timers {
    /// Queued tasks whose time has not come.
    delayed: BTreeSet<(Moment, TaskId)>,
    deadlines: BTreeSet<(Moment, TaskId)>,
    once: BTreeMap<TimerKey, Timer>,
    next: u64,
    /// When each wait ends.
    waits: BTreeMap<RequestId, TimerKey>,
    /// The wake-up that was asked for last.
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

    /// How many deadlines and delays of tasks there are.
    pub(super) fn tasks(&self) -> usize {
        self.delayed.len() + self.deadlines.len()
    }

    /// When something is due next. The providers' gates may open earlier than any timer.
    fn next_due(&self, gates_open: Option<Moment>) -> Option<Moment> {
        let tasks = [self.deadlines.first(), self.delayed.first()].into_iter().flatten().map(|(due, _)| *due);
        let once = self.once.keys().next().map(|(due, _)| *due);
        tasks.chain(once).chain(gates_open).min()
    }
}

impl<S: Surroundings> Machine<S> {
    /// Does what is due.
    pub(super) fn run_timers(&mut self) {
        let now = self.now.moment;
        if self.timers.armed.is_some_and(|armed| armed <= now) {
            // The driver has woken, or is about to: it is to be asked again.
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

    /// Asks to be woken when something is due next, if that is another time than was asked for before.
    pub(super) fn arm_timer(&mut self, gates_open: Option<Moment>) {
        let next = self.timers.next_due(gates_open);
        if std::mem::replace(&mut self.timers.armed, next) != next {
            self.effects.push(super::Effect::WakeAt(next));
        }
    }

    /// Lets a task wait in memory alone: after a journal that refused, or for a time that is journaled already.
    pub(super) fn delay(&mut self, id: TaskId, until: Moment) {
        self.end_delay(id);
        self.ready.remove(id);
        let Some(task) = self.live.get_mut(&id) else { return };
        task.delayed_until = Some(until);
        self.timers.add_delay(until, id);
    }

    /// Takes a task out of those that wait for a time.
    pub(super) fn end_delay(&mut self, id: TaskId) {
        if let Some(until) = self.live.get_mut(&id).and_then(|task| task.delayed_until.take()) {
            self.timers.remove_delay(until, id);
        }
    }
}
