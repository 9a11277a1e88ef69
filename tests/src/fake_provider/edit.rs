//! Forms with pictures in them, in which the images API takes edits.

use serde_json::{Map, Value, json};

use super::http::Request;

/// One part of a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormPart {
    /// The field's name.
    pub name: String,
    /// The file's name, where the part is a file.
    pub file_name: Option<String>,
    /// The file's media type, as the client says it.
    pub media_type: Option<String>,
    /// The value.
    pub bytes: Vec<u8>,
}

/// The parts of a form; none where the request is no whole form.
pub(super) fn parts(request: &Request) -> Vec<FormPart> {
    let content_type = request.header("content-type").unwrap_or_default();
    let Some((_, boundary)) = content_type.split_once("boundary=") else { return Vec::new() };
    let delimiter = format!("--{boundary}");
    let body = &request.body;
    let mut starts: Vec<usize> = Vec::new();
    let mut at = 0;
    while let Some(found) = find(&body[at..], delimiter.as_bytes()) {
        starts.push(at + found);
        at += found + delimiter.len();
    }
    let between = |pair: &[usize]| part(&body[pair[0] + delimiter.len()..pair[1]]);
    starts.windows(2).filter_map(between).collect()
}

/// The fields that are texts as the JSON of the same request would have them; numbers are numbers.
pub(super) fn fields(parts: &[FormPart]) -> Value {
    let texts = parts.iter().filter(|part| part.file_name.is_none());
    let value = |text: String| text.parse::<u64>().map_or_else(|_| json!(text), |number| json!(number));
    let field =
        |part: &FormPart| (part.name.clone(), value(String::from_utf8_lossy(&part.bytes).into_owned()));
    Value::Object(texts.map(field).collect::<Map<_, _>>())
}

fn part(bytes: &[u8]) -> Option<FormPart> {
    let bytes = bytes.strip_prefix(b"\r\n")?.strip_suffix(b"\r\n")?;
    let end = find(bytes, b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let parameter = |name: &str| {
        let (_, rest) = head.split_once(&format!("; {name}=\""))?;
        rest.split('"').next().map(str::to_owned)
    };
    let media_type = head.lines().find_map(|line| line.strip_prefix("Content-Type: ")).map(str::to_owned);
    let bytes = bytes[end + 4..].to_vec();
    Some(FormPart { name: parameter("name")?, file_name: parameter("filename"), media_type, bytes })
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
