//! The params and results of `task.*`.

use serde::{Deserialize, Serialize};

use crate::{BatchId, Seconds, TaskId, TaskSpec, TaskState, TaskView};

/// The result of `task.submit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SubmitResult {
    /// The id of the task.
    pub id: TaskId,
    /// The state of the task. It is `succeeded` if the cache had the result.
    pub state: TaskState,
}

/// The params of `task.submit_batch`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SubmitBatchParams {
    /// A name for this request, at most 256 bytes and unique per client name. Sending the same tasks with it again answers the ids of before; other
    /// tasks are `request_id_conflict`. It is remembered for as long as one of the tasks is in the history. None if absent.
    #[serde(default)]
    pub request_id: Option<String>,
    /// A label of a new batch, for people, at most 256 bytes; none if absent.
    #[serde(default)]
    pub name: Option<String>,
    /// The batch to append the tasks to; an unknown one is `batch_not_found`. A new batch if absent.
    #[serde(default)]
    pub batch: Option<BatchId>,
    /// The tasks, 1 to 10,000, of which all are accepted or none. Params and metadata of one have at most 1 MiB together, else `request_too_large`.
    /// The message of an error names the entry, such as `tasks[17]: …`.
    pub tasks: Vec<TaskSpec>,
}

/// The result of `task.submit_batch`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SubmitBatchResult {
    /// The batch that the tasks belong to.
    pub batch: BatchId,
    /// The ids of the tasks, in the order of the request.
    pub ids: Vec<TaskId>,
}

/// The params of methods about one task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TaskIdParams {
    /// The id of the task; an unknown one is `task_not_found`.
    pub id: TaskId,
}

/// The params of `task.list`. A task must match all filters that are given.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TaskListParams {
    /// Only tasks in this state; all if absent.
    #[serde(default)]
    pub state: Option<TaskState>,
    /// Only tasks of this batch; all if absent.
    #[serde(default)]
    pub batch: Option<BatchId>,
    /// Only tasks with exactly this label; all if absent.
    #[serde(default)]
    pub name: Option<String>,
    /// Only tasks of the client with exactly this name; all if absent.
    #[serde(default)]
    pub client: Option<String>,
    /// Only the steps of this workflow; all if absent. An unknown one has no steps.
    #[serde(default)]
    pub parent: Option<TaskId>,
    /// Whether the steps of workflows are listed, too; true if absent. With `parent`, false is `invalid_params`.
    #[serde(default)]
    pub steps: Option<bool>,
    /// Most tasks of the answer, 1 to 1,000, else `invalid_params`; 100 if absent.
    #[serde(default)]
    pub limit: Option<u32>,
    /// The `next_cursor` of the answer before; the first page if absent. Any other text is `invalid_params`.
    #[serde(default)]
    pub cursor: Option<String>,
}

/// The result of `task.list`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TaskListResult {
    /// The tasks, newest first.
    pub tasks: Vec<TaskView>,
    /// The cursor of the next page; null if this page is the last one. A page may have fewer tasks than its `limit`, because it ends before it has 2
    /// MiB of params, metadata and texts.
    pub next_cursor: Option<String>,
}

/// How many of the tasks must be settled for a wait to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Until {
    /// All of them.
    #[default]
    All,
    /// At least one of them.
    Any,
}

/// The params of `task.wait`: either `ids` or `batch`. Both or neither are `invalid_params`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TaskWaitParams {
    /// The ids of the tasks, at most 1,000. An unknown one is `task_not_found`.
    #[serde(default)]
    pub ids: Vec<TaskId>,
    /// The batch for whose tasks to wait; an unknown one is `batch_not_found`.
    #[serde(default)]
    pub batch: Option<BatchId>,
    /// Whether to wait for all or for any of them; `all` if absent.
    #[serde(default)]
    pub until: Until,
    /// Seconds after which the wait ends with `timed_out`; no timeout if absent.
    #[serde(default)]
    pub timeout_s: Option<Seconds>,
}

/// The result of `task.wait`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TaskWaitResult {
    /// The tasks as they are when the wait ends, in the order of `ids`, or by their ids for a batch. Of a batch only the first 1,000 are there;
    /// `task.list` pages through the rest.
    pub tasks: Vec<TaskView>,
    /// Whether the timeout ended the wait. The work goes on.
    pub timed_out: bool,
    /// Tasks that are shown without their `params`, `metadata` and texts of outputs, because the answer would have more than 2 MiB of these.
    /// `task.get` has them.
    #[serde(default)]
    pub omitted: Vec<TaskId>,
}

/// The params of `task.set_priority`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SetPriorityParams {
    /// The id of the task; an unknown one is `task_not_found`.
    pub id: TaskId,
    /// The new priority, -100 to 100, else `invalid_params`. Tasks with a higher one start first.
    #[serde(deserialize_with = "crate::task::priority")]
    pub priority: i8,
}
