//! Checks a parsed file against the table of keys, and collects all problems.
//!
//! Messages never show a source line, and name a value by its type only, because either may contain a secret.

use std::path::PathBuf;

use reel_protocol::is_unprintable;
use toml::{
    Spanned,
    de::{DeString, DeTable, DeValue},
};

use super::{
    Config, Kinds, Problem,
    keys::{self, Field, Key},
};

/// Longest unknown key that a message repeats in full, in characters. A longer one is not a typing error, and may be a secret in the wrong place.
const SHOWN_KEY_CHARS: usize = 40;
/// The most problems that are reported at once.
const MAX_PROBLEMS: usize = 50;

/// Returns the settings of the text, or all problems.
pub(super) fn parse(text: &str, directory: PathBuf, kinds: &Kinds) -> Result<Config, Vec<Problem>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut walk = Walk {
        text,
        directory,
        kinds,
        config: Config::default(),
        problems: Vec::new(),
        watermark_offset: Some(0),
    };
    for error in &errors {
        walk.report(error.span().map_or(text.len(), |span| span.start), error.message().to_owned());
    }
    // If the syntax is wrong, the recovered table is a guess, and further problems would only be about the guess.
    if errors.is_empty() {
        walk.sections(table.get_ref());
        walk.watermarks();
    }
    let Walk { mut config, mut problems, .. } = walk;
    config.providers.sort_by(|one, other| (one.rank, &one.name).cmp(&(other.rank, &other.name)));
    if problems.is_empty() {
        return Ok(config);
    }
    problems.sort();
    problems.dedup();
    problems.truncate(MAX_PROBLEMS);
    Err(problems)
}

pub(super) struct Walk<'a> {
    text: &'a str,
    /// The directory of the file, to which paths are relative.
    pub(super) directory: PathBuf,
    pub(super) kinds: &'a Kinds,
    pub(super) config: Config,
    problems: Vec<Problem>,
    /// The byte offset of the last watermark in the file, for the problem that concerns all three. None once one of them is wrong by itself.
    watermark_offset: Option<usize>,
}

impl Walk<'_> {
    pub(super) fn report(&mut self, offset: usize, message: String) {
        self.problems.push(Problem::at(self.text, offset, message));
    }

    fn sections(&mut self, file: &DeTable<'_>) {
        let (mut providers, mut defaults) = (None, None);
        // The rates are read first, because prices are converted by them.
        if let Some(DeValue::Table(rates)) = file.get(keys::RATES).map(Spanned::get_ref) {
            self.rates(rates);
        }
        for (key, value) in file {
            let (name, offset) = (key.get_ref().as_ref(), key.span().start);
            if keys::LATER_SECTIONS.contains(&name) {
                self.report(offset, format!("{name} is not in this version"));
            } else if !keys::is_section(name) {
                self.unknown(None, key);
            } else if let DeValue::Table(section) = value.get_ref() {
                if name == keys::PROVIDERS {
                    self.providers(section);
                    providers = Some(section);
                    continue;
                }
                if name == keys::RATES {
                    continue;
                }
                if name == keys::DEFAULTS {
                    defaults = Some(section);
                    continue;
                }
                for (key, value) in section {
                    self.key(name, key, value);
                }
            } else {
                let kind = kind_of(value.get_ref());
                self.report(offset, format!("{name} must be a section, [{name}], not {kind}"));
            }
        }
        if let Some(defaults) = defaults {
            self.defaults(defaults, providers);
        }
    }

    fn key(&mut self, section: &str, name: &Spanned<DeString<'_>>, value: &Spanned<DeValue<'_>>) {
        let path = format!("{section}.{}", name.get_ref());
        if let Some((unused, _)) = keys::UNUSED.iter().find(|(unused, _)| *unused == path) {
            self.config.unused.push(unused);
            return;
        }
        let Some(key) = keys::find(&path) else {
            self.unknown(Some(section), name);
            return;
        };
        let applied = apply(key, value.get_ref(), &mut self.config);
        if let Field::Fraction { .. } = key.field {
            let last = |offset: usize| applied.is_ok().then_some(offset.max(name.span().start));
            self.watermark_offset = self.watermark_offset.and_then(last);
        }
        if let Err(wrong) = applied {
            self.report(value.span().start, format!("{} must be {wrong}", key.path));
        }
    }

    fn unknown(&mut self, section: Option<&str>, name: &Spanned<DeString<'_>>) {
        let path = match section {
            Some(section) => format!("{section}.{}", shown(name.get_ref())),
            None => shown(name.get_ref()),
        };
        let hint = keys::nearest(section, name.get_ref());
        let hint = hint.map_or_else(String::new, |nearest| format!("; did you mean {nearest}?"));
        self.report(name.span().start, format!("unknown key {path}{hint}"));
    }

    /// Checks that the three watermarks rise. If one is wrong by itself, this is not checked, because its default is in its place.
    fn watermarks(&mut self) {
        let Some(offset) = self.watermark_offset else { return };
        let memory = &self.config.memory;
        if memory.low >= memory.high || memory.high >= memory.critical {
            let message = format!(
                "memory.low < memory.high < memory.critical must hold, not {} < {} < {}",
                memory.low, memory.high, memory.critical
            );
            self.report(offset, message);
        }
    }
}

/// Stores the value, or returns a description of what it must be instead.
fn apply(key: &Key, value: &DeValue<'_>, config: &mut Config) -> Result<(), String> {
    match &key.field {
        Field::Whole { range, set, .. } => {
            let wanted = || format!("a whole number from {} to {}", range.start(), range.end());
            let DeValue::Integer(number) = value else {
                return Err(format!("{}, not {}", wanted(), kind_of(value)));
            };
            match u64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) if range.contains(&number) => set(config, number),
                _ => return Err(format!("{}, not {}", wanted(), shown_number(number.as_str()))),
            }
        }
        Field::Fraction { range, place, .. } => {
            let wanted = || format!("a number from {} to {}", range.start(), range.end());
            let text = match value {
                DeValue::Float(number) => number.as_str(),
                DeValue::Integer(number) => number.as_str(),
                _ => return Err(format!("{}, not {}", wanted(), kind_of(value))),
            };
            match text.parse() {
                Ok(number) if range.contains(&number) => *place(config) = number,
                _ => return Err(format!("{}, not {}", wanted(), shown_number(text))),
            }
        }
        Field::Text { shape, is_valid, set, .. } => match value {
            DeValue::String(text) if is_valid(text) => set(config, text),
            DeValue::String(_) => return Err((*shape).to_owned()),
            _ => return Err(format!("{shape}, not {}", kind_of(value))),
        },
    }
    Ok(())
}

/// Returns a number for a message. A longer one is only described, because it may be a secret that consists of digits.
pub(super) fn shown_number(text: &str) -> &str {
    if text.len() <= 12 { text } else { "a number of that many digits" }
}

/// Returns an unknown key for a message: without characters that could break a line, and shortened if it is longer than any key.
pub(super) fn shown(name: &str) -> String {
    let clean = |c: char| if is_unprintable(c) { '?' } else { c };
    if name.chars().count() <= SHOWN_KEY_CHARS {
        return name.chars().map(clean).collect();
    }
    let start: String = name.chars().take(4).map(clean).collect();
    format!("{start}… (too long for a key)")
}

pub(super) fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a section",
    }
}
