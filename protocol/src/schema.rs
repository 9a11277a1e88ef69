//! Builds the JSON Schema of everything on the wire from the types, their documentation and their serde attributes. Only the tests compile it, which
//! keep `schema.json` and `reference.md` up to date.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde_json::{Map, Value, json};

use crate::{
    AssembleParams, AudioMixParams, Bytes, ChatParams, DebugFailParams, DebugNoopParams, DebugProgressParams,
    DebugSleepParams, Digest, ImageParams, JsonText, PROTOCOL, RenderJoinParams, RenderShotParams,
    RenderTransitionParams, RpcError, Seconds, SpeechParams, StoryMakeParams, StoryReport, StoryboardParams,
    StoryboardReport, Timestamp, TranslateParams, VideoParams,
    methods::{self, EVENT, Event, Topic},
};

/// Units by the end of a field's name, and by whole names. A name has the same unit wherever it is used.
const UNITS: [(&str, &str); 13] = [
    ("_bytes", "bytes"),
    ("bytes", "bytes"),
    ("_ms", "milliseconds"),
    ("ms", "milliseconds"),
    ("_s", "seconds"),
    ("_px", "pixels"),
    ("width", "pixels"),
    ("height", "pixels"),
    ("fps", "frames per second"),
    ("db", "decibels"),
    ("loudness", "LUFS"),
    ("_usd", "US dollars"),
    ("_per_minute", "requests per minute"),
];

/// The schema of a field that holds an object of any content.
pub(crate) struct Object;

/// The schema of a field that holds a list of objects.
pub(crate) struct Objects;

macro_rules! inline_schemas {
    ($($type:ty = $name:literal, $schema:tt;)+) => {
        $(impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        })+
    };
}

inline_schemas! {
    Object = "Object", { "type": "object" };
    Objects = "Objects", { "type": "array", "items": { "type": "object" } };
    JsonText = "JsonText", {};
    Seconds = "Seconds", { "type": "number", "minimum": 0 };
    Bytes = "Bytes", { "type": "string", "contentEncoding": "base64" };
    Timestamp = "Timestamp", { "type": "string", "format": "date-time" };
    Digest = "Digest", { "type": "string", "pattern": "^[0-9a-fA-F]{64}$" };
}

/// A method: its name, what it does, and the types of its params and of its result.
pub(crate) struct MethodSchema {
    pub(crate) name: &'static str,
    pub(crate) description: String,
    pub(crate) params: Schema,
    pub(crate) result: Schema,
}

/// The generators of the schemas. What clients write may lack fields that have a default, and what the daemon writes has all fields.
pub(crate) struct Generators {
    written_by_clients: SchemaGenerator,
    written_by_the_daemon: SchemaGenerator,
    /// Whatever the daemon reads as if it wrote it. The required fields are then all fields, in their order.
    order: SchemaGenerator,
}

impl Generators {
    fn new() -> Self {
        let settings = SchemaSettings::draft2020_12;
        Self {
            written_by_clients: settings().for_deserialize().into_generator(),
            written_by_the_daemon: settings().for_serialize().into_generator(),
            order: settings().for_serialize().into_generator(),
        }
    }

    /// Returns the schema of params.
    pub(crate) fn params<T: JsonSchema>(&mut self) -> Schema {
        self.order.subschema_for::<T>();
        self.written_by_clients.subschema_for::<T>()
    }

    /// Returns the schema of what the daemon sends.
    pub(crate) fn sent<T: JsonSchema>(&mut self) -> Schema {
        self.order.subschema_for::<T>();
        self.written_by_the_daemon.subschema_for::<T>()
    }

    /// Returns the schemas of all types that were asked for, by their names.
    fn definitions(mut self) -> Map<String, Value> {
        let mut all = self.written_by_clients.take_definitions(true);
        for (name, sent) in self.written_by_the_daemon.take_definitions(true) {
            let before = all.insert(name.clone(), sent.clone());
            assert!(
                before.is_none_or(|before| before == sent),
                "{name} differs where it is read and where it is written, and needs two types"
            );
        }
        let order = self.order.take_definitions(true);
        for (name, definition) in &mut all {
            let fields = order.get(name).and_then(|whole| whole.get("required"));
            if let (Some(fields), Some(object)) = (fields, definition.as_object_mut()) {
                object.insert("x-fields".into(), fields.clone());
            }
        }
        all
    }
}

