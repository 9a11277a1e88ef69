//! Starts tasks, and determines when the queue must be searched again.

use reel_protocol::TaskId;

use super::{Effect, Machine, Moment, RunId, Surroundings, Write, attempt::Run};
use crate::tasks::wait_reason::StartConditions;

impl<S: Surroundings> Machine<S> {
    /// Starts all tasks that may start. Returns when a provider's gate opens by itself, if tasks wait for that.
    pub(super) fn dispatch(&mut self) -> Option<Moment> {
        self.leave_providers_out_of_order();
        while self.may_start() {
            let around = &self.around;
            let is_free = |target: &Option<_>| target.as_ref().is_none_or(|target| around.is_free(target));
            let Some((id, position)) = self.ready.pick(is_free) else {
                return self.gates_open();
            };
            if !self.has_valid_plan(id) {
                self.plan_anew(id);
                continue;
            }
            let run = self.next_run + 1;
            if position.target.as_ref().is_some_and(|target| !self.around.acquire(run, target)) {
                self.ready.insert(id, position);
                return self.gates_open();
            }
            self.next_run = run;
            self.begin(run, id);
        }
        None
    }

    /// Returns when the first gate opens that queued tasks wait for. No other event would start these tasks. If a gate has opened since the queue was
    /// searched, the result is the current time, so that the queue is searched again at once.
    fn gates_open(&self) -> Option<Moment> {
        let opens = |target| match self.around.why_not(target) {
            Some(closed) => closed.until,
            None => self.around.is_free(target).then_some(self.now.moment),
        };
        self.ready.targets().filter_map(opens).min()
    }

    fn may_start(&self) -> bool {
        self.start_conditions().reason().is_none() && self.has_slot()
    }

    /// Returns the conditions that keep every task from starting.
    pub(super) fn start_conditions(&self) -> StartConditions {
        StartConditions {
            is_stopping: self.is_stopping,
            is_paused: self.is_paused,
            is_memory_critical: self.around.is_memory_critical(),
        }
    }

    pub(super) fn has_slot(&self) -> bool {
        self.runs.values().filter(|run| run.holds_slot()).count() < self.limits.max_concurrent
    }

    fn begin(&mut self, run: RunId, id: TaskId) {
        let job = self.known_job(id);
        let Some(task) = self.live.get_mut(&id) else { return self.around.release(run) };
        task.run = Some(run);
        task.job.clone_from(&job);
        task.is_committing = true;
        let mut keys = task.keys();
        if job.is_some() {
            // Its results may be paid, so they are fetched even if another provider's are cached.
            keys.truncate(1);
        }
        let is_paid = task.is_paid();
        let is_workflow = task.plan.is_workflow;
        let mut begun = Run::new(id, task.key(), is_paid, job);
        begun.is_workflow = is_workflow;
        self.runs.insert(run, begun);
        if keys.is_empty() {
            return self.journal_start(run);
        }
        // An equal task may have got its result since this one was accepted. The cache is asked again, so that no provider makes a result that is
        // cached.
        self.effects.push(Effect::LookUp { run, keys });
    }

    /// Journals the begin of an attempt that has its slot and its permit.
    pub(super) fn journal_start(&mut self, run: RunId) {
        let leader = self.runs.get(&run).and_then(|run| run.leader);
        let Some(start) = leader.and_then(|id| self.start_of(id)) else {
            self.runs.remove(&run);
            return self.around.release(run);
        };
        self.commit(Write::Start { start, run: Some(run) });
    }
}
