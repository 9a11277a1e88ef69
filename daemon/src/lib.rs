//! The reel daemon: its rooms, wired together by the binary `reeld`.

pub mod config;
pub mod ipc;
pub mod logging;
pub mod store;
