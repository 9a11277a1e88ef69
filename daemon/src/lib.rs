//! The daemon.

pub mod provider;
