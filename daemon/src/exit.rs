//! How the daemon ends, as its exit code says it; the numbers are those of sysexits(3), as in the command line.

use std::process::ExitCode;

/// Why it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Asked to, and in order.
    Done = 0,
    /// The arguments do not hold.
    Usage = 64,
    /// A fault of its own.
    Internal = 70,
    /// The home cannot be used.
    CannotCreate = 73,
    /// The disk or the journal failed.
    Io = 74,
    /// Another daemon runs on this home.
    Running = 75,
    /// The configuration or a path does not hold.
    Config = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
