//! Encodes and parses JSON-RPC 2.0 messages, one per line.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{
    ErrorCode, RpcError,
    limits::{LARGE_LINE_BYTES, LINE_BYTES},
};

/// Longest request id, in bytes. It is kept until the answer, which has it unchanged.
const ID_BYTES: usize = 256;

/// A request as its line has it. The params stay text until their type is known, because a parsed tree takes ten times the memory.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The id: a number, a string or null. None for a notification, which gets no answer.
    pub id: Option<&'a RawValue>,
    /// The name of the method, such as `task.submit`.
    pub method: Cow<'a, str>,
    /// The params as JSON; `{}` if they are absent or null.
    pub params: &'a str,
}

/// Why a line is no request.
#[derive(Debug)]
pub struct BadRequest {
    /// The id, unchanged, to which to answer; None if none could be read.
    pub id: Option<Box<RawValue>>,
    /// The error to answer.
    pub error: RpcError,
}

#[derive(Deserialize)]
struct RawRequest<'a> {
    #[serde(borrow, default)]
    jsonrpc: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<Text<'a>>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
}

/// A string, which is borrowed unless it is written with escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Distinguishes an explicit null, which is answered, from an absent id.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl<'a> Request<'a> {
    /// Parses one line.
    pub fn parse(line: &'a [u8]) -> Result<Self, BadRequest> {
        if line.first() == Some(&b'[') {
            let error = RpcError::new(ErrorCode::InvalidRequest, "batch arrays are not served")
                .hint("send each request on a line of its own; many may be in flight");
            return Err(BadRequest { id: None, error });
        }
        // UTF-8 is checked once for the whole line, so that its strings need no check of their own. A line that is not UTF-8 is parsed as bytes, so
        // that the error says where it is not.
        let raw: RawRequest<'a> = std::str::from_utf8(line)
            .map_or_else(|_| serde_json::from_slice(line), serde_json::from_str)
            .map_err(|error| unreadable(line, &error))?;
        let id = raw.id;
        let invalid = |message: &str| BadRequest {
            id: id.filter(|id| is_valid_id(id)).map(ToOwned::to_owned),
            error: RpcError::new(ErrorCode::InvalidRequest, message).hint(
                r#"a request is {"jsonrpc":"2.0","id":1,"method":"daemon.status","params":{}} on one line"#,
            ),
        };
        if id.is_some_and(|id| !is_valid_id(id)) {
            return Err(invalid("`id` must be a number, a string or null, at most 256 bytes"));
        }
        if raw.jsonrpc.is_none_or(|version| version.0 != "2.0") {
            return Err(invalid("`jsonrpc` must be \"2.0\""));
        }
        let Some(Text(method)) = raw.method else {
            return Err(invalid("`method` is missing"));
        };
        if line.len() > line_limit(&method) {
            return Err(BadRequest { id: id.map(ToOwned::to_owned), error: too_large(line_limit(&method)) });
        }
        Ok(Self { id, method, params: raw.params.map_or("{}", RawValue::get) })
    }
}

/// Returns the error for a request of more than `limit` bytes.
pub fn too_large(limit: usize) -> RpcError {
    RpcError::new(ErrorCode::RequestTooLarge, format!("the request is larger than {limit} bytes")).hint(
        "send many tasks in several task.submit_batch with the same batch, and keep large data in files",
    )
}

/// Returns the largest line or frame of a request for this method, in bytes.
pub fn line_limit(method: &str) -> usize {
    if method == "task.submit_batch" { LARGE_LINE_BYTES } else { LINE_BYTES }
}

fn is_valid_id(id: &RawValue) -> bool {
    let text = id.get();
    text.len() <= ID_BYTES
        && text
            .starts_with(|first: char| first == '"' || first == '-' || first.is_ascii_digit() || first == 'n')
}

fn unreadable(line: &[u8], error: &serde_json::Error) -> BadRequest {
    let code = if error.is_data() { ErrorCode::InvalidRequest } else { ErrorCode::ParseError };
    let error = RpcError::new(code, format!("the line is no JSON-RPC request: {error}"))
        .hint("send one JSON object a line, in UTF-8; JSON has no NaN and no Infinity");
    BadRequest { id: broken_id(line), error }
}

