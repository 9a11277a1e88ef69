//! One section `[providers.NAME]`: what may stand in it, and what it means.

use std::ops::RangeInclusive;

use reqwest::Url;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};
use url::Host;

use super::walk::{Walk, kind_of, shown, shown_number};
use crate::{
    nearest::nearest,
    secret::{Secret, SecretSource},
};

/// Attempts that a provider may have under way where nothing else is said: what services allow small accounts.
const DEFAULT_CONCURRENT: u32 = 3;
/// Where a provider stands that names no rank: behind those that do.
const DEFAULT_RANK: u32 = 100;
/// Characters of an instance's name: it stands in tables and in every task.
const MAX_NAME_CHARS: usize = 40;
/// Longest base URL, model name and name of a variable, file or credential, in bytes.
const MAX_TEXT_BYTES: usize = 1_024;
/// The address of the service that gave the kind `openai` its name.
const OPENAI: &str = "https://api.openai.com/v1";

/// What may stand in the section.
const KEYS: &[&str] = &[
    "kind",
    "base_url",
    "api_key",
    "model",
    "services",
    "max_concurrent",
    "requests_per_minute",
    "rank",
    "billing",
];
/// Kinds of the design that this version does not have.
const LATER_KINDS: &[&str] =
    &["comfyui", "a1111", "gemini", "stability", "adapter", "pollinations", "ollama", "command"];

/// How a provider is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProviderKind {
    /// The images API of `OpenAI`, and whatever serves the same.
    Openai,
}

impl ProviderKind {
    /// As it is written in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Openai => "openai",
        }
    }
}

/// One configured provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderConfig {
    /// The instance's name.
    pub name: String,
    /// How it is spoken to.
    pub kind: ProviderKind,
    /// Its address, up to the version: `https://api.openai.com/v1`. Without a slash at the end.
    pub base_url: Url,
    /// None for servers that ask for no key.
    pub api_key: Option<SecretSource>,
    /// Sent where a request names none.
    pub model: Option<String>,
    /// Attempts under way at once.
    pub max_concurrent: u32,
    /// Attempts begun within any 60 seconds.
    pub requests_per_minute: Option<u32>,
    /// Lower ones are asked first.
    pub rank: u32,
    /// Whether asking twice may pay twice.
    pub is_paid: bool,
}

impl ProviderConfig {
    /// What holds and is better done otherwise.
    pub(super) fn warnings(&self) -> Vec<String> {
        let name = &self.name;
        let mut warnings = Vec::new();
        if matches!(self.api_key, Some(SecretSource::Plain(_))) {
            warnings.push(format!(
                "providers.{name}.api_key stands in the file itself; {{ env = \"NAME\" }} or {{ file = \"PATH\" }} keeps it out of copies"
            ));
        }
        if self.api_key.is_some() && self.base_url.scheme() == "http" && !self.is_local() {
            warnings.push(format!("providers.{name}.base_url is http: the key travels unencrypted"));
        }
        warnings
    }

    /// Whether it runs on this machine or in its private network: then its files may lie there too.
    pub fn is_local(&self) -> bool {
        match self.base_url.host() {
            Some(Host::Ipv4(ip)) => ip.is_loopback() || ip.is_private(),
            Some(Host::Ipv6(ip)) => ip.is_loopback() || ip.is_unique_local(),
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            None => false,
        }
    }
}

