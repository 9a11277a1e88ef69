//! The daemon.

pub mod config;
pub mod ipc;
pub mod logging;
pub mod memory;
pub mod signals;
