//! A provider's gate that opens while the task machine checks it must not leave a task waiting, because no other event would start the task.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking, where it stands"
)]

use std::{cell::Cell, rc::Rc, sync::Arc, time::Duration};

use reel_protocol::{JsonText, TaskSpec, Timestamp, WaitReason};
use reeld::{
    domain::{Candidate, Plan, PlanRefusal, PlanSpec, PlanTasks, Target},
    memory::OverBudget,
    store::Accepted,
    tasks::{
        Caller, SetTaskLimits,
        machine::{Closed, Effect, Event, Intake, Machine, Moment, Now, Outcome, RunId, Surroundings, Write},
    },
};

/// Plans every task for one provider.
#[derive(Debug)]
struct Planner;

impl PlanTasks for Planner {
    fn generation(&self) -> u64 {
        0
    }

    fn plan(&self, spec: &PlanSpec<'_>) -> Result<Plan, PlanRefusal> {
        let studio = Candidate {
            price: None,
            provider: Arc::from("studio"),
            model: None,
            key: [1; 32],
            is_paid: true,
            is_alternative: true,
        };
        Ok(Plan { params: spec.params.clone(), candidates: vec![studio], ..Plan::default() })
    }
}

/// A provider whose gate is closed for the given number of checks, and then open.
#[derive(Debug)]
struct OpensAfterLooks(Rc<Cell<u32>>);

impl OpensAfterLooks {
    fn look(&self) -> bool {
        let left = self.0.get();
        self.0.set(left.saturating_sub(1));
        left == 0
    }
}

impl Surroundings for OpensAfterLooks {
    fn is_memory_critical(&self) -> bool {
        false
    }

    fn reserve(&mut self, _bytes: u64) -> Result<(), OverBudget> {
        Ok(())
    }

    fn give_back(&mut self, _bytes: u64) {}

    fn acquire(&mut self, _run: RunId, _target: &Target) -> bool {
        self.look()
    }

    fn release(&mut self, _run: RunId) {}

    fn is_free(&self, _target: &Target) -> bool {
        self.look()
    }

    fn why_not(&self, _target: &Target) -> Option<Closed> {
        let until = Some(Moment::after_origin(Duration::from_mins(1)));
        (!self.look()).then_some(Closed { reason: WaitReason::ProviderPause, until })
    }

    fn is_down(&self, _target: &Target) -> bool {
        false
    }
}

const NOW: Moment = Moment::after_origin(Duration::from_secs(5));

fn now() -> Now {
    Now { moment: NOW, wall: Timestamp::from_unix_ms(1_000_000) }
}

/// Submits a task and commits it. Returns the machine, and the effects that follow the commit.
fn accept(looks: &Rc<Cell<u32>>) -> (Machine<OpensAfterLooks>, Vec<Effect>) {
    let limits = SetTaskLimits { max_concurrent: 1, history: 10, queue_limit: 10, default_attempts: 1 };
    let mut machine = Machine::new(OpensAfterLooks(Rc::clone(looks)), limits, Arc::new(Planner), now());
    let caller = Caller { client: Arc::from("test"), connection: 1 };
    let spec = TaskSpec { kind: "image.generate".to_owned(), ..TaskSpec::default() };
    let planned = Planner.plan(&PlanSpec {
        kind: &spec.kind,
        params: &JsonText::default(),
        provider: None,
        planned: None,
        refused_by: &[],
    });
    let mut intake = Intake::single(caller, spec);
    intake.planned = Ok(vec![(planned.unwrap(), None)]);
    let effects = machine.handle(Event::Submit { request: 1, intake: Box::new(intake) }, now());
    let write = effects.into_iter().find_map(|effect| match effect {
        Effect::Commit(write) if matches!(&*write, Write::Accept(_)) => Some(write),
        _ => None,
    });
    let outcome = Ok(Outcome::Accepted(Accepted::New(vec![Ok(Vec::new())])));
    let effects = machine.handle(Event::Committed { write: write.unwrap(), outcome }, now());
    (machine, effects)
}

fn begins(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::LookUp { .. }))
}

fn wakes(effects: &[Effect]) -> Option<Moment> {
    effects.iter().find_map(|effect| match effect {
        Effect::WakeAt(wake) => *wake,
        _ => None,
    })
}

/// However many checks find the gate closed, the task begins at once, or the machine asks for a wake and begins the task then.
#[test]
fn a_gate_that_opens_between_two_checks_leaves_no_task_waiting() {
    let mut opened_between = 0;
    for looks in 0..6 {
        let left = Rc::new(Cell::new(looks));
        let (mut machine, effects) = accept(&left);
        if begins(&effects) {
            continue;
        }
        let wake = wakes(&effects);
        assert!(wake.is_some(), "after {looks} looks the task waits, and nothing wakes the machine");
        opened_between += u32::from(wake == Some(NOW));
        // The gate is open when the wake comes.
        let later = Now { moment: wake.unwrap(), ..now() };
        left.set(0);
        assert!(begins(&machine.handle(Event::Tick, later)), "after {looks} looks the wake starts nothing");
    }
    assert!(opened_between > 0, "no gate opened between two looks");
}
