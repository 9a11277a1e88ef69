//! Tasks: accepts them, tracks their states, decides which one runs next, and answers the requests that wait for them.
//!
//! The `machine` decides, as a pure function of events. The `tracker` is the actor that feeds it events and carries out its effects.

mod again;
mod crash;
mod dependencies;
mod end;
mod error;
mod flights;
mod ids;
mod kept_pause;
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
    kept_pause::KeptPause,
    messages::{
        CallService, Caller, ClientGone, DecideTask, Decision, Drain, Drained, GetTask, GetTaskCounts,
        ListTasks, PauseQueue, RemoveTask, Replan, SetTaskLimits, SubmitBatch, SubmitTask, TaskCounts, Trial,
        TryTask, WaitFor, WaitTasks,
    },
    tracker::{TaskTracker, TrackerParts, apply},
};

// The types of other rooms that files of this room use.
use crate::{
    cache::MakeRoom,
    domain::{Again, Candidate, Plan, PlanRefusal, PlanSpec, PlanTasks},
    service::{JournalFailure, RunEnd, RunTask, RunTasks},
};

#[cfg(test)]
mod tests;
