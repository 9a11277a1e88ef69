//! Loads the API key of a provider, and words the failure if there is none.

use reel_protocol::ErrorCode;

use crate::{
    domain::{Class, Failure},
    secret::{Secret, SecretError, SecretSource},
};

/// Loads the key of the provider `name`.
pub async fn load_key(name: &str, source: &SecretSource) -> Result<Secret, Failure> {
    source.load().await.map_err(|error| failure(name, &error, &started(), is_of_systemd()))
}

/// Words the failure of a provider whose key cannot be loaded: where the key was looked for, and the command that stores one. `started` says when and
/// how the daemon was started.
fn failure(name: &str, error: &SecretError, started: &str, is_of_systemd: bool) -> Failure {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    let message = match error {
        SecretError::NotSet(variable) => {
            format!(
                "{name} has no key: the environment variable {variable} is not set in the daemon's environment ({started})"
            )
        }
        _ => format!("{name} has no key: {error}{cause}"),
    };
    let hint = match error {
        SecretError::NotSet(variable) if is_of_systemd => format!(
            "reel providers key {name} stores one in a file; or set {variable} with systemctl --user edit reeld, then reel daemon restart"
        ),
        SecretError::NotSet(variable) => format!(
            "reel providers key {name} stores one in a file; or export {variable}=… in this shell, then reel daemon restart"
        ),
        SecretError::Unreadable { .. } | SecretError::NoKey(_) => {
            format!("reel providers key {name} stores one; or write it to that file")
        }
        SecretError::NoCredential(_) => {
            format!(
                "reel providers key {name} stores one in a file; or add it with systemctl --user edit reeld"
            )
        }
        SecretError::Unfit { .. } | SecretError::NotText(_) => format!(
            "copy the key anew from the service's page, as plain text and nothing beside it; reel providers key {name} stores it"
        ),
    };
    Failure::with_code(Class::Auth, ErrorCode::KeyMissing, message, hint)
}

/// The failure of a call of the provider `name` that has no usable key.
pub fn no_key(name: &str, message: &str) -> Failure {
    let hint = format!("reel providers key {name} stores another one");
    Failure::with_code(Class::Auth, ErrorCode::KeyMissing, message, hint)
}

/// Returns the hint for a key that the service does not accept.
pub fn refused_key(name: &str, source: Option<&SecretSource>) -> String {
    match source {
        Some(source) => format!(
            "the key in {} is wrong, or may not do this; reel providers key {name} stores another one; then reel retry",
            source.place()
        ),
        None => {
            format!("{name} wants a key and has none; reel providers key {name} stores one; then reel retry")
        }
    }
}

/// Whether systemd has started the daemon.
fn is_of_systemd() -> bool {
    std::env::var_os("INVOCATION_ID").is_some()
}

/// When and how the daemon was started, for a person who set the environment variable later than that.
fn started() -> String {
    let by = if is_of_systemd() { "by systemd" } else { "by a command" };
    // The kernel creates /proc/self with the process, so its modification time is the start time.
    let since = std::fs::metadata("/proc/self").and_then(|entry| entry.modified()).ok();
    let since = since.map(|at| format!(" at {}", humantime::format_rfc3339_seconds(at))).unwrap_or_default();
    format!("pid {}, started{since} {by}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_key_names_where_it_was_looked_for_and_the_command_that_stores_one() {
        let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
        for (error, is_of_systemd, message, hint) in [
            (
                SecretError::NotSet("STUDIO_KEY".to_owned()),
                false,
                "variable STUDIO_KEY is not set",
                "export STUDIO_KEY=…",
            ),
            (
                SecretError::NotSet("STUDIO_KEY".to_owned()),
                true,
                "variable STUDIO_KEY is not set",
                "systemctl --user edit",
            ),
            (
                SecretError::NoKey("/keys/studio".into()),
                false,
                "/keys/studio holds no key",
                "write it to that file",
            ),
            (
                SecretError::Unreadable { path: "/keys/studio".into(), source: missing },
                false,
                "/keys/studio cannot be read: ",
                "write it to that file",
            ),
        ] {
            let failure = failure("studio", &error, "pid 7, started", is_of_systemd);
            assert!(failure.error.message.starts_with("studio has no key: "), "{failure:?}");
            assert!(failure.error.message.contains(message), "{failure:?}");
            let said = failure.error.hint.unwrap();
            assert!(said.contains("reel providers key studio") && said.contains(hint), "{said}");
        }
    }
}
