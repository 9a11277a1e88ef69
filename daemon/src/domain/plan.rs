//! How a task would run: what a plan is made from, what it says, and why there is none. Pure.

use std::sync::Arc;

use reel_protocol::{ErrorCode, JsonText, TaskId};

use super::{Cost, Inputs, Price, Quantity, Reference, Target};

/// What a result is cached under: BLAKE3 over everything that changes the result.
pub type CacheKey = [u8; 32];

/// Checks specs and says how they would run, before anything is accepted. Pure, and called from any thread.
pub trait PlanTasks: std::fmt::Debug + Send + Sync {
    /// Another number for each change of the providers: a plan of an earlier one is made anew before it is used.
    fn generation(&self) -> u64;

    /// The plan of one; a refusal's index is the caller's to set.
    fn plan(&self, spec: &PlanSpec<'_>) -> Result<Plan, PlanRefusal>;
}

/// A provider that a task left for another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The name of the provider that was not used.
    pub provider: String,
    /// Why it was not used, as a message for people.
    pub reason: String,
}

/// What a plan is made from.
#[derive(Debug, Clone, Copy)]
pub struct PlanSpec<'a> {
    /// The service and method, such as `image.generate`.
    pub kind: &'a str,
    /// As the caller sent them, or as the journal kept them.
    pub params: &'a JsonText,
    /// The provider that the caller named.
    pub provider: Option<&'a str>,
    /// The provider that the task was planned for before: the first choice while it is configured, as another one may cost something.
    pub planned: Option<&'a str>,
    /// Providers that refused the task; they are not chosen again unless the caller named one, or no other is left.
    pub refused_by: &'a [Refused],
}

/// How a task would run.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// With defaults applied.
    pub params: JsonText,
    /// The artifacts in the store that it starts from.
    pub inputs: Inputs,
    /// Outputs of other tasks that its params refer to. Such a plan only says that the params hold: the task is planned anew once these are
    /// there, and has no candidates until then.
    pub references: Vec<Reference>,
    /// Providers that can do it, in the order of selection; empty for services that need none.
    pub candidates: Vec<Candidate>,
    /// Of the planner that made it; 0 for what is no plan yet.
    pub generation: u64,
    /// The provider that the task needs and that is not configured: the task waits until it is planned anew.
    pub missing: Option<Arc<str>>,
    /// Whether its work is other tasks, its steps: its attempt only submits them and waits for them.
    pub is_workflow: bool,
}

/// What a task is a step of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepOf {
    /// The task of the workflow.
    pub parent: TaskId,
    /// The name of the step in the workflow, such as `voice/a1`.
    pub name: Arc<str>,
}

impl Plan {
    /// The plan of a task whose provider is not configured.
    pub fn without_provider(params: JsonText, provider: Arc<str>, generation: u64) -> Self {
        Self { params, generation, missing: Some(provider), ..Self::default() }
    }

    /// The provider that it is for, configured or not; None for services that need none.
    pub fn provider(&self) -> Option<&Arc<str>> {
        self.candidates.first().map(|first| &first.provider).or(self.missing.as_ref())
    }

    /// What its result is cached under, in the order of selection.
    pub fn keys(&self) -> impl Iterator<Item = &CacheKey> {
        self.candidates.iter().map(|candidate| &candidate.key)
    }
}

/// One provider that can do a task.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The instance's name.
    pub provider: Arc<str>,
    /// Its model.
    pub model: Option<Arc<str>>,
    /// What the result is cached under.
    pub key: CacheKey,
    /// Whether asking twice may pay twice.
    pub is_paid: bool,
    /// What its results cost, where the configuration says so.
    pub price: Option<Arc<Price>>,
    /// Whether it may be asked where another one fails: the model that the request names, if any, is its own.
    pub is_alternative: bool,
}

impl Candidate {
    /// What so much costs there: what it reports, else by its price. None where nobody knows.
    pub fn cost(&self, reported_microusd: Option<u64>, quantity: &Quantity) -> Option<Cost> {
        if let Some(microusd) = reported_microusd {
            return Some(Cost { microusd, is_estimate: false });
        }
        match &self.price {
            Some(price) => price.of(quantity).map(|microusd| Cost { microusd, is_estimate: true }),
            None => (!self.is_paid).then_some(Cost::NOTHING),
        }
    }

    /// What its gate is asked for.
    pub fn target(&self) -> Target {
        Target { provider: Arc::clone(&self.provider), model: self.model.clone() }
    }
}

/// Why a spec is not accepted.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct PlanRefusal {
    /// Which spec of the request, from 0.
    pub index: usize,
    /// The stable code.
    pub code: ErrorCode,
    /// What is wrong.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
}

impl PlanRefusal {
    /// Whether the task holds, and only its provider is not configured: a task that was accepted waits for it then.
    pub const fn is_for_want_of_its_provider(&self) -> bool {
        matches!(self.code, ErrorCode::UnknownProvider | ErrorCode::NoProvider)
    }
}
