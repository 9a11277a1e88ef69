//! The section `[defaults]`: the preferred provider of each service, for requests that name none.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

use super::walk::{Walk, kind_of, shown};
use crate::nearest::nearest;

/// The services that may be keys of the section.
const SERVICES: [&str; 4] = ["image", "text", "voice", "video"];

/// The embedded providers, which may exist without a section of the configuration.
const EMBEDDED: [&str; 2] = ["draft", "espeak-ng"];

impl Walk<'_> {
    /// Reads the section. The providers that it names must have been read before.
    pub(super) fn defaults(&mut self, section: &DeTable<'_>, providers: Option<&DeTable<'_>>) {
        let names: Vec<&str> =
            providers.into_iter().flatten().map(|(name, _)| name.get_ref().as_ref()).collect();
        let mut defaults = BTreeMap::new();
        for (service, value) in section {
            let key = service.get_ref().as_ref();
            if !SERVICES.contains(&key) {
                let near = nearest(key, SERVICES);
                let hint = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
                self.report(service.span().start, format!("unknown key defaults.{}{hint}", shown(key)));
                continue;
            }
            let DeValue::String(name) = value.get_ref() else {
                let kind = kind_of(value.get_ref());
                self.report(
                    value.span().start,
                    format!("defaults.{key} must be a provider's name, not {kind}"),
                );
                continue;
            };
            let known = names.iter().copied().chain(EMBEDDED);
            if !known.clone().any(|known| known == name) {
                let near = nearest(name, known);
                let hint = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
                self.report(
                    value.span().start,
                    format!("defaults.{key} names no provider of this file{hint}"),
                );
                continue;
            }
            let provider = self.config.providers.iter().find(|provider| provider.name == **name);
            if provider.is_some_and(|provider| !provider.services.iter().any(|served| served == key)) {
                let message = format!("defaults.{key} names {name}, which is not configured for {key}");
                self.report(value.span().start, message);
                continue;
            }
            defaults.insert(key.to_owned(), name.to_string());
        }
        self.config.defaults = defaults;
    }
}
