//! Tests which schemas are accepted, and which values violate them.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn schema(schema: Value) -> JsonSchema {
    JsonSchema::new(schema).unwrap()
}

#[test]
fn each_keyword_is_checked() {
    for (keywords, fits, breaks, words) in [
        (json!({ "type": "string" }), json!("a"), json!(1), "1 is not of the type string"),
        (
            json!({ "type": ["integer", "null"] }),
            json!(2.0),
            json!(2.5),
            "2.5 is not of the type integer or null",
        ),
        (json!({ "enum": ["a", 1] }), json!(1.0), json!("b"), "\"b\" is not one of"),
        (json!({ "const": { "a": [1] } }), json!({ "a": [1.0] }), json!({}), "{} is not {\"a\":[1]}"),
        (json!({ "required": ["a"] }), json!({ "a": null }), json!({ "b": 1 }), "a is missing"),
        (
            json!({ "properties": { "a": { "type": "null" } } }),
            json!({ "a": null }),
            json!({ "a": 1 }),
            "/a: 1 is not",
        ),
        (
            json!({ "properties": { "a": true }, "additionalProperties": false }),
            json!({ "a": 1 }),
            json!({ "b": 1 }),
            "\"b\" may not be here",
        ),
        (
            json!({ "additionalProperties": { "type": "null" } }),
            json!({ "a": null }),
            json!({ "a/b": 1 }),
            "/a~1b: 1",
        ),
        (json!({ "items": { "type": "null" } }), json!([null]), json!([null, 1]), "/1: 1 is not"),
        (
            json!({ "prefixItems": [true], "items": false }),
            json!([1]),
            json!([1, 2]),
            "/1: nothing may be here",
        ),
        (json!({ "minItems": 1, "maxItems": 2 }), json!([1]), json!([1, 2, 3]), "3 items break maxItems 2"),
        (json!({ "uniqueItems": true }), json!([1, 2]), json!([1, 1.0]), "an item is there twice"),
        (json!({ "minLength": 2 }), json!("éé"), json!("é"), "1 characters break minLength 2"),
        (json!({ "minProperties": 1 }), json!({ "a": 1 }), json!({}), "0 fields break minProperties 1"),
        (json!({ "minimum": 1, "exclusiveMaximum": 2 }), json!(1), json!(2), "2 breaks exclusiveMaximum 2"),
        (json!({ "multipleOf": 0.1 }), json!(0.3), json!(0.35), "0.35 breaks multipleOf 0.1"),
        (
            json!({ "anyOf": [{ "type": "null" }, { "minimum": 3 }] }),
            json!(3),
            json!(2),
            "none of the alternatives",
        ),
        (
            json!({ "oneOf": [{ "minimum": 1 }, { "minimum": 3 }] }),
            json!(2),
            json!(4),
            "fits 2 of the alternatives",
        ),
        (json!({ "allOf": [{ "minimum": 1 }, { "maximum": 3 }] }), json!(2), json!(4), "4 breaks maximum 3"),
        (json!({ "not": { "type": "null" } }), json!(1), json!(null), "what it must not be"),
        (
            json!({ "$ref": "#/$defs/a", "$defs": { "a": { "type": "null" } } }),
            json!(null),
            json!(1),
            "1 is not",
        ),
        (json!(true), json!([1]), json!(1), ""),
    ] {
        let checked = JsonSchema::new(keywords.clone()).unwrap();
        assert_eq!(checked.validate(&fits), Ok(()), "{keywords}");
        let found =
            checked.validate(&breaks).map_or_else(|violation| violation.to_string(), |()| String::new());
        assert!(found.contains(words) && found.is_empty() == words.is_empty(), "{keywords}: {found}");
    }
}

#[test]
fn the_place_that_breaks_a_schema_is_told() {
    let shots = schema(json!({
        "type": "object", "required": ["shots"], "additionalProperties": false,
        "properties": { "shots": { "type": "array", "items": { "$ref": "#/$defs/shot" } } },
        "$defs": { "shot": { "type": "object", "required": ["seconds"], "properties": { "seconds": { "type": "number" } } } },
    }));
    assert_eq!(shots.validate(&json!({ "shots": [{ "seconds": 3 }] })), Ok(()));
    let told = |value| shots.validate(&value).unwrap_err().to_string();
    assert_eq!(
        told(json!({ "shots": [{ "seconds": 3 }, { "seconds": "3" }] })),
        "/shots/1/seconds: \"3\" is not of the type number"
    );
    assert_eq!(told(json!({ "shots": [{}] })), "/shots/0: seconds is missing");
    assert_eq!(told(json!({})), "shots is missing");
}

