//! The two encodings, JSON lines and bincode frames. No other file of the daemon encodes or decodes messages. `inbox` splits the stream into
//! messages.

use std::{borrow::Cow, fmt::Display};

use reel_protocol::{
    Method, RpcError,
    binary::{self, Message},
    methods::{EVENT, Event},
    read_json, rpc,
};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tracing::error;

/// The encoding of a connection's messages. It is JSON lines unless a preface selects frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Encoding {
    #[default]
    Json,
    Binary,
}

/// The id of a request, which the response repeats unchanged.
#[derive(Debug, Clone)]
pub(super) enum RequestId {
    Json(Box<RawValue>),
    Binary(u64),
}

/// The params of a request, not yet parsed.
#[derive(Debug, Clone)]
pub(super) enum Params<'a> {
    Json(Cow<'a, str>),
    Binary(Cow<'a, [u8]>),
}

/// A request in either encoding.
#[derive(Debug)]
pub(super) struct Request<'a> {
    /// The encoding of the request and of its response.
    pub(super) encoding: Encoding,
    /// The id. None for a notification, which gets no response.
    pub(super) id: Option<RequestId>,
    /// The name of the method, such as `task.submit`.
    pub(super) method: Cow<'a, str>,
    /// The params of the method.
    pub(super) params: Params<'a>,
}

/// A message that is not a valid request. The id is None if it could not be read.
#[derive(Debug)]
pub(super) struct BadRequest {
    pub(super) id: Option<RequestId>,
    pub(super) error: RpcError,
}

/// The reason why params do not fit their method.
#[derive(Debug)]
pub(super) enum Misfit {
    /// The params are not an object. Params by position are refused, because a later version could not add fields to them.
    NoObject,
    /// The params could not be parsed. The field is the parser's message.
    Unreadable(String),
}

impl Encoding {
    /// Parses one line or one frame.
    pub(super) fn request(self, message: &[u8]) -> Result<Request<'_>, BadRequest> {
        match self {
            Self::Json => {
                let rpc::Request { id, method, params } = rpc::Request::parse(message)
                    .map_err(|bad| BadRequest { id: bad.id.map(RequestId::Json), error: bad.error })?;
                let id = id.map(|id| RequestId::Json(id.to_owned()));
                Ok(Request { encoding: self, id, method, params: Params::Json(Cow::Borrowed(params)) })
            }
            Self::Binary => {
                let binary::Request { id, method, params } = binary::Request::parse(message)
                    .map_err(|bad| BadRequest { id: bad.id.map(RequestId::Binary), error: bad.error })?;
                let params = Params::Binary(Cow::Borrowed(params));
                let method = Cow::Borrowed(method);
                Ok(Request { encoding: self, id: id.map(RequestId::Binary), method, params })
            }
        }
    }

    /// Encodes an error response to `id`. The id is None if it could not be read.
    pub(super) fn failure(self, id: Option<&RequestId>, failure: &RpcError) -> Vec<u8> {
        match self {
            Self::Json => written(rpc::failure_line(id.and_then(RequestId::json), failure)),
            Self::Binary => written(binary::error(id.and_then(RequestId::binary), failure)),
        }
    }

    /// Encodes an event.
    pub(super) fn event(self, event: &Event) -> Vec<u8> {
        match self {
            Self::Json => written(rpc::notification_line(EVENT, event)),
            Self::Binary => written(binary::event(event)),
        }
    }
}

impl RequestId {
    /// Encodes a response with this result. The error says why the result cannot be encoded.
    pub(super) fn success<M: Method>(&self, mut result: M::Result) -> Result<Message, String> {
        match self {
            Self::Json(id) => {
                let raw = M::take_raw(&mut result).filter(|raw| !raw.is_empty());
                let bytes = rpc::success_line(id, &result).map_err(|error| error.to_string())?;
                let block = raw.map(|raw| (bytes.len(), raw));
                Ok(Message { bytes, block })
            }
            Self::Binary(id) => {
                binary::result(*id, &result, M::block(&result)).map_err(|error| error.to_string())
            }
        }
    }

    fn json(&self) -> Option<&RawValue> {
        match self {
            Self::Json(id) => Some(id),
            Self::Binary(_) => None,
        }
    }

    fn binary(&self) -> Option<u64> {
        match self {
            Self::Json(_) => None,
            Self::Binary(id) => Some(*id),
        }
    }
}

impl Params<'_> {
    pub(super) fn len(&self) -> usize {
        self.bytes().len()
    }

    /// Returns the bytes as they were received.
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Json(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    /// Copies borrowed bytes, so that the params can outlive the message.
    pub(super) fn into_owned(self) -> Params<'static> {
        match self {
            Self::Json(text) => Params::Json(Cow::Owned(text.into_owned())),
            Self::Binary(bytes) => Params::Binary(Cow::Owned(bytes.into_owned())),
        }
    }

    /// Parses the params to the type that the method requires.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, Misfit> {
        let unreadable = |error: &dyn Display| Misfit::Unreadable(error.to_string());
        match self {
            Self::Json(text) if !text.starts_with('{') => Err(Misfit::NoObject),
            Self::Json(text) => read_json(text).map_err(|error| unreadable(&error)),
            Self::Binary(bytes) => binary::decode(bytes).map_err(|error| unreadable(&error)),
        }
    }
}

/// The daemon's own types can always be encoded. If one could not, this message would be lost, but the daemon would go on.
fn written(bytes: Result<Vec<u8>, impl Display>) -> Vec<u8> {
    bytes.unwrap_or_else(|error| {
        error!(%error, "a message could not be encoded");
        Vec::new()
    })
}
