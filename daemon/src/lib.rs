//! The reel daemon.

pub mod store;
