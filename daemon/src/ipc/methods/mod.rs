//! The handlers of the methods, by group. Each is a thin door: check what the wire demands, ask a room, turn its refusal into an error.

pub(super) mod artifacts;
pub(super) mod cache;
pub(super) mod daemon;
pub(super) mod events;
pub(super) mod memory;
pub(super) mod service;
pub(super) mod tasks;
