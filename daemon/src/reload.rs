//! Takes a changed configuration: read whole, then swapped; one that does not hold leaves the old one in force.

use std::path::PathBuf;

use reel_protocol::methods::{ReloadResult, Topic};

use crate::{
    config::Config,
    logging::LogHandle,
    memory::SetMemoryLimits,
    systemd::Notifier,
    wiring::{Rooms, cache_limits, task_limits},
};

/// Keys that are read only at the start.
const AT_START: &[&str] = &["log.max_mb", "memory.poll_ms"];

/// What a reload works with.
#[derive(Debug)]
pub struct Reload {
    /// The configuration file.
    pub file: PathBuf,
    /// What is in force.
    pub config: Config,
    /// The running log.
    pub log: LogHandle,
    /// The service manager, which is told of it.
    pub notifier: Notifier,
}

/// Reads the file again and tells the rooms. The error is for a person.
pub async fn apply(reload: &mut Reload, rooms: &Rooms) -> Result<ReloadResult, String> {
    reload.notifier.reloading();
    let outcome = swap(reload, rooms).await;
    reload.notifier.ready();
    outcome
}

async fn swap(reload: &mut Reload, rooms: &Rooms) -> Result<ReloadResult, String> {
    let new = match Config::load(&reload.file) {
        Ok(new) => new,
        Err(error) => {
            tracing::error!(error = %error, "the configuration was not reloaded; the former one stays in force");
            return Err(error.to_string());
        }
    };
    let keys = reload.config.changed(&new);
    if keys.iter().any(|key| key == "log.filter") {
        reload.log.set_filter(&new.log.filter).map_err(|error| error.to_string())?;
    }
    // A room that is gone takes the process with it; there is nobody to tell here.
    let _ = rooms.task_limits.send(task_limits(&new.tasks)).await;
    let _ = rooms.memory_limits.send(SetMemoryLimits(new.memory.clone())).await;
    let _ = rooms.cache_limits.send(cache_limits(&new.cache)).await;
    if keys.iter().any(|key| key.starts_with("providers.") || key.starts_with("http.")) {
        rooms.providers.configure(&new).await;
    }
    new.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
    reload.config = new;
    let (needs_restart, changed) =
        keys.into_iter().partition(|key: &String| AT_START.contains(&key.as_str()));
    let result = ReloadResult { changed, needs_restart };
    tracing::info!(changed = ?result.changed, needs_restart = ?result.needs_restart, "the configuration was reloaded");
    rooms.events.plain(Topic::Daemon, "reloaded");
    Ok(result)
}
