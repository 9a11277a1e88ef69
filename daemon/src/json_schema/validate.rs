//! Checks a value against a schema whose keywords are supported. The work is bounded for any schema and value.

use std::{collections::HashSet, fmt};

use serde_json::Value;

use super::{escaped, referred};
use crate::canonical_json::canonical;

/// Most levels of values and references that are followed. JSON of a service may not nest as deep.
const MAX_DEPTH: usize = 200;
/// Most schemas that are applied during one check. Without a limit, nested alternatives would multiply.
const MAX_STEPS: u32 = 1_000_000;
/// The reason when a limit is reached.
const EXHAUSTED: &str = "the schema has too many alternatives or references to be checked";
/// Longest value that is shown in a message, in characters.
const SHOWN_CHARS: usize = 60;

/// The place where a value violates a schema, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The JSON pointer of the place in the value. Empty for the whole value.
    pub pointer: String,
    /// How the value breaks the schema, as the end of a sentence.
    pub reason: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pointer, reason } = self;
        if pointer.is_empty() { write!(f, "{reason}") } else { write!(f, "{pointer}: {reason}") }
    }
}

/// Checks a value against a schema. Returns the first violation.
pub(super) fn validate(schema: &Value, value: &Value) -> Result<(), Violation> {
    let mut validator = Validator { root: schema, steps: 0, is_exhausted: false };
    let found = validator.schema(schema, value, At { pointer: "", depth: 0 });
    // No answer of an alternative counts once a limit is reached.
    if validator.is_exhausted { Err(At { pointer: "", depth: 0 }.breaks(EXHAUSTED)) } else { found }
}

struct Validator<'a> {
    root: &'a Value,
    steps: u32,
    /// Whether a limit was reached. Every further check fails, and the whole value counts as not checked.
    is_exhausted: bool,
}

/// A place in the value, and the number of values and references above it.
#[derive(Clone, Copy)]
struct At<'a> {
    pointer: &'a str,
    depth: usize,
}

impl At<'_> {
    fn breaks(self, reason: impl Into<String>) -> Violation {
        Violation { pointer: self.pointer.to_owned(), reason: reason.into() }
    }
}

impl Validator<'_> {
    fn schema(&mut self, schema: &Value, value: &Value, at: At<'_>) -> Result<(), Violation> {
        self.steps += 1;
        self.is_exhausted |= self.steps > MAX_STEPS || at.depth > MAX_DEPTH;
        if self.is_exhausted {
            return Err(at.breaks(EXHAUSTED));
        }
        let keywords = match schema {
            Value::Bool(false) => return Err(at.breaks("nothing may be here")),
            Value::Object(keywords) => keywords,
            _ => return Ok(()),
        };
        keywords.iter().try_for_each(|(name, wanted)| match name.as_str() {
            "properties" | "required" | "additionalProperties" | "minProperties" | "maxProperties" => {
                self.object(name, (schema, wanted), value, at)
            }
            "items" | "prefixItems" | "minItems" | "maxItems" | "uniqueItems" => {
                self.list(name, (schema, wanted), value, at)
            }
            "allOf" | "anyOf" | "oneOf" | "not" | "$ref" => self.combined(name, wanted, value, at),
            _ => plain(name, wanted, value).map_or(Ok(()), |reason| Err(at.breaks(reason))),
        })
    }

    fn inside(&mut self, schema: &Value, value: &Value, name: &str, at: At<'_>) -> Result<(), Violation> {
        let pointer = format!("{}/{}", at.pointer, escaped(name));
        self.schema(schema, value, At { pointer: &pointer, depth: at.depth + 1 })
    }

    fn object(
        &mut self,
        name: &str,
        (schema, wanted): (&Value, &Value),
        value: &Value,
        at: At<'_>,
    ) -> Result<(), Violation> {
        let Some(fields) = value.as_object() else { return Ok(()) };
        match name {
            "properties" => {
                for (field, schema) in wanted.as_object().into_iter().flatten() {
                    if let Some(value) = fields.get(field) {
                        self.inside(schema, value, field, at)?;
                    }
                }
            }
            "required" => {
                let mut names = wanted.as_array().into_iter().flatten().filter_map(Value::as_str);
                if let Some(missing) = names.find(|name| !fields.contains_key(*name)) {
                    return Err(at.breaks(format!("{missing} is missing")));
                }
            }
            "additionalProperties" => {
                let known = schema.get("properties");
                for (field, value) in fields {
                    if known.is_some_and(|known| known.get(field).is_some()) {
                        continue;
                    }
                    if *wanted == Value::Bool(false) {
                        return Err(
                            at.breaks(format!("{} may not be here", shown(&Value::from(field.as_str()))))
                        );
                    }
                    self.inside(wanted, value, field, at)?;
                }
            }
            _ => return within(name, wanted, fields.len(), "fields").map_err(|reason| at.breaks(reason)),
        }
        Ok(())
    }

    fn list(
        &mut self,
        name: &str,
        (schema, wanted): (&Value, &Value),
        value: &Value,
        at: At<'_>,
    ) -> Result<(), Violation> {
        let Some(items) = value.as_array() else { return Ok(()) };
        match name {
            "items" => {
                let first = schema.get("prefixItems").and_then(Value::as_array).map_or(0, Vec::len);
                for (index, item) in items.iter().enumerate().skip(first) {
                    self.inside(wanted, item, &index.to_string(), at)?;
                }
            }
            "prefixItems" => {
                let schemas = wanted.as_array().into_iter().flatten();
                for (index, (schema, item)) in schemas.zip(items).enumerate() {
                    self.inside(schema, item, &index.to_string(), at)?;
                }
            }
            "uniqueItems" => {
                let mut known = HashSet::new();
                if *wanted == Value::Bool(true) && !items.iter().all(|item| known.insert(canonical(item))) {
                    return Err(at.breaks("an item is there twice"));
                }
            }
            _ => return within(name, wanted, items.len(), "items").map_err(|reason| at.breaks(reason)),
        }
        Ok(())
    }

    fn combined(&mut self, name: &str, wanted: &Value, value: &Value, at: At<'_>) -> Result<(), Violation> {
        let schemas = wanted.as_array().map_or_else(|| std::slice::from_ref(wanted), Vec::as_slice);
        match name {
            "$ref" => {
                let target = wanted.as_str().and_then(|reference| referred(self.root, reference));
                let deeper = At { depth: at.depth + 1, ..at };
                target.map_or(Ok(()), |schema| self.schema(schema, value, deeper))
            }
            "allOf" => schemas.iter().try_for_each(|schema| self.schema(schema, value, at)),
            "anyOf" => {
                let mut nearest: Option<Violation> = None;
                for schema in schemas {
                    match self.schema(schema, value, at) {
                        Ok(()) => return Ok(()),
                        // Report the alternative that matches to the greatest depth, because it says most.
                        Err(found) => {
                            nearest = Some(
                                nearest
                                    .filter(|near| near.pointer.len() >= found.pointer.len())
                                    .unwrap_or(found),
                            );
                        }
                    }
                }
                let reason = nearest.map(|found| found.to_string()).unwrap_or_default();
                Err(at.breaks(format!("it fits none of the alternatives ({reason})")))
            }
            "oneOf" => {
                let fitting = schemas.iter().filter(|schema| self.schema(schema, value, at).is_ok()).count();
                let found = format!("it fits {fitting} of the alternatives, and not one");
                if fitting == 1 { Ok(()) } else { Err(at.breaks(found)) }
            }
            _ => {
                let fits = self.schema(wanted, value, at).is_ok();
                if fits { Err(at.breaks("it is what it must not be")) } else { Ok(()) }
            }
        }
    }
}

