//! The two encodings, JSON lines and bincode frames: the one file of the daemon in which a message is read or written. How a stream is cut
//! into messages is a matter of the inbox.

use std::{borrow::Cow, fmt::Display};

use reel_protocol::{
    Method, RpcError,
    binary::{self, Message},
    methods::{EVENT, Event},
    rpc,
};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tracing::error;

/// How a connection's messages are written. JSON lines until a preface says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Encoding {
    #[default]
    Json,
    Binary,
}

/// A request's id, to go back as it came.
#[derive(Debug, Clone)]
pub(super) enum RequestId {
    Json(Box<RawValue>),
    Binary(u64),
}

/// The params of a request, not yet read.
#[derive(Debug, Clone)]
pub(super) enum Params<'a> {
    Json(Cow<'a, str>),
    Binary(Cow<'a, [u8]>),
}

/// A request, whichever way it came.
#[derive(Debug)]
pub(super) struct Request<'a> {
    /// Of the request and of its answer.
    pub(super) encoding: Encoding,
    /// None for a notification, which gets no answer.
    pub(super) id: Option<RequestId>,
    /// Such as `task.submit`.
    pub(super) method: Cow<'a, str>,
    /// The method's params.
    pub(super) params: Params<'a>,
}

/// A message that is no request, with the id to answer to where one could be read.
#[derive(Debug)]
pub(super) struct BadRequest {
    pub(super) id: Option<RequestId>,
    pub(super) error: RpcError,
}

/// Why params do not fit their method.
#[derive(Debug)]
pub(super) enum Misfit {
    /// Not an object, whose fields have names: by their positions no later version could keep them.
    NoObject,
    /// In the reader's words.
    Unreadable(String),
}

impl Encoding {
    /// Reads one line or one frame.
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

    /// The bytes that answer `id` (none where it could not be read) with an error.
    pub(super) fn failure(self, id: Option<&RequestId>, failure: &RpcError) -> Vec<u8> {
        match self {
            Self::Json => written(rpc::failure_line(id.and_then(RequestId::json), failure)),
            Self::Binary => written(binary::error(id.and_then(RequestId::binary), failure)),
        }
    }

    /// The bytes that tell an event.
    pub(super) fn event(self, event: &Event) -> Vec<u8> {
        match self {
            Self::Json => written(rpc::notification_line(EVENT, event)),
            Self::Binary => written(binary::event(event)),
        }
    }
}

impl RequestId {
    /// The message that answers it with a result; the reason where that cannot be written.
    pub(super) fn success<M: Method>(&self, result: &M::Result) -> Result<Message, String> {
        match self {
            Self::Json(id) => {
                let bytes = rpc::success_line(id, result).map_err(|error| error.to_string())?;
                Ok(Message { bytes, block: None })
            }
            Self::Binary(id) => {
                binary::result(*id, result, M::block(result)).map_err(|error| error.to_string())
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

    /// As they came.
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Json(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    /// The same with bytes of their own.
    pub(super) fn into_owned(self) -> Params<'static> {
        match self {
            Self::Json(text) => Params::Json(Cow::Owned(text.into_owned())),
            Self::Binary(bytes) => Params::Binary(Cow::Owned(bytes.into_owned())),
        }
    }

    /// Reads them as the type that they must be.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, Misfit> {
        let unreadable = |error: &dyn Display| Misfit::Unreadable(error.to_string());
        match self {
            Self::Json(text) if !text.starts_with('{') => Err(Misfit::NoObject),
            Self::Json(text) => serde_json::from_str(text).map_err(|error| unreadable(&error)),
            Self::Binary(bytes) => binary::decode(bytes).map_err(|error| unreadable(&error)),
        }
    }
}

/// Our own types can always be written; should one not be, it costs this message and not the daemon.
fn written(bytes: Result<Vec<u8>, impl Display>) -> Vec<u8> {
    bytes.unwrap_or_else(|error| {
        error!(%error, "a message could not be encoded");
        Vec::new()
    })
}
