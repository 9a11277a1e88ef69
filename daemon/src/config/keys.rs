//! The table of all keys: path, type of the value, allowed range, and the field of [`Config`].

use std::ops::RangeInclusive;

use super::Config;
use crate::{
    logging,
    nearest::{self, nearest_of},
};

/// A key of the file.
pub(super) struct Key {
    /// The section and the name, separated by a dot.
    pub path: &'static str,
    /// The type of the value and its field in [`Config`].
    pub field: Field,
}

/// A type of value, with functions that read and write its field in [`Config`].
pub(super) enum Field {
    /// A whole number within a range.
    Whole { range: RangeInclusive<u64>, get: fn(&Config) -> u64, set: fn(&mut Config, u64) },
    /// A number within a range.
    Fraction { range: RangeInclusive<f64>, place: fn(&mut Config) -> &mut f64, get: fn(&Config) -> f64 },
    /// A text for which `is_valid` holds. `shape` describes such texts in messages.
    Text {
        shape: &'static str,
        is_valid: fn(&str) -> bool,
        get: fn(&Config) -> &str,
        set: fn(&mut Config, &str),
    },
}

impl Field {
    /// Whether the two configurations have different values of this key.
    pub fn differs(&self, one: &Config, other: &Config) -> bool {
        match self {
            Self::Whole { get, .. } => get(one) != get(other),
            // Compares bits, because NaN differs from itself. The parser accepts no NaN.
            Self::Fraction { get, .. } => get(one).to_bits() != get(other).to_bits(),
            Self::Text { get, .. } => get(one) != get(other),
        }
    }
}

/// Sections that a later version will use. They are refused, because ignoring them silently would be worse.
pub(super) const LATER_SECTIONS: &[&str] = &["budget"];

/// The section whose keys are names that the user chose. The file `provider` reads it.
pub(super) const PROVIDERS: &str = "providers";

/// The section whose keys are services. The file `defaults` reads it.
pub(super) const DEFAULTS: &str = "defaults";

/// The section whose keys are currencies. The file `price` reads it.
pub(super) const RATES: &str = "rates";

macro_rules! whole {
    ($section:ident . $name:ident, $range:expr) => {
        Key {
            path: concat!(stringify!($section), ".", stringify!($name)),
            field: Field::Whole {
                range: $range,
                get: |config| config.$section.$name.into(),
                // The value is within the range, and a test checks that both ends of each range fit the field's type.
                set: |config, value| config.$section.$name = value.try_into().unwrap_or_default(),
            },
        }
    };
}

macro_rules! fraction {
    ($section:ident . $name:ident, $range:expr) => {
        Key {
            path: concat!(stringify!($section), ".", stringify!($name)),
            field: Field::Fraction {
                range: $range,
                place: |config| &mut config.$section.$name,
                get: |config| config.$section.$name,
            },
        }
    };
}

/// Largest size in MiB: 1 TiB. A larger number was probably meant in bytes.
const MAX_MB: u64 = 1024 * 1024;

/// Every key that a file may contain.
pub(super) static KEYS: &[Key] = &[
    whole!(tasks.max_concurrent, 1..=1000),
    whole!(tasks.history, 0..=10_000_000),
    whole!(tasks.queue_limit, 1..=10_000_000),
    whole!(tasks.default_attempts, 1..=100),
    whole!(memory.limit_mb, 64..=MAX_MB),
    fraction!(memory.low, 0.05..=1.0),
    fraction!(memory.high, 0.05..=1.0),
    fraction!(memory.critical, 0.05..=1.0),
    whole!(memory.system_min_available_mb, 0..=MAX_MB),
    whole!(memory.poll_ms, 100..=60_000),
    whole!(cache.memory_mb, 0..=MAX_MB),
    whole!(cache.max_item_mb, 1..=MAX_MB),
    whole!(cache.disk_mb, 16..=64 * MAX_MB),
    whole!(http.per_host, 1..=1_000),
    whole!(http.keep_alive_s, 0..=3_600),
    whole!(http.connect_s, 1..=600),
    whole!(http.first_byte_s, 1..=86_400),
    whole!(http.read_s, 1..=3_600),
    whole!(http.total_s, 1..=86_400),
    whole!(http.fetch_s, 0..=3_600),
    whole!(http.loading_s, 1..=86_400),
    Key {
        path: "log.filter",
        field: Field::Text {
            shape: "a level (off, error, warn, info, debug, trace) or target=level parts with commas between",
            is_valid: |text| logging::parse_filter(text).is_ok(),
            get: |config| &config.log.filter,
            set: |config, text| text.clone_into(&mut config.log.filter),
        },
    },
    whole!(log.max_mb, 1..=10_240),
];

