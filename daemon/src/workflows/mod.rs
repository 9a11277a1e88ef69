//! Workflows: tasks whose work is other tasks, their steps.
//!
//! A workflow is a pure function from what its steps have made so far to the steps that can be carried out now (`step::Workflow`). The driver
//! submits these as ordinary tasks, waits for them, and asks again; it stands on what any client can ask of the task tracker, and keeps
//! nothing on disk. The request id of a step is made of its workflow, its name and its params, so a driver that begins anew after a death of
//! the daemon finds the steps of before, and nothing is asked for twice.

mod assemble;
mod budget;
mod driver;
mod film;
mod handles;
mod run;
mod step;
mod story;

pub use self::{
    handles::Handles,
    run::Workflows,
    step::{File, Outcome, Step, StepEnd, StepEnds, Workflow},
    story::{Setting, Story},
};
