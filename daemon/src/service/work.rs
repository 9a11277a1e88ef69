//! What a service is: it checks the params of its methods, and says what is to be done for a request that holds.

use std::{collections::BTreeMap, fmt};

use futures_util::future::LocalBoxFuture;
use reel_protocol::{ErrorCode, JsonText, JsonTextError, methods::StyleInfo};
use serde_json::{Map, Value, value::RawValue};

use super::RunEnd;
use crate::{
    domain::{CacheKey, CancelSignal, Inputs, ProgressSink, ProviderProfile, Quantity, ServiceRequest},
    nearest::nearest,
};

/// What is the same for every service: its name, its methods, and whether params hold.
pub(super) trait Service: fmt::Debug + Sync {
    /// The part of a task's kind before the dot.
    fn name(&self) -> &'static str;

    /// The names of the methods: what follows the dot in a kind.
    fn methods(&self) -> &'static [&'static str];

    /// The service whose providers carry its requests out, and whose models they use.
    fn provided_by(&self) -> &'static str {
        self.name()
    }

    /// Checks the params of one of the methods and applies their defaults.
    fn check(&self, method: &str, params: &JsonText) -> Result<Work, BadParams>;

    /// The styles that its requests may name.
    fn styles(&self) -> Vec<StyleInfo> {
        Vec::new()
    }
}

/// What is to be done for a request that holds.
pub(super) enum Work {
    /// A provider makes the result, and the cache keeps it.
    AtProvider(Box<dyn ProviderWork>),
    /// The daemon does it by itself, and it has no result.
    Here(Box<dyn LocalWork>),
    /// Its work is other tasks, its steps, which the room `workflows` submits; they start from these artifacts.
    Workflow(Inputs),
}

/// A request whose result a provider makes.
pub(super) trait ProviderWork: Send + Sync {
    /// The params with their defaults.
    fn params(&self) -> Result<JsonText, JsonTextError>;

    /// The model that the request names.
    fn model(&self) -> Option<&str>;

    /// Whether this provider can be asked for it.
    fn fits(&self, provider: &ProviderProfile) -> Result<(), BadParams>;

    /// What the result of this provider is cached under.
    fn key(&self, provider: &ProviderProfile) -> CacheKey;

    /// The artifacts in the store that it starts from.
    fn inputs(&self) -> Inputs {
        Inputs::default()
    }

    /// Room that the store must have for the outputs before a provider is paid for them: what is made must not be lost for want of it.
    fn room_bytes(&self) -> u64;

    /// How much it asks for, as far as that is known before it is made.
    fn quantity(&self) -> Quantity {
        Quantity::default()
    }

    /// What the provider is asked; `seed` is for requests that name none.
    fn into_request(self: Box<Self>, seed: u64) -> ServiceRequest;
}

/// A request that needs no provider.
pub(super) trait LocalWork: Send {
    /// Carries out the work in the daemon itself.
    fn run(self: Box<Self>, cancel: CancelSignal, progress: ProgressSink) -> LocalBoxFuture<'static, RunEnd>;
}

/// Why a request does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BadParams {
    /// The stable code of the error.
    pub code: ErrorCode,
    /// What is wrong, for a person.
    pub message: String,
    /// What a person can do next.
    pub hint: Option<String>,
}

impl BadParams {
    /// A value that does not fit.
    pub fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code: ErrorCode::InvalidParams, message: message.into(), hint: Some(hint.into()) }
    }

    /// Params that do not have the shape of a method's: with the nearest field where one is unknown.
    pub fn unreadable(kind: &str, fields: &[&str], params: &JsonText, error: &serde_json::Error) -> Self {
        let names: BTreeMap<String, &RawValue> = params.decode().unwrap_or_default();
        let unknown = names.keys().find(|name| !fields.contains(&name.as_str()));
        let hint = unknown.and_then(|unknown| nearest(unknown, fields.iter().copied())).map_or_else(
            || format!("the fields are {}", fields.join(", ")),
            |near| format!("did you mean {near}?"),
        );
        Self::new(format!("the params do not fit {kind}: {error}"), hint)
    }

    /// Whether `extra` holds a field that the provider makes of other params.
    pub fn of_extra(extra: Option<&JsonText>, own_fields: &[&str], provider: &str) -> Result<(), Self> {
        let extra: Option<Map<String, Value>> = extra.and_then(|extra| extra.decode().ok());
        let is_own = |name: &&String| own_fields.contains(&name.as_str());
        match extra.unwrap_or_default().keys().find(is_own) {
            Some(name) => {
                let message =
                    format!("extra.{name} is not passed on: {provider} makes it of the other params");
                Err(Self::new(message, "leave it out of extra"))
            }
            None => Ok(()),
        }
    }
}
