//! The daemon's settings: their defaults, and the file that changes them.
//!
//! A file is accepted as a whole or refused as a whole. `keys` is the table of all keys, `walk` checks a parsed file against it, and `error` says
//! what is wrong without repeating a value, because the file may contain an API key. The kinds of providers read their own keys; the caller passes
//! the table of kinds in.

mod defaults;
mod error;
mod file;
mod keys;
mod kind;
mod machine;
mod price;
mod provider;
mod section;
mod walk;

pub use self::{
    error::{ConfigError, Problem},
    kind::{KindConfig, KindSection, Kinds, RemoteConfig, Settings},
    machine::{MachineConfig, StopConfig},
    provider::ProviderConfig,
    section::Section,
};

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use reel_protocol::Digest;

/// The whole configuration, with defaults for what the file leaves out.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Config {
    /// The section `[tasks]`.
    pub tasks: TasksConfig,
    /// The section `[memory]`.
    pub memory: MemoryConfig,
    /// The section `[cache]`.
    pub cache: CacheConfig,
    /// The section `[http]`.
    pub http: HttpConfig,
    /// The sections `[providers.*]`, sorted by rank, then by name.
    pub providers: Vec<ProviderConfig>,
    /// The section `[defaults]`: the preferred provider of each service.
    pub defaults: BTreeMap<String, String>,
    /// The section `[rates]`: the value of one unit of a currency, in US dollars. Prices are converted when the file is read.
    pub rates: BTreeMap<String, f64>,
    /// The section `[log]`.
    pub log: LogConfig,
    /// The keys of the file that earlier versions used and that have no effect.
    pub unused: Vec<&'static str>,
}

/// The section `[tasks]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TasksConfig {
    /// The most tasks that run at once.
    pub max_concurrent: u32,
    /// The most finished tasks that the history keeps.
    pub history: u64,
    /// The most unfinished tasks. When there are as many, new ones are refused.
    pub queue_limit: u64,
    /// The number of attempts of a task whose request names none.
    pub default_attempts: u32,
}

/// The section `[memory]`, about the memory of the daemon's process.
#[derive(Debug, Clone, PartialEq)]
pub struct MemoryConfig {
    /// The most memory that the daemon should use, in MiB.
    pub limit_mb: u64,
    /// Fraction of the limit at which high pressure begins and caches shrink.
    pub high: f64,
    /// Fraction of the limit below which high pressure ends.
    pub low: f64,
    /// Fraction of the limit at which no new task starts.
    pub critical: f64,
    /// Least memory that the system must have available, in MiB. Less is critical pressure too.
    pub system_min_available_mb: u64,
    /// Interval between two samples, in milliseconds.
    pub poll_ms: u64,
}

/// The section `[cache]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheConfig {
    /// Largest size of the memory tier, in MiB.
    pub memory_mb: u64,
    /// Largest picture that the memory tier keeps, in MiB.
    pub max_item_mb: u64,
    /// Largest size of the disk tier, in MiB.
    pub disk_mb: u64,
}

/// The section `[http]`: how providers on the network are reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpConfig {
    /// The most idle connections to one host.
    pub per_host: u32,
    /// The longest time that a connection stays open while idle, in seconds.
    pub keep_alive_s: u32,
    /// The timeout of connecting, in seconds.
    pub connect_s: u32,
    /// The timeout from the request to the first byte of the response, in seconds. It is long because some services make a picture for minutes before
    /// they answer.
    pub first_byte_s: u32,
    /// The timeout between two pieces of a response, in seconds.
    pub read_s: u32,
    /// The timeout of a whole exchange, in seconds.
    pub total_s: u32,
    /// The longest time during which the fetch of a result by its address is retried, in seconds.
    pub fetch_s: u32,
    /// The longest time during which a server of the user's own is waited for that answers that it cannot work yet, in seconds.
    pub loading_s: u32,
}

/// The section `[log]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// The log filter: a level, or `target=level` parts separated by commas.
    pub filter: String,
    /// Size at which a new log file begins, in MiB.
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
            // A new file is on all servers within seconds; if it is still missing after minutes, something is wrong. The addresses are valid for an
            // hour.
            fetch_s: 300,
            // The largest models take some minutes from a slow disk.
            loading_s: 900,
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { filter: "info".to_owned(), max_mb: 10 }
    }
}

/// The result of reading the file once.
#[derive(Debug)]
pub struct Reading {
    /// The digest of the text, by which a change is detected. None if no text could be read.
    pub digest: Option<Digest>,
    /// The settings, or why the file is refused.
    pub outcome: Result<Config, ConfigError>,
}

impl Config {
    /// Reads the file. If there is none, all settings have their defaults.
    pub fn load(path: &Path, kinds: &Kinds) -> Result<Self, ConfigError> {
        Self::read(path, kinds).outcome
    }

    /// Like [`Self::load`], but also returns the digest of the text.
    pub fn read(path: &Path, kinds: &Kinds) -> Reading {
        match file::read(path) {
            Ok(Some(text)) => Reading {
                digest: Some(Digest::from_bytes(*blake3::hash(text.as_bytes()).as_bytes())),
                outcome: Self::parse_named(&text, path, kinds),
            },
            Ok(None) => Reading { digest: None, outcome: Ok(Self::default()) },
            Err(error) => Reading { digest: None, outcome: Err(error) },
        }
    }

    /// Parses the text of a file. Errors name it `config.toml`.
    pub fn parse(text: &str, kinds: &Kinds) -> Result<Self, ConfigError> {
        Self::parse_named(text, Path::new("config.toml"), kinds)
    }

    fn parse_named(text: &str, path: &Path, kinds: &Kinds) -> Result<Self, ConfigError> {
        let directory = path.parent().map(Path::to_owned).unwrap_or_default();
        let file = || path.display().to_string();
        walk::parse(text, directory, kinds)
            .map_err(|problems| ConfigError::Invalid { file: file(), problems })
    }

    /// Returns the keys whose values differ, as they are written in the file, such as `tasks.max_concurrent`. A provider is one key.
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

    /// Returns warnings for people about settings that are valid but could be better.
    pub fn warnings(&self) -> Vec<String> {
        let unused = keys::UNUSED.iter().filter(|(key, _)| self.unused.contains(key));
        let unused = unused.map(|(key, instead)| format!("{key} has no effect any more: {instead}"));
        unused.chain(self.providers.iter().flat_map(ProviderConfig::warnings)).collect()
    }
}

#[cfg(test)]
mod tests;
