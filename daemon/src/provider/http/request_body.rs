//! A request's body that tells when it is written: until then, nothing of its request has left this machine.
//!
//! hyper asks for the body right after it has put the head into its buffer, and writes both to the connection afterwards. A request whose
//! body was never asked for was certainly not sent, whatever the error says: no connection, a proxy or a handshake that failed, a timeout.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use reqwest::{Body, Request};
use tokio::sync::oneshot;

/// The body; it is one piece of memory.
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
            // Nobody waits for it where the call was given up.
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

/// Has the request's body tell when it begins to be written. None where the request has no body.
pub fn watch(request: &mut Request) -> Option<oneshot::Receiver<()>> {
    let bytes = Bytes::copy_from_slice(request.body()?.as_bytes().filter(|bytes| !bytes.is_empty())?);
    let (begins, begun) = oneshot::channel();
    *request.body_mut() = Some(Body::wrap(WatchedBody { bytes: Some(bytes), begins: Some(begins) }));
    Some(begun)
}