#[test]
fn a_schema_that_could_not_be_checked_is_refused_where_it_says_so() {
    for (keywords, told, hint) in [
        (
            json!({ "properties": { "a": { "pattern": "^a" } } }),
            "the keyword pattern cannot be checked here at /properties/a/pattern",
            "leave it out",
        ),
        (
            json!({ "requird": [] }),
            "\"requird\" is no keyword of JSON Schema at /requird",
            "did you mean required?",
        ),
        (json!({ "type": "text" }), "type is not one of array, boolean", "json-schema.org"),
        (json!({ "type": [] }), "type is not one of", ""),
        (json!({ "items": 1 }), "a schema is an object, true or false at /items", ""),
        (json!({ "anyOf": [] }), "anyOf is not a list of schemas", ""),
        (json!({ "$ref": "other.json#/a" }), "is no part of this schema", "#/$defs/NAME"),
        (json!({ "minLength": -1 }), "minLength is not a whole number", ""),
        (json!({ "multipleOf": 0 }), "multipleOf is not", ""),
        (json!({ "required": "a" }), "required is not a list of names", ""),
        (json!([]), "a schema is an object", ""),
    ] {
        let fault = JsonSchema::new(keywords.clone()).unwrap_err();
        assert!(fault.to_string().contains(told), "{keywords}: {fault}");
        assert!(fault.hint.contains(hint), "{keywords}: {}", fault.hint);
    }
    schema(
        json!({ "$schema": "https://json-schema.org/draft/2020-12/schema", "title": "t", "description": "d", "format": "uri", "default": 1, "examples": [] }),
    );
}

#[test]
fn a_schema_without_end_comes_to_an_end() {
    let told = |json: Value, value: &Value| schema(json).validate(value).unwrap_err().reason;
    assert!(told(json!({ "$ref": "#" }), &json!(1)).contains("too many"));
    let doubling = json!({ "allOf": [{ "$ref": "#/$defs/a" }, { "$ref": "#/$defs/a" }], "$defs": { "a": { "allOf": [{ "$ref": "#" }, { "$ref": "#" }] } } });
    assert!(told(doubling, &json!(1)).contains("too many"));
    let alternatives = json!({ "anyOf": [{ "$ref": "#" }, { "$ref": "#" }] });
    assert!(told(alternatives, &json!(1)).contains("too many"));
    // What cannot be checked is neither what it must not be, nor one of several.
    for name in ["not", "oneOf"] {
        let inner = json!({ "$ref": "#/$defs/endless" });
        let wanted = if name == "not" { inner } else { json!([inner, true]) };
        let endless = json!({ name: wanted, "$defs": { "endless": { "$ref": "#/$defs/endless" } } });
        assert!(told(endless, &json!(1)).contains("too many"), "{name}");
    }
}

#[test]
fn long_lists_are_searched_for_repeated_items() {
    let unique = schema(json!({ "uniqueItems": true, "items": { "type": ["integer", "object", "string"] } }));
    let mut items: Vec<Value> = (0..20_000).map(Value::from).collect();
    items.push(json!({ "a": 1, "b": [2.0] }));
    items.push(json!("1"));
    unique.validate(&Value::from(items.clone())).unwrap();
    for repeated in [json!(7), json!(7.0), json!({ "b": [2], "a": 1.0 }), json!("1")] {
        let mut items = items.clone();
        items.push(repeated.clone());
        let found = unique.validate(&Value::from(items)).unwrap_err();
        assert!(found.reason.contains("twice"), "{repeated}: {found}");
    }
    let any = schema(json!({ "uniqueItems": false, "items": { "type": "integer" } }));
    any.validate(&Value::from(vec![7; 20_000])).unwrap();
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z$#/]{0,6}".prop_map(Value::from),
        prop::sample::select(vec!["type", "$ref", "#", "object", "required"]).prop_map(Value::from),
    ];
    let names = prop::sample::select(vec![
        "type",
        "properties",
        "items",
        "$ref",
        "anyOf",
        "not",
        "enum",
        "required",
        "a",
    ]);
    leaf.prop_recursive(4, 32, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(names.clone().prop_map(str::to_owned), inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_schema_is_taken_or_refused_and_any_value_is_held_against_it(keywords in any_json(), value in any_json()) {
        if let Ok(schema) = JsonSchema::new(keywords) {
            let _ = schema.validate(&value);
        }
        let text = value.to_string();
        prop_assert_eq!(json_of(&text).trim(), text.trim());
    }
}
