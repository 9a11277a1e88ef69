//! Servers of one's own: reel starts a server that a task wants and that cannot be reached, and stops one that was idle for long.
//!
//! `state` decides as a pure function. `Machines` holds the state of each server, and calls and the gateway report to it and read it. `Keeper` is
//! the only place that runs commands. `ours` remembers on disk which servers reel has started, so that a later daemon can stop them.

mod command;
mod keeper;
mod log;
mod machines;
mod ours;
mod shared;
mod state;

pub use self::{keeper::Keeper, machines::Machines};
