//! The plan of a task: what it is made from, how the task would run, and why a plan is refused. Pure.

use std::sync::Arc;

use reel_protocol::{ErrorCode, JsonText, TaskId};

use super::{Cost, Inputs, Price, Quantity, Reference, Target};

/// The key under which a result is cached: a BLAKE3 hash over everything that changes the result.
pub type CacheKey = [u8; 32];

/// Checks specs and plans how they would run, before a task is accepted. Pure, and called from any thread.
pub trait PlanTasks: std::fmt::Debug + Send + Sync {
    /// Returns a number that differs after each change of the providers. A plan of another generation is made anew before it is used.
    fn generation(&self) -> u64;

    /// Returns the plan of one spec. The caller sets the index of a refusal.
    fn plan(&self, spec: &PlanSpec<'_>) -> Result<Plan, PlanRefusal>;
}

/// A provider that a task left for another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The name of the provider that the task left.
    pub provider: String,
    /// The reason why the task left it, as a message for people.
    pub reason: String,
}

/// The values that a plan is made from.
#[derive(Debug, Clone, Copy)]
pub struct PlanSpec<'a> {
    /// The service and method, such as `image.generate`.
    pub kind: &'a str,
    /// The params as the caller sent them, or as they are in the journal.
    pub params: &'a JsonText,
    /// The provider that the caller named, if any.
    pub provider: Option<&'a str>,
    /// The provider of the task's earlier plan. It remains the first choice while it is configured, because another one may cost money.
    pub planned: Option<&'a str>,
    /// The providers that refused the task. They are not chosen again, unless the caller named one or no other is left.
    pub refused_by: &'a [Refused],
}

/// How a task would run.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// The params with defaults applied.
    pub params: JsonText,
    /// The artifacts in the store that the task uses as inputs.
    pub inputs: Inputs,
    /// The outputs of other tasks that the params refer to. While there are any, the plan only states that the params are valid. It has no candidates
    /// until these outputs exist and the task is planned anew.
    pub references: Vec<Reference>,
    /// The providers that can run the task, in the order of selection. Empty for services that need none.
    pub candidates: Vec<Candidate>,
    /// The generation of the planner that made the plan. It is 0 for the default value, which is not a plan yet.
    pub generation: u64,
    /// The provider that the task needs but that is not configured. The task waits until it can be planned anew.
    pub missing: Option<Arc<str>>,
    /// Whether the task is a workflow. Its attempt only submits other tasks, its steps, and waits for them.
    pub is_workflow: bool,
}

/// The place of a task in a workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepOf {
    /// The workflow's own task.
    pub parent: TaskId,
    /// The name of the step in the workflow, such as `voice/a1`.
    pub name: Arc<str>,
}

impl Plan {
    /// Returns the plan of a task whose provider is not configured.
    pub fn without_provider(params: JsonText, provider: Arc<str>, generation: u64) -> Self {
        Self { params, generation, missing: Some(provider), ..Self::default() }
    }

    /// Returns the provider that the task is planned for, whether it is configured or not. None for services that need none.
    pub fn provider(&self) -> Option<&Arc<str>> {
        self.candidates.first().map(|first| &first.provider).or(self.missing.as_ref())
    }

    /// Returns the cache keys of the candidates, in the order of selection.
    pub fn keys(&self) -> impl Iterator<Item = &CacheKey> {
        self.candidates.iter().map(|candidate| &candidate.key)
    }
}

/// A provider that can run a task.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The name of the provider's instance.
    pub provider: Arc<str>,
    /// The model that the provider would use.
    pub model: Option<Arc<str>>,
    /// The key under which the result is cached.
    pub key: CacheKey,
    /// Whether a second request may be charged again.
    pub is_paid: bool,
    /// The prices of the results, if the configuration has them.
    pub price: Option<Arc<Price>>,
    /// Whether a task may move to this provider when another one fails. True if the request names no model, or names this provider's own model.
    pub is_alternative: bool,
}

impl Candidate {
    /// Returns the cost of these quantities at this provider: the reported cost if there is one, else by its price. None if neither is known and the
    /// provider is paid.
    pub fn cost(&self, reported_microusd: Option<u64>, quantity: &Quantity) -> Option<Cost> {
        if let Some(microusd) = reported_microusd {
            return Some(Cost { microusd, is_estimate: false });
        }
        match &self.price {
            Some(price) => price.of(quantity).map(|microusd| Cost { microusd, is_estimate: true }),
            None => (!self.is_paid).then_some(Cost::NOTHING),
        }
    }

    /// Returns the target by which the provider's gate is looked up.
    pub fn target(&self) -> Target {
        Target { provider: Arc::clone(&self.provider), model: self.model.clone() }
    }
}

/// The reason why a spec is refused.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct PlanRefusal {
    /// The index of the spec in the request, from 0.
    pub index: usize,
    /// The stable error code.
    pub code: ErrorCode,
    /// The message for people.
    pub message: String,
    /// The next step for the user.
    pub hint: Option<String>,
}

impl PlanRefusal {
    /// Whether the spec is valid and only its provider is not configured. A task that was accepted already then waits for the provider.
    pub const fn is_for_want_of_its_provider(&self) -> bool {
        matches!(self.code, ErrorCode::UnknownProvider | ErrorCode::NoProvider)
    }
}
