//! The reasons why the tracker refuses a request.

use reel_protocol::{BatchId, TaskId, TaskState};

use super::PlanRefusal;
use crate::{
    budget::OverBudget,
    store::{BadInput, StoreError},
};

/// Why a request was refused. There is one variant for each case that a caller handles differently.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TaskRefusal {
    /// The services' planner refused the spec of a task.
    #[error(transparent)]
    Plan(#[from] PlanRefusal),
    /// The task does not exist.
    #[error("there is no task {0}")]
    NoTask(TaskId),
    /// The batch does not exist.
    #[error("no batch {0}")]
    NoBatch(BatchId),
    /// A dependency does not exist.
    #[error("task {id}, which `after` or a reference in the params names, does not exist")]
    NoDependency {
        /// Index of the spec in the request, from 0.
        index: usize,
        /// The id that does not exist, in `after` or in a reference to an output.
        id: TaskId,
    },
    /// A task of the request cannot start from an artifact that it names.
    #[error("{}", why_not(input))]
    BadInput {
        /// Index of the spec in the request, from 0.
        index: usize,
        /// The artifact, and what is wrong with it.
        input: BadInput,
    },
    /// The state of the task does not allow the decision.
    #[error("task {id} {}: {rule}", in_words(*state))]
    IllegalState {
        /// The task's id.
        id: TaskId,
        /// The task's state.
        state: TaskState,
        /// Why it is not allowed, or what would be allowed.
        rule: &'static str,
    },
    /// The queue is full.
    #[error("{unfinished} tasks are unfinished, and {asked} more would pass the limit of {limit}")]
    QueueFull {
        /// Number of unfinished tasks.
        unfinished: u64,
        /// Number of tasks in the request.
        asked: u64,
        /// The limit, `tasks.queue_limit`.
        limit: u64,
    },
    /// The disk has no room for the journal of new work.
    #[error("the disk has {available_bytes} bytes left, and new work needs {needed_bytes}")]
    StorageFull {
        /// Bytes that are free on the disk of the home.
        available_bytes: u64,
        /// Bytes that must be free, so that the journal can record the ends of the tasks that it accepts.
        needed_bytes: u64,
    },
    /// The memory budget has no room for the tasks, or for the wait.
    #[error("the memory budget has no room for it now: {0}")]
    OverMemory(OverBudget),
    /// The request id was used before for a different request.
    #[error("request_id {0:?} was used for a different request")]
    RequestIdConflict(String),
    /// The daemon is stopping.
    #[error("the daemon is stopping")]
    Stopping,
    /// The journal could not be read or written.
    #[error("the journal failed")]
    Store(#[from] StoreError),
}

/// Returns the predicate of a sentence about a task's state.
const fn in_words(state: TaskState) -> &'static str {
    match state {
        TaskState::Waiting => "is waiting",
        TaskState::Queued => "is queued",
        TaskState::Running => "is running",
        TaskState::Succeeded => "has succeeded already",
        TaskState::Failed => "has failed already",
        TaskState::Cancelled => "was cancelled already",
        TaskState::Held => "is held",
        TaskState::Unknown => "has a state of a later version",
    }
}

fn why_not(input: &BadInput) -> String {
    match input {
        BadInput::Missing(digest) => format!("the store has no artifact {digest}"),
        BadInput::NoPicture(digest, media_type) => {
            format!("the artifact {digest} is no picture: it is {media_type}")
        }
        BadInput::TooLarge(digest, width, height) => {
            format!("the picture {digest} has {width}×{height} pixels; a side has at most 16384")
        }
        BadInput::OtherSize { mask, picture } => {
            format!(
                "the mask has {}×{} pixels, and the picture that it is for has {}×{}",
                mask.0, mask.1, picture.0, picture.1
            )
        }
    }
}
