//! Calls whose results the cache had: asked again, they are answered in the turn that asks.
//!
//! The tracker keeps this in step and journals what was answered; sessions look here first, as a message to the tracker and back costs more
//! than the answer. Both are of one thread. Whatever cannot be answered for sure is the tracker's to answer.

use std::{
    cell::{Cell, OnceCell, RefCell},
    rc::Rc,
    sync::Arc,
};

use actix::{Message, Recipient};
use reel_protocol::{Progress, Source, TaskId, TaskSpec, TaskState, TaskView, Timestamp};

use super::{Plan, ids::Ids};
use crate::cache::{Made, Shelves};

/// A call whose result the cache had, and all that it takes to answer it again.
#[derive(Debug)]
pub struct Known {
    pub(super) spec: TaskSpec,
    pub(super) plan: Plan,
    pub(super) made: Arc<Made>,
}

/// An answer from the cache whose row is still to be written.
#[derive(Debug)]
pub(super) struct Hit {
    pub known: Arc<Known>,
    pub client: Arc<str>,
    pub id: TaskId,
    pub at: Timestamp,
}

/// Answers whose rows are written together, if they come fast: enough that what a commit costs no longer shows.
const MANY: usize = 256;

/// Answers were delivered whose rows are to be journaled: before long, or now if they are many.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Delivered;

/// Where calls are answered again; a clone is another door to the same place.
#[derive(Debug, Clone)]
pub struct Repeats(Rc<Shared>);

#[derive(Debug)]
struct Shared {
    shelves: Shelves,
    ids: Rc<Ids>,
    /// Of the planner in force.
    generation: Cell<u64>,
    is_closed: Cell<bool>,
    delivered: RefCell<Vec<Hit>>,
    tracker: OnceCell<Recipient<Delivered>>,
}

impl Repeats {
    /// Over what the cache has, with ids of that sequence. It answers nothing before it is opened.
    pub(super) fn new(shelves: Shelves, ids: Rc<Ids>, generation: u64) -> Self {
        Self(Rc::new(Shared {
            shelves,
            ids,
            generation: Cell::new(generation),
            is_closed: Cell::new(false),
            delivered: RefCell::default(),
            tracker: OnceCell::new(),
        }))
    }

    /// From now on that tracker journals what is answered.
    pub(super) fn open(&self, tracker: Recipient<Delivered>) {
        let _ = self.0.tracker.set(tracker);
    }

    /// Answers no more: the rows would not follow.
    pub(super) fn close(&self) {
        self.0.is_closed.set(true);
    }

    /// Another planner is in force: what an earlier one planned is not answered any more.
    pub(super) fn replanned(&self, generation: u64) {
        self.0.generation.set(generation);
    }

    /// Takes the answers whose rows are on their way to nowhere yet.
    pub(super) fn take_delivered(&self) -> Vec<Hit> {
        self.0.delivered.take()
    }

    /// Answers the call again and counts the hit, if its result is what the cache has now and the answer may go before its row. Gives the
    /// new task's number and its time.
    pub fn answer(&self, known: &Arc<Known>, client: &Arc<str>) -> Option<(TaskId, Timestamp)> {
        let is_known = self.may_answer_first()
            && known.plan.generation == self.0.generation.get()
            && self.0.shelves.look_again(known.plan.keys(), &known.made);
        is_known.then(|| self.deliver(known, client))
    }

    /// Whether an answer may go before its row: not without an id that is reserved, and not where the row would not follow.
    pub(super) fn may_answer_first(&self) -> bool {
        self.0.ids.is_reserved() && !self.0.is_closed.get() && self.is_announced()
    }

    /// Whether the tracker knows that rows are to be journaled, or is told now: of the first, and when there are many.
    fn is_announced(&self) -> bool {
        let tell = |tracker: &Recipient<Delivered>| tracker.try_send(Delivered).is_ok();
        !matches!(self.waiting(), 0 | MANY) || self.0.tracker.get().is_some_and(tell)
    }

    /// Answers whose rows wait for more to come.
    pub(super) fn waiting(&self) -> usize {
        self.0.delivered.borrow().len()
    }

    /// Whether these are enough for one write.
    pub(super) fn are_many(&self) -> bool {
        self.waiting() >= MANY
    }

    /// Notes an answer that goes now.
    pub(super) fn deliver(&self, known: &Arc<Known>, client: &Arc<str>) -> (TaskId, Timestamp) {
        let (id, at) = (TaskId(self.0.ids.take(1)), Timestamp::now());
        let hit = Hit { known: Arc::clone(known), client: Arc::clone(client), id, at };
        self.0.delivered.borrow_mut().push(hit);
        (id, at)
    }
}

/// One behind which nobody answers, for tests of others.
#[cfg(test)]
impl Default for Repeats {
    fn default() -> Self {
        Self::new(Shelves::default(), Rc::default(), 0)
    }
}

impl Known {
    /// The task of an answer.
    pub(super) fn view(&self, client: &str, id: TaskId, at: Timestamp) -> TaskView {
        let Self { spec, plan, made } = self;
        TaskView {
            id,
            rev: 1,
            kind: spec.kind.clone(),
            name: spec.name.clone(),
            state: TaskState::Succeeded,
            hold_reason: None,
            wait_reason: None,
            priority: spec.priority,
            client: client.to_owned(),
            batch: None,
            after: Vec::new(),
            progress: Progress { fraction: 1.0, message: String::new() },
            provider: Some(made.provider.clone()),
            model: made.model.clone(),
            attempts: 0,
            source: Some(Source::Cache),
            created_at: at,
            started_at: None,
            finished_at: Some(at),
            not_before: None,
            params: plan.params.clone(),
            outputs: made.outputs.clone(),
            error: None,
            cost: None,
            metadata: spec.metadata.clone(),
        }
    }
}
