//! Reads answers: the pictures, what `info` says of the run, and errors. Pure.

use reqwest::{StatusCode, header::HeaderMap};
use serde_json::Value;

use super::super::openai::refusals;
use crate::{
    domain::Class,
    provider::{
        http::{Document, Node},
        wire::{Item, Refusal},
    },
};

/// Words of an error because the graphics card or the machine has too little memory.
pub(super) const MEMORY_WORDS: [&str; 3] = ["outofmemory", "out of memory", "not enough memory"];

/// What an answer says of its run, in the JSON text `info`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct RunInfo {
    /// When the run began, by the server's clock, in the form that its state has too. None for servers that do not say it.
    pub job_timestamp: Option<String>,
    /// The seed of each picture.
    pub seeds: Vec<u64>,
    /// How many pictures come before the requested ones: 1 for an overview of all, as some settings of the server add it.
    first: usize,
}

impl RunInfo {
    pub(super) fn of(document: &Document) -> Self {
        let mut infos = document.roots.iter().flat_map(|root| root.all("info")).filter_map(Node::text);
        let parsed: Option<Value> = infos.find_map(|info| serde_json::from_str(info).ok());
        let info = parsed.unwrap_or_default();
        let seeds = info.get("all_seeds").and_then(Value::as_array);
        let first = info.get("index_of_first_image").and_then(Value::as_u64).unwrap_or_default();
        Self {
            job_timestamp: info.get("job_timestamp").and_then(Value::as_str).map(str::to_owned),
            seeds: seeds.into_iter().flatten().filter_map(Value::as_u64).collect(),
            first: usize::try_from(first).unwrap_or_default(),
        }
    }
}

/// Returns the pictures of an answer: those in `images`, without an overview before them and without the pictures that extensions append.
pub(super) fn items(document: &Document, info: &RunInfo) -> Vec<Item> {
    let images = document.roots.iter().flat_map(|root| root.all("images")).flat_map(Node::inside);
    let number = |node: &Node| if let Node::Picture(number) = node { Some(*number) } else { None };
    let all: Vec<_> = images.filter_map(number).collect();
    let count = if info.seeds.is_empty() { all.len() } else { info.seeds.len() };
    let first = if all.len() > info.first { info.first } else { 0 };
    all.into_iter().skip(first).take(count).map(|number| Item::Inside { number, or_at: None }).collect()
}

/// Classifies an error. The server names the type of the exception in `error`, and what it says in `detail` or `errors`.
pub(super) fn refusal(status: StatusCode, headers: &HeaderMap, document: &Document) -> Refusal {
    let refusal = refusals::refusal(status, headers, document);
    let field = |name: &str| {
        let texts = document.roots.iter().flat_map(move |root| root.all(name)).filter_map(Node::text);
        texts.map(str::to_owned).next()
    };
    let kind = field("error").filter(|kind| kind != "HTTPException" && !kind.contains(' '));
    let words = field("detail").or_else(|| field("errors")).or_else(|| field("message"));
    let message = match (kind, words) {
        (Some(kind), Some(words)) => format!("{kind}: {words}"),
        (None, Some(words)) => words,
        _ => refusal.message,
    };
    let lower = message.to_lowercase();
    let is_full = MEMORY_WORDS.iter().any(|words| lower.contains(words));
    // The same request needs the same memory again.
    let class = if is_full && status.is_server_error() { Class::Unknown } else { refusal.class };
    Refusal { class, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PICTURE: &str = "iVBORw0KGgoAAAANSUhEUgAAAEAAAABACAAAAACPAi4CAAAAIElEQVR4nGNgGAWjYBSMglEwCkbBKBgFo2AUjIJRMAoAB7oAAQ==";

    fn read(images: usize, info: &str) -> (Vec<usize>, RunInfo) {
        let list = vec![format!("\"{PICTURE}\""); images].join(",");
        let body = format!(
            r#"{{"images":[{list}],"parameters":{{"init_images":["{PICTURE}"]}},"info":{}}}"#,
            Value::from(info)
        );
        let document = Document::of_text("images", body.as_bytes());
        let info = RunInfo::of(&document);
        (items(&document, &info).iter().filter_map(Item::number).collect(), info)
    }

    #[test]
    fn overviews_echoes_and_appended_pictures_are_left_out() {
        for (images, info, found) in [
            (2, r#"{"all_seeds":[7,8],"index_of_first_image":0}"#, vec![0, 1]),
            (3, r#"{"all_seeds":[7,8],"index_of_first_image":1}"#, vec![1, 2]),
            (3, r#"{"all_seeds":[7,8]}"#, vec![0, 1]),
            (2, "no JSON", vec![0, 1]),
            (0, r#"{"all_seeds":[7]}"#, vec![]),
            (1, r#"{"all_seeds":[],"index_of_first_image":1}"#, vec![0]),
        ] {
            assert_eq!(read(images, info).0, found, "{images}, {info}");
        }
        let info = read(1, r#"{"seed":7,"all_seeds":[7],"job_timestamp":"20261128090000"}"#).1;
        assert_eq!((info.seeds, info.job_timestamp.as_deref()), (vec![7], Some("20261128090000")));
    }

    #[test]
    fn errors_are_classified_and_say_their_words() {
        for (status, body, class, words) in [
            (
                404,
                r#"{"error":"HTTPException","detail":"Sampler not found","body":"","errors":""}"#,
                Class::Invalid,
                "Sampler not found",
            ),
            (
                401,
                r#"{"detail":"Incorrect username or password"}"#,
                Class::Auth,
                "Incorrect username or password",
            ),
            (
                422,
                r#"{"detail":[{"loc":["body","width"],"msg":"value is not a valid integer","type":"type_error"}]}"#,
                Class::Invalid,
                "width: value is not a valid integer",
            ),
            (
                500,
                r#"{"error":"OutOfMemoryError","detail":"","body":"","errors":"CUDA out of memory. Tried to allocate 2.00 GiB"}"#,
                Class::Unknown,
                "OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB",
            ),
            (
                500,
                r#"{"error":"AttributeError","detail":"","body":"","errors":"no attribute 'x'"}"#,
                Class::Transient(None),
                "AttributeError: no attribute 'x'",
            ),
            (
                400,
                r#"{"error":"width and height must be positive"}"#,
                Class::Invalid,
                "width and height must be positive",
            ),
        ] {
            let document = Document::of_error(body.as_bytes());
            let refusal = refusal(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), &document);
            assert_eq!((refusal.class, refusal.message.as_str()), (class, words), "{body}");
        }
    }
}
