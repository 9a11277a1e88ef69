//! The daemon.

pub mod ipc;