/// Returns the id of a line that is no request, if the id is complete before the fault. The sender waits for an answer to it.
fn broken_id(line: &[u8]) -> Option<Box<RawValue>> {
    let mut id = None;
    // This fails at the fault. What was read before it counts.
    let _ = serde_json::Deserializer::from_slice(line).deserialize_map(IdOnly(&mut id));
    id.filter(|id| is_valid_id(id))
}

struct IdOnly<'a>(&'a mut Option<Box<RawValue>>);

impl<'de> Visitor<'de> for IdOnly<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut named = None;
        // A number is known to be complete once something follows it.
        while let Some(Text(key)) = map.next_key()? {
            self.0.clone_from(&named);
            if key != "id" {
                map.next_value::<IgnoredAny>()?;
            } else if named.replace(map.next_value()?).is_some() {
                // A line with two ids counts as one without.
                *self.0 = None;
                return Ok(());
            }
        }
        *self.0 = named;
        Ok(())
    }
}

#[derive(Serialize)]
struct Success<'a, T> {
    jsonrpc: &'static str,
    id: &'a RawValue,
    result: &'a T,
}

#[derive(Serialize)]
struct Failure<'a> {
    jsonrpc: &'static str,
    id: Option<&'a RawValue>,
    error: &'a RpcError,
}

#[derive(Serialize)]
struct Call<'a, T> {
    jsonrpc: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    method: &'a str,
    params: &'a T,
}

/// Returns the line that answers `id` with a result.
pub fn success_line<T: Serialize>(id: &RawValue, result: &T) -> Result<Vec<u8>, serde_json::Error> {
    line(&Success { jsonrpc: "2.0", id, result })
}

/// Returns the line that answers `id` with an error. The id is null if it could not be read.
pub fn failure_line(id: Option<&RawValue>, error: &RpcError) -> Result<Vec<u8>, serde_json::Error> {
    line(&Failure { jsonrpc: "2.0", id, error })
}

/// Returns the line of a request.
pub fn request_line<T: Serialize>(id: u64, method: &str, params: &T) -> Result<Vec<u8>, serde_json::Error> {
    line(&Call { jsonrpc: "2.0", id: Some(id), method, params })
}

/// Returns the line of a notification.
pub fn notification_line<T: Serialize>(method: &str, params: &T) -> Result<Vec<u8>, serde_json::Error> {
    line(&Call { jsonrpc: "2.0", id: None, method, params })
}

