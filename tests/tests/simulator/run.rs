//! One run: random steps, and then a phase without faults in which everything must end.

use std::{
    cell::RefCell,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
};

use reel_protocol::{TaskId, TaskState};
use reeld::tasks::{
    Decision, SetTaskLimits,
    machine::{Census, Event},
};

use super::{
    checks,
    journal::Schema,
    model::Wrong,
    providers::PROVIDERS,
    world::{Options, PendingRequest, Trace, World},
};

/// Rounds of the last phase, within which everything must have ended.
const LAST_ROUNDS: u32 = 20_000;
/// Number of steps between checks of the rules for when nothing is pending.
const CHECK_EVERY: u32 = 3;

/// A broken rule, and the trace that led to it.
pub struct Failure {
    pub wrong: Wrong,
    pub trace: Vec<String>,
}

/// Runs one seed.
pub fn run(seed: u64, options: Options, schema: &Schema) -> Result<(), Failure> {
    let trace: Trace = Rc::new(RefCell::new(Vec::new()));
    let for_world = Rc::clone(&trace);
    let ran = catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new(seed, options, schema, for_world);
        world.start()?;
        for step in 0..options.steps {
            world.step()?;
            if step % CHECK_EVERY == 0 && world.is_quiet() {
                world.check_idle_rules()?;
            }
        }
        world.settle()
    }));
    let wrong = match ran {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(wrong)) => wrong,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
                .unwrap_or_else(|| "a panic".to_owned())
        }
    };
    let trace = trace.borrow().clone();
    Err(Failure { wrong, trace })
}

impl World {
    fn step(&mut self) -> Result<(), Wrong> {
        match self.random.below(100) {
            0..22 if !self.to_commit.is_empty() => self.commit_some(),
            22..46 if !self.to_hand_back.is_empty() => self.hand_back(),
            46..62 if !self.pending.is_empty() => self.hand_in_pending(),
            62..74 if self.calls.values().any(super::calls::Call::can_move) => self.move_a_call(),
            74..78 if self.needs_tick => self.tick(),
            78..84 => {
                let milliseconds = self.random.one_of(&[1, 20, 300, 1_500, 20_000]);
                self.pass_time(milliseconds)
            }
            84..85 if self.options.clock_steps => {
                let jump = self.random.below(7_200_000);
                self.wall_ms =
                    if self.random.percent(50) { self.wall_ms + jump } else { self.wall_ms - jump };
                self.note(|| format!("the clock jumps to {}", self.wall_ms));
                Ok(())
            }
            85..86 if self.options.crashes && self.random.percent(60) => self.die(),
            _ => self.command(),
        }
    }

    fn tick(&mut self) -> Result<(), Wrong> {
        self.needs_tick = false;
        self.feed(Event::Tick)
    }

    /// Checks the rules for when nothing is pending.
    fn check_idle_rules(&self) -> Result<(), Wrong> {
        checks::nothing_is_stuck(self)?;
        checks::waits_are_answered(self)?;
        checks::counts(self)?;
        checks::no_step_is_left(self)?;
        self.model.check_acknowledged(&self.journal)
    }

    /// Lets everything end without further faults, and checks that it does.
    pub fn settle(&mut self) -> Result<(), Wrong> {
        self.note(|| "nothing goes wrong any more".to_owned());
        self.is_settling = true;
        if self.is_draining {
            self.die()?;
        }
        {
            let mut state = self.around.0.borrow_mut();
            state.is_memory_critical = false;
            state.closed = [None; PROVIDERS.len()];
        }
        self.configure([true; PROVIDERS.len()])?;
        self.limits = SetTaskLimits { max_concurrent: 2, history: 10_000, ..self.limits };
        self.feed(Event::Limits(self.limits))?;
        self.is_paused = false;
        self.feed(Event::Pause(false))?;
        for _ in 0..LAST_ROUNDS {
            if !self.settle_one()? {
                return self.check_final_rules();
            }
        }
        let left: Vec<_> = self.journal.unfinished().iter().map(|row| (row.id.0, row.state.name())).collect();
        Err(format!("these do not come to their end: {left:?}"))
    }

    /// Takes the next step of the last phase. Returns false once nothing is left to do.
    fn settle_one(&mut self) -> Result<bool, Wrong> {
        if !self.to_commit.is_empty() {
            self.commit_some()?;
        } else if !self.to_hand_back.is_empty() {
            self.hand_back()?;
        } else if !self.pending.is_empty() {
            self.hand_in_pending()?;
        } else if self.needs_tick {
            self.tick()?;
        } else if self.calls.values().any(super::calls::Call::can_move) {
            self.move_a_call()?;
        } else if let Some(held) = self.held() {
            self.decided.insert(held);
            let request = self.ask(PendingRequest::Decide(held));
            self.feed(Event::Decide { request, id: held, decision: Decision::Release })?;
        } else if self.wake.is_some() {
            self.check_idle_rules()?;
            self.pass_time(3_600_000)?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// Returns a held task for which no decision is pending.
    fn held(&self) -> Option<TaskId> {
        let is_decided =
            |id| self.requests.values().any(|asked| matches!(asked, PendingRequest::Decide(of) if *of == id));
        let rows = self.journal.unfinished();
        rows.iter().find(|row| row.state == TaskState::Held && !is_decided(row.id)).map(|row| row.id)
    }

    fn check_final_rules(&self) -> Result<(), Wrong> {
        self.check_idle_rules()?;
        if let Some(row) = self.journal.unfinished().first() {
            return Err(format!("task {} is {}, and nothing will change that", row.id, row.state.name()));
        }
        if let Some((request, asked)) = self.requests.first_key_value() {
            return Err(format!("request {request} has no answer: {asked:?}"));
        }
        if self.machine.census() != Census::default() {
            return Err(format!("everything is over, and the machine holds {:?}", self.machine.census()));
        }
        match self.around.0.borrow().reserved_bytes {
            0 => Ok(()),
            bytes => Err(format!("everything is over, and {bytes} bytes are reserved")),
        }
    }
}
