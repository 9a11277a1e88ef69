//! The daemon's settings: their defaults, and the file that changes them.
//!
//! A file is read whole or refused whole. `keys` is the one table of what may stand in it, `walk` holds a parsed file against that table, and
//! `error` says what was wrong without ever repeating a value: the file may hold a key that costs money. The kinds of providers read their own
//! keys: whoever has a file read hands them in.

mod defaults;
mod error;
mod file;
mod keys;
mod kind;
mod price;
mod provider;
mod section;
mod walk;

pub use self::{
    error::{ConfigError, Problem},
    kind::{KindConfig, KindSection, Kinds, RemoteConfig, Settings},
    provider::ProviderConfig,
    section::Section,
};

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use reel_protocol::Digest;

/// Everything that can be set.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Config {
    /// `[tasks]`.
    pub tasks: TasksConfig,
    /// `[memory]`.
    pub memory: MemoryConfig,
    /// `[cache]`.
    pub cache: CacheConfig,
    /// `[http]`.
    pub http: HttpConfig,
    /// `[providers.*]`, by rank, then by name.
    pub providers: Vec<ProviderConfig>,
    /// `[defaults]`: the provider that is asked first, by service.
    pub defaults: BTreeMap<String, String>,
    /// `[rates]`: the US dollars that one unit of a currency is worth. Prices are converted when the file is read.
    pub rates: BTreeMap<String, f64>,
    /// `[log]`.
    pub log: LogConfig,
    /// Keys of the file that earlier versions knew and that have no effect any more.
    pub unused: Vec<&'static str>,
}

/// `[tasks]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TasksConfig {
    /// Tasks that run at once.
    pub max_concurrent: u32,
    /// Finished tasks that are remembered.
    pub history: u64,
    /// Unfinished tasks beyond which new ones are refused.
    pub queue_limit: u64,
    /// Attempts of a task that names no number.
    pub default_attempts: u32,
}

/// `[memory]`, of the daemon's own process.
#[derive(Debug, Clone, PartialEq)]
pub struct MemoryConfig {
    /// What the daemon may use, in MiB.
    pub limit_mb: u64,
    /// Part of the limit from which caches are asked to shrink.
    pub high: f64,
    /// Part of the limit below which all is well again.
    pub low: f64,
    /// Part of the limit from which no new task starts.
    pub critical: f64,
    /// What the system must have left, in MiB; less is critical too.
    pub system_min_available_mb: u64,
    /// Time between two looks, in milliseconds.
    pub poll_ms: u64,
}

/// `[cache]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheConfig {
    /// Pictures held in memory, in MiB.
    pub memory_mb: u64,
    /// Largest picture that is held in memory, in MiB.
    pub max_item_mb: u64,
    /// Pictures held on disk, in MiB.
    pub disk_mb: u64,
}

/// `[http]`: how providers on the network are reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpConfig {
    /// Idle connections that are kept for one host.
    pub per_host: u32,
    /// How long an idle connection is kept, in seconds.
    pub keep_alive_s: u32,
    /// Time to connect, in seconds.
    pub connect_s: u32,
    /// Time from the request to the answer's first byte, in seconds: making a picture takes minutes at some.
    pub first_byte_s: u32,
    /// Time between two pieces of an answer, in seconds.
    pub read_s: u32,
    /// Time of a whole exchange, in seconds.
    pub total_s: u32,
    /// How long a result that an answer only names is tried to be fetched, in seconds.
    pub fetch_s: u32,
}

/// `[log]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// What is logged: a level, or `target=level` parts with commas between.
    pub filter: String,
    /// Size at which the log file is begun anew, in MiB.
    pub max_mb: u64,
}

impl Default for TasksConfig {
    fn default() -> Self {
        Self { max_concurrent: 10, history: 100_000, queue_limit: 100_000, default_attempts: 4 }
    }
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self {
            limit_mb: 2048,
            high: 0.8,
            low: 0.7,
            critical: 0.95,
            system_min_available_mb: 500,
            poll_ms: 1000,
        }
    }
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self { memory_mb: 200, max_item_mb: 50, disk_mb: 10_240 }
    }
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            per_host: 5,
            keep_alive_s: 30,
            connect_s: 10,
            first_byte_s: 600,
            read_s: 60,
            total_s: 900,
            // A new file is everywhere within seconds, and after minutes something is wrong with it. Its address holds for an hour.
            fetch_s: 300,
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { filter: "info".to_owned(), max_mb: 10 }
    }
}

/// One reading of the file.
#[derive(Debug)]
pub struct Reading {
    /// Tells this text from another one; None where there is no text.
    pub digest: Option<Digest>,
    /// What it says, or why it does not hold.
    pub outcome: Result<Config, ConfigError>,
}

impl Config {
    /// Reads the file; where there is none, everything has its default.
    pub fn load(path: &Path, kinds: &Kinds) -> Result<Self, ConfigError> {
        Self::read(path, kinds).outcome
    }

    /// The same, with what tells this text from another one.
    pub fn read(path: &Path, kinds: &Kinds) -> Reading {
        match file::read(path) {
            Ok(Some(text)) => Reading {
                digest: Some(Digest::from_bytes(*blake3::hash(text.as_bytes()).as_bytes())),
                outcome: Self::parse_named(&text, &path.display().to_string(), kinds),
            },
            Ok(None) => Reading { digest: None, outcome: Ok(Self::default()) },
            Err(error) => Reading { digest: None, outcome: Err(error) },
        }
    }

    /// Reads a file's text; errors call it `config.toml`.
    pub fn parse(text: &str, kinds: &Kinds) -> Result<Self, ConfigError> {
        Self::parse_named(text, "config.toml", kinds)
    }

    fn parse_named(text: &str, name: &str, kinds: &Kinds) -> Result<Self, ConfigError> {
        walk::parse(text, kinds).map_err(|problems| ConfigError::Invalid { file: name.to_owned(), problems })
    }

    /// The keys whose values differ, as they are written in the file: `tasks.max_concurrent`; a provider as a whole.
    pub fn changed(&self, new: &Self) -> Vec<String> {
        let keys =
            keys::KEYS.iter().filter(|key| key.field.differs(self, new)).map(|key| key.path.to_owned());
        let named = |config: &Self, name: &str| config.providers.iter().find(|one| one.name == name).cloned();
        let names: BTreeSet<&str> =
            self.providers.iter().chain(&new.providers).map(|provider| provider.name.as_str()).collect();
        let providers = names.into_iter().filter(|name| named(self, name) != named(new, name));
        let services: BTreeSet<&String> = self.defaults.keys().chain(new.defaults.keys()).collect();
        let defaults =
            services.into_iter().filter(|name| self.defaults.get(*name) != new.defaults.get(*name));
        keys.chain(defaults.map(|service| format!("defaults.{service}")))
            .chain(providers.map(|name| format!("providers.{name}")))
            .collect()
    }

    /// What holds and is better done otherwise; for a person.
    pub fn warnings(&self) -> Vec<String> {
        let unused = keys::UNUSED.iter().filter(|(key, _)| self.unused.contains(key));
        let unused = unused.map(|(key, instead)| format!("{key} has no effect any more: {instead}"));
        unused.chain(self.providers.iter().flat_map(ProviderConfig::warnings)).collect()
    }
}

#[cfg(test)]
mod tests;
