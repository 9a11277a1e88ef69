//! `reel providers remove`: removes the provider's section from the configuration file, and the key file that reel has written for it.

use std::path::{Path, PathBuf};

use reel_protocol::methods::{DaemonReload, DaemonStatus, Empty};
use serde::Serialize;

use super::{first, key_file, section, trial::concerns};
use crate::{config_file, context::Context, exit::Exit, failure::Failure, table};

/// The provider to remove.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: reel providers remove studio")]
pub struct Args {
    /// The provider's name.
    pub name: String,
}

#[derive(Serialize)]
struct Document<'a> {
    path: &'a Path,
    name: &'a str,
    /// Always null: a provider that was removed is not checked.
    is_usable: Option<bool>,
    /// Always null, for the same reason.
    detail: Option<String>,
    /// The key file that was removed, if any.
    removed_key_file: Option<PathBuf>,
}

/// Removes a provider.
pub async fn remove(context: &Context, args: Args) -> Result<Exit, Failure> {
    let (path, name) = (context.locations().config.clone(), args.name);
    let missing = || {
        let message = format!("{} has no provider {name:?}", table::path(&path));
        Failure::new(Exit::NoInput, "unknown_provider", message).hint("reel providers lists them")
    };
    if !path.exists() {
        return Err(missing());
    }
    let before = first::in_use_if_running(context, &path).await;
    let own_key = key_file::named_in(&path, &name)?;
    let mut other_key = None;
    let warnings = config_file::edit(&path, |document| {
        other_key = section::key_file(document, &name).filter(|_| own_key.is_none());
        if section::remove(document, &name) { Ok(()) } else { Err(missing()) }
    })?;
    for warning in warnings.iter().filter(|warning| concerns(warning, &name)) {
        context.output.warn(warning);
    }
    context.output.line(&format!("removed [providers.{name}] from {}", table::path(&path)))?;
    let mut removed = None;
    if let Some(file) = own_key
        && key_file::remove_if_unused(context.output, &path, &name, &file)?
    {
        context.output.line(&format!("removed its key file {}", table::path(&file)))?;
        removed = Some(file);
    }
    if let Some(file) = other_key {
        context.output.note(&format!("the key file {file} is yours and was kept"));
    }
    if let Ok(client) = context.running().await {
        client.call::<DaemonReload>(&Empty {}).await?;
        let status = client.call::<DaemonStatus>(&Empty {}).await?;
        let waiting = status.missing_providers.get(&name).copied().unwrap_or(0);
        if waiting > 0 {
            let (tasks, wait) = if waiting == 1 { ("task", "waits") } else { ("tasks", "wait") };
            context.output.note(&format!(
                "{waiting} {tasks} {wait} until it is back or another provider can make them (reel status; reel cancel cancels them)"
            ));
        }
    }
    let after = first::in_use_if_running(context, &path).await;
    for line in first::successors(&before.unwrap_or_default(), &after.unwrap_or_default(), &name) {
        context.output.note(&line);
    }
    let document =
        Document { path: &path, name: &name, is_usable: None, detail: None, removed_key_file: removed };
    context.output.document(&document)?;
    Ok(Exit::Done)
}
