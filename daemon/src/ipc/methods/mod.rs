//! The handlers of the methods, by group. Each handler validates the params, asks a room, and converts its refusal to a protocol error.

pub(super) mod artifacts;
pub(super) mod cache;
pub(super) mod daemon;
pub(super) mod events;
pub(super) mod memory;
pub(super) mod service;
pub(super) mod tasks;
