//! A request body that signals when hyper begins to write it. Until then, no byte of the request has left this machine.
//!
//! hyper polls the body right after it has put the head into its buffer, and writes both to the connection afterwards. So a request whose
//! body was never polled was certainly not sent, whatever the error is: no connection, a failed proxy, a failed handshake or a timeout.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use reqwest::{Body, Request};
use tokio::sync::oneshot;

/// A body in one block of memory, which signals on `begins` when it is polled for the first time.
struct WatchedBody {
    bytes: Option<Bytes>,
    begins: Option<oneshot::Sender<()>>,
}

impl HttpBody for WatchedBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(begins) = self.begins.take() {
            // If the call was given up, the receiver is gone.
            let _ = begins.send(());
        }
        Poll::Ready(self.bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

/// Replaces the request's body by one that signals when it begins to be written, and returns the receiver of the signal. None if the
/// request has no body in memory, or an empty one.
pub fn watch(request: &mut Request) -> Option<oneshot::Receiver<()>> {
    let bytes = Bytes::copy_from_slice(request.body()?.as_bytes().filter(|bytes| !bytes.is_empty())?);
    let (begins, begun) = oneshot::channel();
    *request.body_mut() = Some(Body::wrap(WatchedBody { bytes: Some(bytes), begins: Some(begins) }));
    Some(begun)
}
