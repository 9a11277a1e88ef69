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
    again::Again,
    error::TaskRefusal,
    messages::{
        CallService, Caller, CancelSignal, Candidate, DecideTask, Decision, Drain, Drained, GetTask,
        GetTaskCounts, Gone, ListTasks, Lost, MakeRoom, PauseQueue, Plan, PlanRefusal, PlanSpec, PlanTasks,
        ProgressSink, RemoveTask, Replan, ReportProgress, RunEnd, RunTask, SetTaskLimits, SubmitBatch,
        SubmitTask, TaskCounts, WaitFor, WaitTasks,
    },
    remote_jobs::{JobSink, RememberJob},
    tracker::{TaskTracker, TrackerParts},
};

#[cfg(test)]
mod tests;
