//! The send buffer of a connection. The sender of a message writes as much of it as the socket takes. A task writes the rest when the socket becomes
//! writable.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

use tokio::{io::AsyncWrite, sync::Notify, task::yield_now};

/// Unwritten bytes from which on senders wait.
const BUFFER_BYTES: usize = 64 * 1024;

/// The sending side of one connection.
#[derive(Debug)]
pub(crate) struct Outgoing<W> {
    state: Mutex<State<W>>,
    /// Notified after the writing task wrote bytes, so that waiting senders try again.
    buffer_drained: Notify,
}

#[derive(Debug)]
struct State<W> {
    /// The socket; None until the encoding is negotiated.
    stream: Option<W>,
    /// Bytes that the socket has not taken yet. While there are any, messages are appended here and not written directly.
    buffer: Vec<u8>,
    /// Number of bytes at the start of `buffer` that are written already.
    written_bytes: usize,
    /// Wakes the writing task.
    writer: Option<Waker>,
    /// Whether messages are dropped: the connection is broken, or all handles to it are dropped.
    is_over: bool,
}

impl<W> Default for Outgoing<W> {
    fn default() -> Self {
        let buffer = Vec::new();
        let state = State { stream: None, buffer, written_bytes: 0, writer: None, is_over: false };
        Self { state: Mutex::new(state), buffer_drained: Notify::new() }
    }
}

impl<W: AsyncWrite + Unpin> Outgoing<W> {
    /// Puts `hello` into the empty buffer. It stays there until the first write, so that it leaves together with the first requests.
    pub(crate) fn greet(&self, hello: Vec<u8>) {
        self.state().buffer = hello;
    }

    /// Sets the socket that messages are written to.
    pub(crate) fn begin(&self, stream: W) {
        self.state().stream = Some(stream);
    }

    /// Sends a message, after waiting until the buffer has room. On a broken connection the message is dropped; the reading task notices the failure
    /// and fails all calls.
    pub(crate) async fn send(&self, mut message: Vec<u8>) {
        while let Err(refused) = self.try_send(message) {
            let drained = self.buffer_drained.notified();
            match self.try_send(refused) {
                Ok(()) => return,
                Err(refused) => message = refused,
            }
            drained.await;
        }
    }

    /// Sends a message, or returns it if the buffer is full.
    pub(crate) fn try_send(&self, message: Vec<u8>) -> Result<(), Vec<u8>> {
        let mut state = self.state();
        if state.is_over {
            return Ok(());
        }
        if !state.buffer.is_empty() {
            let unwritten_bytes = state.buffer.len() - state.written_bytes;
            if unwritten_bytes >= BUFFER_BYTES {
                return Err(message);
            }
            // Without this, written bytes would never be freed while the buffer is never empty.
            if state.written_bytes > unwritten_bytes {
                let written_bytes = std::mem::take(&mut state.written_bytes);
                state.buffer.drain(..written_bytes);
            }
            state.buffer.extend_from_slice(&message);
            return Ok(());
        }
        state.buffer = message;
        if state.poll_write(&mut Context::from_waker(Waker::noop())).is_pending()
            && let Some(writer) = state.writer.take()
        {
            writer.wake();
        }
        Ok(())
    }

