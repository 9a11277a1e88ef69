//! The daemon.

pub mod ipc;
pub mod logging;
