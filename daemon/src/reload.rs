//! Reloads the configuration. The file is read whole and then put in force. An invalid file leaves the former configuration in force.

use std::path::PathBuf;

use reel_protocol::{
    Digest,
    methods::{ConfigInForce, ReloadEvent, ReloadResult},
};
use tokio::{sync::watch, task::spawn_blocking};

use crate::{
    config::{Config, Reading},
    logging::LogHandle,
    memory::SetMemoryLimits,
    provider,
    systemd::Notifier,
    wiring::{Rooms, cache_limits, task_limits},
};

/// Keys that are read only when the daemon starts.
const AT_START: &[&str] = &["log.max_mb"];

/// The values from which [`Reload`] is made.
#[derive(Debug)]
pub struct ReloadParts {
    /// The configuration file.
    pub file: PathBuf,
    /// The configuration that was read at the start.
    pub config: Config,
    /// The digest of the file's text. None if there was no file.
    pub digest: Option<Digest>,
    /// The handle of the running log.
    pub log: LogHandle,
    /// The service manager, which is told of each reload.
    pub notifier: Notifier,
}

/// The configuration in force, and what is needed to replace it.
#[derive(Debug)]
pub struct Reload {
    file: PathBuf,
    log: LogHandle,
    notifier: Notifier,
    /// The configuration at the start, which the keys of [`AT_START`] still follow.
    started: Config,
    /// The configuration that all other keys follow.
    config: Config,
    /// The newest reading of the file, whether it was valid or not.
    tried: ReadingFingerprint,
    in_force: watch::Sender<ConfigInForce>,
}

/// Identifies a reading by the digest of its text, and by the error if the file was invalid.
#[derive(Debug, PartialEq, Eq)]
struct ReadingFingerprint {
    digest: Option<Digest>,
    reason: Option<String>,
}

impl ReadingFingerprint {
    fn of(reading: &Reading) -> Self {
        let reason = reading.outcome.as_ref().err().map(ToString::to_string);
        Self { digest: reading.digest, reason }
    }
}

impl Reload {
    /// Creates it with the configuration of the start in force. Also returns the receiver from which `daemon.status` shows what is in force.
    pub fn new(parts: ReloadParts) -> (Self, watch::Receiver<ConfigInForce>) {
        let ReloadParts { file, config, digest, log, notifier } = parts;
        let (in_force, shown) = watch::channel(ConfigInForce { digest, ..ConfigInForce::default() });
        let tried = ReadingFingerprint { digest, reason: None };
        warn(&config);
        (Self { file, log, notifier, started: config.clone(), config, tried, in_force }, shown)
    }

    /// Returns the configuration in force.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Reads the file again and sends the changes to the rooms. The error is a text for a person.
    pub async fn apply(&mut self, rooms: &Rooms) -> Result<ReloadResult, String> {
        let reading = self.read().await;
        self.take(reading, rooms).await
    }

    /// Does the same as [`Self::apply`], but only if the file differs from the last reading. Otherwise nothing happens.
    pub async fn apply_if_new(&mut self, rooms: &Rooms) {
        let reading = self.read().await;
        if ReadingFingerprint::of(&reading) != self.tried {
            // The log and the event report the outcome.
            let _ = self.take(reading, rooms).await;
        }
    }

    /// Reads the file on a blocking thread, because a home directory may be on a network.
    async fn read(&self) -> Reading {
        let file = self.file.clone();
        match spawn_blocking(move || Config::read(&file, &provider::kind_sections())).await {
            Ok(reading) => reading,
            // The reading panicked. The panic is in the log.
            Err(_) => Reading { digest: self.tried.digest, outcome: Ok(self.config.clone()) },
        }
    }

    async fn take(&mut self, reading: Reading, rooms: &Rooms) -> Result<ReloadResult, String> {
        self.notifier.reloading();
        self.tried = ReadingFingerprint::of(&reading);
        let outcome = match reading.outcome {
            Ok(new) => Ok(self.swap(new, reading.digest, rooms).await),
            Err(error) => Err(self.refuse(error.to_string(), rooms)),
        };
        self.notifier.ready();
        outcome
    }

