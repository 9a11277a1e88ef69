//! `task.*`.

use serde::{Deserialize, Serialize};

use crate::{BatchId, Seconds, TaskId, TaskSpec, TaskState, TaskView};

/// An accepted task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmitResult {
    /// The task's number.
    pub id: TaskId,
    /// `succeeded` already where the cache had it.
    pub state: TaskState,
}

/// Many tasks at once.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SubmitBatchParams {
    /// Unique per client name; sending the same again answers the same tasks.
    #[serde(default)]
    pub request_id: Option<String>,
    /// A label for people.
    #[serde(default)]
    pub name: Option<String>,
    /// Appends to this batch; a new one if absent.
    #[serde(default)]
    pub batch: Option<BatchId>,
    /// At most 10,000; all are accepted or none.
    pub tasks: Vec<TaskSpec>,
}

/// Accepted tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmitBatchResult {
    /// The batch that the tasks belong to.
    pub batch: BatchId,
    /// Their numbers, in the order of the request.
    pub ids: Vec<TaskId>,
}

/// One task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskIdParams {
    /// The task's number.
    pub id: TaskId,
}

/// Which tasks to list.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TaskListParams {
    /// Only those in this state.
    #[serde(default)]
    pub state: Option<TaskState>,
    /// Only those of this batch.
    #[serde(default)]
    pub batch: Option<BatchId>,
    /// Only those with this name.
    #[serde(default)]
    pub name: Option<String>,
    /// Only those of this client.
    #[serde(default)]
    pub client: Option<String>,
    /// At most this many, 1 to 1,000; 100 if absent.
    #[serde(default)]
    pub limit: Option<u32>,
    /// `next_cursor` of the answer before.
    #[serde(default)]
    pub cursor: Option<String>,
}

/// A page of tasks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskListResult {
    /// The tasks, the newest first.
    pub tasks: Vec<TaskView>,
    /// Asks for the next page; None at the end. A page may be shorter than its `limit`.
    pub next_cursor: Option<String>,
}

/// Which tasks to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Until {
    /// Until all are settled.
    #[default]
    All,
    /// Until one is.
    Any,
}

/// What to wait for: `ids` or `batch`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TaskWaitParams {
    /// At most 1,000.
    #[serde(default)]
    pub ids: Vec<TaskId>,
    /// All tasks of a batch.
    #[serde(default)]
    pub batch: Option<BatchId>,
    /// All or any.
    #[serde(default)]
    pub until: Until,
    /// No timeout if absent.
    #[serde(default)]
    pub timeout_s: Option<Seconds>,
}

/// The tasks as they stand when the wait ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskWaitResult {
    /// In the order of `ids`, or of the batch; of a batch the first 1,000 (`task.list` pages through the rest).
    pub tasks: Vec<TaskView>,
    /// Whether the time ran out first; the work goes on.
    pub timed_out: bool,
    /// Tasks that are shown without their `params`, `metadata` and texts of outputs, as the answer would be too large; `task.get` has them.
    #[serde(default)]
    pub omitted: Vec<TaskId>,
}

/// A task's new priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetPriorityParams {
    /// The task's number.
    pub id: TaskId,
    /// -100 to 100, higher first.
    pub priority: i8,
}
