//! How a call is answered: well, or wrong in one of the ways that real services and broken networks have.

use std::time::Duration;

/// What happens to one call. Everything but `Good` and its kin is something a client must survive.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// 200 with the pictures that were asked for.
    Good,
    /// The same in chunks, without a `Content-Length`.
    Chunked,
    /// The same compressed, whether the client asked for that or not.
    Gzip,
    /// The same compressed as `deflate` without the header of zlib, as some servers send it.
    Deflate,
    /// The same, and then the server closes the connection without having said so: the next request on it may be lost.
    GoodThenClose,

    /// 429 `rate_limit_exceeded`.
    RateLimited {
        /// How the answer says when to come back.
        retry_after: RetryAfter,
    },
    /// 429 `insufficient_quota`: waiting does not help.
    InsufficientQuota,
    /// 500.
    ServerError,
    /// 503 without a `Retry-After`.
    Unavailable,
    /// 401 `invalid_api_key`.
    Unauthorized,
    /// 403, the account may not use the model.
    Forbidden,
    /// 400 `moderation_blocked`.
    Moderated,
    /// 400 `invalid_value`.
    Invalid,
    /// 404 `model_not_found`.
    ModelNotFound,

    /// 200 with `data: []`.
    NoPicture,
    /// 200 with an error object in place of pictures.
    ErrorInside,
    /// 200 with a web page, as a captive portal or a wrong address answers.
    Html,
    /// 200 with JSON that is not an answer of this API.
    OtherJson,
    /// 200 with a `b64_json` that is no base64.
    BadBase64,
    /// 200 with base64 of bytes that are no picture.
    NotAPicture,
    /// 200 with a PNG whose header declares 50000×50000 pixels.
    HugePicture,
    /// 200 with one address of a picture, as it is given here: another host, `file://`, a link-local address.
    PictureAt(String),
    /// 200 with the address of a picture that this server no longer has (404).
    PictureGone,

    /// The good answer up to here, then the end of the connection.
    Cut(Cut),
    /// The connection is reset before the request was read. Whatever request comes first meets it.
    ResetBeforeRequest,
    /// The request is read, then the connection is reset.
    ResetAfterRequest,
    /// The request is read, then the connection ends in good order without a byte.
    CloseAfterRequest,
    /// Bytes that are not HTTP.
    Garbage,
    /// A `Content-Length` of 2^60 and a body that goes on for ever.
    HugeLength,
    /// A chunked body that goes on for ever.
    EndlessBody,
    /// The good answer, one byte at a time.
    Drip {
        /// The time between two bytes.
        every: Duration,
    },
    /// The first half of the good answer's body, and the rest once [`FakeProvider::finish_halves`](super::FakeProvider::finish_halves) is called.
    Half,
    /// The good answer's head, then nothing more while the connection stays open.
    StallAfterHead,
    /// Nothing at all while the connection stays open.
    Never,
    /// A redirect.
    Redirect {
        /// 301, 302, 303 (the call is repeated as GET), 307 or 308 (it is repeated as it was).
        status: u16,
        /// Where to.
        location: String,
    },
    /// A whole answer with a body and headers of the caller's own, whatever was asked for.
    Answered {
        /// The status.
        status: u16,
        /// The `Content-Type`.
        media_type: &'static str,
        /// Further headers.
        headers: Vec<(&'static str, String)>,
        /// The body.
        body: Vec<u8>,
    },
    /// Bytes of the caller's own, head included; then the end of the connection.
    Raw(Vec<u8>),
}

impl Fault {
    /// A 302 to `location`.
    pub fn redirect(location: &str) -> Self {
        Self::Redirect { status: 302, location: location.to_owned() }
    }

    /// A whole answer in JSON.
    pub fn answered(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::Answered { status, media_type: "application/json", headers: Vec::new(), body: body.into() }
    }

    /// A 429 whose `Retry-After` is a whole number of seconds.
    pub const fn rate_limited(seconds: u64) -> Self {
        Self::RateLimited { retry_after: RetryAfter::Seconds(seconds) }
    }
}

/// The shapes in which services say when to come back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RetryAfter {
    /// `Retry-After: 2`.
    Seconds(u64),
    /// `Retry-After: 0.25`.
    Float(f64),
    /// `retry-after-ms: 250`.
    Milliseconds(u64),
    /// `Retry-After: Tue, 24 Nov 2026 06:00:00 GMT`, this long after the server's now; the format has whole seconds.
    DateIn(Duration),
    /// A date that is over already.
    DatePast,
    /// `Retry-After: soon`, which no standard knows.
    Nonsense,
    /// None at all.
    Absent,
}

/// Where a good answer ends too early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Within `HTTP/1.1 200 OK`.
    StatusLine,
    /// Between two headers.
    Headers,
    /// Right after the head: a body was promised and none came.
    AfterHead,
    /// In the middle of a picture's base64.
    Base64,
    /// Before the last brace: all of the picture is there, the JSON is not whole.
    BeforeLastBrace,
    /// After this many bytes, head included.
    At(usize),
}

impl Cut {
    /// How many bytes of an answer are sent.
    pub(super) fn length(self, head: usize, whole: usize) -> usize {
        let length = match self {
            Self::StatusLine => "HTTP/1.1 2".len(),
            Self::Headers => head / 2,
            Self::AfterHead => head,
            Self::Base64 => usize::midpoint(head, whole),
            Self::BeforeLastBrace => whole - 1,
            Self::At(length) => length,
        };
        length.min(whole)
    }
}