fn line<T: Serialize>(message: &T) -> Result<Vec<u8>, serde_json::Error> {
    let mut bytes = serde_json::to_vec(message)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// A message that a client receives.
#[derive(Debug)]
pub enum Incoming {
    /// The answer to a request.
    Answer {
        /// The id of the request; None if the daemon could not read it.
        id: Option<u64>,
        /// The result as JSON, or the error.
        outcome: Result<Box<RawValue>, RpcError>,
    },
    /// A notification, such as an event.
    Notification {
        /// The name of the method.
        method: String,
        /// The params as JSON.
        params: Box<RawValue>,
    },
}

#[derive(Deserialize)]
struct RawIncoming {
    #[serde(default)]
    id: Option<u64>,
    #[serde(default)]
    result: Option<Box<RawValue>>,
    #[serde(default)]
    error: Option<RpcError>,
    #[serde(default)]
    method: Option<String>,
    #[serde(default)]
    params: Option<Box<RawValue>>,
}

impl Incoming {
    /// Parses one line from the daemon.
    pub fn parse(line: &[u8]) -> Result<Self, serde_json::Error> {
        let raw: RawIncoming = serde_json::from_slice(line)?;
        let null = || RawValue::NULL.to_owned();
        Ok(match raw.method {
            Some(method) => Self::Notification { method, params: raw.params.unwrap_or_else(null) },
            None => Self::Answer {
                id: raw.id,
                outcome: raw.error.map_or_else(|| Ok(raw.result.unwrap_or_else(null)), Err),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(line: &str) -> (Option<String>, String) {
        let bad = Request::parse(line.as_bytes()).unwrap_err();
        (bad.id.map(|id| id.get().to_owned()), bad.error.data.code)
    }

    #[test]
    fn requests_read_and_absent_params_are_the_empty_object() {
        let request =
            Request::parse(br#"{"jsonrpc":"2.0","id":"a","method":"task.get","params":{"id":1}}"#).unwrap();
        assert_eq!(
            (request.id.unwrap().get(), &*request.method, request.params),
            (r#""a""#, "task.get", r#"{"id":1}"#)
        );
        let request = Request::parse(br#"{"jsonrpc":"2.0","method":"daemon.status"}"#).unwrap();
        assert!(request.id.is_none());
        assert_eq!(request.params, "{}");
        assert_eq!(
            Request::parse(br#"{"jsonrpc":"2.0","id":null,"method":"x"}"#).unwrap().id.unwrap().get(),
            "null"
        );
    }

    #[test]
    fn texts_may_be_written_with_escapes() {
        for line in [
            r#"{"jsonrpc":"2.0","id":1,"method":"provider\u002elist"}"#,
            r#"{"jsonrpc":"2\u002e0","id":1,"\u006dethod":"provider.list"}"#,
        ] {
            assert_eq!(Request::parse(line.as_bytes()).unwrap().method, "provider.list", "{line}");
        }
        let plain = Request::parse(br#"{"jsonrpc":"2.0","id":1,"method":"provider.list"}"#).unwrap();
        assert!(matches!(plain.method, Cow::Borrowed(_)));
    }

    #[test]
    fn bad_lines_get_the_code_that_says_why() {
        let some = |id: &str| Some(id.to_owned());
        for (line, id, code) in [
            ("garbage", None, "parse_error"),
            ("", None, "parse_error"),
            ("[]", None, "invalid_request"),
            ("1", None, "invalid_request"),
            (r#"{"id":1,"method":"x"}"#, some("1"), "invalid_request"),
            (r#"{"jsonrpc":"2.0","id":1}"#, some("1"), "invalid_request"),
            (r#"{"jsonrpc":"2.0","id":1,"method":7}"#, some("1"), "invalid_request"),
            (r#"{"jsonrpc":"2.0","id":2,"method":"x","params":{"guidance":NaN}}"#, some("2"), "parse_error"),
            (r#"{"jsonrpc":"2.0","id":"a","method":"x","#, some(r#""a""#), "parse_error"),
            (r#"{"params":NaN,"id":3,"method":"x"}"#, None, "parse_error"),
            (r#"{"id":1,"id":2,"method":"x"}"#, None, "invalid_request"),
            (r#"{"id":{},"method":7}"#, None, "invalid_request"),
            (r#"{"id":12"#, None, "parse_error"),
            (r#"{"jsonrpc":"2.0","id":{},"method":"x"}"#, None, "invalid_request"),
            (r#"{"jsonrpc":"2.0","id":true,"method":"x"}"#, None, "invalid_request"),
        ] {
            assert_eq!(refusal(line), (id, code.to_owned()), "{line}");
        }
        assert_eq!(refusal(&"[".repeat(100_000)).1, "invalid_request");
        assert_eq!(refusal(&format!(r#"{{"a":{}"#, "[".repeat(100_000))).1, "parse_error");
        let long = format!(
            r#"{{"jsonrpc":"2.0","id":9,"method":"task.get","params":"{}"}}"#,
            "x".repeat(LINE_BYTES)
        );
        assert_eq!(refusal(&long), (some("9"), "request_too_large".to_owned()));
        assert!(Request::parse(b"{\"jsonrpc\":\"2.0\",\"method\":\"\xff\"}").is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_never_panic_the_parsers(bytes: Vec<u8>) {
            let _ = Request::parse(&bytes);
            let _ = Incoming::parse(&bytes);
        }
    }
}
