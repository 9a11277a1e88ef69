//! JSON Schema as far as services that write structured answers honour it: a schema is refused where a keyword of it could not be checked,
//! and a value is held against it. Pure.
//!
//! The dialect is draft 2020-12 without regular expressions, conditions and references to other documents (decision 078).

mod text;
mod validate;

use std::fmt;

use serde_json::Value;

pub use self::{text::json_of, validate::Violation};
use crate::nearest::nearest;

/// Keywords that hold one schema.
const WITH_SCHEMA: &[&str] = &["additionalProperties", "items", "not"];
/// Keywords that hold a list of schemas.
const WITH_SCHEMAS: &[&str] = &["allOf", "anyOf", "oneOf", "prefixItems"];
/// Keywords that hold schemas by name.
const WITH_NAMED_SCHEMAS: &[&str] = &["$defs", "definitions", "properties"];
/// Keywords that hold a count.
const WITH_COUNT: &[&str] =
    &["maxItems", "maxLength", "maxProperties", "minItems", "minLength", "minProperties"];
/// Keywords that hold a number.
const WITH_NUMBER: &[&str] = &["exclusiveMaximum", "exclusiveMinimum", "maximum", "minimum", "multipleOf"];
/// Keywords whose values are checked one by one.
const OTHERS: &[&str] = &["$ref", "const", "enum", "required", "type", "uniqueItems"];
/// Keywords that say something to people and models, and demand nothing.
const WITHOUT_DEMAND: &[&str] = &[
    "$comment",
    "$id",
    "$schema",
    "contentEncoding",
    "contentMediaType",
    "default",
    "deprecated",
    "description",
    "example",
    "examples",
    "format",
    "readOnly",
    "title",
    "writeOnly",
];
/// Keywords of the standard that are not checked here.
const UNCHECKED: &[&str] = &[
    "$anchor",
    "$dynamicRef",
    "additionalItems",
    "contains",
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
    "else",
    "if",
    "maxContains",
    "minContains",
    "pattern",
    "patternProperties",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
];
/// The types that a value can have.
const TYPES: &[&str] = &["array", "boolean", "integer", "null", "number", "object", "string"];

/// A schema every keyword of which can be checked.
#[derive(Debug, Clone, PartialEq)]
pub struct JsonSchema(Value);

/// Why a schema is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaFault {
    /// Where in the schema, as a JSON pointer; empty for the schema as a whole.
    pub pointer: String,
    /// What is wrong there.
    pub reason: String,
    /// What to do about it.
    pub hint: String,
}

impl fmt::Display for SchemaFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pointer, reason, .. } = self;
        if pointer.is_empty() { write!(f, "{reason}") } else { write!(f, "{reason} at {pointer}") }
    }
}

impl JsonSchema {
    /// Takes a schema every keyword of which can be checked.
    pub fn new(schema: Value) -> Result<Self, SchemaFault> {
        let checker = Checker { root: &schema };
        checker.schema(&schema, "")?;
        Ok(Self(schema))
    }

    /// Holds a value against the schema, and returns the first place at which it breaks it.
    pub fn validate(&self, value: &Value) -> Result<(), Violation> {
        validate::validate(&self.0, value)
    }
}

/// The part of a document that a reference within it names; None where it names none.
fn referred<'a>(root: &'a Value, reference: &str) -> Option<&'a Value> {
    // A fragment is percent-encoded; names of definitions that need it are not taken.
    root.pointer(reference.strip_prefix('#')?)
}

struct Checker<'a> {
    root: &'a Value,
}

impl Checker<'_> {
    fn schema(&self, schema: &Value, at: &str) -> Result<(), SchemaFault> {
        match schema {
            Value::Bool(_) => Ok(()),
            Value::Object(keywords) => keywords
                .iter()
                .try_for_each(|(name, value)| self.keyword(name, value, &format!("{at}/{}", escaped(name)))),
            _ => Err(fault(at, "a schema is an object, true or false", "such as {\"type\": \"string\"}")),
        }
    }

    fn keyword(&self, name: &str, value: &Value, at: &str) -> Result<(), SchemaFault> {
        let wants = |wanted: &str| fault(at, format!("{name} is not {wanted}"), "see json-schema.org");
        let is = |names: &[&str]| names.contains(&name);
        if is(WITHOUT_DEMAND) {
            return Ok(());
        }
        if is(WITH_SCHEMA) {
            return self.schema(value, at);
        }
        if is(WITH_SCHEMAS) {
            let schemas = value
                .as_array()
                .filter(|schemas| !schemas.is_empty())
                .ok_or_else(|| wants("a list of schemas"))?;
            return schemas
                .iter()
                .enumerate()
                .try_for_each(|(index, schema)| self.schema(schema, &format!("{at}/{index}")));
        }
        if is(WITH_NAMED_SCHEMAS) {
            let schemas = value.as_object().ok_or_else(|| wants("an object of schemas"))?;
            return schemas
                .iter()
                .try_for_each(|(name, schema)| self.schema(schema, &format!("{at}/{}", escaped(name))));
        }
        if is(WITH_COUNT) {
            return value.as_u64().map(drop).ok_or_else(|| wants("a whole number that is not negative"));
        }
        if is(WITH_NUMBER) {
            let number = value.as_f64().filter(|number| name != "multipleOf" || *number > 0.0);
            return number.map(drop).ok_or_else(|| wants("a number, or not above 0"));
        }
        match name {
            "$ref" => {
                let target = value.as_str().and_then(|reference| referred(self.root, reference));
                target.map(drop).ok_or_else(|| {
                    fault(
                        at,
                        format!("{value} is no part of this schema"),
                        "refer to #/$defs/NAME, and define NAME there",
                    )
                })
            }
            "const" => Ok(()),
            "enum" => value
                .as_array()
                .filter(|values| !values.is_empty())
                .map(drop)
                .ok_or_else(|| wants("a list of values")),
            "required" => {
                let names = value.as_array().is_some_and(|names| names.iter().all(Value::is_string));
                names.then_some(()).ok_or_else(|| wants("a list of names"))
            }
            "type" => {
                let types = value.as_array().map_or_else(|| std::slice::from_ref(value), Vec::as_slice);
                let is_type = |name: &Value| name.as_str().is_some_and(|name| TYPES.contains(&name));
                (!types.is_empty() && types.iter().all(is_type))
                    .then_some(())
                    .ok_or_else(|| wants(&format!("one of {}", TYPES.join(", "))))
            }
            "uniqueItems" => value.is_boolean().then_some(()).ok_or_else(|| wants("true or false")),
            _ => Err(unknown(name, at)),
        }
    }
}

fn unknown(name: &str, at: &str) -> SchemaFault {
    if UNCHECKED.contains(&name) {
        return fault(
            at,
            format!("the keyword {name} cannot be checked here"),
            "leave it out, and say it in a description instead",
        );
    }
    let known =
        [WITH_SCHEMA, WITH_SCHEMAS, WITH_NAMED_SCHEMAS, WITH_COUNT, WITH_NUMBER, OTHERS, WITHOUT_DEMAND];
    let near = nearest(name, known.into_iter().flatten().copied());
    let hint = near.map_or_else(
        || "leave it out, or say it in a description".to_owned(),
        |near| format!("did you mean {near}?"),
    );
    fault(at, format!("{name:?} is no keyword of JSON Schema"), hint)
}

fn fault(at: &str, reason: impl Into<String>, hint: impl Into<String>) -> SchemaFault {
    SchemaFault { pointer: at.to_owned(), reason: reason.into(), hint: hint.into() }
}

/// A name as a JSON pointer has it.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests;
