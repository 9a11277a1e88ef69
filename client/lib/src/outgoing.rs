//! What goes to the daemon: a message is written by whoever sends it as far as the socket takes it, and the rest by a task that waits for
//! room in it.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

use tokio::{io::AsyncWrite, sync::Notify, task::yield_now};

/// Bytes that may wait to be written before a caller waits too.
const WAITING_BYTES: usize = 64 * 1024;

/// The way out of one connection.
#[derive(Debug)]
pub(crate) struct Outgoing<W> {
    state: Mutex<State<W>>,
    /// Told when what waits has become less.
    room: Notify,
}

#[derive(Debug)]
struct State<W> {
    /// None until both sides have agreed on how they speak.
    stream: Option<W>,
    /// What the socket has not taken yet; nobody writes past it.
    waiting: Vec<u8>,
    /// Bytes of it that were written.
    written_bytes: usize,
    /// The task that writes what waits.
    writer: Option<Waker>,
    /// No message is taken any more: the connection is broken, or nobody is left who would ask.
    is_over: bool,
}

impl<W> Default for Outgoing<W> {
    fn default() -> Self {
        let waiting = Vec::new();
        let state = State { stream: None, waiting, written_bytes: 0, writer: None, is_over: false };
        Self { state: Mutex::new(state), room: Notify::new() }
    }
}

impl<W: AsyncWrite + Unpin> Outgoing<W> {
    /// Begins with this message. It waits, so that what is sent meanwhile leaves together with it.
    pub(crate) fn greet(&self, hello: Vec<u8>) {
        self.state().waiting = hello;
    }

    /// From now on messages are written there.
    pub(crate) fn begin(&self, stream: W) {
        self.state().stream = Some(stream);
    }

    /// Sends a message; waits while much is to be written. On a broken connection it is dropped: the reader sees the end and tells everybody.
    pub(crate) async fn send(&self, mut message: Vec<u8>) {
        while let Err(refused) = self.try_send(message) {
            let room = self.room.notified();
            match self.try_send(refused) {
                Ok(()) => return,
                Err(refused) => message = refused,
            }
            room.await;
        }
    }

    /// Sends a message, or gives it back where much is to be written.
    pub(crate) fn try_send(&self, message: Vec<u8>) -> Result<(), Vec<u8>> {
        let mut state = self.state();
        if state.is_over {
            return Ok(());
        }
        if !state.waiting.is_empty() {
            let unwritten_bytes = state.waiting.len() - state.written_bytes;
            if unwritten_bytes >= WAITING_BYTES {
                return Err(message);
            }
            // Where the socket is always behind, what was written would never go otherwise.
            if state.written_bytes > unwritten_bytes {
                let written_bytes = std::mem::take(&mut state.written_bytes);
                state.waiting.drain(..written_bytes);
            }
            state.waiting.extend_from_slice(&message);
            return Ok(());
        }
        state.waiting = message;
        if state.poll_write(&mut Context::from_waker(Waker::noop())).is_pending()
            && let Some(writer) = state.writer.take()
        {
            writer.wake();
        }
        Ok(())
    }

    /// Takes no more messages; those that wait are still written.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.is_over = true;
        if let Some(writer) = state.writer.take() {
            writer.wake();
        }
    }

    /// Writes what waits, whenever something does, until the connection is over.
    pub(crate) async fn write(&self) {
        // Whoever waited for the agreement sends its request now, and it leaves together with the greeting.
        yield_now().await;
        poll_fn(|cx| {
            let mut state = self.state();
            let is_written = state.poll_write(cx).is_ready();
            self.room.notify_waiters();
            if state.is_over && is_written {
                return Poll::Ready(());
            }
            state.writer = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn state(&self) -> MutexGuard<'_, State<W>> {
        // It is whole between any two statements, so a panic elsewhere cannot have torn it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<W: AsyncWrite + Unpin> State<W> {
    /// Ready once nothing waits.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(rest) = self.waiting.get(self.written_bytes..).filter(|rest| !rest.is_empty()) {
            let Some(stream) = &mut self.stream else { return Poll::Pending };
            match ready!(Pin::new(stream).poll_write(cx, rest)) {
                Ok(bytes) if bytes > 0 => self.written_bytes += bytes,
                Ok(_) | Err(_) => {
                    self.is_over = true;
                    break;
                }
            }
        }
        self.waiting = Vec::new();
        self.written_bytes = 0;
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use tokio::io::{AsyncReadExt, DuplexStream, duplex};

    use super::*;

    /// A way out into a pipe that holds so many bytes, with its writer.
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
            // Never so much that nothing is left to be written.
            far.read_exact(&mut buffer).await.unwrap();
        }
        let state = outgoing.state();
        assert!(!state.waiting.is_empty());
        assert!(state.waiting.len() <= 4 * WAITING_BYTES, "{}", state.waiting.len());
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
