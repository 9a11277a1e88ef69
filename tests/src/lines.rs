//! Reads the output of a process line by line. Each line is awaited with a deadline.

use std::{
    io::{BufRead as _, BufReader, Read},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
};

use crate::wait::DEADLINE;

/// The lines of a pipe. Apart from one buffer, it reads no further than its caller. A process whose output nobody takes therefore blocks on its pipe.
#[derive(Debug)]
pub struct Lines {
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Lines {
    /// Starts a thread that reads the pipe. After this value is dropped, the thread closes the pipe when it has read the next line.
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

    /// Waits for the next line; None at the end. Fails after [`DEADLINE`] and prints the lines so far.
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

    /// Waits for the next line that contains `what` and returns it.
    #[track_caller]
    pub fn with(&mut self, what: &str) -> String {
        while let Some(line) = self.line() {
            if line.contains(what) {
                return line;
            }
        }
        panic!("it ended without {what:?}: {:?}", self.seen)
    }

    /// Waits until the process closes the pipe and returns every line, also those that were returned before.
    #[track_caller]
    pub fn all(mut self) -> Vec<String> {
        while self.line().is_some() {}
        self.seen
    }

    /// Waits until the process closes the pipe and returns the lines that were not returned before.
    #[track_caller]
    pub fn rest(self) -> Vec<String> {
        let taken = self.seen.len();
        self.all().split_off(taken)
    }
}