/// Returns the violation of a keyword that does not apply to the parts of a value. None if the value fits.
fn plain(name: &str, wanted: &Value, value: &Value) -> Option<String> {
    let reason = |is_right: bool, reason: &dyn Fn() -> String| (!is_right).then(reason);
    match name {
        "type" => {
            let types = wanted.as_array().map_or_else(|| std::slice::from_ref(wanted), Vec::as_slice);
            let mut names = types.iter().filter_map(Value::as_str);
            let wanted = || format!("{} is not of the type {}", shown(value), names_of(types));
            reason(names.any(|name| is_of_type(value, name)), &wanted)
        }
        "enum" => {
            let values = wanted.as_array().map(Vec::as_slice).unwrap_or_default();
            let one_of = || format!("{} is not one of {}", shown(value), shown(wanted));
            reason(values.iter().any(|one| is_same(one, value)), &one_of)
        }
        "const" => reason(is_same(wanted, value), &|| format!("{} is not {}", shown(value), shown(wanted))),
        "minLength" | "maxLength" => {
            value.as_str().and_then(|text| within(name, wanted, text.chars().count(), "characters").err())
        }
        "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf" => {
            let (number, limit) = (value.as_f64()?, wanted.as_f64()?);
            let is_right = match name {
                "minimum" => number >= limit,
                "maximum" => number <= limit,
                "exclusiveMinimum" => number > limit,
                "exclusiveMaximum" => number < limit,
                _ => {
                    let parts = number / limit;
                    (parts - parts.round()).abs() <= f64::EPSILON * parts.abs().max(1.0)
                }
            };
            reason(is_right, &|| format!("{number} breaks {name} {limit}"))
        }
        _ => None,
    }
}

fn within(name: &str, wanted: &Value, count: usize, of_what: &str) -> Result<(), String> {
    let limit = wanted.as_u64().unwrap_or_default();
    let count = count as u64;
    let is_right = if name.starts_with("min") { count >= limit } else { count <= limit };
    if is_right { Ok(()) } else { Err(format!("{count} {of_what} break {name} {limit}")) }
}

fn is_of_type(value: &Value, name: &str) -> bool {
    match value {
        Value::Null => name == "null",
        Value::Bool(_) => name == "boolean",
        Value::Number(number) => {
            let is_whole = || number.as_f64().is_some_and(|number| number.fract() == 0.0);
            name == "number" || (name == "integer" && (number.is_i64() || number.is_u64() || is_whole()))
        }
        Value::String(_) => name == "string",
        Value::Array(_) => name == "array",
        Value::Object(_) => name == "object",
    }
}

fn names_of(types: &[Value]) -> String {
    types.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or ")
}

/// Returns whether two values are equal. 1 and 1.0 are equal.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other || one.as_f64() == other.as_f64(),
        (Value::Array(ones), Value::Array(others)) => {
            ones.len() == others.len() && ones.iter().zip(others).all(|(one, other)| is_same(one, other))
        }
        (Value::Object(ones), Value::Object(others)) => {
            let has =
                |(name, one): (&String, &Value)| others.get(name).is_some_and(|other| is_same(one, other));
            ones.len() == others.len() && ones.iter().all(has)
        }
        _ => one == other,
    }
}

/// Returns a value for a message, cut to [`SHOWN_CHARS`].
fn shown(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= SHOWN_CHARS {
        return text;
    }
    text.chars().take(SHOWN_CHARS).chain("…".chars()).collect()
}
