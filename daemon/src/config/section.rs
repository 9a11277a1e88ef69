//! Reads one section of the file key by key. Each getter checks the type of its value, and records a complaint if the value does not fit.
//!
//! The kinds of providers read their own keys with it. Complaints name keys and never repeat a value, because it may be a secret.

use std::{
    collections::BTreeMap,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use reqwest::Url;
use serde::de::DeserializeOwned;
use toml::{
    Spanned,
    de::{DeTable, DeValue, ValueDeserializer},
};

use super::{
    RemoteConfig,
    walk::{kind_of, shown_number},
};
use crate::secret::{Secret, SecretSource, expand_home};

/// Longest text, in bytes: a base URL, a model name, or the name of a variable, file or credential.
const MAX_TEXT_BYTES: usize = 1_024;
/// The default of `job_timeout_s`: a queue of hours before a video that takes minutes.
const DEFAULT_JOB_TIMEOUT_S: u32 = 6 * 3_600;
/// The most texts of one list, such as the arguments of a command.
const MAX_TEXTS: usize = 256;

/// A section that is being read. A getter returns None if the key is missing, or if its value does not fit; then it also records a complaint.
pub struct Section<'a> {
    /// The path of the section, such as `providers.studio`.
    path: String,
    table: &'a DeTable<'a>,
    /// The directory of the configuration file, to which paths are relative.
    directory: PathBuf,
    /// The complaints, each with the byte offset of its value in the file.
    complaints: Vec<(usize, String)>,
}

impl<'a> Section<'a> {
    pub(super) const fn new(path: String, table: &'a DeTable<'a>, directory: PathBuf) -> Self {
        Self { path, table, directory, complaints: Vec::new() }
    }

    pub(super) fn into_complaints(self) -> Vec<(usize, String)> {
        self.complaints
    }

    /// Whether the section has this key.
    pub fn has(&self, key: &str) -> bool {
        self.value(key).is_some()
    }

    /// Reads a text of 1 to 1024 bytes.
    pub fn text(&mut self, key: &str) -> Option<String> {
        match self.value(key)?.get_ref() {
            DeValue::String(text) if is_short(text) => Some(text.to_string()),
            DeValue::String(_) => self.wrong(key, "a text of 1 to 1024 bytes"),
            other => self.wrong(key, &format!("a text, not {}", kind_of(other))),
        }
    }

    /// Reads the path of a file. A relative path is relative to the directory of the configuration file, and `~` is the user's home directory.
    pub fn path(&mut self, key: &str) -> Option<PathBuf> {
        let path = expand_home(Path::new(&self.text(key)?));
        Some(self.directory.join(path))
    }

