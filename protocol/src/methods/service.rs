//! `service.*` and `provider.*`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{CacheMode, Cost, JsonText, Seconds, Timestamp, WaitReason};

/// A call of one method.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceCallParams {
    /// Such as `image`.
    pub service: String,
    /// Such as `generate`.
    pub method: String,
    /// The method's params, an object.
    #[serde(default)]
    pub params: JsonText,
    /// The provider instance to use; else the daemon selects.
    #[serde(default)]
    pub provider: Option<String>,
    /// How the cache is used.
    #[serde(default)]
    pub cache: CacheMode,
    /// No timeout if absent.
    #[serde(default)]
    pub timeout_s: Option<Seconds>,
}

/// Every service by name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceStatusResult {
    /// Such as `image`.
    pub services: BTreeMap<String, ServiceInfo>,
}

/// One service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceInfo {
    /// The methods of the service.
    pub methods: Vec<String>,
    /// Providers that can serve it, in the order of selection; empty where it needs none.
    pub providers: Vec<String>,
    /// The styles that its requests may name.
    pub styles: Vec<StyleInfo>,
    /// Tasks that ended since the daemon started.
    pub requests: u64,
    /// Those of them that succeeded.
    pub successes: u64,
    /// Those of them that failed.
    pub errors: u64,
    /// The newest failure's code and message.
    pub last_error: Option<String>,
    /// The same for each provider that was asked since the daemon started.
    #[serde(default)]
    pub by_provider: BTreeMap<String, ProviderCounts>,
}

/// What one provider's attempts at one service came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProviderCounts {
    /// Attempts that ended.
    pub requests: u64,
    /// Those of them that succeeded.
    pub successes: u64,
    /// Those of them that failed, by the code of their errors.
    pub errors: BTreeMap<String, u64>,
    /// The newest failure's code and message.
    pub last_error: Option<String>,
    /// How long the last successful attempts took; absent where none succeeded.
    pub latency_ms: Option<Latency>,
}

/// How long attempts took from their begin until their results were kept, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// Half of them took no longer.
    pub p50: u64,
    /// 95 of 100 took no longer.
    pub p95: u64,
}

/// One style of pictures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StyleInfo {
    /// The name for `style`.
    pub name: String,
    /// What it looks like.
    pub summary: String,
    /// What is added to the prompt for providers that read text.
    pub prompt_suffix: String,
    /// What is added to the negative prompt.
    pub negative_suffix: String,
}

/// Every provider, in the order of selection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderListResult {
    /// Configured ones first, `draft` last.
    pub providers: Vec<ProviderInfo>,
}

/// One provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderInfo {
    /// The instance's name.
    pub name: String,
    /// Such as `draft`.
    pub kind: String,
    /// The services it can do.
    pub services: Vec<String>,
    /// Its model, where it has one.
    pub model: Option<String>,
    /// The models of services that have one of their own.
    #[serde(default)]
    pub models: BTreeMap<String, String>,
    /// Whether no section of the configuration names it.
    #[serde(default)]
    pub is_embedded: bool,
    /// The services for which it is asked before others.
    #[serde(default)]
    pub default_for: Vec<String>,
    /// `free` or `paid`.
    pub billing: String,
    /// Most attempts at once.
    pub max_concurrent: u32,
    /// Attempts under way.
    pub running: u32,
    /// Attempts that may begin within any minute, where that is limited.
    #[serde(default)]
    pub requests_per_minute: Option<u32>,
    /// Where it is reached; absent for what is embedded.
    #[serde(default)]
    pub address: Option<String>,
    /// Why no attempt may begin now; absent where one may.
    #[serde(default)]
    pub wait_reason: Option<WaitReason>,
    /// When that is over by itself.
    #[serde(default)]
    pub waits_until: Option<Timestamp>,
}

/// Which provider to check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderCheckParams {
    /// The instance's name.
    pub name: String,
}

/// Whether it is usable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderCheckResult {
    /// Whether a task for it would be started.
    pub is_usable: bool,
    /// What was looked at, or what is wrong.
    pub detail: String,
}

/// Which provider is asked for its models.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderModelsParams {
    /// The instance's name.
    pub name: String,
}

/// The models that a request may name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderModelsResult {
    /// As the provider lists them; those of the configuration where it lists none.
    pub models: Vec<String>,
    /// Whether the provider itself listed them, and not the configuration alone.
    pub is_listed: bool,
}

/// Whose voices are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ProviderVoicesParams {
    /// The instance's name; every provider that speaks if absent.
    #[serde(default)]
    pub name: Option<String>,
}

/// The voices of each provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderVoicesResult {
    /// In the order of the providers.
    pub providers: Vec<VoicesOfProvider>,
}

/// The voices of one provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoicesOfProvider {
    /// The instance's name.
    pub name: String,
    /// The voices that a request may name.
    pub voices: Vec<VoiceInfo>,
    /// What a person should know about the list, or why there is none.
    pub note: Option<String>,
}

/// One voice.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct VoiceInfo {
    /// What a request names.
    pub id: String,
    /// Its language, as a BCP 47 tag, where that is known.
    pub language: Option<String>,
    /// `male` or `female`, where that is known.
    pub gender: Option<String>,
    /// A name for people, where the program has one.
    pub name: Option<String>,
}

/// A request that is not carried out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DryRunParams {
    /// `service.method`, such as `image.generate`.
    pub kind: String,
    /// The method's params, an object.
    #[serde(default)]
    pub params: JsonText,
    /// The provider instance to use; else the daemon selects.
    #[serde(default)]
    pub provider: Option<String>,
    /// How the cache would be used.
    #[serde(default)]
    pub cache: CacheMode,
}

/// What a request would do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DryRunResult {
    /// The provider that would be asked, or that made what the cache has; absent where none is needed.
    pub provider: Option<String>,
    /// That provider's model.
    pub model: Option<String>,
    /// `free` or `paid`; absent where no provider is needed.
    pub billing: Option<String>,
    /// The providers that would be asked after it, in their order, if it refuses for reasons of its own.
    pub others: Vec<String>,
    /// Whether the cache has the result, so that nobody would be asked.
    pub is_cached: bool,
    /// What it would probably cost; absent where nobody knows.
    pub cost: Option<Cost>,
    /// What would be sent; empty where nothing is sent, and for providers that are no services on the network.
    pub requests: Vec<PlannedRequest>,
}

/// A request of HTTP as it would be sent, with secrets masked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedRequest {
    /// Such as `POST`.
    pub method: String,
    /// Where it goes.
    pub url: String,
    /// The headers that say more than how the body is written.
    pub headers: BTreeMap<String, String>,
    /// The body, where it is JSON.
    pub body: Option<JsonText>,
}
