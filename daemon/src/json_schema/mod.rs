//! Checks JSON against a subset of JSON Schema, the one that services with structured output support. A schema with a keyword that cannot be checked
//! here is refused. Pure.
//!
//! The dialect is draft 2020-12 without regular expressions, conditions and references to other documents (decision 078).

mod text;
mod validate;

use std::fmt;

use serde_json::Value;

pub use self::{text::json_of, validate::Violation};
use crate::nearest::nearest;

/// Keywords whose value is one schema.
const WITH_SCHEMA: &[&str] = &["additionalProperties", "items", "not"];
/// Keywords whose value is a list of schemas.
const WITH_SCHEMAS: &[&str] = &["allOf", "anyOf", "oneOf", "prefixItems"];
/// Keywords whose value is an object of named schemas.
const WITH_NAMED_SCHEMAS: &[&str] = &["$defs", "definitions", "properties"];
/// Keywords whose value is a count.
const WITH_COUNT: &[&str] =
    &["maxItems", "maxLength", "maxProperties", "minItems", "minLength", "minProperties"];
/// Keywords whose value is a number.
const WITH_NUMBER: &[&str] = &["exclusiveMaximum", "exclusiveMinimum", "maximum", "minimum", "multipleOf"];
/// Keywords whose values each have rules of their own.
const OTHERS: &[&str] = &["$ref", "const", "enum", "required", "type", "uniqueItems"];
/// Annotations for people and models. They do not restrict a value.
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
/// Keywords of the standard that are not supported here.
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

/// A schema whose keywords can all be checked.
#[derive(Debug, Clone, PartialEq)]
pub struct JsonSchema(Value);

/// The reason why a schema is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaFault {
    /// The JSON pointer of the fault in the schema. Empty for the schema as a whole.
    pub pointer: String,
    /// Why the schema cannot be used, as a message for people.
    pub reason: String,
    /// A hint how to correct it.
    pub hint: String,
}

impl fmt::Display for SchemaFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pointer, reason, .. } = self;
        if pointer.is_empty() { write!(f, "{reason}") } else { write!(f, "{reason} at {pointer}") }
    }
}

impl JsonSchema {
    /// Accepts a schema if all of its keywords can be checked.
    pub fn new(schema: Value) -> Result<Self, SchemaFault> {
        let checker = Checker { root: &schema };
        checker.schema(&schema, "")?;
        Ok(Self(schema))
    }

    /// Checks a value against the schema. Returns the first violation.
    pub fn validate(&self, value: &Value) -> Result<(), Violation> {
        validate::validate(&self.0, value)
    }
}

/// Returns the part of a document to which a reference points. None if it points to none.
fn referred<'a>(root: &'a Value, reference: &str) -> Option<&'a Value> {
    // A fragment is percent-encoded. Names of definitions that need the encoding are not supported.
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

/// Escapes a name for a JSON pointer.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests;
