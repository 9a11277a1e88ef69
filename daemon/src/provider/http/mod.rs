//! The HTTP client for providers on the network: connections, limits and deadlines, and response bodies that go to disk while they arrive.

mod base64_stream;
mod body;
mod client;
mod content_coding;
mod dns;
mod document;
mod exchange;
mod patience;
mod proxy;
mod request_body;
mod retry_after;
mod route;
mod scan;
mod unreached;
mod utf16;

pub use self::{
    body::{Answer, BodyFault, BodyLimits, Chunks, read_answer, read_file},
    client::{Http, HttpLimits, SendError},
    dns::Reach,
    document::{Document, Node},
    exchange::Exchange,
    retry_after::{retry_after, should_retry},
    unreached::Unreached,
};
