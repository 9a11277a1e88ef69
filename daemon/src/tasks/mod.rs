//! Tasks: what was accepted, where it stands, what runs next, who waits for it.
//!
//! The `machine` decides, as a pure function of events; the `tracker` is the actor that feeds it and carries out what it wants done.

mod again;
mod crash;
mod dependencies;
mod end;
mod error;
mod flights;
mod ids;
mod live;
#[doc(hidden)]
pub mod machine;
mod messages;
mod ready;
mod state;
mod tracker;
mod wait_reason;
mod waiters;

pub use self::{
    error::TaskRefusal,
    messages::{
        CallService, Caller, DecideTask, Decision, Drain, Drained, GetTask, GetTaskCounts, Gone, ListTasks,
        PauseQueue, RemoveTask, Replan, SetTaskLimits, SubmitBatch, SubmitTask, TaskCounts, Trial, TryTask,
        WaitFor, WaitTasks,
    },
    tracker::{TaskTracker, TrackerParts, apply},
};

// What the files of this room speak of with other rooms.
use crate::{
    cache::MakeRoom,
    domain::{Again, Candidate, Plan, PlanRefusal, PlanSpec, PlanTasks},
    service::{Lost, RunEnd, RunTask, RunTasks},
};

#[cfg(test)]
mod tests;
