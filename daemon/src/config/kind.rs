//! What a kind of provider tells this room about its sections, so that a new kind changes no file here.

use std::{any::Any, fmt, sync::Arc, time::Duration};

use reqwest::Url;

use super::Section;
use crate::{near::is_near_url, secret::SecretSource};

/// The kinds that a file may name. The table is `provider::KINDS`; whoever reads a file hands it in.
pub type Kinds = [&'static dyn KindSection];

/// A kind's own part of `[providers.NAME]`.
pub trait KindSection: fmt::Debug + Send + Sync {
    /// As it is written behind `kind`.
    fn name(&self) -> &'static str;

    /// The keys that this kind reads beside those of every provider.
    fn keys(&self) -> &'static [&'static str];

    /// The services that it can serve. The first one is served where the section names none.
    fn services(&self) -> &'static [&'static str];

    /// Whether asking twice may pay twice where the section does not say so.
    fn is_paid(&self) -> bool;

    /// Reads the kind's own keys. None where one that is needed is missing or does not fit, which the section has a complaint about.
    fn read(&self, section: &mut Section<'_>) -> Option<KindConfig>;
}

/// What a kind has read of its section.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct KindConfig {
    /// Where a service on the network is reached; None for kinds that reach none.
    pub remote: Option<RemoteConfig>,
    /// The services that the section serves where it names none; None for the first one of the kind.
    pub services: Option<Vec<String>>,
    /// What holds and is better done otherwise, as sentences that follow the section's name.
    pub warnings: Vec<String>,
    /// What only this kind knows of.
    pub settings: Settings,
}

impl From<RemoteConfig> for KindConfig {
    fn from(remote: RemoteConfig) -> Self {
        Self { remote: Some(remote), ..Self::default() }
    }
}

/// How a service on the network is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteConfig {
    /// The service's address, up to the version: `https://api.openai.com/v1`. Without a slash at the end.
    pub base_url: Url,
    /// None for servers that ask for no key.
    pub api_key: Option<SecretSource>,
    /// How long a job may take that the service carries out by itself, from its submission on.
    pub job_timeout: Duration,
}

impl RemoteConfig {
    /// Whether the service runs on this machine or in its private network: then its files may be there too.
    pub fn is_local(&self) -> bool {
        is_near_url(&self.base_url)
    }
}

/// The values of a kind's own keys, in a type that only the kind knows.
#[derive(Clone)]
pub struct Settings(Arc<dyn Values>);

/// Values that can be told from others: a reload makes a provider anew only where they differ.
trait Values: Any + fmt::Debug + Send + Sync {
    fn is_equal(&self, other: &dyn Any) -> bool;
}

impl<T: Any + fmt::Debug + Send + Sync + PartialEq> Values for T {
    fn is_equal(&self, other: &dyn Any) -> bool {
        other.downcast_ref::<T>().is_some_and(|other| self == other)
    }
}

impl Settings {
    /// Holds these values.
    pub fn new(values: impl Any + fmt::Debug + Send + Sync + PartialEq) -> Self {
        Self(Arc::new(values))
    }

    /// The values, if they are of this type.
    pub fn get<T: Any>(&self) -> Option<&T> {
        let values: &dyn Any = &*self.0;
        values.downcast_ref()
    }
}

impl Default for Settings {
    /// For kinds without keys of their own.
    fn default() -> Self {
        Self::new(())
    }
}

impl PartialEq for Settings {
    fn eq(&self, other: &Self) -> bool {
        self.0.is_equal(&*other.0)
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_equal_where_their_values_are() {
        let text = |text: &str| Settings::new(text.to_owned());
        assert_eq!(text("a"), text("a"));
        assert_ne!(text("a"), text("b"));
        assert_ne!(text("a"), Settings::default());
        assert_eq!(
            (text("a").get::<String>().map(String::as_str), text("a").get::<u32>()),
            (Some("a"), None)
        );
    }
}
