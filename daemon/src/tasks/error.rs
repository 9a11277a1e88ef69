//! Why the tracker refused.

use reel_protocol::{BatchId, TaskId, TaskState};

use super::PlanRefusal;
use crate::{
    budget::OverBudget,
    store::{BadInput, StoreError},
};

/// A variant for each thing that a caller would do differently.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TaskRefusal {
    /// The spec does not hold.
    #[error(transparent)]
    Plan(#[from] PlanRefusal),
    /// No such task.
    #[error("no task {0}")]
    NoTask(TaskId),
    /// No such batch.
    #[error("no batch {0}")]
    NoBatch(BatchId),
    /// A dependency does not exist.
    #[error("`after` names task {id}, which does not exist")]
    NoDependency {
        /// Which spec of the request, from 0.
        index: usize,
        /// What it names.
        id: TaskId,
    },
    /// A task of the request cannot start from an artifact that it names.
    #[error("{}", why_not(input))]
    BadInput {
        /// Which spec of the request, from 0.
        index: usize,
        /// The artifact, and what is wrong with it.
        input: BadInput,
    },
    /// The state does not allow it.
    #[error("task {id} is {}: {rule}", state.name())]
    IllegalState {
        /// Which.
        id: TaskId,
        /// Where it stands.
        state: TaskState,
        /// What would be allowed.
        rule: &'static str,
    },
    /// The queue is full.
    #[error("{unfinished} tasks are unfinished, and {asked} more would pass the limit of {limit}")]
    QueueFull {
        /// Unfinished now.
        unfinished: u64,
        /// Asked to accept.
        asked: u64,
        /// `tasks.queue_limit`.
        limit: u64,
    },
    /// The disk has no room for the journal of new work.
    #[error("the disk has {available_bytes} bytes left, and new work needs {needed_bytes}")]
    StorageFull {
        /// Left on the disk of the home.
        available_bytes: u64,
        /// What the journal must have to end what it accepts.
        needed_bytes: u64,
    },
    /// The memory budget has no room for the tasks, or for the wait.
    #[error("the memory budget has no room for it now: {0}")]
    OverMemory(OverBudget),
    /// The request id was used for something else.
    #[error("request_id {0:?} was used for a different request")]
    RequestIdConflict(String),
    /// The daemon is stopping.
    #[error("the daemon is stopping")]
    Stopping,
    /// The journal failed.
    #[error("the journal failed")]
    Store(#[from] StoreError),
}

fn why_not(input: &BadInput) -> String {
    match input {
        BadInput::Missing(digest) => format!("the store has no artifact {digest}"),
        BadInput::NoPicture(digest, media_type) => {
            format!("the artifact {digest} is no picture: it is {media_type}")
        }
        BadInput::TooLarge(digest, width, height) => {
            format!("the picture {digest} has {width}×{height} pixels, and 16384 a side are the most")
        }
        BadInput::OtherSize { mask, picture } => {
            format!(
                "the mask has {}×{} pixels, and the picture that it is for has {}×{}",
                mask.0, mask.1, picture.0, picture.1
            )
        }
    }
}
