//! The warning of commands that use providers while the configuration file has an error and the daemon goes on with the former configuration.

use std::time::Duration;

use reel_protocol::methods::{DaemonStatus, DaemonStatusResult, Empty};
use tokio::time::timeout;

use super::ConfigFileState;
use crate::{config_file, context::Context};

/// How long the daemon is waited for. The command itself reports a daemon that does not answer.
const LIMIT: Duration = Duration::from_secs(2);

/// Prints a line if the file has an error and a running daemon uses a former text. A daemon that starts with such a file reports the error itself.
pub async fn warn_of_error(context: &Context) {
    // Without a file nothing can be wrong with it, and the daemon need not be asked.
    if !context.locations().config.exists() {
        return;
    }
    let Ok(Some(status)) = timeout(LIMIT, status(context)).await else { return };
    let error = match ConfigFileState::of_file(&status) {
        ConfigFileState::Refused(reason) => reason,
        // The file was changed a moment ago, and the daemon has not read it yet.
        ConfigFileState::Changed => match config_file::check(status.config.as_ref()) {
            Err(failure) if failure.error.code == "config_invalid" => failure.error.message,
            _ => return,
        },
        ConfigFileState::InForce | ConfigFileState::NeedsRestart(_) => return,
    };
    context.output.warn(&line(&error, &status.config));
}

/// Asks a running daemon for its status. None if there is none, or if it does not answer.
async fn status(context: &Context) -> Option<DaemonStatusResult> {
    let client = context.running().await.ok()?;
    client.call_within::<DaemonStatus>(&Empty {}, LIMIT).await.ok()
}

/// Describes an error such as `/c/config.toml:3:1: unknown key a`.
fn line(error: &str, file: &str) -> String {
    let first = error.lines().next().unwrap_or_default();
    let placed = first.strip_prefix(file).and_then(|rest| {
        let mut parts = rest.strip_prefix(':')?.splitn(3, ':');
        let line: u32 = parts.next()?.parse().ok()?;
        let _column = parts.next()?;
        Some((line, parts.next()?.trim()))
    });
    let (place, what) = match placed {
        Some((line, what)) => (format!(" at line {line}"), what),
        None => (String::new(), first),
    };
    format!(
        "warning: the configuration file has an error{place}, so the former configuration is used: {what} (reel config edit)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_named_where_the_error_has_one() {
        for (error, place, what) in [
            ("/c/config.toml:3:1: unknown key a: b\nmore", " at line 3", "unknown key a: b"),
            ("/c/config.toml: is a directory", "", "/c/config.toml: is a directory"),
            ("", "", ""),
        ] {
            let expected = format!(
                "warning: the configuration file has an error{place}, so the former configuration is used: {what} (reel config edit)"
            );
            assert_eq!(line(error, "/c/config.toml"), expected);
        }
    }
}
