//! Writes log lines to a file or to standard error on a thread of its own. A disk that hangs, or a terminal whose output is stopped, must not stop
//! the daemon.
//!
//! The queue is bounded. Lines are dropped when it is full, and their number is logged once there is room again.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

/// Most lines in the queue. A burst of a thousand tasks logs about as many.
const WAITING_LINES: usize = 4_096;
/// Most bytes of the lines in the queue.
const WAITING_BYTES: usize = 1024 * 1024;
/// How long a flush waits for the queued lines. A disk that does not hang takes far less.
const FLUSH: Duration = Duration::from_secs(1);

enum Message {
    Line(Vec<u8>),
    /// Receives a message once all lines before it are written.
    Flush(SyncSender<()>),
}

/// The sending end of the queue.
#[derive(Debug)]
pub(super) struct LineWriter {
    messages: SyncSender<Message>,
    waiting: Arc<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: AtomicUsize,
    dropped_lines: AtomicU64,
}

impl LineWriter {
    /// Starts the thread that writes to `sink`, each line in one call. A write that fails loses its line.
    pub(super) fn start(sink: impl Write + Send + 'static) -> io::Result<Self> {
        let (messages, lines) = sync_channel(WAITING_LINES);
        let waiting = Arc::<Waiting>::default();
        let shared = Arc::clone(&waiting);
        thread::Builder::new().name("log".to_owned()).spawn(move || write(&lines, &shared, sink))?;
        Ok(Self { messages, waiting })
    }

    /// Waits until the lines that were logged before are written, at most a second.
    pub(super) fn flush(&self) {
        let (done, written) = sync_channel(1);
        // The channel is full only if the sink does not take lines.
        if self.messages.try_send(Message::Flush(done)).is_ok() {
            let _ = written.recv_timeout(FLUSH);
        }
    }

    fn put(&self, line: &[u8]) {
        let has_room = self.waiting.bytes.fetch_add(line.len(), Relaxed) + line.len() <= WAITING_BYTES;
        if !has_room || self.messages.try_send(Message::Line(line.to_owned())).is_err() {
            self.waiting.bytes.fetch_sub(line.len(), Relaxed);
            self.waiting.dropped_lines.fetch_add(1, Relaxed);
        }
    }
}

/// `tracing_subscriber` needs this trait for a writer in an `Arc`. It passes each event in one call.
impl Write for &LineWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.put(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write(messages: &Receiver<Message>, waiting: &Waiting, mut sink: impl Write) {
    for message in messages {
        match message {
            Message::Line(line) => {
                let _ = sink.write_all(&line);
                waiting.bytes.fetch_sub(line.len(), Relaxed);
            }
            Message::Flush(done) => {
                let _ = sink.flush();
                let _ = done.send(());
            }
        }
        let dropped = waiting.dropped_lines.swap(0, Relaxed);
        if dropped > 0 {
            let _ = writeln!(sink, "{dropped} lines are missing here: they could not be written in time");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, mpsc::channel};

    use super::*;

    #[derive(Clone, Default)]
    struct Text(Arc<Mutex<Vec<u8>>>);

    impl Write for Text {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A sink that blocks until it is released.
    struct Stopped(Receiver<()>, Text);

    impl Write for Stopped {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            self.1.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_are_written_in_their_order_by_the_time_of_a_flush() {
        let text = Text::default();
        let writer = LineWriter::start(text.clone()).unwrap();
        (0..1_000).for_each(|n| writer.put(format!("{n}\n").as_bytes()));
        writer.flush();
        let wanted: String = (0..1_000).map(|n| n.to_string() + "\n").collect();
        assert_eq!(String::from_utf8_lossy(&text.0.lock().unwrap()), wanted);
    }

    #[test]
    fn a_sink_that_takes_nothing_stops_nobody_and_says_later_what_is_missing() {
        let (go, stopped) = channel();
        let text = Text::default();
        let writer = LineWriter::start(Stopped(stopped, text.clone())).unwrap();
        // More than the queue holds, in lines and in bytes.
        (0..2 * WAITING_LINES).for_each(|_| writer.put(&[b'x'; 1_024]));
        let dropped = writer.waiting.dropped_lines.load(Relaxed);
        assert!(dropped >= (2 * WAITING_LINES - WAITING_BYTES / 1_024 - 1) as u64, "{dropped}");
        drop(go);
        writer.flush();
        let text = String::from_utf8_lossy(&text.0.lock().unwrap()).into_owned();
        assert!(text.contains(&format!("{dropped} lines are missing here")), "{}", text.len());
        assert_eq!(writer.waiting.bytes.load(Relaxed), 0);
    }
}