impl Walk<'_> {
    /// All of `[providers]`.
    pub(super) fn providers(&mut self, section: &DeTable<'_>) {
        for (name, value) in section {
            let offset = name.span().start;
            let text = name.get_ref();
            if !is_instance_name(text) {
                let rule = "an instance's name has up to 40 letters a to z, digits, - and _";
                self.report(offset, format!("{} is no name for a provider: {rule}", shown(text)));
            } else if text.as_ref() == "draft" {
                self.report(offset, "draft is the name of the embedded provider".to_owned());
            } else if let DeValue::Table(section) = value.get_ref() {
                self.provider(text, offset, section);
            } else {
                let kind = kind_of(value.get_ref());
                self.report(
                    offset,
                    format!("providers.{text} must be a section, [providers.{text}], not {kind}"),
                );
            }
        }
    }

    fn provider(&mut self, name: &str, offset: usize, section: &DeTable<'_>) {
        for (key, _) in section {
            if !KEYS.contains(&key.get_ref().as_ref()) {
                let hint = nearest(key.get_ref(), KEYS.iter().copied());
                let hint = hint.map_or_else(String::new, |near| format!("; did you mean {near}?"));
                let message = format!("unknown key providers.{name}.{}{hint}", shown(key.get_ref()));
                self.report(key.span().start, message);
            }
        }
        let field = |key: &'static str| {
            let value = section.iter().find(|(name, _)| name.get_ref() == key).map(|(_, value)| value)?;
            Some(Given { path: format!("providers.{name}.{key}"), value })
        };
        let kind = self.kind(name, offset, field("kind"));
        let base_url = match field("base_url") {
            None => Url::parse(OPENAI).ok(),
            Some(given) => self.base_url(&given),
        };
        if let Some(given) = field("services") {
            self.services(&given);
        }
        // What is wrong was reported, and then nothing of the file is used.
        if let (Some(kind), Some(base_url)) = (kind, base_url) {
            let provider = ProviderConfig {
                name: name.to_owned(),
                kind,
                base_url,
                api_key: field("api_key").and_then(|given| self.api_key(&given)),
                model: field("model").and_then(|given| self.text(&given)),
                max_concurrent: self.whole(field("max_concurrent"), 1..=1_000).unwrap_or(DEFAULT_CONCURRENT),
                requests_per_minute: self.whole(field("requests_per_minute"), 1..=100_000),
                rank: self.whole(field("rank"), 0..=1_000_000).unwrap_or(DEFAULT_RANK),
                is_paid: field("billing").is_none_or(|given| self.billing(&given)),
            };
            self.config.providers.push(provider);
        }
    }

    fn kind(&mut self, name: &str, offset: usize, given: Option<Given<'_>>) -> Option<ProviderKind> {
        let Some(given) = given else {
            self.report(offset, format!("providers.{name}.kind is missing; served is \"openai\""));
            return None;
        };
        let kind = self.text(&given)?;
        match kind.as_str() {
            "openai" => Some(ProviderKind::Openai),
            later if LATER_KINDS.contains(&later) => {
                self.wrong(&given, &format!("\"openai\"; {later} is not in this version"));
                None
            }
            _ => {
                self.wrong(&given, "\"openai\"");
                None
            }
        }
    }

    fn base_url(&mut self, given: &Given<'_>) -> Option<Url> {
        let shape = "an address such as https://api.openai.com/v1, with neither user nor query";
        let mut url = Url::parse(&self.text(given)?).ok();
        if let Some(url) = &mut url {
            let path = url.path().trim_end_matches('/').to_owned();
            url.set_path(&path);
        }
        let holds = |url: &Url| {
            let is_web = matches!(url.scheme(), "http" | "https") && url.host().is_some();
            // Whatever stands there may be a secret, and would stand in logs.
            let is_bare = url.username().is_empty() && url.password().is_none();
            is_web && is_bare && url.query().is_none() && url.fragment().is_none()
        };
        let url = url.filter(holds);
        if url.is_none() {
            self.wrong(given, shape);
        }
        url
    }

    fn api_key(&mut self, given: &Given<'_>) -> Option<SecretSource> {
        let shape = "{ env = \"NAME\" }, { file = \"PATH\" } or { credential = \"NAME\" }";
        let source = match given.value.get_ref() {
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
        if source.is_none() {
            self.wrong(given, shape);
        }
        source
    }

    fn services(&mut self, given: &Given<'_>) {
        let is_image = |value: &Spanned<DeValue<'_>>| matches!(value.get_ref(), DeValue::String(text) if text == "image");
        let holds = match given.value.get_ref() {
            DeValue::Array(services) => services.len() == 1 && services.iter().all(is_image),
            _ => false,
        };
        if !holds {
            self.wrong(given, "[\"image\"]; other services are not in this version");
        }
    }

    fn billing(&mut self, given: &Given<'_>) -> bool {
        match self.text(given).as_deref() {
            Some("paid") | None => true,
            Some("free") => false,
            Some(_) => {
                self.wrong(given, "\"free\" or \"paid\"");
                true
            }
        }
    }

    fn text(&mut self, given: &Given<'_>) -> Option<String> {
        match given.value.get_ref() {
            DeValue::String(text) if is_short(text) => Some(text.to_string()),
            DeValue::String(_) => {
                self.wrong(given, "a text of 1 to 1024 bytes");
                None
            }
            other => {
                self.wrong(given, &format!("a text, not {}", kind_of(other)));
                None
            }
        }
    }

    fn whole(&mut self, given: Option<Given<'_>>, range: RangeInclusive<u32>) -> Option<u32> {
        let given = given?;
        let wanted = format!("a whole number from {} to {}", range.start(), range.end());
        let DeValue::Integer(number) = given.value.get_ref() else {
            self.wrong(&given, &format!("{wanted}, not {}", kind_of(given.value.get_ref())));
            return None;
        };
        let read = u32::from_str_radix(number.as_str(), number.radix()).ok();
        if !read.is_some_and(|number| range.contains(&number)) {
            self.wrong(&given, &format!("{wanted}, not {}", shown_number(number.as_str())));
            return None;
        }
        read
    }

    fn wrong(&mut self, given: &Given<'_>, wanted: &str) {
        self.report(given.value.span().start, format!("{} must be {wanted}", given.path));
    }
}

