//! The exit codes of the daemon. Their numbers are those of sysexits(3), as in the command line client.

use std::process::ExitCode;

/// The reason why the daemon ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// The daemon was told to end, and ended in order.
    Done = 0,
    /// The arguments are invalid.
    Usage = 64,
    /// An internal error.
    Internal = 70,
    /// The home directory cannot be used, or no log can be written.
    CannotCreate = 73,
    /// The disk or the journal failed.
    Io = 74,
    /// Another daemon runs on this home.
    Running = 75,
    /// The configuration, a path or a limit of the system is invalid.
    Config = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
