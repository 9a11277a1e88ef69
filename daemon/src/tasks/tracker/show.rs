//! Shows tasks: reads them from the journal, and adds what the machine knows.

use std::{path::Path, sync::Arc};

use actix::{AsyncContext as _, Context, Handler, Message, MessageResult, Recipient, ResponseFuture};
use reel_protocol::{
    TaskId, TaskView,
    limits::WAIT_IDS,
    methods::{TaskListResult, TaskWaitResult},
};
use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::{TaskTracker, now};
use crate::{
    store::{self, Found, Store, StoreError},
    tasks::{GetTask, ListTasks, TaskRefusal, machine::Shown},
};

/// Adds to tasks that were read from the journal what the machine knows.
#[derive(Debug, Message)]
#[rtype(result = "Vec<TaskView>")]
pub(super) struct Overlay(Vec<TaskView>);

impl Handler<Overlay> for TaskTracker {
    type Result = MessageResult<Overlay>;

    fn handle(&mut self, Overlay(mut tasks): Overlay, _: &mut Self::Context) -> Self::Result {
        let now = now(self.origin);
        for task in &mut tasks {
            self.machine.overlay(task, now);
        }
        MessageResult(tasks)
    }
}

/// A reader of the journal that sees everything that was answered before it was made.
pub(super) struct Reader {
    store: Store,
    /// Whether there were answered calls whose rows were not committed. The reader then waits for their commits.
    must_wait: bool,
}

impl Reader {
    pub(super) async fn read<T: Send + 'static>(
        self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        if self.must_wait {
            self.store.write(|_| Ok(())).await?;
        }
        self.store.read(read).await
    }
}

/// Reads tasks that are to be shown, [`READERS`](super::READERS) at a time. What was read is in memory, outside the budget, until it is encoded.
pub(super) struct Show {
    reader: Reader,
    turns: Arc<Semaphore>,
    artifacts: Arc<Path>,
    overlay: Recipient<Overlay>,
}

impl Show {
    async fn read<T: Send + 'static>(
        self,
        read: impl FnOnce(&Connection, &Path) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<(T, Recipient<Overlay>), StoreError> {
        // Acquiring cannot fail, because the semaphore is never closed.
        let turn = self.turns.acquire_owned().await;
        let artifacts = self.artifacts;
        let read = self.reader.read(move |connection| read(connection, &artifacts)).await;
        drop(turn);
        Ok((read?, self.overlay))
    }

    pub(super) async fn task(self, id: TaskId) -> Result<TaskView, TaskRefusal> {
        let (task, overlay) =
            self.read(move |connection, artifacts| store::view(connection, artifacts, id)).await?;
        let task = task.ok_or(TaskRefusal::NoTask(id))?;
        lay_over(&overlay, vec![task]).await?.pop().ok_or(TaskRefusal::NoTask(id))
    }

    pub(super) async fn list(self, filter: store::Filter) -> Result<TaskListResult, TaskRefusal> {
        let page = self.read(move |connection, artifacts| store::list(connection, artifacts, &filter));
        let ((tasks, has_more), overlay) = page.await?;
        let tasks = lay_over(&overlay, tasks).await?;
        let next_cursor = tasks.last().filter(|_| has_more).map(|task| task.id.to_string());
        Ok(TaskListResult { tasks, next_cursor })
    }

    pub(super) async fn waited(self, shown: Shown, timed_out: bool) -> Result<TaskWaitResult, TaskRefusal> {
        let found = self.read(move |connection, artifacts| {
            let ids = match shown {
                Shown::Tasks(ids) => ids,
                Shown::Batch(batch) => store::first_of_batch(connection, batch, WAIT_IDS)?,
            };
            store::views(connection, artifacts, &ids)
        });
        let (found, overlay) = found.await?;
        let Found { tasks, omitted } = found.map_err(TaskRefusal::NoTask)?;
        Ok(TaskWaitResult { tasks: lay_over(&overlay, tasks).await?, timed_out, omitted })
    }
}

async fn lay_over(overlay: &Recipient<Overlay>, tasks: Vec<TaskView>) -> Result<Vec<TaskView>, TaskRefusal> {
    overlay.send(Overlay(tasks)).await.map_err(|_| TaskRefusal::Stopping)
}

impl TaskTracker {
    pub(super) fn reader(&self) -> Reader {
        Reader { store: self.parts.store.clone(), must_wait: self.machine.has_unwritten_hits() }
    }

    pub(super) fn show(&self, ctx: &Context<Self>) -> Show {
        Show {
            reader: self.reader(),
            turns: Arc::clone(&self.read_turns),
            artifacts: Arc::clone(&self.parts.artifacts),
            overlay: ctx.address().recipient(),
        }
    }
}

impl Handler<GetTask> for TaskTracker {
    type Result = ResponseFuture<Result<TaskView, TaskRefusal>>;

    fn handle(&mut self, GetTask(id): GetTask, ctx: &mut Self::Context) -> Self::Result {
        Box::pin(self.show(ctx).task(id))
    }
}

impl Handler<ListTasks> for TaskTracker {
    type Result = ResponseFuture<Result<TaskListResult, TaskRefusal>>;

    fn handle(&mut self, ListTasks(filter): ListTasks, ctx: &mut Self::Context) -> Self::Result {
        Box::pin(self.show(ctx).list(filter))
    }
}