/// A value with the path that messages name it by.
struct Given<'a> {
    path: String,
    value: &'a Spanned<DeValue<'a>>,
}

fn source(key: &str, text: &str) -> Option<SecretSource> {
    match key {
        "env" => Some(SecretSource::Env(text.to_owned())),
        "file" => Some(SecretSource::File(text.into())),
        // It is joined to a directory.
        "credential" if !text.contains('/') && text != ".." => {
            Some(SecretSource::Credential(text.to_owned()))
        }
        _ => None,
    }
}

fn is_short(text: &str) -> bool {
    !text.trim().is_empty() && text.len() <= MAX_TEXT_BYTES
}

fn is_instance_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    !name.is_empty() && name.len() <= MAX_NAME_CHARS && name.chars().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::{super::Config, *};

    #[test]
    fn a_section_says_everything_or_only_its_kind() {
        let text = "[providers.studio]\nkind = 'openai'\nbase_url = 'http://localhost:8080/v1/'\n\
                    api_key = { env = 'STUDIO_KEY' }\nmodel = 'm'\nservices = ['image']\nmax_concurrent = 5\n\
                    requests_per_minute = 60\nrank = 1\nbilling = 'free'\n[providers.other]\nkind = 'openai'\n";
        let providers = Config::parse(text).unwrap().providers;
        let [studio, other] = &providers[..] else { panic!("{providers:?}") };
        assert_eq!((studio.name.as_str(), studio.base_url.as_str()), ("studio", "http://localhost:8080/v1"));
        assert_eq!(studio.api_key, Some(SecretSource::Env("STUDIO_KEY".into())));
        assert_eq!((studio.max_concurrent, studio.requests_per_minute), (5, Some(60)));
        assert_eq!((studio.rank, studio.is_paid, studio.model.as_deref()), (1, false, Some("m")));
        assert_eq!((other.base_url.as_str(), other.is_paid, &other.api_key), (OPENAI, true, &None));
        assert_eq!((other.max_concurrent, other.requests_per_minute, other.rank), (3, None, 100));
    }

    #[test]
    fn each_mistake_is_told_without_its_value() {
        let cases = [
            ("[providers]\nx = 1", "providers.x must be a section"),
            ("[providers.Big]\nkind='openai'", "Big is no name for a provider"),
            ("[providers.draft]\nkind='openai'", "draft is the name of the embedded provider"),
            ("[providers.x]", "providers.x.kind is missing"),
            ("[providers.x]\nkind='comfyui'", "comfyui is not in this version"),
            ("[providers.x]\nkind='SECRET'", "providers.x.kind must be \"openai\""),
            (
                "[providers.x]\nkind='openai'\nmodle='SECRET'",
                "unknown key providers.x.modle; did you mean model?",
            ),
            ("[providers.x]\nkind='openai'\nmodel=7", "providers.x.model must be a text, not a whole number"),
            (
                "[providers.x]\nkind='openai'\nbase_url='https://SECRET@host/v1'",
                "providers.x.base_url must be",
            ),
            ("[providers.x]\nkind='openai'\nbase_url='ftp://SECRET/v1'", "providers.x.base_url must be"),
            (
                "[providers.x]\nkind='openai'\nbase_url='https://host/v1?key=SECRET'",
                "providers.x.base_url must be",
            ),
            ("[providers.x]\nkind='openai'\napi_key={SECRET='x'}", "providers.x.api_key must be"),
            ("[providers.x]\nkind='openai'\napi_key={env='A',file='SECRET'}", "providers.x.api_key must be"),
            ("[providers.x]\nkind='openai'\napi_key={credential='../SECRET'}", "providers.x.api_key must be"),
            ("[providers.x]\nkind='openai'\nservices=['voice']", "providers.x.services must be"),
            ("[providers.x]\nkind='openai'\nbilling='SECRET'", "providers.x.billing must be"),
            (
                "[providers.x]\nkind='openai'\nmax_concurrent=0",
                "providers.x.max_concurrent must be a whole number",
            ),
        ];
        for (text, part) in cases {
            let error = Config::parse(text).unwrap_err().to_string();
            assert!(error.contains(part) && !error.contains("SECRET"), "{text}\n{error}");
        }
    }
}
