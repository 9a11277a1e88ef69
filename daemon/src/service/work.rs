//! The interface of a service. A service checks the params of its methods, and says what has to be done for a valid request.

use std::{collections::BTreeMap, fmt};

use futures_util::future::LocalBoxFuture;
use reel_protocol::{ErrorCode, JsonError, JsonText, JsonTextError, limits::NAME_BYTES, methods::StyleInfo};
use serde_json::{Map, Value, value::RawValue};

use super::RunEnd;
use crate::{
    domain::{CacheKey, CancelSignal, Inputs, ProgressSink, ProviderProfile, Quantity, ServiceRequest},
    nearest::nearest,
};

/// What every service has: its name, its methods, and the check of their params.
pub(super) trait Service: fmt::Debug + Sync {
    /// The part of a task's kind before the dot.
    fn name(&self) -> &'static str;

    /// The names of the methods: what follows the dot in a kind.
    fn methods(&self) -> &'static [&'static str];

    /// The name of the service whose providers and models carry out the requests. It is another service if this one has no providers of its own.
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

/// What has to be done for a valid request.
pub(super) enum Work {
    /// A provider makes the result, and the cache keeps it.
    AtProvider(Box<dyn ProviderWork>),
    /// The daemon carries out the request itself. There is no result.
    InDaemon(Box<dyn LocalWork>),
    /// Other tasks carry out the request: its steps, which the room `workflows` submits. They start from these artifacts.
    Workflow(Inputs),
}

/// A request whose result a provider makes.
pub(super) trait ProviderWork: Send + Sync {
    /// The params with their defaults.
    fn params(&self) -> Result<JsonText, JsonTextError>;

    /// The model that the request names. None if it leaves the model to the provider.
    fn model(&self) -> Option<&str>;

    /// Checks whether this provider can make what the request asks for.
    fn fits(&self, provider: &ProviderProfile) -> Result<(), BadParams>;

    /// The key under which the result of this provider is cached.
    fn key(&self, provider: &ProviderProfile) -> CacheKey;

    /// The artifacts in the store that the request starts from.
    fn inputs(&self) -> Inputs {
        Inputs::default()
    }

    /// Free bytes that the store must have before a provider is paid for the outputs, so that these can be kept.
    fn room_bytes(&self) -> u64;

    /// How much the request asks for, as far as that is known before the outputs are made.
    fn quantity(&self) -> Quantity {
        Quantity::default()
    }

    /// Makes the request to the provider. It uses `seed` if the params name no seed.
    fn into_request(self: Box<Self>, seed: u64) -> ServiceRequest;
}

/// A request that needs no provider.
pub(super) trait LocalWork: Send {
    /// Carries out the work in the daemon itself.
    fn run(self: Box<Self>, cancel: CancelSignal, progress: ProgressSink) -> LocalBoxFuture<'static, RunEnd>;
}

/// Why the params of a request are not valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BadParams {
    /// The stable code of the error.
    pub code: ErrorCode,
    /// What is wrong, as a message for people.
    pub message: String,
    /// What a person can do next.
    pub hint: Option<String>,
}

impl BadParams {
    /// An error with the code `invalid_params`.
    pub fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code: ErrorCode::InvalidParams, message: message.into(), hint: Some(hint.into()) }
    }

    /// The error for params that cannot be decoded. If they have a field that is not in `fields`, the hint names the nearest one.
    pub fn unreadable(kind: &str, fields: &[&str], params: &JsonText, error: &JsonError) -> Self {
        let names: BTreeMap<String, &RawValue> = params.decode().unwrap_or_default();
        let unknown = names.keys().find(|name| !fields.contains(&name.as_str()));
        let hint = unknown.and_then(|unknown| nearest(unknown, fields.iter().copied())).map_or_else(
            || format!("the fields are {}", fields.join(", ")),
            |near| format!("did you mean {near}?"),
        );
        Self::new(format!("the params do not fit {kind}: {error}"), hint)
    }

    /// Returns an error if the name of a model or a voice is empty or too long.
    pub fn of_name(field: &str, name: Option<&str>) -> Result<(), Self> {
        if name.is_none_or(|name| !name.trim().is_empty() && name.len() <= NAME_BYTES) {
            return Ok(());
        }
        let message = format!("{field} is empty or longer than {NAME_BYTES} bytes");
        Err(Self::new(message, format!("leave {field} out for the provider's own")))
    }

    /// Returns an error if `extra` holds a field that the provider sets from the other params (`own_fields`).
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
