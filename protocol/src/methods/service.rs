//! The params and results of `service.*` and `provider.*`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{CacheMode, Cost, JsonText, Seconds, TaskError, Timestamp, WaitReason};

/// The params of `service.call`. The result is a [`crate::TaskView`]. Fields that only `task.submit` has, such as `request_id`, are `invalid_params`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ServiceCallParams {
    /// The name of the service, such as `image`. If there is no such service or method, the answer is `unknown_kind`.
    pub service: String,
    /// The name of the method, such as `generate`.
    pub method: String,
    /// The params of the method, an object; `{}` if absent. Params that do not fit are `invalid_params`.
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::Object"))]
    #[serde(default)]
    pub params: JsonText,
    /// The name of the provider's instance to use; if absent, the daemon chooses. An unknown name is `unknown_provider`, and a provider of other
    /// services is `invalid_params`.
    #[serde(default)]
    pub provider: Option<String>,
    /// How the task uses the cache; `use` if absent.
    #[serde(default)]
    pub cache: CacheMode,
    /// Seconds after which the answer is the task as it then is, while the work goes on; no timeout if absent.
    #[serde(default)]
    pub timeout_s: Option<Seconds>,
}

/// The result of `service.status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ServiceStatusResult {
    /// Each service by its name, such as `image`.
    pub services: BTreeMap<String, ServiceInfo>,
}

/// One service. Counts begin at zero when the daemon starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ServiceInfo {
    /// The names of the methods.
    pub methods: Vec<String>,
    /// The providers that serve it, in the order in which they are chosen; empty for a service that needs none.
    pub providers: Vec<String>,
    /// The styles that its requests may name; only `image` has some.
    pub styles: Vec<StyleInfo>,
    /// Attempts that ended, but for those that were stopped. Workflows and results that were cached or shared are not counted.
    pub requests: u64,
    /// Attempts that succeeded.
    pub successes: u64,
    /// Attempts that failed.
    pub errors: u64,
    /// The code and the message of the newest failure, as `code: message`; null if there was none.
    pub last_error: Option<String>,
    /// The same counts for each provider that was asked, by its name.
    #[serde(default)]
    pub by_provider: BTreeMap<String, ProviderCounts>,
}

/// The attempts of one service at one provider. Counts begin at zero when the daemon starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProviderCounts {
    /// Attempts that ended, but for those that were stopped.
    pub requests: u64,
    /// Attempts that succeeded.
    pub successes: u64,
    /// Attempts that failed, by the code of their error.
    pub errors: BTreeMap<String, u64>,
    /// The code and the message of the newest failure, as `code: message`; null if there was none.
    pub last_error: Option<String>,
    /// How long the last 256 successful attempts took; null if there were none.
    pub latency_ms: Option<Latency>,
}

/// The duration of attempts from their begin until their results were kept, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Latency {
    /// The median: half of the attempts took no longer.
    pub p50: u64,
    /// The 95th percentile: 95 of 100 attempts took no longer.
    pub p95: u64,
}

/// One style of pictures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StyleInfo {
    /// The name, for the param `style`.
    pub name: String,
    /// What pictures of this style look like, for a person.
    pub summary: String,
    /// The text that is added to the prompt for providers that read text.
    pub prompt_suffix: String,
    /// The text that belongs to the negative prompt. It is sent to providers that take one.
    pub negative_suffix: String,
}

/// The result of `provider.list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProviderListResult {
    /// The providers in the order of selection: the configured ones, then the embedded ones, of which `draft` is the last.
    pub providers: Vec<ProviderInfo>,
}

/// One instance of a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProviderInfo {
    /// The name of the instance.
    pub name: String,
    /// The kind of the provider, such as `openai` or `draft`.
    pub kind: String,
    /// The services that it serves.
    pub services: Vec<String>,
    /// The model that is used if a request names none; null if none is configured.
    pub model: Option<String>,
    /// The same for services that have a model of their own, by the name of the service.
    #[serde(default)]
    pub models: BTreeMap<String, String>,
    /// Whether it is embedded, so that no section of the configuration names it.
    #[serde(default)]
    pub is_embedded: bool,
    /// The services for which it is the default: it is chosen before others.
    #[serde(default)]
    pub default_for: Vec<String>,
    /// `free`, or `paid` if asking twice may pay twice.
    pub billing: String,
    /// Most attempts in flight at once.
    pub max_concurrent: u32,
    /// Attempts in flight.
    pub running: u32,
    /// Most requests within any minute; null for no limit.
    #[serde(default)]
    pub requests_per_minute: Option<u32>,
    /// The base URL of the service; null for providers that are no service on the network.
    #[serde(default)]
    pub address: Option<String>,
    /// Why no attempt may begin now, with the model that is configured for all services; null if one may.
    #[serde(default)]
    pub wait_reason: Option<WaitReason>,
    /// When that ends by itself; null if an attempt may begin, or if something else ends it, such as a permit that is given back.
    #[serde(default)]
    pub waits_until: Option<Timestamp>,
    /// What reel has done with the server that its section says how to start; null if there is no such server, or if reel has not started it.
    #[serde(default)]
    pub machine: Option<MachineInfo>,
    /// Whether it works, as far as that is known from its configuration and from its last call or check; null if nothing is known.
    #[serde(default)]
    pub condition: Option<ProviderCondition>,
}

