//! The two encodings, JSON lines and bincode frames, and how a connection negotiates one. No other file of the client encodes or decodes messages.

use interprocess::local_socket::tokio::Stream;
use reel_protocol::{
    RpcError, binary,
    frame::{FrameDecoder, OwnedFrame},
    line::{Line, LineDecoder},
    methods::{EVENT, Event, Method},
    preface::{self, REPLY_BYTES, SCHEMA, Verdict},
    rpc,
};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use crate::{
    ClientError,
    route::{CloseReason, refused},
};

/// The smallest free space for a read, in bytes. A response with a status or a task fits.
const READ_BYTES: usize = 16 * 1024;

/// The encoding of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Frames of bincode if the daemon has the same schema, else JSON lines.
    Binary,
    /// JSON lines. The client sends no preface for them.
    Json,
}

impl Encoding {
    /// Returns JSON lines if `REEL_ENCODING` is `json`, as tests set it, else [`Encoding::Binary`].
    pub(crate) fn from_env() -> Self {
        if std::env::var_os("REEL_ENCODING").is_some_and(|value| value == "json") {
            Self::Json
        } else {
            Self::Binary
        }
    }

    /// Encodes a request.
    pub(crate) fn request<T: Serialize>(
        self,
        id: u64,
        method: &str,
        params: &T,
    ) -> Result<Vec<u8>, ClientError> {
        match self {
            Self::Json => rpc::request_line(id, method, params).map_err(ClientError::protocol),
            Self::Binary => binary::request(Some(id), method, params).map_err(ClientError::protocol),
        }
    }
}

/// A result that is not decoded yet, because only the caller knows its type.
#[derive(Debug)]
pub(crate) enum Raw {
    Json(Box<RawValue>),
    Binary(bytes::Bytes),
}

impl Raw {
    /// Decodes it as the method's result.
    pub(crate) fn read<M: Method>(&self) -> Result<M::Result, ClientError> {
        match self {
            Self::Json(text) => serde_json::from_str(text.get()).map_err(ClientError::protocol),
            Self::Binary(bytes) => M::read(bytes).map_err(ClientError::protocol),
        }
    }
}

/// One message from the daemon.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// The response to the request with this id; None if the daemon could not read the id of a message.
    Answer { id: Option<u64>, outcome: Result<Raw, RpcError> },
    /// An event of a subscription.
    Event(Box<Event>),
    /// A notification that this client does not know, from a newer daemon.
    Other,
}

/// Decodes one line of JSON.
pub(crate) fn read_line(line: &[u8]) -> Result<Incoming, String> {
    Ok(match rpc::Incoming::parse(line).map_err(|error| error.to_string())? {
        rpc::Incoming::Answer { id, outcome } => Incoming::Answer { id, outcome: outcome.map(Raw::Json) },
        rpc::Incoming::Notification { method, params } if method == EVENT => {
            serde_json::from_str(params.get())
                .map_or(Incoming::Other, |event| Incoming::Event(Box::new(event)))
        }
        rpc::Incoming::Notification { .. } => Incoming::Other,
    })
}

/// Decodes the body of one frame.
fn read_frame(body: &bytes::Bytes) -> Result<Incoming, String> {
    Ok(match binary::Incoming::parse(body).map_err(|error| error.to_string())? {
        binary::Incoming::Result { id, result } => {
            Incoming::Answer { id: Some(id), outcome: Ok(Raw::Binary(result)) }
        }
        binary::Incoming::Error { id, error } => Incoming::Answer { id, outcome: Err(error) },
        binary::Incoming::Event(event) => Incoming::Event(event),
    })
}

/// Splits the bytes from the daemon into messages and decodes them.
#[derive(Debug)]
pub(crate) enum Decoder {
    Lines(LineDecoder),
    Frames(FrameDecoder),
}

impl Decoder {
    /// Returns the encoding that it decodes. Requests must be encoded in the same one.
    pub(crate) fn encoding(&self) -> Encoding {
        match self {
            Self::Lines(_) => Encoding::Json,
            Self::Frames(_) => Encoding::Binary,
        }
    }

    /// Returns the next complete message; None until more bytes are read. An error means that the connection must be closed.
    pub(crate) fn next(&mut self) -> Result<Option<Incoming>, String> {
        match self {
            Self::Lines(lines) => match lines.next_line() {
                None => Ok(None),
                Some(Line::Text(line)) => read_line(line).map(Some),
                Some(Line::TooLong) => Err("a line is longer than the protocol allows".to_owned()),
            },
            Self::Frames(frames) => match frames.next_owned() {
                None | Some(OwnedFrame::Cut) => Ok(None),
                Some(OwnedFrame::Whole(body)) => read_frame(&body).map(Some),
                Some(OwnedFrame::TooLong) => Err("a frame is longer than the protocol allows".to_owned()),
            },
        }
    }

    /// Reads once from the stream. False if the daemon closed the connection.
    pub(crate) async fn read_from(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> bool {
        let buffer = match self {
            Self::Lines(lines) => lines.buffer_mut(),
            Self::Frames(frames) => {
                let missing = frames.missing_bytes();
                let buffer = frames.buffer_mut();
                if missing > READ_BYTES {
                    // The exact size lets a large frame take over the whole buffer, with no part of another frame in it.
                    buffer.reserve_exact(missing);
                }
                buffer
            }
        };
        if buffer.capacity() == buffer.len() {
            buffer.reserve(READ_BYTES);
        }
        // A reset means the same as an end of file: the daemon is gone.
        stream.read_buf(buffer).await.is_ok_and(|count| count > 0)
    }
}

/// Asks the daemon for frames and returns a decoder for the encoding that it chose. Fails if the daemon closed the connection, refuses to serve it,
/// or is not `reeld`.
pub(crate) async fn agree(mut stream: &Stream) -> Result<Decoder, CloseReason> {
    // If this fails, the daemon may have sent its reason before it closed the connection.
    let _ = stream.write_all(&preface::preface(SCHEMA)).await;
    let mut bytes = Vec::with_capacity(READ_BYTES);
    loop {
        match preface::verdict(&bytes) {
            Verdict::Frames => {
                bytes.drain(..REPLY_BYTES);
                return Ok(Decoder::Frames(FrameDecoder::with_bytes(bytes)));
            }
            Verdict::Lines => {
                bytes.drain(..REPLY_BYTES);
                return Ok(Decoder::Lines(LineDecoder::with_bytes(bytes)));
            }
            Verdict::NoReply => break,
            Verdict::Broken => return Err("its first bytes are none of reeld's".to_owned().into()),
            Verdict::Undecided => {}
        }
        if !stream.read_buf(&mut bytes).await.is_ok_and(|count| count > 0) {
            return Err(CloseReason::Disconnected);
        }
    }
    let mut lines = Decoder::Lines(LineDecoder::with_bytes(bytes));
    loop {
        match lines.next()? {
            Some(Incoming::Answer { outcome: Err(error), .. }) => return Err(refused(error)),
            Some(_) => return Err("it answers what nobody asked".to_owned().into()),
            None if lines.read_from(&mut stream).await => {}
            None => return Err(CloseReason::Disconnected),
        }
    }
}
