//! Writes the tables of `reference.md` from the JSON Schema.

use std::{collections::BTreeSet, fmt::Write as _};

use serde_json::Value;

const HEAD: &str = "\
The fields of every message, by method, kind of task, event and type. The specification, which is the page of the crate, says what the messages mean; this page is generated from
the types of the crate, and so is `schema.json` beside it, the same as JSON Schema.

A table with the column `default` is about what a program sends: a field is required, or has the default that is shown where it is absent or, where the
type allows it, null. Of other tables a program that sends such an object gives every field, and the daemon always answers every field. Units are in a column
of their own where a number has one. Programs ignore fields, and tolerate names, that they do not know: later versions may have more of both.
";

/// Writes the whole page.
pub fn page(document: &Value) -> String {
    let mut page = Page { document, text: HEAD.to_owned(), shown: BTreeSet::new() };
    page.methods();
    page.kinds();
    page.events();
    page.types();
    page.text
}

struct Page<'a> {
    document: &'a Value,
    text: String,
    /// The types whose tables are on the page already.
    shown: BTreeSet<&'a str>,
}

impl<'a> Page<'a> {
    fn definition(&self, name: &str) -> &'a Value {
        &self.document["$defs"][name]
    }

    fn methods(&mut self) {
        self.text += "\n# Methods\n";
        for name in strings(&self.document["x-method-order"]) {
            let method = &self.document["x-methods"][name];
            let _ = write!(self.text, "\n## `{name}`\n\n{}\n", text_of(method));
            for (part, schema) in [("Params", &method["params"]), ("Result", &method["result"])] {
                let type_name = reference(schema).expect("params and results are types of their own");
                if is_empty(self.definition(type_name)) {
                    let _ = write!(self.text, "\n{part}: `{{}}`\n");
                } else if self.uses(type_name) > 1 {
                    let _ = write!(self.text, "\n{part}: {}\n", link(type_name));
                } else {
                    let _ = write!(self.text, "\n{part} (`{type_name}`):\n\n");
                    self.table(type_name);
                }
            }
        }
    }

    /// Returns how often the document refers to a type.
    fn uses(&self, name: &str) -> usize {
        let methods = self.document["x-methods"].to_string() + &self.document["$defs"].to_string();
        methods.matches(&format!("\"#/$defs/{name}\"")).count()
    }

    fn kinds(&mut self) {
        self.text += "\n# Kinds of tasks\n\nThe `params` of `task.submit`, by its `kind`.\n";
        for (kind, params) in self.document["x-kinds"].as_object().unwrap() {
            let type_name = reference(params).expect("params are types of their own");
            let _ = write!(self.text, "\n## `{kind}`\n\n{}\n\n", text_of(self.definition(type_name)));
            if is_empty(self.definition(type_name)) {
                self.text += "Params: `{}`\n";
            } else {
                self.table(type_name);
            }
        }
    }

    fn events(&mut self) {
        self.text += "\n# Events\n\n| topic | event | meaning |\n|---|---|---|\n";
        for (topic, events) in self.document["x-events"].as_object().unwrap() {
            for event in events.as_array().unwrap() {
                let name = event["name"].as_str().unwrap();
                let _ = writeln!(self.text, "| `{topic}` | `{name}` | {} |", cell(&text_of(event)));
            }
        }
        self.text += "| any | `subscription_dropped` | The reader was too slow, and this is the subscription's last event. |\n";
        let _ = write!(self.text, "\n{}\n\n", text_of(self.definition("Event")));
        self.table("Event");
    }

    fn types(&mut self) {
        self.text += "\n# Types\n";
        for (name, definition) in self.document["$defs"].as_object().unwrap() {
            if self.shown.contains(name.as_str()) || is_empty(definition) {
                continue;
            }
            let _ = write!(self.text, "\n## `{name}`\n\n{}\n\n", text_of(definition));
            if definition.get("properties").is_some() {
                self.table(name);
            } else if let Some(values) = definition["oneOf"].as_array() {
                self.text += "| value | meaning |\n|---|---|\n";
                for value in values {
                    let _ = writeln!(
                        self.text,
                        "| `{}` | {} |",
                        value["const"].as_str().unwrap(),
                        cell(&text_of(value))
                    );
                }
            } else {
                let _ = writeln!(self.text, "In JSON: {}", self.type_of(definition));
            }
        }
    }

    fn table(&mut self, name: &'a str) {
        self.shown.insert(name);
        let definition = self.definition(name);
        let fields: Vec<_> = strings(&definition["x-fields"]).collect();
        let required: Vec<_> = strings(&definition["required"]).collect();
        let of = |field: &str| &definition["properties"][field];
        let has_default = required.len() < fields.len();
        let has_unit = fields.iter().any(|field| of(field).get("x-unit").is_some());
        let row = |cells: [&str; 5]| {
            let [field, kind, unit, default, meaning] = cells;
            let middle =
                [(has_unit, unit), (has_default, default)].into_iter().filter(|(is_shown, _)| *is_shown);
            let cells: Vec<_> =
                [field, kind].into_iter().chain(middle.map(|(_, text)| text)).chain([meaning]).collect();
            format!("| {} |\n", cells.join(" | "))
        };
        let mut table =
            row(["field", "type", "unit", "default", "meaning"]) + &row(["---"; 5]).replace(' ', "");
        for field in fields {
            let schema = of(field);
            let default = if required.contains(&field) { "required".to_owned() } else { default_of(schema) };
            let unit = schema["x-unit"].as_str().unwrap_or_default();
            table +=
                &row([&format!("`{field}`"), &self.type_of(schema), unit, &default, &cell(&text_of(schema))]);
        }
        self.text += &table;
    }

    /// Returns the type of a value in words.
    fn type_of(&self, schema: &Value) -> String {
        if let Some(name) = reference(schema) {
            return link(name);
        }
        if let Some(choices) = schema["anyOf"].as_array() {
            return choices.iter().map(|choice| self.type_of(choice)).collect::<Vec<_>>().join(" or ");
        }
        let types = &schema["type"];
        let types = types.as_array().map_or_else(|| std::slice::from_ref(types), Vec::as_slice);
        let names: Vec<_> =
            types.iter().map(|name| self.plain_type(name.as_str().unwrap_or("any JSON"), schema)).collect();
        names.join(" or ")
    }

    fn plain_type(&self, name: &str, schema: &Value) -> String {
        match name {
            "array" => format!("list of {}", self.type_of(&schema["items"])),
            "object" if schema["additionalProperties"].is_object() => {
                format!("object, by name: {}", self.type_of(&schema["additionalProperties"]))
            }
            "string" if schema["contentEncoding"] == "base64" => "string (base64)".to_owned(),
            "string" if schema["format"] == "date-time" => "string (RFC 3339)".to_owned(),
            "string" if schema.get("pattern").is_some() => "string (64 hex characters)".to_owned(),
            other => other.to_owned(),
        }
    }
}

/// Returns the name of the type that a schema refers to. None if it is no reference.
fn reference(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str()?.strip_prefix("#/$defs/")
}

fn link(name: &str) -> String {
    format!("[`{name}`](#{})", name.to_lowercase())
}

fn is_empty(definition: &Value) -> bool {
    definition["type"] == "object" && definition.get("properties").is_none()
}

fn strings(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

fn text_of(schema: &Value) -> String {
    schema["description"].as_str().unwrap_or_default().to_owned()
}

/// Returns a text as the cell of a table.
fn cell(text: &str) -> String {
    text.replace("\n\n", "<br>").replace('|', "\\|")
}

fn default_of(schema: &Value) -> String {
    match &schema["default"] {
        Value::Null => "none".to_owned(),
        Value::Array(items) if items.is_empty() => "empty".to_owned(),
        value => format!("`{value}`"),
    }
}
