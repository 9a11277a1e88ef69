//! Pictures for many lines: read them, decide what is missing, have it made, keep a record of what is ours.

mod input;
mod plan;
mod record;
mod report;
mod run;
mod submit;

pub use self::{
    input::{Defaults, read_lines},
    plan::{Item, Step, plan, step},
    record::Record,
    report::{LineResult, Report},
    run::{Order, Wanted, make},
};
