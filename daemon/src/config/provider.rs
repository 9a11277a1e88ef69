//! The sections `[providers.NAME]`: the keys of every provider. The kind reads its own keys itself.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

use super::{
    KindConfig, KindSection, MachineConfig, Section,
    machine::machine,
    price::price,
    walk::{Walk, kind_of, shown},
};
use crate::{domain::Price, nearest::nearest, secret::SecretSource};

/// The default rank. It is higher than the ranks that users usually write, so providers with such a rank come first.
const DEFAULT_RANK: u32 = 100;
/// Longest name of an instance, in characters. It is shown in tables and stored with every task.
const MAX_NAME_CHARS: usize = 40;

/// The embedded providers that no section may replace.
const EMBEDDED: [&str; 2] = ["draft", "ffmpeg"];

/// The keys that every section may have.
const KEYS: &[&str] = &[
    "kind",
    "model",
    "models",
    "services",
    "max_concurrent",
    "requests_per_minute",
    "rank",
    "billing",
    "price",
    "start",
    "stop",
    "stop_after_idle_s",
];
/// Kinds that a later version will have.
const LATER_KINDS: &[&str] = &["gemini", "stability", "adapter", "pollinations"];

/// A configured provider.
#[derive(Debug, Clone, PartialEq)]
pub struct ProviderConfig {
    /// The name of the instance.
    pub name: String,
    /// The name of the kind.
    pub kind: &'static str,
    /// The values of the kind's own keys.
    pub own: KindConfig,
    /// The model for requests that name none.
    pub model: Option<String>,
    /// The models for services that have their own, by the name of the service.
    pub models: BTreeMap<String, String>,
    /// The services that the provider serves.
    pub services: Vec<String>,
    /// The most attempts in flight at once.
    pub max_concurrent: u32,
    /// The most requests within any minute. None for no limit.
    pub requests_per_minute: Option<u32>,
    /// The rank. Providers with a lower rank are chosen first.
    pub rank: u32,
    /// Whether a second request may be charged again.
    pub is_paid: bool,
    /// The prices of its results, if the file has them.
    pub price: Option<Price>,
    /// How its server is started and stopped. None if reel does neither.
    pub machine: Option<MachineConfig>,
}

impl ProviderConfig {
    /// Returns the model for requests of this service that name none.
    pub fn model_for(&self, service: &str) -> Option<&str> {
        self.models.get(service).or(self.model.as_ref()).map(String::as_str)
    }

    /// Returns warnings about settings that are valid but could be better.
    pub(super) fn warnings(&self) -> Vec<String> {
        let name = &self.name;
        let own = self.own.warnings.iter().map(|warning| format!("providers.{name}: {warning}"));
        let mut warnings: Vec<_> = own.collect();
        let Some(remote) = &self.own.remote else { return warnings };
        if matches!(remote.api_key, Some(SecretSource::Plain(_))) {
            warnings.push(format!(
                "providers.{name}.api_key is in the configuration file itself, so every copy of that file has it; reel providers key {name} stores it in a file of its own"
            ));
        }
        if remote.api_key.is_some() && remote.base_url.scheme() == "http" && !remote.is_local() {
            warnings.push(format!("providers.{name}.base_url is http: the key travels unencrypted"));
        }
        warnings
    }
}

