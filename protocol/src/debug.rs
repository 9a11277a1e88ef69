//! The params of `debug.*`: tasks that use no provider, for authors of clients who test their error handling.

use serde::{Deserialize, Serialize};

/// The params of `debug.noop`, which ends at once. Unknown fields are `invalid_params`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DebugNoopParams {}

/// The params of `debug.sleep`, which succeeds after some time. Unknown fields are `invalid_params`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DebugSleepParams {
    /// The duration of the task in milliseconds, at most a day.
    pub ms: u64,
}

/// The params of `debug.fail`, which fails. Unknown fields are `invalid_params`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DebugFailParams {
    /// The code of the error.
    #[serde(default = "default_code")]
    pub code: String,
    /// Whether the error is marked as retryable; such an attempt is repeated as often as the task may be tried.
    #[serde(default)]
    pub retryable: bool,
}

/// The params of `debug.progress`, which reports its progress and then succeeds. Unknown fields are `invalid_params`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DebugProgressParams {
    /// The number of reports, 1 to 1,000,000. Events tell at most ten a second.
    pub steps: u64,
    /// The time from the start to the last report in milliseconds, at most a day.
    pub ms: u64,
}

fn default_code() -> String {
    "debug_failure".to_owned()
}
