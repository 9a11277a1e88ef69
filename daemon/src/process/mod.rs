//! Runs one program for one attempt: in its own process group and directory, within limits, and stoppable at any time.
//!
//! `run` starts the launcher (`reeld --launch`), writes the launcher's process group to the run directory, and only then tells the launcher to
//! execute the program. If the daemon dies, the next one therefore knows which groups are left ([`end_leftovers`]); see decision 072. This module
//! does not depend on providers or tasks.

mod escape;
mod group;
mod identity;
mod launcher;
mod leftovers;
mod os;
mod output_tail;
mod run;
mod run_directory;
mod spec;

pub use self::{
    escape::escaped,
    identity::{GroupIdentity, RUN_VARIABLE, boot_id},
    launcher::{Launcher, launch},
    leftovers::{Leftovers, end_leftovers},
    run::run,
    run_directory::RunDirectory,
    spec::{Ended, Finished, Limits, ProcessSpec, StartError},
};