    fn refuse(&self, reason: String, rooms: &Rooms) -> String {
        tracing::error!(reason, "the configuration was not reloaded; the former one stays in force");
        self.in_force.send_modify(|shown| shown.refused = Some(reason.clone()));
        let needs_restart = self.in_force.borrow().needs_restart.clone();
        let told = ReloadEvent { changed: Vec::new(), needs_restart, reason: Some(reason.clone()) };
        rooms.events.reload("reload_failed", told);
        reason
    }

    async fn swap(&mut self, new: Config, digest: Option<Digest>, rooms: &Rooms) -> ReloadResult {
        let keys = self.config.changed(&new);
        if keys.iter().any(|key| key == "log.filter")
            && let Err(error) = self.log.set_filter(&new.log.filter)
        {
            tracing::warn!(%error, "the log's filter was not changed");
        }
        // If a room is gone, the process is ending, and a failure needs no report.
        let _ = rooms.task_limits.send(task_limits(&new.tasks)).await;
        let _ = rooms.memory_limits.send(SetMemoryLimits(new.memory.clone())).await;
        let _ = rooms.cache_limits.send(cache_limits(&new.cache)).await;
        let concerns_providers =
            |key: &String| ["providers.", "defaults.", "http."].iter().any(|start| key.starts_with(start));
        // If nothing changed, a program may have been installed since, and the reload was requested for that.
        if keys.is_empty() || keys.iter().any(concerns_providers) {
            rooms.providers.configure(&new).await;
        }
        warn(&new);
        let result = ReloadResult { changed: live(&keys), needs_restart: waiting(&self.started, &new) };
        self.config = new;
        let needs_restart = result.needs_restart.clone();
        self.in_force.send_replace(ConfigInForce { digest, refused: None, needs_restart });
        tracing::info!(changed = ?result.changed, needs_restart = ?result.needs_restart, "the configuration was reloaded");
        let ReloadResult { changed, needs_restart } = result.clone();
        rooms.events.reload("reloaded", ReloadEvent { changed, needs_restart, reason: None });
        result
    }
}

fn warn(config: &Config) {
    config.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
}

/// Returns the changed keys that take effect at once.
fn live(changed: &[String]) -> Vec<String> {
    changed.iter().filter(|key| !AT_START.contains(&key.as_str())).cloned().collect()
}

/// Returns the changed keys that take effect at the next start.
fn waiting(started: &Config, file: &Config) -> Vec<String> {
    let changed = started.changed(file);
    changed.into_iter().filter(|key| AT_START.contains(&key.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_for_a_restart_waits_until_the_file_is_as_it_was() {
        let config = |text: &str| Config::parse(text, &[]).unwrap();
        let started = config("");
        let bigger = config("[log]\nmax_mb = 20\n");
        let both = config("[log]\nmax_mb = 20\n[tasks]\nhistory = 5\n");
        assert_eq!(waiting(&started, &bigger), ["log.max_mb"]);
        // The key still waits after a later change of another key.
        assert_eq!(waiting(&started, &both), ["log.max_mb"]);
        assert_eq!(live(&bigger.changed(&both)), ["tasks.history"]);
        assert!(waiting(&started, &config("[tasks]\nhistory = 5\n")).is_empty());
        assert!(live(&started.changed(&bigger)).is_empty());
    }

    #[test]
    fn a_reading_is_known_again_by_its_text_or_by_its_reason() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("config.toml");
        let read = |text: Option<&str>| {
            match text {
                Some(text) => std::fs::write(&file, text).unwrap(),
                None => drop(std::fs::remove_file(&file)),
            }
            ReadingFingerprint::of(&Config::read(&file, &[]))
        };
        let (absent, empty, wrong) = (read(None), read(Some("")), read(Some("[task]")));
        assert!(absent != empty && empty != wrong && wrong != read(Some("[tasks]")));
        assert!(read(None) == absent && read(Some("")) == empty && read(Some("[task]")) == wrong);
    }
}