/// Whether a provider works, as its last call or check has shown. A call that failed only because of its request shows that the provider works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProviderCondition {
    /// When the call or the check ended. If the configured key cannot be read, this is now.
    pub at: Timestamp,
    /// What is wrong, such as `key_missing`, `provider_auth` or `provider_unavailable`; null if the provider works.
    pub error: Option<TaskError>,
}

/// A server that reel starts when a task wants it, and stops when it was idle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MachineInfo {
    /// `starting` until it can be reached, `start_failed`, `started`, `stopping` or `stopped`.
    pub state: String,
    /// Since when it is in this state.
    pub since: Timestamp,
    /// Why the command that starts or stops it failed; null if none has.
    pub detail: Option<String>,
}

/// The params of `provider.check`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProviderCheckParams {
    /// The name of the instance; an unknown one is `unknown_provider`.
    pub name: String,
}

/// The result of `provider.check`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProviderCheckResult {
    /// Whether the test found the provider to be usable.
    pub is_usable: bool,
    /// What was tested, or what is wrong and what to do about it, for a person.
    pub detail: String,
    /// The stable name of what is wrong, such as `provider_auth`; null if the provider is usable.
    #[serde(default)]
    pub code: Option<String>,
}

impl ProviderCheckResult {
    /// The result for a provider that is usable. `detail` says what was tested.
    pub fn usable(detail: impl Into<String>) -> Self {
        Self { is_usable: true, detail: detail.into(), code: None }
    }
}

/// The params of `provider.models`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProviderModelsParams {
    /// The name of the instance; an unknown one is `unknown_provider`.
    pub name: String,
}

/// The result of `provider.models`. A provider that cannot be asked for its list is answered with the code of that failure, such as `provider_auth`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProviderModelsResult {
    /// The names of the models that a request may name: those that the provider lists, or those of the configuration if it lists none.
    pub models: Vec<String>,
    /// Whether the provider lists them. If not, they are those of the configuration.
    pub is_listed: bool,
}

/// The params of `provider.voices`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProviderVoicesParams {
    /// The name of the instance; an unknown one is `unknown_provider`. Every provider that serves `voice` if absent.
    #[serde(default)]
    pub name: Option<String>,
}

/// The result of `provider.voices`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProviderVoicesResult {
    /// The voices of each provider, in the order of selection.
    pub providers: Vec<VoicesOfProvider>,
}

/// The voices of one provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct VoicesOfProvider {
    /// The name of the instance.
    pub name: String,
    /// The voices that a request may name; empty if there is no list.
    pub voices: Vec<VoiceInfo>,
    /// What a person should know about the list, such as why it is empty; null if there is nothing to say.
    pub note: Option<String>,
}

/// A voice that `voice.speak` may name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct VoiceInfo {
    /// The name of the voice, for the param `voice`.
    pub id: String,
    /// The language of the voice as a BCP 47 tag; null if it is unknown.
    pub language: Option<String>,
    /// `male` or `female`; null if it is unknown.
    pub gender: Option<String>,
    /// A name for people; null if there is none.
    pub name: Option<String>,
}

/// The params of `provider.dry_run`. What does not fit is refused with the codes of `task.submit`. Whether artifacts exist and whether the queue has
/// room is not checked.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DryRunParams {
    /// The service and its method, such as `image.generate`.
    pub kind: String,
    /// The params of the method, an object; `{}` if absent.
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::Object"))]
    #[serde(default)]
    pub params: JsonText,
    /// The name of the provider's instance to use; if absent, the daemon chooses.
    #[serde(default)]
    pub provider: Option<String>,
    /// How the cache would be used; `use` if absent.
    #[serde(default)]
    pub cache: CacheMode,
}

/// The result of `provider.dry_run`. For a workflow, and for params that refer to outputs of other tasks, nothing is predicted: no provider is named,
/// and the cost is 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DryRunResult {
    /// The provider that would be asked, or that made the cached result; null if none is needed.
    pub provider: Option<String>,
    /// The model that would be used, or that made the cached result; null if none is named.
    pub model: Option<String>,
    /// `free` or `paid`, of the provider that would be asked; null if none is needed.
    pub billing: Option<String>,
    /// The providers that would be asked after it, in that order, if it fails for a reason of its own, such as a wrong key.
    pub others: Vec<String>,
    /// Whether the cache has the result, so that no provider would be asked.
    pub is_cached: bool,
    /// What it would probably cost; null if that is unknown. 0 if the cache has the result, or if the provider is free and has no configured price.
    pub cost: Option<Cost>,
    /// The HTTP requests that would be sent. Empty if none would be, if the provider is no service on the network, and for requests that carry
    /// pictures or begin a video.
    pub requests: Vec<PlannedRequest>,
}

/// An HTTP request as it would be sent, with its secrets masked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PlannedRequest {
    /// The HTTP method, such as `POST`.
    pub method: String,
    /// The URL, with the path of the API.
    pub url: String,
    /// The headers, without those that only describe the body.
    pub headers: BTreeMap<String, String>,
    /// The body if it is JSON; else null.
    pub body: Option<JsonText>,
}
