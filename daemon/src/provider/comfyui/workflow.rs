//! A workflow of ComfyUI in API form: its nodes, and the inputs that a request may set. Pure.
//!
//! An input is named by the title of its node, such as `reel:prompt`, or by a JSON pointer of the configuration, such as `/6/inputs/text`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Map, Value};

/// The beginning of the titles that name inputs.
pub const MARK: &str = "reel:";
/// The title that marks a node whose files are the result. Without it, those of all nodes are.
const OUTPUT: &str = "output";
/// Most nodes of a workflow. The largest that people share have some hundreds.
const MAX_NODES: usize = 5_000;

/// The params of requests, each with the inputs that a title means if it names none. The first that the node has is taken.
const PARAMS: &[(&str, &[&str])] = &[
    ("prompt", &["text", "prompt", "value", "string"]),
    ("negative_prompt", &["text", "negative_prompt", "prompt", "value", "string"]),
    ("width", &["width", "value"]),
    ("height", &["height", "value"]),
    ("n", &["batch_size", "amount", "value"]),
    ("seed", &["seed", "noise_seed", "value"]),
    ("steps", &["steps", "value"]),
    ("guidance", &["cfg", "guidance", "value"]),
    ("strength", &["denoise", "strength", "value"]),
    ("model", &["ckpt_name", "unet_name", "model_name", "value"]),
    ("image", &["image", "value"]),
    ("image2", &["image", "value"]),
    ("image3", &["image", "value"]),
    ("image4", &["image", "value"]),
    ("mask", &["image", "mask", "value"]),
    ("last_image", &["image", "value"]),
    ("fps", &["fps", "frame_rate", "value"]),
    ("duration_s", &["duration", "seconds", "value"]),
    ("frames", &["length", "num_frames", "frames", "value"]),
];

/// Returns the names of the params that titles and patches may use.
pub fn names() -> impl Iterator<Item = &'static str> {
    PARAMS.iter().map(|(name, _)| *name)
}

/// The names of the params for input pictures, in the order of the pictures.
pub const IMAGES: [&str; 4] = ["image", "image2", "image3", "image4"];

/// An input of a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot {
    /// The id of the node.
    pub node: String,
    /// The name of the input.
    pub input: String,
}

/// The pointers of a param in the configuration: one or several.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Pointers {
    /// The JSON pointer of the only input that takes the value.
    One(String),
    /// Several pointers, all of which get the value.
    Several(Vec<String>),
}

impl Pointers {
    fn all(&self) -> &[String] {
        match self {
            Self::One(pointer) => std::slice::from_ref(pointer),
            Self::Several(pointers) => pointers,
        }
    }
}

/// A workflow with the inputs that requests set.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Workflow {
    nodes: Map<String, Value>,
    slots: BTreeMap<String, BTreeSet<Slot>>,
    outputs: BTreeSet<String>,
}

impl Workflow {
    /// Reads a workflow. The error says what is wrong with the file and what to do, and follows the words "the workflow".
    pub fn read(text: &str, patch: &BTreeMap<String, Pointers>) -> Result<Self, String> {
        let value: Value = serde_json::from_str(text).map_err(|error| format!("is no JSON: {error}"))?;
        let mut workflow = Self { nodes: nodes(value)?, slots: BTreeMap::new(), outputs: BTreeSet::new() };
        workflow.read_titles()?;
        for (param, pointers) in patch {
            for pointer in pointers.all() {
                let slot =
                    workflow.at(pointer).map_err(|why| format!("has no {param} at {pointer:?}: {why}"))?;
                workflow.add(param, slot);
            }
        }
        if !workflow.takes("prompt") {
            return Err(workflow.no_prompt());
        }
        Ok(workflow)
    }

    /// Whether requests can set this param.
    pub fn takes(&self, param: &str) -> bool {
        self.slots.contains_key(param)
    }

    /// Returns the names that are no params of requests. `extra` may set them.
    pub fn own_names(&self) -> impl Iterator<Item = &str> {
        let is_param = |name: &str| PARAMS.iter().any(|(param, _)| *param == name);
        self.slots.keys().map(String::as_str).filter(move |name| !is_param(name))
    }

    /// Returns the nodes by id, as they are sent.
    pub const fn nodes(&self) -> &Map<String, Value> {
        &self.nodes
    }

