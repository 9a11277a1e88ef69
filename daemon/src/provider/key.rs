//! Loads the API key of a provider, and words the failure if there is none.

use reel_protocol::ErrorCode;

use crate::{
    domain::{Class, Failure},
    secret::{Secret, SecretError, SecretSource},
};

/// Loads the key of the provider `name`.
pub async fn load_key(name: &str, source: &SecretSource) -> Result<Secret, Failure> {
    source.load().await.map_err(|error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        let of_daemon = match error {
            SecretError::NotSet(_) => format!(" (pid {}, {})", std::process::id(), started()),
            _ => String::new(),
        };
        let failure = no_key(name, &format!("{error}{cause}{of_daemon}"));
        match error {
            SecretError::Unfit { .. } | SecretError::NotText(_) => {
                failure.hint("copy the key anew from the service's page, as plain text and nothing beside it")
            }
            _ => failure,
        }
    })
}

/// The failure of a call of the provider `name` that has no usable key.
pub fn no_key(name: &str, message: &str) -> Failure {
    let hint = format!("set providers.{name}.api_key, or restart the daemon where the variable is set");
    Failure::with_code(Class::Auth, ErrorCode::KeyMissing, message, hint)
}

/// When and how the daemon was started, for a person who set the environment variable later than that.
fn started() -> String {
    let by = if std::env::var_os("INVOCATION_ID").is_some() { "by systemd" } else { "by a command" };
    // The kernel creates /proc/self with the process, so its modification time is the start time.
    let since = std::fs::metadata("/proc/self").and_then(|entry| entry.modified()).ok();
    let since = since.map(|at| format!(" at {}", humantime::format_rfc3339_seconds(at))).unwrap_or_default();
    format!("started{since} {by}")
}
