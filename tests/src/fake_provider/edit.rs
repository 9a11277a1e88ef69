//! Parses the multipart forms with which the images API receives edits.

use serde_json::{Map, Value, json};

use super::http::Request;

/// One part of a multipart form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormPart {
    /// The name of the field.
    pub name: String,
    /// The name of the file; None if the part is a text field.
    pub file_name: Option<String>,
    /// The media type that the client states for the file.
    pub media_type: Option<String>,
    /// The value of the field, or the bytes of the file.
    pub bytes: Vec<u8>,
}

/// Returns the parts of a form; empty if the request is not a complete form.
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

/// Returns the text fields as the JSON body that the same request would have. Values that are whole numbers become numbers.
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