/// Returns the kinds of tasks, each with the schema of its params.
fn kinds(generators: &mut Generators) -> Value {
    macro_rules! kinds {
        ($($kind:literal: $params:ty;)+) => {
            json!({ $($kind: generators.params::<$params>()),+ })
        };
    }
    kinds! {
        "image.generate": ImageParams;
        "voice.speak": SpeechParams;
        "text.chat": ChatParams;
        "translate.text": TranslateParams;
        "video.generate": VideoParams;
        "video.assemble": AssembleParams;
        "story.make": StoryMakeParams;
        "story.storyboard": StoryboardParams;
        "render.shot": RenderShotParams;
        "render.transition": RenderTransitionParams;
        "render.join": RenderJoinParams;
        "audio.mix": AudioMixParams;
        "debug.noop": DebugNoopParams;
        "debug.sleep": DebugSleepParams;
        "debug.fail": DebugFailParams;
        "debug.progress": DebugProgressParams;
    }
}

/// Returns the JSON Schema of all lines. Beside the keywords of the standard it has `x-methods`, `x-kinds` and `x-events`, which say what belongs
/// together, `x-fields`, which has the fields of a type in their order, and `x-unit`.
pub fn document() -> Value {
    let mut generators = Generators::new();
    let methods = methods::schemas(&mut generators);
    let kinds = kinds(&mut generators);
    let (event, error) = (generators.sent::<Event>(), generators.sent::<RpcError>());
    let report = generators.sent::<StoryReport>();
    let storyboard = generators.sent::<StoryboardReport>();
    let id = json!({ "type": ["integer", "string", "null"] });
    let version = json!({ "const": "2.0" });
    let requests: Vec<_> = methods
        .iter()
        .map(|MethodSchema { name, params, .. }| {
            let properties =
                json!({ "jsonrpc": version, "id": id, "method": { "const": name }, "params": params });
            json!({ "type": "object", "properties": properties, "required": ["jsonrpc", "method"] })
        })
        .collect();
    let message = |properties: Value, required: &[&str]| json!({ "type": "object", "properties": properties, "required": required });
    let event = message(
        json!({ "jsonrpc": version, "method": { "const": EVENT }, "params": event }),
        &["jsonrpc", "method", "params"],
    );
    let results: Vec<_> = methods.iter().map(|method| &method.result).collect();
    let answer = message(
        json!({ "jsonrpc": version, "id": id, "result": { "anyOf": results } }),
        &["jsonrpc", "id", "result"],
    );
    let failure =
        message(json!({ "jsonrpc": version, "id": id, "error": error }), &["jsonrpc", "id", "error"]);
    let by_method: Map<_, _> = methods
        .iter()
        .map(|MethodSchema { name, description, params, result }| {
            ((*name).to_owned(), json!({ "description": description, "params": params, "result": result }))
        })
        .collect();
    let order: Vec<_> = methods.iter().map(|method| method.name).collect();
    let events: Map<_, _> = Topic::ALL
        .into_iter()
        .map(|topic| {
            (
                topic.name().to_owned(),
                topic
                    .events()
                    .iter()
                    .map(|(name, meaning)| json!({ "name": name, "description": meaning }))
                    .collect(),
            )
        })
        .collect();
    let mut document = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A line between a program and reeld",
        "description": "Generated from the types of the crate reel-protocol, whose specification says what the lines mean.",
        "anyOf": [{ "anyOf": requests }, answer, failure, event],
        "$defs": generators.definitions(),
        "x-protocol": PROTOCOL,
        "x-methods": by_method,
        "x-method-order": order,
        "x-kinds": kinds,
        "x-events": events,
        "x-outputs": { "story.make": report, "story.storyboard": storyboard },
    });
    tidy(&mut document);
    document
}

/// Adds units to fields, and makes the documentation readable outside of Rust: paragraphs are lines, and links are names.
fn tidy(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Object(members) => {
            if let Some(Value::String(text)) = members.get_mut("description") {
                *text = plain(text);
            }
            if let Some(Value::Object(fields)) = members.get_mut("properties") {
                for (name, field) in fields {
                    let unit = UNITS
                        .iter()
                        .find(|(end, _)| name == end || end.starts_with('_') && name.ends_with(end));
                    if let (Some((_, unit)), Some(field)) =
                        (unit, field.as_object_mut().filter(|field| is_number(field)))
                    {
                        field.insert("x-unit".into(), json!(unit));
                    }
                }
            }
            members.values_mut().for_each(tidy);
        }
        _ => {}
    }
}

fn is_number(field: &Map<String, Value>) -> bool {
    let types = field.get("type");
    let is = |value: &Value| value == "integer" || value == "number";
    types.is_some_and(|types| is(types) || types.as_array().is_some_and(|types| types.iter().any(is)))
}

/// Turns the documentation of an item into text: line ends within a paragraph become spaces, and links to items become their names.
fn plain(text: &str) -> String {
    let text = text.split("\n\n").map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "));
    let text = text.collect::<Vec<_>>().join("\n\n");
    let mut parts = text.split("[`");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (path, rest) = part.split_once("`]").unwrap_or((part, ""));
        plain = plain + "`" + path.rsplit("::").next().unwrap_or(path) + "`" + rest;
    }
    plain
}
