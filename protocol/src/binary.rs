//! Messages in bincode, one a frame: the second encoding of the same types. The one file that knows bincode, so that it can be replaced.
//!
//! Integers are fixed in size and little-endian, lengths are u64, a variant of an enum is a u32, an option is one byte before its value. Every
//! decoder has a limit: without one, nine bytes ask for a tebibyte.

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

/// Blocks from this size on leave as they are, beside the bytes around them, rather than being copied.
const BLOCK_FROM_BYTES: usize = 64 * 1024;

/// Room for an ordinary message, so that it is one allocation.
const ORDINARY_BYTES: usize = 256;

/// Room for a task as it is shown.
const RESULT_BYTES: usize = 1_024;

/// The kind of what the daemon sends: its body's first byte.
const RESULT: u8 = 0;
const ERROR: u8 = 1;
const EVENT: u8 = 2;

/// Bytes that are not the value they should be, or a value that has no bytes.
#[derive(Debug, thiserror::Error)]
pub enum BinaryError {
    /// The bytes do not hold the value.
    #[error("{0}")]
    Decode(DecodeError),
    /// The value is followed by something that does not belong to it.
    #[error("{0} bytes too many")]
    Trailing(usize),
    /// The value cannot be written.
    #[error("{0}")]
    Encode(EncodeError),
    /// More bytes than a frame's length can say.
    #[error("the message is larger than a frame can be")]
    TooLarge,
}

/// The bytes of one value.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, BinaryError> {
    let mut gather = Gather::default();
    gather.add(value)?;
    Ok(gather.bytes)
}

/// The value that takes all of the bytes. Strings and byte slices of the type may point into them.
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

/// A request as its frame holds it; the params stay bytes until their type is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// None for a notification, which gets no answer.
    pub id: Option<u64>,
    /// Such as `task.submit`.
    pub method: &'a str,
    /// The method's params.
    pub params: &'a [u8],
}

/// A frame that is no request, with the id to answer to where one could be read.
#[derive(Debug)]
pub struct BadRequest {
    /// The request's id; absent for a notification.
    pub id: Option<u64>,
    /// What to answer.
    pub error: RpcError,
}

impl<'a> Request<'a> {
    /// Reads one frame's body.
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

/// The answer to a stream that ends inside a frame.
pub fn cut() -> RpcError {
    RpcError::new(ErrorCode::ParseError, "the stream ended inside a frame")
        .hint("a frame is its length as a u32, little-endian, and so many bytes")
}

/// A message with its length in front, ready to leave.
#[derive(Debug, Default)]
pub struct Message {
    /// The bytes, but for the block's.
    pub bytes: Vec<u8>,
    /// A large block that belongs between the bytes, and where.
    pub block: Option<(usize, bytes::Bytes)>,
}

impl Message {
    /// How long it is in all.
    pub fn len(&self) -> usize {
        self.bytes.len() + self.block.as_ref().map_or(0, |(_, block)| block.len())
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// All bytes in one piece.
    pub fn to_vec(&self) -> Vec<u8> {
        let Some((at, block)) = &self.block else { return self.bytes.clone() };
        let (before, after) = self.bytes.split_at_checked(*at).unwrap_or((&self.bytes, &[]));
        [before, block, after].concat()
    }
}

/// One frame that asks; without an id one that tells.
pub fn request<T: Serialize>(id: Option<u64>, method: &str, params: &T) -> Result<Vec<u8>, BinaryError> {
    let mut gather = Gather::frame(ORDINARY_BYTES);
    gather.add(&(id, method))?;
    gather.add(params)?;
    Ok(gather.finish()?.bytes)
}

/// One frame that answers `id` with a result; its `block`, if it is large, is shared rather than copied.
pub fn result<T: Serialize>(id: u64, result: &T, block: Option<&Bytes>) -> Result<Message, BinaryError> {
    let mut gather = Gather::frame(RESULT_BYTES);
    gather.add(&(RESULT, id))?;
    gather.shared = block.filter(|block| block.0.len() >= BLOCK_FROM_BYTES);
    gather.add(result)?;
    gather.finish()
}

/// One frame that answers `id` (none where it could not be read) with an error.
pub fn error(id: Option<u64>, error: &RpcError) -> Result<Vec<u8>, BinaryError> {
    let mut gather = Gather::frame(ORDINARY_BYTES);
    gather.add(&(ERROR, id, error))?;
    Ok(gather.finish()?.bytes)
}

/// One frame that tells an event.
pub fn event(event: &Event) -> Result<Vec<u8>, BinaryError> {
    let mut gather = Gather::frame(ORDINARY_BYTES);
    gather.add(&(EVENT, event))?;
    Ok(gather.finish()?.bytes)
}

/// What a client receives.
#[derive(Debug)]
pub enum Incoming {
    /// The result of the request with this id, of a type that only its caller knows.
    Result {
        /// The request's id.
        id: u64,
        /// The result's bytes.
        result: bytes::Bytes,
    },
    /// The refusal of the request with this id; None where the daemon could not read the id.
    Error {
        /// The request's id.
        id: Option<u64>,
        /// Why.
        error: RpcError,
    },
    /// An event.
    Event(Box<Event>),
}

impl Incoming {
    /// Reads one frame's body.
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

/// Gathers the bytes of a message.
#[derive(Default)]
struct Gather<'a> {
    bytes: Vec<u8>,
    /// What is not to be copied.
    shared: Option<&'a Bytes>,
    block: Option<(usize, bytes::Bytes)>,
}

impl Gather<'_> {
    /// Room for the length comes first.
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
            // The very bytes of the block, not only equal ones.
            Some(shared) if self.block.is_none() && std::ptr::eq(bytes, &raw const *shared.0) => {
                self.block = Some((self.bytes.len(), shared.0.clone()));
            }
            _ => self.bytes.extend_from_slice(bytes),
        }
        Ok(())
    }
}
