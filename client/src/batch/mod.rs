//! Pictures and other results for many lines: read them, decide what is missing, have it made, keep a record of what is ours.

mod columns;
mod delimited;
mod directory;
mod document;
mod entry;
mod input;
mod other;
mod plan;
mod record;
mod report;
mod rows;
mod run;
mod shape;
mod submit;
mod text;

pub use self::{
    directory::Directory,
    input::{Defaults, Input, Reading},
    plan::{Item, Step, plan},
    record::Record,
    report::{LineResult, Report},
    run::{Order, Wanted, make},
    submit::spec,
};
