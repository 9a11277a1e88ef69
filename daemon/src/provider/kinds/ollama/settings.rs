//! The keys of a section `[providers.NAME]` that only this kind has.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::config::Section;

/// What `keep_alive` must be.
const KEEP_ALIVE: &str = "a number of seconds, or a duration such as \"10m\"; -1 means for ever";
/// What `options` must be.
const OPTIONS: &str = "a table of Ollama's options, such as { num_ctx = 8192 }";

/// The values of the kind's own keys.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct OllamaSettings {
    /// How long the server keeps the model in memory after the request; None for the server's own setting.
    pub keep_alive: Option<KeepAlive>,
    /// Whether and how much a model thinks before it answers; None for the model's own setting.
    pub think: Option<Think>,
    /// The options of every request, such as `num_ctx`.
    pub options: Map<String, Value>,
    /// Whether a model that the server does not have is pulled before the request.
    pub is_pulled: bool,
}

/// A number of seconds, or a duration such as `10m`. A negative one means for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum KeepAlive {
    Seconds(i64),
    Text(String),
}

/// The value of the field `think`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Think {
    Flag(bool),
    Level(Level),
}

/// How much a model thinks that has levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    Low,
    Medium,
    High,
}

impl OllamaSettings {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let keep_alive = section.shaped("keep_alive", KEEP_ALIVE);
        let is_valid = |keep: &KeepAlive| match keep {
            KeepAlive::Seconds(_) => true,
            KeepAlive::Text(text) => is_duration(text),
        };
        if keep_alive.as_ref().is_some_and(|keep| !is_valid(keep)) {
            section.wrong::<()>("keep_alive", KEEP_ALIVE);
        }
        let options: Option<Map<String, Value>> = section.shaped("options", OPTIONS);
        if options.iter().flat_map(Map::values).any(|value| value.is_object() || value.is_null()) {
            section.wrong::<()>("options", OPTIONS);
        }
        Self {
            keep_alive,
            think: section.shaped("think", "true, false, \"low\", \"medium\" or \"high\""),
            options: options.unwrap_or_default(),
            is_pulled: section.shaped("pull", "true or false").unwrap_or(false),
        }
    }

    /// Returns the text by which cache keys differ between settings that change answers. Empty for the defaults.
    pub(super) fn key(&self) -> String {
        let think = self.think.as_ref().map(|think| format!(" think={think:?}")).unwrap_or_default();
        let options = Value::Object(self.options.clone());
        let options = if self.options.is_empty() { String::new() } else { format!(" options={options}") };
        think + &options
    }
}

/// Whether a text is a duration as Go writes it: numbers, each followed by a unit, such as `1h30m`, perhaps after a sign.
fn is_duration(text: &str) -> bool {
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return true;
    }
    while !rest.is_empty() {
        let number = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let is_number = rest.get(..rest.len() - number.len()).is_some_and(|text| text.parse::<f64>().is_ok());
        let unit =
            ["ms", "us", "µs", "ns", "h", "m", "s"].into_iter().find_map(|unit| number.strip_prefix(unit));
        let Some(after) = unit.filter(|_| is_number) else { return false };
        rest = after;
    }
    !text.trim_start_matches(['-', '+']).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_go() {
        for text in ["5m", "-1m", "1h30m", "0", "2.5s", "100ms"] {
            assert!(is_duration(text), "{text}");
        }
        for text in ["", "5", "m", "5 m", "five minutes", "-", "1d", "..s"] {
            assert!(!is_duration(text), "{text}");
        }
    }
}