    /// Returns the number of nodes that save files.
    pub fn saving_nodes(&self) -> usize {
        let saves = |node: &&Value| node.pointer("/inputs/filename_prefix").is_some_and(Value::is_string);
        self.nodes.values().filter(saves).count()
    }

    /// Whether the files of this node belong to the result.
    pub fn is_output(&self, node: &str) -> bool {
        self.outputs.is_empty() || self.outputs.contains(node)
    }

    /// Whether a request sets this input to the name of a file that it uploads.
    pub fn is_upload(&self, node: &str, input: &str) -> bool {
        let is_this = |slot: &Slot| slot.node == node && slot.input == input;
        let names = IMAGES.iter().chain(&["mask", "last_image"]);
        names.filter_map(|name| self.slots.get(*name)).flatten().any(is_this)
    }

    /// Returns the number that an input of this param has in the file.
    pub fn number(&self, param: &str) -> Option<f64> {
        let slot = self.slots.get(param)?.first()?;
        self.nodes.get(&slot.node)?.get("inputs")?.get(&slot.input)?.as_f64()
    }

    /// Returns the nodes with these values in their inputs, and with `prefix` as the prefix of all files that they save.
    pub fn fill(&self, values: &BTreeMap<String, Value>, prefix: &str) -> Map<String, Value> {
        let mut nodes = self.nodes.clone();
        for (param, value) in values {
            for slot in self.slots.get(param).into_iter().flatten() {
                if let Some(input) =
                    nodes.get_mut(&slot.node).and_then(|node| node.get_mut("inputs")?.get_mut(&slot.input))
                {
                    *input = fitted(value, input);
                }
            }
        }
        for node in nodes.values_mut() {
            if let Some(input) = node.get_mut("inputs").and_then(|inputs| inputs.get_mut("filename_prefix"))
                && input.is_string()
            {
                *input = Value::String(prefix.to_owned());
            }
        }
        nodes
    }

    fn read_titles(&mut self) -> Result<(), String> {
        let mut found = Vec::new();
        for (id, node) in &self.nodes {
            let Some(names) = title(node).strip_prefix(MARK) else { continue };
            for name in names.split([',', ' ']).map(str::trim).filter(|name| !name.is_empty()) {
                found.push((id.clone(), name.to_owned()));
            }
        }
        for (id, name) in found {
            if name == OUTPUT {
                self.outputs.insert(id);
                continue;
            }
            let (param, input) = match name.split_once('=') {
                Some((param, input)) => (param, Some(input)),
                None => (name.as_str(), None),
            };
            let slot = self.titled(&id, param, input)?;
            self.add(param, slot);
        }
        Ok(())
    }

    /// Returns the input that a title means.
    fn titled(&self, id: &str, param: &str, input: Option<&str>) -> Result<Slot, String> {
        let node = self.nodes.get(id).map_or(&Value::Null, |node| node);
        let usual = PARAMS
            .iter()
            .find(|(name, _)| *name == param)
            .map_or(&["value", "text"][..], |(_, inputs)| inputs);
        let wanted = input.map_or_else(|| usual.to_vec(), |input| vec![input]);
        let is_free = |name: &&&str| {
            node.pointer("/inputs").and_then(|inputs| inputs.get(**name)).is_some_and(is_value)
        };
        let input = wanted.iter().find(is_free).ok_or_else(|| {
            let has: Vec<_> = inputs(node).filter(|(_, value)| is_value(value)).map(|(name, _)| name.as_str()).collect();
            format!(
                "has a node {id} with the title {:?}, and that node has no input {} that can be set (it has: {}); write {MARK}{param}=INPUT",
                title(node),
                wanted.join(" or "),
                if has.is_empty() { "none".to_owned() } else { has.join(", ") },
            )
        })?;
        Ok(Slot { node: id.to_owned(), input: (*input).to_owned() })
    }

