//! The specification of a program to run, its limits, and how a run ended.

use std::{io, path::PathBuf, time::Duration};

/// A program to run.
#[derive(Debug, Clone)]
pub struct ProcessSpec {
    /// The absolute path of the executable file.
    pub program: PathBuf,
    /// The arguments after the program's name, without NUL bytes.
    pub arguments: Vec<String>,
    /// The complete environment of the program.
    pub environment: Vec<(String, String)>,
    /// The bytes of standard input. `None` for `/dev/null`.
    pub stdin: Option<Vec<u8>>,
    /// How many of the last bytes of standard output are kept.
    pub stdout_tail_bytes: usize,
    /// The limits of the run.
    pub limits: Limits,
}

/// The limits of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long the program may run.
    pub timeout: Duration,
    /// Most bytes of anonymous and shared memory that the program and its children may hold together.
    pub memory_bytes: u64,
    /// Largest file that the program may write, in bytes.
    pub file_bytes: u64,
    /// The time between SIGTERM and SIGKILL.
    pub grace: Duration,
}

/// How an executed program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The program exited with this code.
    Exited(i32),
    /// A signal that the daemon did not send ended the program.
    Signalled(i32),
    /// The program tried to write a file beyond [`Limits::file_bytes`].
    FileTooLarge,
    /// The program ran longer than [`Limits::timeout`], so its group was ended.
    TimedOut,
    /// The program held this many bytes of memory, which is more than [`Limits::memory_bytes`], so its group was ended.
    OverMemory(u64),
    /// The caller cancelled the run.
    Cancelled,
}

/// The result of a program that ran to its end.
#[derive(Debug, Clone)]
pub struct Finished {
    /// How it ended.
    pub ended: Ended,
    /// The last 4 KiB of standard error.
    pub stderr: Vec<u8>,
    /// The last bytes of standard output, at most [`ProcessSpec::stdout_tail_bytes`].
    pub stdout: Vec<u8>,
}

/// The reason why a program was not executed at all.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The run directory could not be written, or the launcher could not be started or waited for.
    #[error("the launcher could not be started")]
    Launcher(#[source] io::Error),
    /// The launcher could not execute the program.
    #[error("{} could not be executed: {reason}", program.display())]
    Program {
        /// The executable file.
        program: PathBuf,
        /// The error of the system.
        reason: String,
    },
    /// The thread that starts the program, or waits for it, panicked.
    #[error("the thread that starts the program failed")]
    Thread,
}