/// Keys that an earlier version used, and what to set instead. Any value of them is accepted with a warning.
pub(super) const UNUSED: &[(&str, &str)] = &[
    ("http.pool", "tasks.max_concurrent and providers.NAME.max_concurrent say how many calls are under way"),
    ("http.dns_ttl_s", "the system's resolver decides how long an address is remembered"),
];

/// Finds the key with this path.
pub(super) fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// Whether this version has a section with this name.
pub(super) fn is_section(name: &str) -> bool {
    [PROVIDERS, DEFAULTS, RATES].contains(&name) || KEYS.iter().any(|key| section_of(key) == name)
}

fn section_of(key: &'static Key) -> &'static str {
    key.path.split_once('.').map_or(key.path, |(section, _)| section)
}

/// Suggests the key that was probably meant by an unknown one: a similar name in the same section, else the same or a similar name in another one.
pub(super) fn nearest(section: Option<&str>, name: &str) -> Option<&'static str> {
    let names = |key: &'static Key| key.path.split_once('.').unwrap_or(("", key.path));
    if let Some(section) = section {
        let siblings = KEYS.iter().map(names).filter(|(other, _)| *other == section).map(|(_, name)| name);
        return nearest::nearest(name, siblings)
            .or_else(|| nearest_of(name, KEYS.iter().map(|key| (names(key).1, key.path))));
    }
    let sections = KEYS.iter().map(|key| (section_of(key), section_of(key)));
    let others =
        LATER_SECTIONS.iter().chain([&PROVIDERS, &DEFAULTS, &RATES]).map(|section| (*section, *section));
    nearest_of(name, sections.chain(others).chain(KEYS.iter().map(|key| (names(key).1, key.path))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_of_every_range_fit_their_field() {
        for key in KEYS {
            let mut config = Config::default();
            match &key.field {
                Field::Whole { range, get, set } => {
                    for value in [*range.start(), *range.end()] {
                        set(&mut config, value);
                        assert_eq!(get(&config), value, "{}", key.path);
                    }
                    assert!(range.contains(&get(&Config::default())), "{}", key.path);
                }
                Field::Fraction { range, place, get } => {
                    *place(&mut config) = 0.123;
                    assert_eq!(get(&config).to_bits(), 0.123_f64.to_bits(), "{}", key.path);
                    assert!(range.contains(&get(&Config::default())), "{}", key.path);
                }
                Field::Text { is_valid, get, set, .. } => {
                    set(&mut config, "debug");
                    assert_eq!(get(&config), "debug", "{}", key.path);
                    assert!(is_valid(get(&Config::default())), "{}", key.path);
                }
            }
        }
    }

    #[test]
    fn a_slip_finds_its_key_and_another_word_none() {
        let cases = [
            (Some("tasks"), "max_concurent", Some("max_concurrent")),
            (Some("tasks"), "limit_mb", Some("memory.limit_mb")),
            (Some("memory"), "hihg", Some("high")),
            (Some("memory"), "api_key", None),
            (None, "task", Some("tasks")),
            (None, "memroy", Some("memory")),
            (None, "provider", Some("providers")),
            (None, "max_concurrent", Some("tasks.max_concurrent")),
            (None, "x", None),
        ];
        for (section, name, wanted) in cases {
            assert_eq!(nearest(section, name), wanted, "{section:?} {name}");
        }
    }
}
