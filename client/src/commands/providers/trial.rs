//! Has the daemon use a changed section of the configuration, and checks its provider.

use std::path::Path;

use reel_protocol::methods::{
    DaemonReload, DaemonStatus, Empty, ProviderCheck, ProviderCheckParams, ProviderCheckResult,
};

use crate::{context::Context, failure::Failure};

/// Reloads the daemon's configuration and checks the provider. None if no daemon uses this file.
pub async fn try_out(
    context: &Context,
    path: &Path,
    name: &str,
) -> Result<Option<ProviderCheckResult>, Failure> {
    let session = match context.session().await {
        Ok(session) => session,
        Err(failure) if failure.error.code == "no_daemon" => {
            context.output.note(&format!("no daemon runs: reel providers check {name}"));
            return Ok(None);
        }
        Err(failure) => return Err(failure),
    };
    let status = session.call::<DaemonStatus>(&Empty {}).await?;
    if Path::new(&status.config) != path {
        context
            .output
            .warn(&format!("the running daemon uses another configuration file: {}", status.config));
        return Ok(None);
    }
    session.call::<DaemonReload>(&Empty {}).await?;
    Ok(Some(session.call::<ProviderCheck>(&ProviderCheckParams { name: name.to_owned() }).await?))
}

/// Whether a warning about the configuration concerns the provider of this name, or no provider.
pub fn concerns(warning: &str, name: &str) -> bool {
    let Some(rest) = warning.strip_prefix("providers.") else { return true };
    rest.strip_prefix(name).is_some_and(|rest| rest.starts_with(['.', ':', ' ']))
}
