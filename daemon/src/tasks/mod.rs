//! Tasks: what was accepted, where it stands, what runs next, who waits for it.

mod admit;
mod again;
mod call;
mod counts;
mod crash;
mod decide;
mod dependencies;
mod dispatch;
mod eager;
mod end;
mod error;
mod fallback;
mod finish;
mod flights;
mod history;
mod hits;
mod ids;
mod inbox;
mod intake;
mod journal;
mod live;
mod messages;
mod outcome;
mod progress;
mod promise;
mod ready;
mod recover;
mod remote_jobs;
mod replan;
mod slack;
mod state;
mod submit;
mod tracker;
mod wait;
mod wait_reason;
mod waiters;

pub use self::{
    error::TaskRefusal,
    messages::{
        CallService, Caller, DecideTask, Decision, Drain, Drained, GetTask, GetTaskCounts, Gone, ListTasks,
        PauseQueue, RemoveTask, Replan, ReportProgress, SetTaskLimits, SubmitBatch, SubmitTask, TaskCounts,
        WaitFor, WaitTasks,
    },
    tracker::{TaskTracker, TrackerParts},
};

// What the files of this room speak of with other rooms.
use crate::{
    cache::MakeRoom,
    domain::{Again, CancelSignal, Candidate, Plan, PlanRefusal, PlanSpec, PlanTasks},
    service::{Lost, RunEnd, RunTask, RunTasks},
};

#[cfg(test)]
mod tests;
