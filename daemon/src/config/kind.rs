//! The interface by which a kind of provider reads its own keys, so that a new kind changes no file of this room.

use std::{any::Any, fmt, sync::Arc, time::Duration};

use reqwest::Url;

use super::Section;
use crate::{
    near::{is_near_url, is_this_machine},
    secret::SecretSource,
};

/// The kinds that a file may name. The table is `provider::KINDS`; the caller that reads a file passes it in.
pub type Kinds = [&'static dyn KindSection];

/// How a kind reads its own part of `[providers.NAME]`.
pub trait KindSection: fmt::Debug + Send + Sync {
    /// Returns the name of the kind, which is the value of the key `kind`.
    fn name(&self) -> &'static str;

    /// Returns the keys that this kind reads in addition to those of every provider.
    fn keys(&self) -> &'static [&'static str];

    /// Returns the services that the kind can serve. A section that names no services serves the first one.
    fn services(&self) -> &'static [&'static str];

    /// Whether a second request may be charged again, if the section does not say so.
    fn is_paid(&self) -> bool;

    /// Returns the most attempts in flight at once, if the section does not say so. The default is the number that services allow small accounts.
    fn max_concurrent(&self) -> u32 {
        3
    }

    /// Reads the kind's own keys. None if a required key is missing or a value does not fit; `section` then has the complaint.
    fn read(&self, section: &mut Section<'_>) -> Option<KindConfig>;
}

/// The values that a kind has read from its section.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct KindConfig {
    /// The connection to a service on the network. None for kinds that use none.
    pub remote: Option<RemoteConfig>,
    /// The services of a section that names none. None for the first service of the kind.
    pub services: Option<Vec<String>>,
    /// Warnings about valid settings that could be better. Each is a sentence that follows the name of the section.
    pub warnings: Vec<String>,
    /// The settings that only the kind knows.
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
    /// The service's address up to the version, such as `https://api.openai.com/v1`. It has no slash at the end.
    pub base_url: Url,
    /// The source of the API key. None for servers that need no key.
    pub api_key: Option<SecretSource>,
    /// The longest time that a job at the service may take, counted from its submission.
    pub job_timeout: Duration,
}

impl RemoteConfig {
    /// Whether the service runs on this machine or in its private network. If so, result files may be fetched from such addresses too.
    pub fn is_local(&self) -> bool {
        is_near_url(&self.base_url)
    }

    /// Whether the service runs on this machine, from its address alone.
    pub fn is_here(&self) -> bool {
        is_this_machine(&self.base_url)
    }
}

/// The values of a kind's own keys, in a type that only the kind knows.
#[derive(Clone)]
pub struct Settings(Arc<dyn Values>);

/// Values that can be compared. A reload creates a provider anew only if its values differ.
trait Values: Any + fmt::Debug + Send + Sync {
    fn is_equal(&self, other: &dyn Any) -> bool;
}

impl<T: Any + fmt::Debug + Send + Sync + PartialEq> Values for T {
    fn is_equal(&self, other: &dyn Any) -> bool {
        other.downcast_ref::<T>().is_some_and(|other| self == other)
    }
}

impl Settings {
    /// Wraps these values.
    pub fn new(values: impl Any + fmt::Debug + Send + Sync + PartialEq) -> Self {
        Self(Arc::new(values))
    }

    /// Returns the values if they are of this type.
    pub fn get<T: Any>(&self) -> Option<&T> {
        let values: &dyn Any = &*self.0;
        values.downcast_ref()
    }
}

impl Default for Settings {
    /// Returns the settings of kinds without keys of their own.
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