    /// Returns the input at a JSON pointer of the form `/NODE/inputs/NAME`.
    fn at(&self, pointer: &str) -> Result<Slot, String> {
        let shape = "a pointer has the form /NODE/inputs/NAME";
        let parts: Vec<_> =
            pointer.split('/').map(|part| part.replace("~1", "/").replace("~0", "~")).collect();
        let [root, node, inputs, input] = parts.as_slice() else { return Err(shape.to_owned()) };
        if !root.is_empty() || inputs != "inputs" {
            return Err(shape.to_owned());
        }
        let found = self.nodes.get(node).ok_or_else(|| format!("it has no node {node}"))?;
        match found.get("inputs").and_then(|inputs| inputs.get(input)) {
            None => Err(format!("node {node} has no input {input}")),
            Some(value) if !is_value(value) => {
                let from = value.get(0).and_then(Value::as_str).unwrap_or("another node");
                Err(format!("that input comes from node {from}; name the input of that node"))
            }
            Some(_) => Ok(Slot { node: node.clone(), input: input.clone() }),
        }
    }

    fn add(&mut self, param: &str, slot: Slot) {
        self.slots.entry(param.to_owned()).or_default().insert(slot);
    }

    /// Returns the complaint that nothing takes the prompt, with the nodes that probably should.
    fn no_prompt(&self) -> String {
        let is_text = |node: &Value| {
            inputs(node).any(|(name, value)| matches!(name.as_str(), "text" | "prompt") && value.is_string())
        };
        let nodes: Vec<_> = self
            .nodes
            .iter()
            .filter(|(_, node)| is_text(node))
            .map(|(id, node)| format!("{id} ({})", title(node)))
            .take(4)
            .collect();
        let candidates = if nodes.is_empty() {
            String::new()
        } else {
            format!("; nodes with a text: {}", nodes.join(", "))
        };
        format!(
            "has no place for the prompt: give the node with the prompt the title \"{MARK}prompt\" and export again, or set patch = {{ prompt = \"/NODE/inputs/text\" }}{candidates}"
        )
    }
}

/// Returns the title of a node, or its type if it has none.
pub fn title(node: &Value) -> &str {
    let title =
        node.pointer("/_meta/title").and_then(Value::as_str).map(str::trim).filter(|title| !title.is_empty());
    title.or_else(|| node.get("class_type").and_then(Value::as_str)).unwrap_or_default()
}

/// Returns the words for each input of a node that is linked to a node which the workflow does not have.
pub fn broken_links<'a>(nodes: &'a Map<String, Value>, node: &'a Value) -> impl Iterator<Item = String> + 'a {
    inputs(node).filter_map(|(input, value)| {
        let source = value.as_array()?.first()?.as_str()?;
        let is_broken = !is_value(value) && !nodes.contains_key(source);
        is_broken.then(|| format!("{input} is linked to node {source}, which the workflow does not have"))
    })
}

/// Returns the inputs of a node.
pub fn inputs(node: &Value) -> impl Iterator<Item = (&String, &Value)> {
    node.get("inputs").and_then(Value::as_object).into_iter().flatten()
}

/// Whether an input has a value of its own. Otherwise it is a link to the output of another node, `["4", 0]`.
pub fn is_value(input: &Value) -> bool {
    !input.is_array()
}

fn nodes(value: Value) -> Result<Map<String, Value>, String> {
    let Value::Object(mut nodes) = value else {
        return Err("is no workflow: it must be an object of nodes".to_owned());
    };
    if nodes.get("nodes").is_some_and(Value::is_array) && nodes.contains_key("links") {
        return Err("is in the form of the editor, which the server cannot run: open it in ComfyUI, choose Workflow > Export (API), and name that file".to_owned());
    }
    // The body of a request to the server has the nodes in a field.
    if let Some(Value::Object(inner)) = nodes.get("prompt").filter(|inner| inner.get("class_type").is_none())
    {
        nodes = inner.clone();
    }
    if nodes.is_empty() || nodes.len() > MAX_NODES {
        return Err(format!("has {} nodes; 1 to {MAX_NODES} are possible", nodes.len()));
    }
    for (id, node) in &nodes {
        if !node.get("class_type").is_some_and(Value::is_string)
            || !node.get("inputs").is_some_and(Value::is_object)
        {
            let shown: String = id.chars().take(40).collect();
            return Err(format!(
                "is no workflow in API form: {shown:?} has no class_type with inputs; choose Workflow > Export (API) in ComfyUI"
            ));
        }
    }
    Ok(nodes)
}

/// Returns the value in the type that the input has: some nodes hold numbers as texts.
fn fitted(value: &Value, input: &Value) -> Value {
    match (value, input) {
        (Value::Number(number), Value::String(_)) => Value::String(number.to_string()),
        _ => value.clone(),
    }
}
