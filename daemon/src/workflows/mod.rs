//! Workflows: tasks whose work consists of other tasks, their steps.
//!
//! A workflow is a pure function from the results of its steps so far to the steps that can be carried out next (`step::Workflow`). The driver
//! submits these as ordinary tasks, waits for them, and asks again. It uses only requests that any client can send to the task tracker, and stores
//! nothing on disk. The request id of a step is derived from its workflow, its name and its params. So after a crash of the daemon, a new driver
//! finds the earlier steps, and no step is carried out twice.

mod assemble;
mod budget;
mod driver;
mod film;
mod handles;
mod run;
mod step;
mod story;
mod storyboard;

pub use self::{
    handles::Handles,
    run::Workflows,
    step::{File, Outcome, Step, StepEnd, StepEnds, Workflow},
    story::{Abilities, Story},
};
