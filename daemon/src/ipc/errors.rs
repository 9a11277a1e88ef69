//! Converts the refusals of the rooms to protocol errors, which have a stable code, a message for people and a next step. No other file does this.

use actix::MailboxError;
use reel_protocol::{ErrorCode, RpcError, TaskState};

use super::validate;
use crate::{
    cache::CacheError,
    chain::chain,
    control::ControlClosed,
    domain::Failure,
    memory::OverBudget,
    nearest::nearest,
    store::{BadInput, StoreError},
    tasks::TaskRefusal,
    thumbnails::ThumbnailError,
    uploads::PutError,
};

/// The hint for failures about which the log has details.
const SEE_LOG: &str = "the daemon's log says more: reel daemon logs";
/// The hint for requests that memory pressure refused.
const TRIM: &str = "send it again in a moment; reel memory trim frees what can be freed";

/// Converts the failure of a provider to answer a question about itself.
pub(super) fn failure(failure: Failure) -> RpcError {
    let error = RpcError::new(failure.class.code(), failure.error.message);
    match failure.error.hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// Converts a refusal of the task tracker.
pub(super) fn task(refusal: TaskRefusal) -> RpcError {
    let message = refusal.to_string();
    let new = |code| RpcError::new(code, message);
    match refusal {
        TaskRefusal::Plan(plan) => {
            let error = RpcError::new(plan.code, plan.message);
            match plan.hint {
                Some(hint) => error.hint(hint),
                None => error,
            }
        }
        TaskRefusal::NoTask(_) => new(ErrorCode::TaskNotFound)
            .hint("reel ls lists the tasks; the history keeps only the latest ones"),
        TaskRefusal::NoBatch(_) => new(ErrorCode::BatchNotFound)
            .hint("reel ls shows the batches; to submit tasks in a new one, leave `batch` out"),
        TaskRefusal::NoDependency { .. } => new(ErrorCode::DependencyNotFound)
            .hint("submit the task that comes first, and name the id of its answer"),
        TaskRefusal::BadInput { input: BadInput::Missing(_), .. } => {
            new(ErrorCode::ArtifactNotFound).hint("put the file first: artifact.put answers its digest")
        }
        TaskRefusal::BadInput { input: BadInput::OtherSize { .. }, .. } => {
            new(ErrorCode::InvalidParams).hint("make the mask as wide and as high as the first picture")
        }
        TaskRefusal::BadInput { input: BadInput::TooLarge { .. }, .. } => {
            new(ErrorCode::InvalidParams).hint("make the picture smaller")
        }
        TaskRefusal::BadInput { .. } => {
            new(ErrorCode::InvalidParams).hint("start from a PNG, JPEG or WebP picture")
        }
        TaskRefusal::IllegalState { id, state, .. } => new(ErrorCode::IllegalState).hint(match state {
            TaskState::Failed | TaskState::Cancelled => format!("reel retry {id} queues it again"),
            TaskState::Succeeded => format!("reel fetch {id} writes what it has made"),
            TaskState::Held => format!("reel release {id} continues it"),
            TaskState::Waiting | TaskState::Queued | TaskState::Running | TaskState::Unknown => {
                format!("reel wait {id} waits until it is done")
            }
        }),
        TaskRefusal::QueueFull { .. } => new(ErrorCode::QueueFull).hint(
            "wait for tasks to end, or raise `tasks.queue_limit` in the configuration: reel config edit",
        ),
        TaskRefusal::StorageFull { .. } => new(ErrorCode::StorageFull)
            .hint("make room on the disk that holds reel's home: reel status names it"),
        TaskRefusal::OverMemory { .. } => new(ErrorCode::OverMemory).hint(TRIM),
        TaskRefusal::RequestIdConflict(_) => new(ErrorCode::RequestIdConflict)
            .hint("send the same request again as it was, or take a new `request_id`"),
        TaskRefusal::Stopping => stopping(),
        TaskRefusal::Store(error) => store(&error),
    }
}

/// Converts a refusal of the task tracker about a batch. An error of one entry names its index.
pub(super) fn batch(refusal: TaskRefusal) -> RpcError {
    let index = match &refusal {
        TaskRefusal::Plan(plan) => Some(plan.index),
        TaskRefusal::NoDependency { index, .. } | TaskRefusal::BadInput { index, .. } => Some(*index),
        _ => None,
    };
    let error = task(refusal);
    match index {
        Some(index) => validate::at_entry(index, error),
        None => error,
    }
}

/// Converts an error of the cache.
pub(super) fn cache(error: CacheError) -> RpcError {
    let message = chain(&error);
    let new = |code| RpcError::new(code, message);
    match error {
        CacheError::NotFound(_) => new(ErrorCode::ArtifactNotFound)
            .hint("it was evicted, or its file was damaged; reel retry makes it again"),
        CacheError::Range { .. } => {
            new(ErrorCode::InvalidParams).hint("`size_bytes` of an earlier answer says where it ends")
        }
        CacheError::Full { .. } => new(ErrorCode::StorageFull)
            .hint("raise `cache.disk_mb` (reel config edit), or remove old tasks: reel rm ID"),
        CacheError::OverMemory => new(ErrorCode::OverMemory).hint(TRIM),
        CacheError::DiskFull { .. } => {
            new(ErrorCode::StorageFull).hint("make room on the disk, then send it again")
        }
        CacheError::File { .. } => new(ErrorCode::StorageFailed).hint(SEE_LOG),
        CacheError::Store(error) => store(&error),
    }
}

/// Converts an error of storing a client's file.
pub(super) fn put(error: PutError) -> RpcError {
    let message = chain(&error);
    let new = |code| RpcError::new(code, message);
    match error {
        PutError::Cache(error) => cache(error),
        PutError::Store(error) => store(&error),
        PutError::Picture(_) => new(ErrorCode::InvalidParams).hint("open it in a viewer, and save it anew"),
        PutError::Piece(_) => new(ErrorCode::InvalidParams)
            .hint("begin anew without `upload`, and send each piece after the answer to the one before"),
        PutError::TooMany(_) => new(ErrorCode::InvalidParams)
            .hint("wait until one has ended; one without a piece for 5 minutes makes way"),
        PutError::TooManyPixels { .. } => new(ErrorCode::InvalidParams).hint("make it smaller"),
        PutError::OverMemory(error) => over_budget(error),
        PutError::Internal(_) => new(ErrorCode::Internal).hint(SEE_LOG),
        PutError::Unwritten { .. } => new(ErrorCode::StorageFailed).hint(SEE_LOG),
        PutError::Empty(_) => new(ErrorCode::InvalidParams).hint("send at least one byte"),
        PutError::TooLarge { .. } => {
            new(ErrorCode::InvalidParams).hint("the store takes files of at most 256 MiB")
        }
        PutError::DiskFull => new(ErrorCode::StorageFull).hint("make room on the disk, then send it again"),
        PutError::Relative(_)
        | PutError::Unreadable { .. }
        | PutError::NotRegular { .. }
        | PutError::Foreign(_) => {
            new(ErrorCode::InvalidParams).hint("name a file of your own by its absolute path, not by a link")
        }
    }
}

/// Converts an error of making a thumbnail.
pub(super) fn thumbnail(error: ThumbnailError) -> RpcError {
    let message = chain(&error);
    let new = |code| RpcError::new(code, message);
    match error {
        ThumbnailError::Cache(error) => cache(error),
        ThumbnailError::Store(error) => store(&error),
        ThumbnailError::OverMemory(error) => over_budget(error),
        ThumbnailError::Internal(_) => new(ErrorCode::Internal).hint(SEE_LOG),
        ThumbnailError::Size(_) => new(ErrorCode::InvalidParams).hint("256 is usual"),
        ThumbnailError::NoPicture(..) | ThumbnailError::Undecodable(..) => {
            new(ErrorCode::InvalidParams).hint("thumbnails are made of PNG, JPEG and WebP pictures")
        }
    }
}

/// Converts an error of the journal.
fn store(error: &StoreError) -> RpcError {
    let new = |code| RpcError::new(code, chain(error));
    match error {
        StoreError::Full(_) => new(ErrorCode::StorageFull).hint("make room on the disk, then send it again"),
        StoreError::Closed => stopping(),
        StoreError::Lost { .. } | StoreError::Foreign => {
            new(ErrorCode::StorageFailed).hint(error.hint().unwrap_or(SEE_LOG))
        }
        // `NoTask` has no code of its own here, because those who ask about a task convert it themselves.
        StoreError::NoTask(_)
        | StoreError::NoRows
        | StoreError::Damaged(_)
        | StoreError::Incomplete
        | StoreError::Failed(_)
        | StoreError::Unreadable(_)
        | StoreError::Newer { .. }
        | StoreError::File { .. }
        | StoreError::Unwritten { .. } => new(ErrorCode::StorageFailed).hint(SEE_LOG),
    }
}

/// Returns the error of a change of the queue's pause that could not be kept in the home.
pub(super) fn pause(error: &std::io::Error) -> RpcError {
    let message = format!(
        "the queue is paused until the daemon ends, but the file that keeps the pause cannot be changed: {error}"
    );
    RpcError::new(ErrorCode::StorageFailed, message)
        .hint("make the daemon's home writable and make room on its disk, then send it again")
}

/// Returns the error of a call that was not accepted within its timeout.
pub(super) fn not_accepted_in_time() -> RpcError {
    let message =
        "the call was not accepted within its timeout: the disk of the daemon's home does not answer";
    RpcError::new(ErrorCode::StorageFailed, message).hint(
        "reel status and the daemon's log say more; the call may still be accepted, as reel ls shows then",
    )
}

/// Converts a refusal of the memory budget.
pub(super) fn over_budget(error: OverBudget) -> RpcError {
    RpcError::new(ErrorCode::OverMemory, error.to_string()).hint(TRIM)
}

/// Converts the error of a room that does not answer. A room ends only with the daemon.
pub(super) fn mailbox(_: MailboxError) -> RpcError {
    stopping()
}

/// Converts the error of the main task that does not answer. It ends only with the daemon.
pub(super) fn control(_: ControlClosed) -> RpcError {
    stopping()
}

/// Returns the error for requests while the daemon stops.
pub(super) fn stopping() -> RpcError {
    RpcError::new(ErrorCode::ShuttingDown, "the daemon is stopping")
        .hint("what it accepted is kept; the next reel command starts it again")
}

/// Returns the error of a configuration that is not valid.
pub(super) fn config(message: String) -> RpcError {
    RpcError::new(ErrorCode::ConfigInvalid, message)
        .hint("the configuration before stays in force; check it with reel config check")
}

/// Returns the error of a log filter that is not valid.
pub(super) fn log_filter(message: String) -> RpcError {
    RpcError::new(ErrorCode::InvalidParams, message).hint("such as `info` or `reeld::tasks=debug,info`")
}

/// Returns the error of a fault in the daemon itself.
pub(super) fn internal(message: impl Into<String>) -> RpcError {
    RpcError::new(ErrorCode::Internal, message).hint(SEE_LOG)
}

/// Returns the error of a method that does not exist. The hint suggests one of `served`.
pub(super) fn no_method(method: &str, served: &[&str]) -> RpcError {
    let hint = match nearest(method, served.iter().copied()) {
        Some(name) => format!("did you mean {name}?"),
        None => "the capabilities that hello answers name every method".to_owned(),
    };
    RpcError::new(ErrorCode::MethodNotFound, format!("no method {:?}", shortened(method))).hint(hint)
}

/// Returns the error of a provider that does not exist. The hint suggests one of `providers`.
pub(super) fn no_provider<'a>(name: &str, providers: impl IntoIterator<Item = &'a str>) -> RpcError {
    let hint = match nearest(name, providers) {
        Some(near) => format!("did you mean {near}?"),
        None => "reel providers lists what there is".to_owned(),
    };
    RpcError::new(ErrorCode::UnknownProvider, format!("no provider {:?}", shortened(name))).hint(hint)
}

