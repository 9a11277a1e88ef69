//! Calls that the cache answered before their rows are on disk. Nothing remains to be done for such a call, so a crash loses one row of the
//! history and nothing else. The rows are committed together, a tenth of a second later or when there are many.

use std::{sync::Arc, time::Duration};

use actix::{AsyncContext, Context};
use reel_protocol::{Progress, Source, TaskId, TaskSpec, TaskState, TaskView, Timestamp};

use super::{
    Plan, TaskTracker,
    intake::{Intake, Planned},
    submit::new_task,
};
use crate::{
    cache::Made,
    store::{self, NewTask},
};

/// How long rows wait for others to share their commit.
const TOGETHER: Duration = Duration::from_millis(100);
/// So many rows are committed at once.
const MANY: usize = 256;

/// An answer from the cache whose row is still to be written.
#[derive(Debug)]
pub(super) struct Hit {
    spec: TaskSpec,
    plan: Plan,
    made: Arc<Made>,
    client: Arc<str>,
    id: TaskId,
    at: Timestamp,
}

impl Hit {
    fn view(&self) -> TaskView {
        let Self { spec, plan, made, client, id, at } = self;
        TaskView {
            id: *id,
            rev: 1,
            kind: spec.kind.clone(),
            name: spec.name.clone(),
            state: TaskState::Succeeded,
            hold_reason: None,
            wait_reason: None,
            priority: spec.priority,
            client: client.to_string(),
            batch: None,
            after: Vec::new(),
            progress: Progress { fraction: 1.0, message: String::new() },
            provider: Some(made.provider.clone()),
            model: made.model.clone(),
            attempts: 0,
            source: Some(Source::Cache),
            created_at: *at,
            started_at: None,
            finished_at: Some(*at),
            not_before: None,
            params: plan.params.clone(),
            outputs: made.outputs.clone(),
            error: None,
            cost: None,
            notes: made.notes.clone(),
            metadata: spec.metadata.clone(),
        }
    }

    fn rows(&self, ids_below: u64, default_attempts: u32) -> (store::Request, NewTask) {
        let Self { spec, plan, made, client, id, at } = self;
        let request = store::Request {
            client: client.to_string(),
            request_id: None,
            fingerprint: [0; 32],
            batch: None,
            is_new_batch: false,
            batch_name: None,
            at: *at,
            ids_below,
        };
        (request, new_task(*id, spec, plan, Some(made), (*at, default_attempts)))
    }
}

impl TaskTracker {
    /// The answer to a call whose result the cache has. `None` where the call must be accepted like any other: during a stop, or where the
    /// next id is not reserved on disk, as a crash could then give the same id out again.
    pub(super) fn answer_from_cache(
        &mut self,
        ctx: &mut Context<Self>,
        intake: &Intake,
        planned: &Planned,
    ) -> Option<TaskView> {
        let ([(plan, Some(made))], [spec]) = (planned.as_deref().ok()?, &*intake.specs) else { return None };
        if self.is_stopping || !self.ids.is_reserved() {
            return None;
        }
        let hit = Hit {
            spec: spec.clone(),
            plan: plan.clone(),
            made: Arc::clone(made),
            client: Arc::clone(&intake.caller.client),
            id: TaskId(self.ids.take(1)),
            at: Timestamp::now(),
        };
        let task = hit.view();
        self.hits.push(hit);
        if self.hits.len() >= MANY {
            self.journal_hits();
        } else if self.hits.len() == 1 {
            ctx.run_later(TOGETHER, |tracker, _| tracker.journal_hits());
        }
        Some(task)
    }

    /// Sends the rows of answered calls to the journal, all in one write.
    pub(super) fn journal_hits(&mut self) {
        let hits = std::mem::take(&mut self.hits);
        if hits.is_empty() {
            return;
        }
        let (count, ids_below) = (hits.len(), self.ids.to_reserve());
        let default_attempts = self.parts.limits.default_attempts;
        self.hits_on_their_way += count;
        let write = move |hits: &Vec<Hit>, connection: &rusqlite::Connection| {
            for hit in hits {
                let (request, row) = hit.rows(ids_below, default_attempts);
                store::insert_finished(connection, &request, &row)?;
            }
            store::save_ids(connection, ids_below)
        };
        let then = move |tracker: &mut Self,
                         _: &mut Context<Self>,
                         hits: Vec<Hit>,
                         outcome: Result<(), _>| {
            tracker.hits_on_their_way -= count;
            match outcome {
                Ok(()) => {
                    tracker.ids.reserved(ids_below);
                    for hit in &hits {
                        tracker.took_from_cache(None, || hit.rows(ids_below, default_attempts));
                    }
                    tracker.prune();
                }
                Err(error) => {
                    tracing::warn!(error = %error, count, "answers from the cache are missing in the history");
                }
            }
        };
        self.send(hits, write, |_, _| {}, then);
    }
}
