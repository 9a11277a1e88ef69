//! Carries out the effects of the machine: writes, look-ups, attempts and answers. The daemon may die between any two of them.

use std::{sync::Arc, time::Duration};

use reeld::{
    store::StoreError,
    tasks::machine::{Answer, Effect, Event, Outcome, RequestId, Shown, Write},
};

use super::{
    calls::Call,
    checks,
    model::Wrong,
    providers::{WORKFLOW, key_of, place_of},
    world::{Pending, PendingRequest, Stop, Wait, World},
};

impl World {
    /// Passes an event to the machine and carries out its effects. The daemon may die while doing so.
    pub fn feed(&mut self, event: Event) -> Result<(), Wrong> {
        let fed = self.feed_or_die(event);
        match fed {
            Ok(()) => Ok(()),
            Err(Stop::Wrong(wrong)) => Err(wrong),
            Err(Stop::Death) => self.die(),
        }
    }

    fn feed_or_die(&mut self, event: Event) -> Result<(), Stop> {
        self.note(|| format!("{:?} {}", self.moment.since_origin(), checks::told(&event)));
        self.around.0.borrow_mut().moment = self.moment;
        let effects = self.machine.handle(event, self.now());
        self.machine.assert_consistent()?;
        self.carry_out(effects)
    }

    pub fn carry_out(&mut self, effects: Vec<Effect>) -> Result<(), Stop> {
        let is_idle = self.machine.census().runs == 0 && self.calls.is_empty();
        let limit = self.limits.max_concurrent;
        self.most_slots = if is_idle { limit } else { self.most_slots.max(limit) };
        let dies_after = (self.options.crashes && !self.is_settling && self.random.below(400) == 0)
            .then(|| self.random.below(effects.len() as u64 + 1));
        for (place, effect) in (0..).zip(effects) {
            if dies_after == Some(place) {
                return Err(Stop::Death);
            }
            self.carry_out_one(effect)?;
        }
        Ok(())
    }

    fn carry_out_one(&mut self, effect: Effect) -> Result<(), Stop> {
        match effect {
            Effect::Commit(write) => {
                self.note(|| format!("    write {}", checks::told_write(&write)));
                if let Write::Start { run: Some(_), start } = &*write
                    && start.provider.is_none()
                {
                    checks::priority_without_provider(self, start.id)?;
                }
                self.to_commit.push_back(write);
            }
            Effect::LookUp { run, keys } => {
                checks::priority(self, keys[0])?;
                self.pending.push(Pending::LookUp { run, keys });
            }
            Effect::Start(attempt) => {
                let run = attempt.run;
                let row = self.model.check_start(run, &self.journal)?;
                self.note(|| format!("    attempt {run} starts for task {}", row.id));
                let running = self.calls.values().filter(|call| call.holds_slot()).count();
                let is_at_provider = attempt.job.as_ref().is_some_and(|job| job.is_at_provider());
                if !is_at_provider && row.kind != WORKFLOW && running >= self.most_slots {
                    return Err(Stop::Wrong(format!("attempt {run} is one more than may run at once")));
                }
                self.begun_by.push(row.client.clone());
                let is_polled = self.random.percent(40);
                self.calls.insert(run, Call::new(*attempt, row, is_polled));
            }
            Effect::Stop(run) => {
                self.note(|| format!("    attempt {run} is told to stop"));
                if let Some(call) = self.calls.get_mut(&run) {
                    call.is_told_to_stop = true;
                }
            }
            Effect::Load { request, id, decision } => {
                let row = self.journal.load(id);
                self.pending.push(Pending::Event(Box::new(Event::Loaded { request, id, decision, row })));
            }
            Effect::Resolve { id, references } => {
                let outputs = self.journal.outputs(&references);
                self.pending.push(Pending::Event(Box::new(Event::Resolved { id, outputs })));
            }
            Effect::Plan { planner, asked } => {
                let plans = asked.iter().map(|task| (task.id, planner.plan(&task.spec()))).collect();
                let event = Event::Planned { generation: planner.generation(), plans };
                self.pending.push(Pending::Event(Box::new(event)));
            }
            Effect::Answer { request, answer } => self.answered(request, answer)?,
            Effect::Tell { event, task } => checks::event(self, event, &task)?,
            Effect::TellPartial(_) | Effect::CountCoalesced => {}
            Effect::WakeAt(wake) => self.wake = wake,
        }
        Ok(())
    }

