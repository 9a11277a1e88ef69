//! Encodes and decodes messages in bincode, one per frame: the second encoding of the same types. No other file uses bincode, so that it can be
//! replaced.
//!
//! Integers have a fixed size and are little-endian, lengths are u64, a variant of an enum is a u32, and an option is one byte before its value.
//! Every decoder has a limit: without one, nine bytes ask for a tebibyte.

use bincode::{
    config::{Configuration, Fixint, Limit, LittleEndian},
    enc::write::Writer,
    error::{DecodeError, EncodeError},
};
use serde::{Deserialize, Serialize};

use crate::{
    Bytes, ErrorCode, RpcError,
    frame::LENGTH_BYTES,
    limits::LARGE_LINE_BYTES,
    methods::Event,
    rpc::{line_limit, too_large},
};

const CONFIG: Configuration<LittleEndian, Fixint, Limit<LARGE_LINE_BYTES>> =
    bincode::config::standard().with_fixed_int_encoding().with_limit::<LARGE_LINE_BYTES>();

/// Smallest block, in bytes, that is shared with the message. A smaller one is copied into it.
const BLOCK_FROM_BYTES: usize = 64 * 1024;

/// Initial capacity for an ordinary message, in bytes, so that it takes one allocation.
const ORDINARY_BYTES: usize = 256;

/// Initial capacity for a result, in bytes: the size of a task as it is shown.
const RESULT_BYTES: usize = 1_024;

/// The kinds of the daemon's messages. The kind is the first byte of the body.
const RESULT: u8 = 0;
const ERROR: u8 = 1;
const EVENT: u8 = 2;

/// Why a value could not be decoded or encoded.
#[derive(Debug, thiserror::Error)]
pub enum BinaryError {
    /// The bytes are not those of such a value.
    #[error("{0}")]
    Decode(DecodeError),
    /// The value is followed by this many bytes that do not belong to it.
    #[error("{0} bytes too many")]
    Trailing(usize),
    /// The value cannot be encoded.
    #[error("{0}")]
    Encode(EncodeError),
    /// The message is larger than the length of a frame can say.
    #[error("the message is larger than a frame can be")]
    TooLarge,
}

/// Encodes one value.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, BinaryError> {
    let mut gather = Gather::default();
    gather.add(value)?;
    Ok(gather.bytes)
}

/// Decodes a value that takes up all of the bytes. Strings and byte slices in it may borrow from them.
pub fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, BinaryError> {
    match decode_first(bytes)? {
        (value, []) => Ok(value),
        (_, rest) => Err(BinaryError::Trailing(rest.len())),
    }
}

fn decode_first<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<(T, &'a [u8]), BinaryError> {
    let (value, length) =
        bincode::serde::borrow_decode_from_slice(bytes, CONFIG).map_err(BinaryError::Decode)?;
    Ok((value, bytes.get(length..).unwrap_or_default()))
}

/// A request as its frame has it. The params stay bytes until their type is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// The id; None for a notification, which gets no answer.
    pub id: Option<u64>,
    /// The name of the method, such as `task.submit`.
    pub method: &'a str,
    /// The params, encoded.
    pub params: &'a [u8],
}

/// Why a frame is no request.
#[derive(Debug)]
pub struct BadRequest {
    /// The id to which to answer; None for a notification, and if none could be read.
    pub id: Option<u64>,
    /// The error to answer.
    pub error: RpcError,
}

impl<'a> Request<'a> {
    /// Parses the body of a frame.
    pub fn parse(body: &'a [u8]) -> Result<Self, BadRequest> {
        let ((id, method), params) = decode_first::<(Option<u64>, &str)>(body).map_err(|error| {
            let error = RpcError::new(ErrorCode::ParseError, format!("the frame is no request: {error}"))
                .hint("its body is an id, a method's name and the method's params, in bincode");
            BadRequest { id: None, error }
        })?;
        if body.len() > line_limit(method) {
            return Err(BadRequest { id, error: too_large(line_limit(method)) });
        }
        Ok(Self { id, method, params })
    }
}

/// Returns the error for a stream that ends inside a frame.
pub fn cut() -> RpcError {
    RpcError::new(ErrorCode::ParseError, "the stream ended inside a frame")
        .hint("a frame is its length as a u32, little-endian, and so many bytes")
}

/// A message with its length, ready to be sent.
#[derive(Debug, Default)]
pub struct Message {
    /// The bytes of the message, without those of the block.
    pub bytes: Vec<u8>,
    /// A large block of the message, with the index in `bytes` at which it belongs.
    pub block: Option<(usize, bytes::Bytes)>,
}

impl Message {
    /// Returns the length of the whole message, in bytes.
    pub fn len(&self) -> usize {
        self.bytes.len() + self.block.as_ref().map_or(0, |(_, block)| block.len())
    }

