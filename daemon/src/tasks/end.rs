//! The end of a task: its final state, with its results or its error.

use reel_protocol::{Digest, ErrorCode, Source, TaskError, TaskNote, TaskState};

use crate::{cache::Made, domain::Cost};

/// The values that the row of a finished task gets.
#[derive(Debug, Clone)]
pub struct End {
    pub(super) state: TaskState,
    pub(super) source: Option<Source>,
    pub(super) provider: Option<String>,
    pub(super) model: Option<String>,
    pub(super) outputs: Vec<Digest>,
    pub(super) notes: Vec<TaskNote>,
    pub(super) cost: Option<Cost>,
    pub(super) error: Option<TaskError>,
}

impl End {
    /// Ends a task with results. It has succeeded, unless `made` has a flaw: then it has failed, and keeps the results.
    pub fn made(source: Source, made: &Made) -> Self {
        let outputs = made.outputs.iter().map(|output| output.digest).collect();
        let (provider, model) = (Some(made.provider.clone()), made.model.clone());
        let notes = made.notes.clone();
        let state = if made.flaw.is_some() { TaskState::Failed } else { TaskState::Succeeded };
        Self { source: Some(source), provider, model, outputs, notes, ..Self::bare(state, made.flaw.clone()) }
    }

    /// Sets what the results cost. Only the task that had them made gets the cost, not those that share them.
    pub(super) fn with_cost(self, cost: Option<Cost>) -> Self {
        Self { cost, ..self }
    }

    /// Ends a task that succeeded and has no results.
    pub fn done() -> Self {
        Self { source: Some(Source::Made), ..Self::bare(TaskState::Succeeded, None) }
    }

    /// Ends a task that failed.
    pub fn failed(error: TaskError) -> Self {
        Self::bare(TaskState::Failed, Some(error))
    }

    /// Ends a task that was cancelled. The error tells a person what may have been paid for.
    pub fn cancelled(error: Option<TaskError>) -> Self {
        Self::bare(TaskState::Cancelled, error)
    }

    const fn bare(state: TaskState, error: Option<TaskError>) -> Self {
        Self {
            state,
            source: None,
            provider: None,
            model: None,
            outputs: Vec::new(),
            notes: Vec::new(),
            cost: None,
            error,
        }
    }
}

/// Returns an error that comes from the tracker, not from a provider.
pub(super) fn task_error(code: ErrorCode, message: String, hint: &str, is_retryable: bool) -> TaskError {
    TaskError {
        code: code.name().to_owned(),
        message,
        hint: Some(hint.to_owned()),
        retryable: is_retryable,
        provider_status: None,
    }
}
