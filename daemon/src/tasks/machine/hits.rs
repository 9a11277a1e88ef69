//! Calls that are answered from the cache before their rows are committed.

use std::sync::Arc;

use reel_protocol::{Progress, Source, TaskId, TaskState, TaskView};

use super::{Intake, Machine, Surroundings, Write, accept::new_task};
use crate::{
    cache::Made,
    domain::{Cost, Fingerprint},
    store::{self, NewTask, StoreError},
    tasks::{
        Plan,
        live::{Counted, live_task},
        ready::Lane,
    },
};

impl<S: Surroundings> Machine<S> {
    /// Returns the answer to a call whose result is cached. Nothing remains to be done for it, so a crash loses only a row of the history. `None` if
    /// the call must be accepted like any other: during a stop, if it has dependencies, or if the next id is not reserved on disk. Without a
    /// reservation, a crash could lead to the same id being assigned again.
    pub(super) fn answer_from_cache(&mut self, intake: &Intake) -> Option<TaskView> {
        let ([(plan, Some(made))], [spec]) = (intake.planned.as_deref().ok()?, &*intake.specs) else {
            return None;
        };
        if self.is_stopping || !spec.after.is_empty() || !self.ids.is_reserved() {
            return None;
        }
        let id = TaskId(self.ids.take(1));
        let terms = (self.now.wall, self.limits.default_attempts);
        let row = Box::new(new_task(id, spec, plan, Some(made), terms));
        let request = store::Request {
            client: intake.caller.client.to_string(),
            request_id: None,
            fingerprint: Fingerprint::NONE,
            batch: None,
            is_new_batch: false,
            batch_name: None,
            at: self.now.wall,
            ids_below: self.ids.to_reserve(),
        };
        let view = hit_view(&request, &row, made);
        self.hits += 1;
        self.commit(Write::Hit { request, row });
        Some(view)
    }

    pub(super) fn hit_written(
        &mut self,
        request: &store::Request,
        row: &NewTask,
        outcome: Result<(), StoreError>,
    ) {
        self.hits = self.hits.saturating_sub(1);
        match outcome {
            Ok(()) => {
                self.ids.reserved(request.ids_below);
                self.take_hit(request, row);
            }
            Err(error) => {
                tracing::warn!(task = row.id.0, %error, "an answer from the cache is missing in the history");
            }
        }
    }

    /// Handles the committed row of a task whose result was cached.
    pub(super) fn take_hit(&mut self, request: &store::Request, row: &NewTask) {
        let counted = Counted { batch: request.batch, is_step: row.step.is_some() };
        self.count(counted, None, Some(TaskState::Succeeded));
        let client = Arc::from(request.client.as_str());
        let lane = Lane::Connection(0);
        let mut task = live_task(row, Plan::default(), client, request.batch, lane, self.now);
        task.progress.fraction = 1.0;
        self.tell("accepted", &task, Some(Source::Cache), None);
    }
}

/// Returns the view of a call that the cache answers, as its row will show it.
fn hit_view(request: &store::Request, row: &NewTask, made: &Made) -> TaskView {
    TaskView {
        id: row.id,
        rev: 1,
        kind: row.kind.clone(),
        name: row.name.clone(),
        state: TaskState::Succeeded,
        hold_reason: None,
        wait_reason: None,
        priority: row.priority,
        client: request.client.clone(),
        batch: None,
        after: Vec::new(),
        parent: row.step.as_ref().map(|step| step.parent),
        step: row.step.as_ref().map(|step| step.name.to_string()),
        request_id: request.request_id.clone(),
        progress: Progress { fraction: 1.0, message: String::new() },
        provider: row.provider.clone(),
        model: row.model.clone(),
        attempts: 0,
        source: Some(Source::Cache),
        created_at: request.at,
        started_at: None,
        finished_at: Some(request.at),
        not_before: None,
        params: row.params.clone(),
        outputs: made.outputs.clone(),
        error: None,
        cost: Some(Cost::NOTHING.shown()),
        notes: row.notes.clone(),
        metadata: row.metadata.clone(),
    }
}