/// Cuts a text that a client sent to 64 characters, so that a message can quote it.
fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use std::{io, sync::Arc};

    use reel_protocol::{Digest, TaskId};

    use super::*;
    use crate::domain::PlanRefusal;

    #[test]
    fn every_refusal_has_a_code_and_a_next_step() {
        let table = [
            (task(TaskRefusal::NoTask(TaskId(7))), "task_not_found", "there is no task 7"),
            (task(TaskRefusal::Stopping), "shutting_down", "the daemon is stopping"),
            (
                task(TaskRefusal::Store(StoreError::NoRows)),
                "storage_failed",
                "the journal has no rows of what was made",
            ),
            (task(TaskRefusal::Store(StoreError::Closed)), "shutting_down", "the daemon is stopping"),
            (
                task(TaskRefusal::IllegalState { id: TaskId(7), state: TaskState::Failed, rule: "only x" }),
                "illegal_state",
                "task 7 has failed already: only x",
            ),
            (
                cache(CacheError::OverMemory),
                "over_memory",
                "there is not enough memory to read the artifact now",
            ),
            (
                cache(CacheError::NotFound(Digest::from_bytes([0; 32]))),
                "artifact_not_found",
                "no artifact 0000000000000000000000000000000000000000000000000000000000000000",
            ),
            (
                cache(CacheError::File { path: "/a".into(), source: Arc::new(io::Error::other("broken")) }),
                "storage_failed",
                "/a: broken",
            ),
            (no_method("task.sumbit", &["task.submit"]), "method_not_found", "no method \"task.sumbit\""),
            (no_provider("draf", ["draft"]), "unknown_provider", "no provider \"draf\""),
        ];
        for (error, code, message) in table {
            assert_eq!((error.data.code.as_str(), error.message.as_str()), (code, message));
            assert!(error.data.hint.is_some(), "{code}");
        }
    }

    #[test]
    fn a_batch_names_the_entry_that_does_not_hold() {
        let plan = || PlanRefusal {
            index: 3,
            code: ErrorCode::UnknownKind,
            message: "no kind x".into(),
            hint: None,
        };
        assert_eq!(batch(plan().into()).message, "tasks[3]: no kind x");
        assert_eq!(task(plan().into()).message, "no kind x");
        assert_eq!(batch(TaskRefusal::Stopping).message, "the daemon is stopping");
    }
}
