//! Sends the machine's writes to the journal, and returns their outcomes.

use std::sync::Arc;

use reel_protocol::TaskId;
use rusqlite::Connection;

use super::{Returned, TaskTracker};
use crate::{
    cache::{Rows, Written},
    domain::Reference,
    store::{self, StoreError},
    tasks::{
        Decision,
        machine::{Event, Outcome, RequestId, Write},
    },
};

/// The outcome of a write, and what the journal returned for the rows of results that were part of it.
pub(super) struct Committed {
    pub write: Arc<Write>,
    pub outcome: Result<(Outcome, Option<Written>), StoreError>,
}

impl TaskTracker {
    /// Sends a write to the journal. It comes back after its commit, in the order of the commits, or with the reason why it was not committed.
    pub(super) fn commit(&self, write: Arc<Write>) {
        let rows = match &*write {
            Write::Results { run, .. } => self.kept.get(run).map(|kept| kept.rows.clone()),
            _ => None,
        };
        let (written, returns) = (Arc::clone(&write), self.returns.clone());
        self.parts.store.write_then(
            move |connection| write_all(connection, &write, rows.as_ref()),
            // The send fails only once the tracker has stopped. The next start reads what was committed.
            move |outcome| {
                let committed = Committed { write: written, outcome };
                drop(returns.send(Returned::Committed(Box::new(committed))));
            },
        );
    }

    /// Reads the outputs that the params of a task refer to.
    pub(super) fn read_outputs(&self, id: TaskId, references: Vec<Reference>) {
        let outputs = self.reader().read(move |connection| {
            let output = |reference: &Reference| {
                let digests = store::output_digests(connection, reference.task)?;
                Ok(digests.get(reference.index).copied())
            };
            references.iter().map(output).collect::<Result<Vec<_>, StoreError>>()
        });
        self.when_done(async move { Event::Resolved { id, outputs: outputs.await } });
    }

    pub(super) fn load(&self, request: RequestId, id: TaskId, decision: Decision) {
        let row = self.reader().read(move |connection| store::load(connection, id));
        self.when_done(async move {
            let row = row.await.map(|row| row.map(Box::new));
            Event::Loaded { request, id, decision, row }
        });
    }
}

/// Writes the rows of results before the ends of tasks that refer to them.
fn write_all(
    connection: &Connection,
    write: &Write,
    rows: Option<&Rows>,
) -> Result<(Outcome, Option<Written>), StoreError> {
    let written = rows.map(|rows| rows.write(connection)).transpose()?;
    Ok((apply(connection, write)?, written))
}

/// Writes everything of a write of the machine except the rows of results. It must be called in a transaction.
pub fn apply(connection: &Connection, write: &Write) -> Result<Outcome, StoreError> {
    match write {
        Write::Accept(submission) => {
            let (request, rows) = (&submission.request, &submission.rows);
            if let Some(batch) = request.batch.filter(|_| !request.is_new_batch)
                && !store::batch_exists(connection, batch)?
            {
                return Ok(Outcome::NoBatch(batch));
            }
            return store::insert(connection, request, rows).map(Outcome::Accepted);
        }
        Write::Hit { request, row } => {
            store::insert_finished(connection, request, row)?;
            store::save_ids(connection, request.ids_below)?;
        }
        Write::FindRequest { client, request_id, fingerprint, .. } => {
            return store::find_request(connection, client, request_id, fingerprint).map(Outcome::Found);
        }
        Write::Start { start, .. } => store::start(connection, start)?,
        Write::Transition { transition, .. } => store::record_transition(connection, transition)?,
        Write::Finish(finish) => store::finish(connection, finish)?,
        Write::Results { ends, .. } => ends.iter().try_for_each(|end| store::finish(connection, end))?,
        Write::Remember { id, number, remote_id, .. } => {
            store::set_remote_id(connection, *id, *number, remote_id.as_ref())?;
        }
        Write::Remove { id, .. } => {
            let task = store::load(connection, *id)?;
            if task.as_ref().is_some_and(|task| task.task.state.is_finished()) {
                store::forget(connection, *id)?;
            }
            return Ok(Outcome::Removed(task.map(Box::new)));
        }
        Write::Prune { limit, keep } => {
            let pruned = store::prune(connection, *limit, |id, batch| keep.holds(id, batch));
            return pruned.map(Outcome::Pruned);
        }
        Write::PruneFor { bytes, limit, keep, .. } => {
            let pruned = store::prune_pinning(connection, *bytes, *limit, |id, batch| keep.holds(id, batch));
            return pruned.map(Outcome::Pruned);
        }
        Write::Close { next_id, .. } => store::save_ids(connection, *next_id)?,
    }
    Ok(Outcome::Done)
}
