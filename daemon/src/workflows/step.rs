//! The interface of workflows: pure functions from the ends of their steps to the steps that are ready. Pure.

use std::collections::BTreeMap;

use reel_protocol::{Cost, ErrorCode, JsonText, Output, StepReport, StepState, TaskError, TaskId, TaskSpec};
use serde::Serialize;

/// A task whose work consists of other tasks.
pub trait Workflow {
    /// Returns the steps that can be carried out, without those for which `is_known` is true. The name and the params of a step stay the same while
    /// the ends that it depends on are the same.
    fn ready(&self, ends: &StepEnds, is_known: &dyn Fn(&str) -> bool) -> Vec<Step>;

    /// Returns the progress from 0 to 1, and a description of it for people.
    fn progress(&self, ends: &StepEnds, is_submitted: &dyn Fn(&str) -> bool) -> (f64, String);

    /// Returns the results, once every ready step has ended.
    fn outcome(&self, ends: &StepEnds) -> Outcome;
}

/// A step of a workflow, which is an ordinary task.
#[derive(Debug, Clone)]
pub struct Step {
    /// The name within the workflow, such as `voice/a1`.
    pub name: String,
    /// The spec of the task. It has no request id, which the driver sets.
    pub spec: TaskSpec,
}

impl Step {
    /// Returns a step with these params that uses the cache.
    pub(super) fn new<P: Serialize>(name: String, kind: &str, params: &P) -> Self {
        let spec = TaskSpec {
            kind: kind.to_owned(),
            params: params_of(params),
            name: Some(name.clone()),
            ..TaskSpec::default()
        };
        Self { name, spec }
    }
}

/// Encodes params as JSON.
pub(super) fn params_of<T: Serialize>(params: &T) -> JsonText {
    // The params are the daemon's own values, which JSON can represent.
    JsonText::from_value(params).unwrap_or_default()
}

/// How a step ended.
#[derive(Debug, Clone)]
pub struct StepEnd {
    /// The task that carried the step out. None if no task was accepted.
    pub task: Option<TaskId>,
    /// The state in which the step ended.
    pub state: StepState,
    /// The artifact that the step made. A text that does not fit its schema is here too, beside the error.
    pub output: Option<Output>,
    /// The provider that made it.
    pub provider: Option<String>,
    /// The error, if the step made nothing.
    pub error: Option<TaskError>,
    /// The cost of the step, if it is known.
    pub cost: Option<Cost>,
    /// The time that the task ran, in seconds.
    pub seconds: f64,
}

/// The steps that have ended, by their names.
pub type StepEnds = BTreeMap<String, StepEnd>;

/// The results of a workflow.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The outputs of steps that are outputs of the workflow too. They come first.
    pub outputs: Vec<Output>,
    /// Further outputs, which the workflow makes itself.
    pub files: Vec<File>,
    /// The error if the workflow failed. It still has these results.
    pub flaw: Option<TaskError>,
}

/// A small file that a workflow makes.
#[derive(Debug)]
pub struct File {
    /// The media type, such as `application/json`.
    pub media_type: &'static str,
    /// The extension of the file's name.
    pub extension: &'static str,
    /// The contents, in the format of `media_type`.
    pub bytes: Vec<u8>,
}

impl StepEnd {
    /// Returns the end of a step for which no task was accepted.
    pub fn refused(error: TaskError) -> Self {
        Self {
            task: None,
            state: StepState::Failed,
            output: None,
            provider: None,
            error: Some(error),
            cost: None,
            seconds: 0.0,
        }
    }

    /// Returns what the step cost or may have cost, in US dollars, if `reserved_usd` is its price. A cost that is known counts in any case. A lost or
    /// unusable response may have been charged in addition to earlier attempts.
    pub fn charge_usd(&self, reserved_usd: f64) -> f64 {
        let known = self.cost.as_ref().map(|cost| cost.amount);
        let is_unclear = |error: &TaskError| {
            [ErrorCode::AnswerLost.name(), ErrorCode::ProviderFailed.name()].contains(&error.code.as_str())
        };
        let may_be_charged = match self.state {
            StepState::Held => true,
            StepState::Failed => self.error.as_ref().is_some_and(is_unclear),
            _ => false,
        };
        match known {
            Some(known) if may_be_charged => known.max(reserved_usd),
            Some(known) => known,
            None if may_be_charged || self.state == StepState::Made => reserved_usd,
            None => 0.0,
        }
    }

    /// Returns the entry of the step in a report.
    pub fn report(&self, step: &str) -> StepReport {
        let output = self.output.as_ref();
        StepReport {
            step: step.to_owned(),
            state: self.state,
            task: self.task,
            digest: output.map(|output| output.digest),
            media_type: output.map(|output| output.media_type.clone()),
            path: output.map(|output| output.path.clone()),
            provider: self.provider.clone(),
            error: self.error.clone(),
            cost: self.cost.clone().filter(|_| self.state == StepState::Made),
        }
    }
}
