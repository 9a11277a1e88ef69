//! What a workflow is: a pure function from the ends of its steps to the steps that are ready. Pure.

use std::collections::BTreeMap;

use reel_protocol::{Cost, ErrorCode, JsonText, Output, StepReport, StepState, TaskError, TaskId, TaskSpec};
use serde::Serialize;

/// A task whose work is other tasks.
pub trait Workflow {
    /// The steps that can be carried out, but for those whose names are known already. A step keeps its name and its params for as long as the ends
    /// that it follows from are the same.
    fn ready(&self, ends: &StepEnds, is_known: &dyn Fn(&str) -> bool) -> Vec<Step>;

    /// How far it is, from 0 to 1, and what it does, for people.
    fn progress(&self, ends: &StepEnds) -> (f64, String);

    /// What comes of it, once every ready step has ended.
    fn outcome(&self, ends: &StepEnds) -> Outcome;
}

/// A step of a workflow: an ordinary task.
#[derive(Debug, Clone)]
pub struct Step {
    /// The name within the workflow, such as `voice/a1`.
    pub name: String,
    /// What is asked for; without a request id, which follows from the name.
    pub spec: TaskSpec,
}

impl Step {
    /// A step that asks for this, and uses the cache.
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

/// Params as the wire has them.
pub(super) fn params_of<T: Serialize>(params: &T) -> JsonText {
    // The params are the daemon's own values, which JSON can say.
    JsonText::from_value(params).unwrap_or_default()
}

/// How a step ended.
#[derive(Debug, Clone)]
pub struct StepEnd {
    /// The task that carried it out; none where no task was accepted.
    pub task: Option<TaskId>,
    /// What became of it.
    pub state: StepState,
    /// What it made.
    pub output: Option<Output>,
    /// The provider that made it.
    pub provider: Option<String>,
    /// Why it made nothing.
    pub error: Option<TaskError>,
    /// What it cost, where that is known.
    pub cost: Option<Cost>,
    /// How long the task ran, in seconds.
    pub seconds: f64,
}

/// The steps that have ended, by their names.
pub type StepEnds = BTreeMap<String, StepEnd>;

/// What comes of a workflow.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Results of its steps that are results of the workflow, first.
    pub outputs: Vec<Output>,
    /// Further results, which the workflow makes itself.
    pub files: Vec<File>,
    /// Why it failed, all the same with these results.
    pub flaw: Option<TaskError>,
}

/// A small file that a workflow makes.
#[derive(Debug)]
pub struct File {
    /// Such as `application/json`.
    pub media_type: &'static str,
    /// The extension of its name.
    pub extension: &'static str,
    /// The contents, in the format of `media_type`.
    pub bytes: Vec<u8>,
}

impl StepEnd {
    /// A step for which no task was accepted.
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

    /// Whether it cost something, or may have: an answer that is lost, or held nothing that could be used, may have been charged.
    pub fn may_be_charged(&self) -> bool {
        let is_unclear = |error: &TaskError| {
            [ErrorCode::AnswerLost.name(), ErrorCode::ProviderFailed.name()].contains(&error.code.as_str())
        };
        match self.state {
            StepState::Made | StepState::Held => true,
            StepState::Failed => self.error.as_ref().is_some_and(is_unclear),
            _ => false,
        }
    }

    /// The step in a report.
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