    /// Reads a list of texts of 1 to 1024 bytes each.
    pub fn texts(&mut self, key: &str) -> Option<Vec<String>> {
        let text = |value: &Spanned<DeValue<'_>>| match value.get_ref() {
            DeValue::String(text) if is_short(text) => Some(text.to_string()),
            _ => None,
        };
        let texts = match self.value(key)?.get_ref() {
            DeValue::Array(values) if values.len() <= MAX_TEXTS => values.iter().map(text).collect(),
            _ => None,
        };
        texts.or_else(|| self.wrong(key, "a list of texts of 1 to 1024 bytes each"))
    }

    /// Reads a table that has a text of 1 to 1024 bytes for any of these names.
    pub fn texts_by(&mut self, key: &str, names: &[&str]) -> Option<BTreeMap<String, String>> {
        let text = |(name, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
            let name: &std::borrow::Cow<'_, str> = name.get_ref();
            match value.get_ref() {
                DeValue::String(text) if is_short(text) && names.contains(&name.as_ref()) => {
                    Some((name.to_string(), text.to_string()))
                }
                _ => None,
            }
        };
        let texts = match self.value(key)?.get_ref() {
            DeValue::Table(table) => table.iter().map(text).collect(),
            _ => None,
        };
        texts.or_else(|| self.wrong(key, &format!("a table of texts for any of {}", names.join(", "))))
    }

    /// Reads a whole number within this range.
    pub fn whole(&mut self, key: &str, range: RangeInclusive<u32>) -> Option<u32> {
        let wanted = format!("a whole number from {} to {}", range.start(), range.end());
        match self.value(key)?.get_ref() {
            DeValue::Integer(number) => {
                let read = u32::from_str_radix(number.as_str(), number.radix()).ok();
                let read = read.filter(|number| range.contains(number));
                read.or_else(|| self.wrong(key, &format!("{wanted}, not {}", shown_number(number.as_str()))))
            }
            other => self.wrong(key, &format!("{wanted}, not {}", kind_of(other))),
        }
    }

    /// Reads `base_url`, `api_key` and `job_timeout_s` of a service on the network. None if the address is not valid.
    pub fn remote(&mut self, default_base_url: &str) -> Option<RemoteConfig> {
        let base_url = if self.has("base_url") { self.base_url() } else { Url::parse(default_base_url).ok() };
        let api_key = self.api_key();
        let job_timeout_s = self.whole("job_timeout_s", 1..=604_800).unwrap_or(DEFAULT_JOB_TIMEOUT_S);
        let job_timeout = Duration::from_secs(job_timeout_s.into());
        Some(RemoteConfig { base_url: base_url?, api_key, job_timeout })
    }

    /// Reads a value of another type, such as a list of lists. `wanted` says in the complaint what it must be.
    pub fn shaped<T: DeserializeOwned>(&mut self, key: &str, wanted: &str) -> Option<T> {
        let value = ValueDeserializer::from(self.value(key)?.clone());
        // The parser's own message is not shown, because it may repeat the value.
        T::deserialize(value).ok().or_else(|| self.wrong(key, wanted))
    }

    /// Records the complaint that this key must be something else. Always returns None.
    pub fn wrong<T>(&mut self, key: &str, wanted: &str) -> Option<T> {
        self.complain(key, &format!("must be {wanted}"));
        None
    }

    /// Records a complaint, which follows the name of the key. If the key is missing, its position is that of the key `kind`.
    pub fn complain(&mut self, key: &str, complaint: &str) {
        let value = self.value(key).or_else(|| self.value("kind"));
        let offset = value.map_or(0, |value| value.span().start);
        self.complaints.push((offset, format!("{}.{key} {complaint}", self.path)));
    }

    fn value(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.table.iter().find(|(name, _)| name.get_ref() == key).map(|(_, value)| value)
    }

    fn base_url(&mut self) -> Option<Url> {
        let mut url = Url::parse(&self.text("base_url")?).ok();
        if let Some(url) = &mut url {
            let path = url.path().trim_end_matches('/').to_owned();
            url.set_path(&path);
        }
        let holds = |url: &Url| {
            let is_web = matches!(url.scheme(), "http" | "https") && url.host().is_some();
            // These parts of an address may contain a secret, which would then be written to logs.
            let is_bare = url.username().is_empty() && url.password().is_none();
            is_web && is_bare && url.query().is_none() && url.fragment().is_none()
        };
        let shape = "an address such as https://api.openai.com/v1, with neither user nor query";
        url.filter(holds).or_else(|| self.wrong("base_url", shape))
    }

    fn api_key(&mut self) -> Option<SecretSource> {
        let source = match self.value("api_key")?.get_ref() {
            DeValue::String(text) => Secret::new(text).map(SecretSource::Plain),
            DeValue::Table(table) => {
                let mut entries = table.iter();
                let entry = entries.next().filter(|_| entries.next().is_none());
                entry.and_then(|(key, value)| match value.get_ref() {
                    DeValue::String(text) if is_short(text) => source(key.get_ref(), text),
                    _ => None,
                })
            }
            _ => None,
        };
        let shape = "{ env = \"NAME\" }, { file = \"PATH\" } or { credential = \"NAME\" }";
        source.or_else(|| self.wrong("api_key", shape))
    }
}

fn source(key: &str, text: &str) -> Option<SecretSource> {
    match key {
        "env" => Some(SecretSource::Env(text.to_owned())),
        "file" => Some(SecretSource::File(PathBuf::from(text))),
        // The name is joined to the path of a directory.
        "credential" if !text.contains('/') && text != ".." => {
            Some(SecretSource::Credential(text.to_owned()))
        }
        _ => None,
    }
}

fn is_short(text: &str) -> bool {
    !text.trim().is_empty() && text.len() <= MAX_TEXT_BYTES
}
