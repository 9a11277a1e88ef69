//! Checks messages against the JSON Schema with the checker that the daemon has for schemas of clients. Fields that the schema does not name are
//! refused, so that nothing is sent that is not specified.

use reel_protocol::schema;
use reeld::json_schema::JsonSchema;
use serde_json::{Map, Value, json};

/// The schema of the wire.
pub struct Checker {
    document: Value,
    definitions: Value,
}

impl Checker {
    pub fn new() -> Self {
        let document = schema::document();
        let mut definitions = document["$defs"].clone();
        strict(&mut definitions);
        Self { document, definitions }
    }

    /// Returns the kinds of tasks that the schema has.
    pub fn kinds(&self) -> impl Iterator<Item = &str> {
        self.document["x-kinds"].as_object().unwrap().keys().map(String::as_str)
    }

    /// Checks one line. `method` is that of the request that an answer belongs to.
    #[track_caller]
    pub fn message(&self, method: Option<&str>, message: &Value) {
        if message["method"] == "event" {
            self.event(&message["params"]);
        } else if let Some(name) = message["method"].as_str() {
            self.fits(&self.document["x-methods"][name]["params"], &message["params"], name);
            self.task_params(&message["params"]["kind"], &message["params"]["params"]);
        } else if let Some(error) = message.get("error") {
            self.fits(&json!({ "$ref": "#/$defs/RpcError" }), error, "error");
        } else {
            self.result(method.expect("the answer to a request"), &message["result"]);
        }
    }

    /// Checks the result of a method.
    #[track_caller]
    pub fn result(&self, method: &str, result: &Value) {
        self.fits(&self.document["x-methods"][method]["result"], result, method);
        let tasks = result["tasks"].as_array().into_iter().flatten().chain([result]);
        for task in tasks.filter(|task| task["params"] != json!({})) {
            self.task_params(&task["kind"], &task["params"]);
        }
    }

    /// Checks the params of an event, and that its topic has an event of this name.
    #[track_caller]
    pub fn event(&self, event: &Value) {
        self.fits(&json!({ "$ref": "#/$defs/Event" }), event, "event");
        let topic = event["topic"].as_str().unwrap();
        let mut events = self.document["x-events"][topic].as_array().unwrap().iter();
        assert!(events.any(|known| known["name"] == event["event"]), "{event}");
    }

    /// Checks the report of a story.
    #[track_caller]
    pub fn output(&self, kind: &str, value: &Value) {
        self.fits(&self.document["x-outputs"][kind], value, kind);
    }

    #[track_caller]
    fn task_params(&self, kind: &Value, params: &Value) {
        if let Some(kind) = kind.as_str().filter(|_| params.is_object()) {
            // The schema describes params as they are when digests have replaced the references.
            let mut params = params.clone();
            resolve(&mut params);
            self.fits(&self.document["x-kinds"][kind], &params, kind);
        }
    }

    #[track_caller]
    fn fits(&self, schema: &Value, value: &Value, what: &str) {
        assert!(schema.is_object(), "{what} is not in the schema");
        let mut schema = schema.clone();
        schema["$defs"] = self.definitions.clone();
        let schema = JsonSchema::new(schema).unwrap_or_else(|fault| panic!("{what}: {fault}"));
        if let Err(violation) = schema.validate(value) {
            panic!("{what} does not fit its schema: {violation:?}: {value}");
        }
    }
}

/// Replaces each reference to an output by a digest.
fn resolve(params: &mut Value) {
    match params {
        Value::Object(fields) if fields.contains_key("$output") => *params = json!("0".repeat(64)),
        Value::Object(fields) => fields.values_mut().for_each(resolve),
        Value::Array(items) => items.iter_mut().for_each(resolve),
        _ => {}
    }
}

/// Refuses fields that an object does not name, and removes the keywords that the checker does not know.
fn strict(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(strict),
        Value::Object(members) => {
            if members.get("properties").is_some_and(Value::is_object)
                && members.get("type").is_some_and(Value::is_string)
            {
                members.insert("additionalProperties".into(), json!(false));
            }
            let known = std::mem::take(members)
                .into_iter()
                .filter(|(name, _)| name != "pattern" && !name.starts_with("x-"));
            *members = known.collect::<Map<_, _>>();
            members.values_mut().for_each(strict);
        }
        _ => {}
    }
}
