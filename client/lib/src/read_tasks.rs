//! Reads many tasks by their ids, although one request for all of them fails if one of them was removed.

use std::time::Duration;

use reel_protocol::{
    ErrorCode, Seconds, TaskId, TaskView,
    limits::WAIT_IDS,
    methods::{TaskGet, TaskIdParams, TaskWait, TaskWaitParams},
};

use crate::{Client, ClientError, Session};

/// The current states of tasks that were named by their ids.
#[derive(Debug, Default)]
pub struct FoundTasks {
    /// The tasks that exist.
    pub tasks: Vec<TaskView>,
    /// The ids of tasks that were removed.
    pub gone: Vec<TaskId>,
}

impl Client {
    /// Reads tasks. If one does not exist, it is reported as gone, or, with `may_be_gone` false, this fails.
    pub(crate) async fn read_tasks(
        &self,
        ids: &[TaskId],
        may_be_gone: bool,
    ) -> Result<FoundTasks, ClientError> {
        let mut found = FoundTasks::default();
        for ids in ids.chunks(WAIT_IDS) {
            let now = TaskWaitParams {
                ids: ids.to_vec(),
                timeout_s: Some(Seconds(Duration::ZERO)),
                ..TaskWaitParams::default()
            };
            match self.call::<TaskWait>(&now).await {
                Ok(waited) => found.tasks.extend(waited.tasks),
                Err(error) if error.is(ErrorCode::TaskNotFound) && may_be_gone => {
                    self.read_each(ids, &mut found).await?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    async fn read_each(&self, ids: &[TaskId], found: &mut FoundTasks) -> Result<(), ClientError> {
        for id in ids {
            match self.call::<TaskGet>(&TaskIdParams { id: *id }).await {
                Ok(task) => found.tasks.push(task),
                Err(error) if error.is(ErrorCode::TaskNotFound) => found.gone.push(*id),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Session {
    /// Reads the current states of these tasks, without waiting.
    pub async fn read_tasks(&self, ids: &[TaskId]) -> Result<FoundTasks, ClientError> {
        self.until_answered(|client| async move { client.read_tasks(ids, true).await }).await
    }
}
