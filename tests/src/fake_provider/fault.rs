//! The ways in which the server can respond to a call: correctly, or with one of the faults that real services and networks have.

use std::time::Duration;

/// What happens to one call. A client must survive each of them.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// Status 200 with the result that was asked for.
    Good,
    /// As `Good`, but chunked, without a `Content-Length`.
    Chunked,
    /// As `Good`, but compressed with gzip, whether or not the client accepts that.
    Gzip,
    /// As `Good`, but compressed as `deflate` without the zlib header, as some servers send it.
    Deflate,
    /// As `Good`, but the server then closes the connection without announcing it. The next request on it may be lost.
    GoodThenClose,

    /// Status 429 `rate_limit_exceeded`.
    RateLimited {
        /// How the response says when to retry.
        retry_after: RetryAfter,
    },
    /// Status 429 `insufficient_quota`. A retry cannot succeed.
    InsufficientQuota,
    /// Status 500 `server_error`, as of a service that failed for a moment.
    ServerError,
    /// Status 503 without a `Retry-After`.
    Unavailable,
    /// Status 401 `invalid_api_key`.
    Unauthorized,
    /// Status 403: the account may not use the model.
    Forbidden,
    /// Status 400 `moderation_blocked`.
    Moderated,
    /// Status 400 `invalid_value`.
    Invalid,
    /// Status 404 `model_not_found`.
    ModelNotFound,

    /// Status 200 with `data: []`.
    NoPicture,
    /// Status 200 with an error object instead of pictures.
    ErrorInside,
    /// Status 200 with a web page, as from a captive portal or a wrong address.
    Html,
    /// Status 200 with JSON that is no response of this API.
    OtherJson,
    /// Status 200 with a `b64_json` that is not valid base64.
    BadBase64,
    /// Status 200 with base64 of bytes that are not a picture.
    NotAPicture,
    /// Status 200 with a PNG whose header declares 50000×50000 pixels.
    HugePicture,
    /// Status 200 with this URL instead of a picture, for example one with another host, `file://` or a link-local address.
    PictureAt(String),
    /// Status 200 with the URL of a picture for which this server responds with 404.
    PictureGone,

    /// As `Good`, but the connection ends at this position.
    Cut(Cut),
    /// The connection is reset before a request is read. This happens to whatever request comes first.
    ResetBeforeRequest,
    /// The request is read, and then the connection is reset.
    ResetAfterRequest,
    /// The request is read, and then the connection is closed in good order without a response.
    CloseAfterRequest,
    /// The response is not HTTP.
    Garbage,
    /// The response has a `Content-Length` of 2^60 and an endless body.
    HugeLength,
    /// The response has an endless chunked body.
    EndlessBody,
    /// As `Good`, but sent one byte at a time.
    Drip {
        /// The time between two bytes.
        every: Duration,
    },
    /// The first half of the good response's body is sent. The rest follows after
    /// [`FakeProvider::finish_halves`](super::FakeProvider::finish_halves).
    Half,
    /// The head of the good response is sent. Then nothing follows, and the connection stays open.
    StallAfterHead,
    /// Nothing is sent, and the connection stays open.
    Never,
    /// The response is a redirect.
    Redirect {
        /// Status 301, 302 or 303, after which the call is repeated as GET; or 307 or 308, after which it is repeated unchanged.
        status: u16,
        /// The value of the header `Location`.
        location: String,
    },
    /// The response is complete and has this body and these headers, whatever the request asked for.
    Answered {
        /// The status code.
        status: u16,
        /// The value of the header `Content-Type`.
        media_type: &'static str,
        /// Headers that are sent beside it.
        headers: Vec<(&'static str, String)>,
        /// The bytes of the body, sent as they are.
        body: Vec<u8>,
    },
    /// These bytes are sent as head and body, and then the connection is closed.
    Raw(Vec<u8>),
}

impl Fault {
    /// Returns a 302 to `location`.
    pub fn redirect(location: &str) -> Self {
        Self::Redirect { status: 302, location: location.to_owned() }
    }

    /// Returns a complete response in JSON.
    pub fn answered(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::Answered { status, media_type: "application/json", headers: Vec::new(), body: body.into() }
    }

    /// Returns a 429 whose `Retry-After` is a whole number of seconds.
    pub const fn rate_limited(seconds: u64) -> Self {
        Self::RateLimited { retry_after: RetryAfter::Seconds(seconds) }
    }
}

/// The formats in which services say when to retry.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RetryAfter {
    /// Whole seconds, such as `Retry-After: 2`.
    Seconds(u64),
    /// Seconds with a fraction, such as `Retry-After: 0.25`.
    Float(f64),
    /// Milliseconds, such as `retry-after-ms: 250`.
    Milliseconds(u64),
    /// `Retry-After: Tue, 24 Nov 2026 06:00:00 GMT`: a date this long after the server's current time. The format has whole seconds.
    DateIn(Duration),
    /// A date in the past.
    DatePast,
    /// `Retry-After: soon`, which is not valid in any standard.
    Nonsense,
    /// The answer does not say when to come back.
    Absent,
}

/// The position at which a good response ends too early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Within `HTTP/1.1 200 OK`.
    StatusLine,
    /// In the middle of the headers.
    Headers,
    /// After the head. The announced body is missing.
    AfterHead,
    /// In the middle of a picture's base64.
    Base64,
    /// Before the last brace. The picture is complete, but the JSON is not.
    BeforeLastBrace,
    /// After this many bytes, including the head.
    At(usize),
}

impl Cut {
    /// Returns how many bytes of a response are sent. `head` and `whole` are the lengths of its head and of all of it.
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