    /// Whether the message has no bytes, so that nothing is sent.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Returns all bytes in one vector.
    pub fn to_vec(&self) -> Vec<u8> {
        let Some((at, block)) = &self.block else { return self.bytes.clone() };
        let (before, after) = self.bytes.split_at_checked(*at).unwrap_or((&self.bytes, &[]));
        [before, block, after].concat()
    }
}

/// Returns the frame of a request; without an id, of a notification.
pub fn request<T: Serialize>(id: Option<u64>, method: &str, params: &T) -> Result<Vec<u8>, BinaryError> {
    let mut gather = Gather::frame(ORDINARY_BYTES);
    gather.add(&(id, method))?;
    gather.add(params)?;
    Ok(gather.finish()?.bytes)
}

/// Returns the frame that answers `id` with a result. If `block` is large, the message shares it instead of copying it.
pub fn result<T: Serialize>(id: u64, result: &T, block: Option<&Bytes>) -> Result<Message, BinaryError> {
    let mut gather = Gather::frame(RESULT_BYTES);
    gather.add(&(RESULT, id))?;
    gather.shared = block.filter(|block| block.0.len() >= BLOCK_FROM_BYTES);
    gather.add(result)?;
    gather.finish()
}

/// Returns the frame that answers `id` with an error. The id is None if it could not be read.
pub fn error(id: Option<u64>, error: &RpcError) -> Result<Vec<u8>, BinaryError> {
    let mut gather = Gather::frame(ORDINARY_BYTES);
    gather.add(&(ERROR, id, error))?;
    Ok(gather.finish()?.bytes)
}

/// Returns the frame of an event.
pub fn event(event: &Event) -> Result<Vec<u8>, BinaryError> {
    let mut gather = Gather::frame(ORDINARY_BYTES);
    gather.add(&(EVENT, event))?;
    Ok(gather.finish()?.bytes)
}

/// A message that a client receives.
#[derive(Debug)]
pub enum Incoming {
    /// The result of a request, whose type only the caller knows.
    Result {
        /// The request's id.
        id: u64,
        /// The result, encoded.
        result: bytes::Bytes,
    },
    /// The error that answers a request.
    Error {
        /// The id of the request; None if the daemon could not read it.
        id: Option<u64>,
        /// Why the request was refused or failed.
        error: RpcError,
    },
    /// An event of a subscription of this connection.
    Event(Box<Event>),
}

impl Incoming {
    /// Parses the body of a frame.
    pub fn parse(body: &bytes::Bytes) -> Result<Self, BinaryError> {
        let (kind, rest) = decode_first::<u8>(body)?;
        match kind {
            RESULT => {
                let (id, result) = decode_first(rest)?;
                Ok(Self::Result { id, result: body.slice_ref(result) })
            }
            ERROR => decode(rest).map(|(id, error)| Self::Error { id, error }),
            EVENT => decode(rest).map(|event| Self::Event(Box::new(event))),
            _ => Err(BinaryError::Decode(DecodeError::Other("a message of an unknown kind"))),
        }
    }
}

/// Collects the bytes of a message.
#[derive(Default)]
struct Gather<'a> {
    bytes: Vec<u8>,
    /// The block that is shared instead of copied.
    shared: Option<&'a Bytes>,
    block: Option<(usize, bytes::Bytes)>,
}

impl Gather<'_> {
    /// Begins a frame, with room for its length.
    fn frame(room_bytes: usize) -> Self {
        let mut bytes = Vec::with_capacity(room_bytes);
        bytes.extend_from_slice(&[0; LENGTH_BYTES]);
        Self { bytes, ..Self::default() }
    }

    fn add<T: Serialize>(&mut self, value: &T) -> Result<(), BinaryError> {
        bincode::serde::encode_into_writer(value, self, CONFIG).map_err(BinaryError::Encode)
    }

    fn finish(self) -> Result<Message, BinaryError> {
        let mut message = Message { bytes: self.bytes, block: self.block };
        let length = message.len().saturating_sub(LENGTH_BYTES);
        let (Ok(told), Some(place)) = (u32::try_from(length), message.bytes.first_chunk_mut()) else {
            return Err(BinaryError::TooLarge);
        };
        *place = told.to_le_bytes();
        Ok(message)
    }
}

impl Writer for Gather<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        match self.shared {
            // The block is recognised by its address, because other bytes may be equal to it.
            Some(shared) if self.block.is_none() && std::ptr::eq(bytes, &raw const *shared.0) => {
                self.block = Some((self.bytes.len(), shared.0.clone()));
            }
            _ => self.bytes.extend_from_slice(bytes),
        }
        Ok(())
    }
}