    fn answered(&mut self, request: RequestId, answer: Answer) -> Result<(), Stop> {
        self.note(|| format!("    request {request} is answered: {}", checks::told_answer(&answer)));
        let asked = self
            .requests
            .remove(&request)
            .ok_or_else(|| format!("request {request} is answered twice, or was never sent"))?;
        match (asked, answer) {
            (PendingRequest::Remember(run), Answer::Remembered(outcome)) => {
                self.remembered(run, outcome.is_ok());
            }
            (_, Answer::Refused(_))
            | (PendingRequest::Decide(_), Answer::Task(_))
            | (PendingRequest::Remove, Answer::Removed)
            | (PendingRequest::MakeRoom, Answer::Unpinned(_)) => {}
            (PendingRequest::Submit { client, request_id, fingerprint }, Answer::Accepted(taken)) => {
                let is_repeatable = request_id.is_some();
                if let Some(request_id) = request_id {
                    self.model.acknowledge_request(&client, &request_id, fingerprint, taken.first)?;
                }
                self.batches.extend(taken.batch.filter(|batch| !self.batches.contains(batch)));
                self.model.acknowledge(taken.ids(), is_repeatable, &self.journal)?;
            }
            (PendingRequest::Call, Answer::Hit(view)) => {
                if !self.model.shown.insert(view.id) {
                    return Err(Stop::Wrong(format!("the id {} is given out twice", view.id)));
                }
            }
            (PendingRequest::Call, Answer::Waited { shown, timed_out }) => {
                let Shown::Tasks(ids) = shown else {
                    return Err(Stop::Wrong("a call is answered with a batch".to_owned()));
                };
                self.model.acknowledge(ids.iter().copied(), true, &self.journal)?;
                let mut wait = Wait {
                    open: ids,
                    has_settled: false,
                    is_unsure: false,
                    batch: None,
                    is_any: false,
                    ends: None,
                };
                wait.note_settled(&self.journal);
                checks::waited(self, &wait, timed_out)?;
            }
            (PendingRequest::Wait(wait), Answer::Waited { timed_out, .. }) => {
                if timed_out && wait.ends.is_some_and(|ends| ends > self.moment) {
                    return Err(Stop::Wrong(format!("the wait {request} times out early")));
                }
                checks::waited(self, &wait, timed_out)?;
            }
            (PendingRequest::Drain, Answer::Drained(_)) => return Err(Stop::Death),
            (asked, answer) => {
                return Err(Stop::Wrong(format!("{asked:?} is answered with {answer:?}")));
            }
        }
        Ok(())
    }

    /// Commits some of the waiting writes in their order. A part of them, or all, may be refused.
    pub fn commit_some(&mut self) -> Result<(), Wrong> {
        let count = 1 + self.random.below(self.to_commit.len() as u64) as usize;
        let may_refuse = self.options.refused_commits && !self.is_settling;
        let refuses_all = may_refuse && self.random.percent(3);
        self.note(|| format!("commit of {count}, refused: {refuses_all}"));
        self.journal.begin();
        for write in self.to_commit.drain(..count).collect::<Vec<_>>() {
            let is_refused = refuses_all || (may_refuse && self.random.percent(1));
            let outcome = if is_refused { Err(disk_full()) } else { self.commit_one(&write)? };
            if let (Write::Results { run, .. }, Err(_)) = (&*write, &outcome) {
                self.model.lost(*run, &self.journal);
            }
            self.to_hand_back.push_back((write, outcome));
        }
        self.journal.commit();
        Ok(())
    }

    fn commit_one(&mut self, write: &Arc<Write>) -> Result<Result<Outcome, StoreError>, Wrong> {
        let id = match &**write {
            Write::Start { start, .. } => Some(start.id),
            Write::Transition { transition, .. } => Some(transition.id),
            Write::Finish(finish) => Some(finish.id),
            _ => None,
        };
        let before = id.and_then(|id| self.journal.task(id));
        self.model.committing(write, before.as_ref())?;
        let outcome = self.journal.write(write);
        if let Ok(outcome) = &outcome {
            self.model.committed(write, outcome, &self.journal)?;
            for asked in self.requests.values_mut() {
                if let PendingRequest::Wait(wait) = asked {
                    wait.note_settled(&self.journal);
                }
            }
            if let Write::Results { run, made, .. } = &**write
                && let Some(call) = self.calls.remove(run)
                && call.row.uses_cache
            {
                let provider = place_of(&made.provider);
                self.cache.insert(key_of(provider, &call.row.params), Arc::clone(made));
            }
        }
        Ok(outcome)
    }

    /// Returns the oldest finished write to the machine.
    pub fn hand_back(&mut self) -> Result<(), Wrong> {
        let Some((write, outcome)) = self.to_hand_back.pop_front() else { return Ok(()) };
        if let Write::Results { run, .. } = &*write {
            self.calls.remove(run);
        }
        if outcome.is_err() {
            self.refused_at = Some(self.moment);
        }
        self.feed(Event::Committed { write, outcome })
    }

    /// Passes one of the other pending answers to the machine.
    pub fn hand_in_pending(&mut self) -> Result<(), Wrong> {
        let place = self.random.below(self.pending.len() as u64) as usize;
        match self.pending.swap_remove(place) {
            Pending::Event(event) => self.feed(*event),
            Pending::LookUp { run, keys } => {
                let found = keys.iter().find_map(|key| self.cache.get(key)).cloned();
                self.feed(Event::LookedUp { run, found })
            }
        }
    }

    /// Lets time pass, but at most until the wake that the machine asked for, and then wakes it.
    pub fn pass_time(&mut self, milliseconds: u64) -> Result<(), Wrong> {
        let passed = Duration::from_millis(milliseconds);
        self.moment = match self.wake {
            Some(wake) if wake < self.moment + passed => wake.max(self.moment),
            _ => self.moment + passed,
        };
        self.wall_ms += milliseconds;
        self.around.0.borrow_mut().moment = self.moment;
        if self.wake.is_some_and(|wake| wake <= self.moment) {
            self.wake = None;
            return self.feed(Event::Tick);
        }
        Ok(())
    }

    /// Returns whether nothing is pending. Then only an action from outside or the passing of time can change anything.
    pub fn is_quiet(&self) -> bool {
        self.to_commit.is_empty()
            && self.to_hand_back.is_empty()
            && self.pending.is_empty()
            && !self.needs_tick
            && self.wake.is_none_or(|wake| wake > self.moment)
    }
}

/// The error with which the simulated journal refuses a write.
fn disk_full() -> StoreError {
    StoreError::Full(Arc::new(rusqlite::Error::InvalidQuery))
}
