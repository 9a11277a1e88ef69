//! How a task ends.

use reel_protocol::{Digest, ErrorCode, Source, TaskError, TaskNote, TaskState};

use crate::{cache::Made, domain::Cost};

/// How a task ends.
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
    /// With results: done, unless they are not what was asked for.
    pub fn made(source: Source, made: &Made) -> Self {
        let outputs = made.outputs.iter().map(|output| output.digest).collect();
        let (provider, model) = (Some(made.provider.clone()), made.model.clone());
        let notes = made.notes.clone();
        let state = if made.flaw.is_some() { TaskState::Failed } else { TaskState::Succeeded };
        Self { source: Some(source), provider, model, outputs, notes, ..Self::bare(state, made.flaw.clone()) }
    }

    /// With what the results cost: only of the task that had them made.
    pub(super) fn with_cost(self, cost: Option<Cost>) -> Self {
        Self { cost, ..self }
    }

    /// Done, with nothing to show.
    pub fn done() -> Self {
        Self { source: Some(Source::Made), ..Self::bare(TaskState::Succeeded, None) }
    }

    /// With an error.
    pub fn failed(error: TaskError) -> Self {
        Self::bare(TaskState::Failed, Some(error))
    }

    /// Given up, with what a person should know about what may have been paid.
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

/// An error of the tracker's own.
pub(super) fn task_error(code: ErrorCode, message: String, hint: &str, is_retryable: bool) -> TaskError {
    TaskError {
        code: code.name().to_owned(),
        message,
        hint: Some(hint.to_owned()),
        retryable: is_retryable,
        provider_status: None,
    }
}
