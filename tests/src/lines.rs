//! What a process writes, line by line, each waited for with a deadline.

use std::{
    io::{BufRead as _, BufReader, Read},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
};

use crate::wait::DEADLINE;

/// The lines of a pipe. No more is read than is taken, but for a buffer: a process that nobody listens to comes to a stand.
#[derive(Debug)]
pub struct Lines {
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Lines {
    /// Reads on a thread of its own, which closes the pipe with the first line after this is dropped.
    pub fn of(pipe: impl Read + Send + 'static) -> Self {
        let (sender, lines) = mpsc::sync_channel(0);
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { lines, seen: Vec::new() }
    }

    /// The next line; None at the end. Fails, with all that came before, where nothing comes in time.
    #[track_caller]
    pub fn line(&mut self) -> Option<String> {
        match self.lines.recv_timeout(DEADLINE) {
            Ok(line) => {
                self.seen.push(line.clone());
                Some(line)
            }
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("no line within {DEADLINE:?} after {:?}", self.seen),
        }
    }

    /// The next line that holds `what`.
    #[track_caller]
    pub fn with(&mut self, what: &str) -> String {
        while let Some(line) = self.line() {
            if line.contains(what) {
                return line;
            }
        }
        panic!("it ended without {what:?}: {:?}", self.seen)
    }

    /// Every line, those that were taken before included, once the process has closed the pipe.
    #[track_caller]
    pub fn all(mut self) -> Vec<String> {
        while self.line().is_some() {}
        self.seen
    }

    /// The lines that were not taken yet, once the process has closed the pipe.
    #[track_caller]
    pub fn rest(self) -> Vec<String> {
        let taken = self.seen.len();
        self.all().split_off(taken)
    }
}
