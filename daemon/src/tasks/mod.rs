//! Tasks: what was accepted, where it stands, what runs next, who waits for it.

mod dependencies;
mod error;
mod flights;
mod messages;
mod ready;
mod state;
mod waiters;

pub use self::{
    error::TaskRefusal,
    messages::{
        CallService, Caller, CancelSignal, Candidate, Decision, DecideTask, Drain, Drained, GetTask, GetTaskCounts, ListTasks, PauseQueue,
        Plan, PlanRefusal, PlanSpec, PlanTasks, ProgressSink, RemoveTask, ReportProgress, RunEnd, RunTask, SetTaskLimits, SubmitBatch,
        SubmitTask, TaskCounts, WaitFor, WaitTasks,
    },
};
