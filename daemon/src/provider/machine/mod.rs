//! Servers of one's own: reel starts a server that a task wants and that cannot be reached, and stops one that was idle for long.
//!
//! `state` decides as a pure function. `Machines` holds the state of each server, and calls and the gateway report to it and read it. `Keeper` is
//! the only place that runs commands. `record` keeps on disk which servers reel is starting or has started, for a later daemon. `outlook` has the words.

mod command;
mod keeper;
mod log;
mod machines;
mod outlook;
mod record;
mod shared;
mod state;

pub use self::{
    keeper::Keeper,
    machines::Machines,
    outlook::{Outlook, Prospect},
};