    /// Drops all later messages. Buffered ones are still written.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.is_over = true;
        if let Some(writer) = state.writer.take() {
            writer.wake();
        }
    }

    /// Runs the writing task: writes the buffer whenever it has bytes, until the connection is closed.
    pub(crate) async fn write(&self) {
        // Calls that waited for the negotiation send their requests during this yield, so that they leave together with `hello`.
        yield_now().await;
        poll_fn(|cx| {
            let mut state = self.state();
            let is_written = state.poll_write(cx).is_ready();
            self.buffer_drained.notify_waiters();
            if state.is_over && is_written {
                return Poll::Ready(());
            }
            state.writer = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn state(&self) -> MutexGuard<'_, State<W>> {
        // Each statement leaves the state consistent, so it is usable although another thread panicked with the lock held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<W: AsyncWrite + Unpin> State<W> {
    /// Writes the buffer. Ready when it is empty or the connection is broken.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(rest) = self.buffer.get(self.written_bytes..).filter(|rest| !rest.is_empty()) {
            let Some(stream) = &mut self.stream else { return Poll::Pending };
            match ready!(Pin::new(stream).poll_write(cx, rest)) {
                Ok(bytes) if bytes > 0 => self.written_bytes += bytes,
                Ok(_) | Err(_) => {
                    self.is_over = true;
                    break;
                }
            }
        }
        self.buffer = Vec::new();
        self.written_bytes = 0;
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use tokio::io::{AsyncReadExt, DuplexStream, duplex};

    use super::*;

    /// Returns a sending side with its writing task running, and the other end of its pipe. The pipe holds `bytes` bytes.
    fn open(bytes: usize) -> (Arc<Outgoing<DuplexStream>>, DuplexStream) {
        let (near, far) = duplex(bytes);
        let outgoing = Arc::new(Outgoing::default());
        outgoing.begin(near);
        let writing = Arc::clone(&outgoing);
        tokio::spawn(async move { writing.write().await });
        (outgoing, far)
    }

    #[tokio::test]
    async fn what_the_socket_takes_is_written_by_whoever_sends_it() {
        let (near, mut far) = duplex(64);
        let outgoing = Outgoing::default();
        outgoing.begin(near);
        outgoing.send(b"now".to_vec()).await;
        let mut bytes = [0; 3];
        far.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"now");
    }

    #[tokio::test]
    async fn what_it_does_not_take_follows_in_order_and_holds_up_who_sends_more() {
        let (outgoing, mut far) = open(1_000);
        let message = |number: u8| vec![number; 30_000];
        let sender = Arc::clone(&outgoing);
        let sending = tokio::spawn(async move {
            for number in 0..20 {
                sender.send(message(number)).await;
            }
        });
        for _ in 0..100 {
            yield_now().await;
        }
        assert!(!sending.is_finished(), "nobody reads");
        assert!(outgoing.try_send(message(99)).is_err());
        let mut read = vec![0; 20 * 30_000];
        far.read_exact(&mut read).await.unwrap();
        assert!(read == (0..20).flat_map(message).collect::<Vec<_>>());
        sending.await.unwrap();
    }

    #[tokio::test]
    async fn what_was_written_is_not_kept_while_more_follows_at_once() {
        let (outgoing, mut far) = open(1_000);
        let mut buffer = vec![0; 40_000];
        for _ in 0..100 {
            outgoing.send(vec![1; 40_000]).await;
            outgoing.send(vec![1; 1]).await;
            // This reads less than was sent, so the buffer is never empty.
            far.read_exact(&mut buffer).await.unwrap();
        }
        let state = outgoing.state();
        assert!(!state.buffer.is_empty());
        assert!(state.buffer.len() <= 4 * BUFFER_BYTES, "{}", state.buffer.len());
    }

    #[tokio::test]
    async fn requests_wait_for_the_agreement_and_leave_behind_the_greeting() {
        let (near, mut far) = duplex(64);
        let outgoing = Outgoing::default();
        outgoing.greet(b"hello ".to_vec());
        outgoing.begin(near);
        outgoing.send(b"first".to_vec()).await;
        outgoing.close();
        outgoing.write().await;
        drop(outgoing);
        let mut all = String::new();
        far.read_to_string(&mut all).await.unwrap();
        assert_eq!(all, "hello first");
    }

    #[tokio::test]
    async fn a_broken_connection_holds_nobody_up() {
        let (outgoing, far) = open(10);
        let sender = Arc::clone(&outgoing);
        let sending = tokio::spawn(async move {
            for _ in 0..10 {
                sender.send(vec![7; 50_000]).await;
            }
        });
        for _ in 0..10 {
            yield_now().await;
        }
        drop(far);
        tokio::time::timeout(Duration::from_secs(20), sending).await.unwrap().unwrap();
    }
}