impl Walk<'_> {
    /// Reads the whole section `[providers]`.
    pub(super) fn providers(&mut self, section: &DeTable<'_>) {
        for (name, value) in section {
            let offset = name.span().start;
            let text = name.get_ref();
            if !is_instance_name(text) {
                let rule = "a provider's name has up to 40 letters a to z, digits, - and _";
                self.report(offset, format!("{} is no name for a provider: {rule}", shown(text)));
            } else if EMBEDDED.contains(&text.as_ref()) {
                self.report(
                    offset,
                    format!("{text} is the name of the embedded provider; choose another one"),
                );
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

    fn provider(&mut self, name: &str, offset: usize, table: &DeTable<'_>) {
        let mut section = Section::new(format!("providers.{name}"), table, self.directory.clone());
        if !section.has("kind") {
            let kinds = self.kinds_in_words();
            self.report(offset, format!("providers.{name}.kind is missing; served is {kinds}"));
        }
        let kind = self.kind(&mut section);
        // If the kind is unknown, the keys of all kinds are accepted.
        let own_keys = self.kinds.iter().filter(|one| kind.is_none_or(|kind| kind.name() == one.name()));
        let known: Vec<_> = KEYS.iter().chain(own_keys.flat_map(|kind| kind.keys())).copied().collect();
        for (key, _) in table {
            if !known.contains(&key.get_ref().as_ref()) {
                let hint = nearest(key.get_ref(), known.iter().copied());
                let hint = hint.map_or_else(String::new, |near| format!("; did you mean {near}?"));
                let message = format!("unknown key providers.{name}.{}{hint}", shown(key.get_ref()));
                self.report(key.span().start, message);
            }
        }
        let rates = self.config.rates.clone();
        // If anything is wrong, a problem is reported, and nothing of the file is used.
        self.config.providers.extend(kind.and_then(|kind| read(name, kind, &mut section, &rates)));
        for (offset, complaint) in section.into_complaints() {
            self.report(offset, complaint);
        }
    }

    fn kind(&self, section: &mut Section<'_>) -> Option<&'static dyn KindSection> {
        let name = section.text("kind")?;
        let kind = self.kinds.iter().find(|kind| kind.name() == name);
        if kind.is_none() {
            let mut wanted = self.kinds_in_words();
            if LATER_KINDS.contains(&name.as_str()) {
                wanted = format!("{wanted}; {name} is not in this version");
            }
            section.wrong::<()>("kind", &wanted);
        }
        kind.copied()
    }

    /// Returns the names of all kinds, such as `"command" or "openai"`.
    fn kinds_in_words(&self) -> String {
        let names: Vec<_> = self.kinds.iter().map(|kind| format!("{:?}", kind.name())).collect();
        names.join(" or ")
    }
}

fn read(
    name: &str,
    kind: &'static dyn KindSection,
    section: &mut Section<'_>,
    rates: &BTreeMap<String, f64>,
) -> Option<ProviderConfig> {
    let own = kind.read(section);
    let models = section.texts_by("models", kind.services()).unwrap_or_default();
    Some(ProviderConfig {
        name: name.to_owned(),
        kind: kind.name(),
        model: section.text("model"),
        services: services(kind, own.as_ref().and_then(|own| own.services.clone()), &models, section),
        models,
        max_concurrent: section.whole("max_concurrent", 1..=1_000).unwrap_or_else(|| kind.max_concurrent()),
        requests_per_minute: section.whole("requests_per_minute", 1..=100_000),
        rank: section.whole("rank", 0..=1_000_000).unwrap_or(DEFAULT_RANK),
        is_paid: is_paid(kind, section),
        price: price(section, rates),
        machine: machine(section, own.as_ref().is_none_or(|own| own.remote.is_some())),
        own: own?,
    })
}

fn services(
    kind: &dyn KindSection,
    own: Option<Vec<String>>,
    models: &BTreeMap<String, String>,
    section: &mut Section<'_>,
) -> Vec<String> {
    let served = kind.services();
    let of_models = || Some(models.keys().cloned().collect()).filter(|names: &Vec<_>| !names.is_empty());
    let first = || served.iter().take(1).map(|name| (*name).to_owned()).collect();
    let first = own.or_else(of_models).unwrap_or_else(first);
    let Some(mut given) = section.texts("services") else {
        return first;
    };
    if given.is_empty() || given.iter().any(|name| !served.contains(&name.as_str())) {
        let served: Vec<_> = served.iter().map(|name| format!("{name:?}")).collect();
        let wanted = format!("a list of {}; this kind serves no other services", served.join(", "));
        section.wrong::<()>("services", &wanted);
        return first;
    }
    given.sort();
    given.dedup();
    given
}

fn is_paid(kind: &dyn KindSection, section: &mut Section<'_>) -> bool {
    match section.text("billing").as_deref() {
        None => kind.is_paid(),
        Some("paid") => true,
        Some("free") => false,
        Some(_) => section.wrong("billing", "\"free\" or \"paid\"").unwrap_or(true),
    }
}

fn is_instance_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    !name.is_empty() && name.len() <= MAX_NAME_CHARS && name.chars().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::{super::Config, *};
    use crate::config::{
        Kinds, Settings,
        tests::{ADDRESS, Openai},
    };

    /// A kind that requires a key of its own.
    #[derive(Debug)]
    struct Echo;

    impl KindSection for Echo {
        fn name(&self) -> &'static str {
            "echo"
        }

        fn keys(&self) -> &'static [&'static str] {
            &["argv"]
        }

        fn services(&self) -> &'static [&'static str] {
            &["voice", "image"]
        }

        fn is_paid(&self) -> bool {
            false
        }

        fn read(&self, section: &mut Section<'_>) -> Option<KindConfig> {
            let argv = section.texts("argv").or_else(|| section.wrong("argv", "a list of texts"))?;
            Some(KindConfig { settings: Settings::new(argv), ..KindConfig::default() })
        }
    }

    fn parse(text: &str, kinds: &Kinds) -> Result<Vec<ProviderConfig>, String> {
        Config::parse(text, kinds).map(|config| config.providers).map_err(|error| error.to_string())
    }

    #[test]
    fn each_kind_reads_its_own_keys_and_no_other_ones() {
        let kinds: &Kinds = &[&Openai, &Echo];
        let text = "[providers.x]\nkind='echo'\nargv=['echo','hi']\nservices=['voice']\n[providers.y]\nkind='openai'";
        let providers = parse(text, kinds).unwrap();
        let [echo, openai] = &providers[..] else { panic!("{providers:?}") };
        assert_eq!(echo.own.settings.get::<Vec<String>>().map(Vec::len), Some(2));
        assert_eq!((echo.kind, echo.is_paid, &echo.own.remote), ("echo", false, &None));
        assert_eq!(
            (&echo.services[..], &openai.services[..]),
            (&["voice".to_owned()][..], &["image".to_owned()][..])
        );
        for (text, part) in [
            ("kind='echo'\nargv=['a']\nbase_url='x'", "unknown key providers.x.base_url"),
            ("kind='openai'\nargv=['a']", "unknown key providers.x.argv"),
            ("kind='echo'", "providers.x.argv must be a list of texts"),
            ("kind='echo'\nargv=['a', 7]", "providers.x.argv must be a list of texts"),
            ("kind='echo'\nargv=['a']\nservices=[]", "services must be a list of \"voice\", \"image\""),
            ("kind='other'", "providers.x.kind must be \"openai\" or \"echo\""),
        ] {
            let error = parse(&format!("[providers.x]\n{text}"), kinds).unwrap_err();
            assert!(error.contains(part), "{text}\n{error}");
        }
    }

    #[test]
    fn a_section_says_everything_or_only_its_kind() {
        let text = "[providers.studio]\nkind = 'openai'\nbase_url = 'http://localhost:8080/v1/'\n\
                    api_key = { env = 'STUDIO_KEY' }\nmodel = 'm'\nservices = ['image']\nmax_concurrent = 5\n\
                    requests_per_minute = 60\nrank = 1\nbilling = 'free'\n[providers.other]\nkind = 'openai'\n";
        let providers = parse(text, &[&Openai]).unwrap();
        let [studio, other] = &providers[..] else { panic!("{providers:?}") };
        let remote = |provider: &ProviderConfig| provider.own.remote.clone().unwrap();
        assert_eq!(
            (studio.name.as_str(), remote(studio).base_url.as_str()),
            ("studio", "http://localhost:8080/v1")
        );
        assert_eq!(remote(studio).api_key, Some(SecretSource::Env("STUDIO_KEY".into())));
        assert_eq!((studio.max_concurrent, studio.requests_per_minute), (5, Some(60)));
        assert_eq!((studio.rank, studio.is_paid, studio.model.as_deref()), (1, false, Some("m")));
        assert_eq!(
            (remote(other).base_url.as_str(), other.is_paid, remote(other).api_key),
            (ADDRESS, true, None)
        );
        assert_eq!((other.max_concurrent, other.requests_per_minute, other.rank), (3, None, 100));
    }

    #[test]
    fn each_mistake_is_told_without_its_value() {
        let cases = [
            ("[providers]\nx = 1", "providers.x must be a section"),
            ("[providers.Big]\nkind='openai'", "Big is no name for a provider"),
            ("[providers.draft]\nkind='openai'", "draft is the name of the embedded provider"),
            ("[providers.ffmpeg]\nkind='openai'", "ffmpeg is the name of the embedded provider"),
            ("[providers.x]", "providers.x.kind is missing"),
            ("[providers.x]\nkind='stability'", "stability is not in this version"),
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
            let error = parse(text, &[&Openai]).unwrap_err();
            assert!(error.contains(part) && !error.contains("SECRET"), "{text}\n{error}");
        }
    }
}
