//! Makes pictures and other results for the lines of a file: reads the lines, finds out which results are missing, has them made, and keeps a record
//! of the written files.

mod columns;
mod delimited;
mod directory;
mod document;
mod earlier;
mod entry;
mod fields;
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
    run::{ItemToMake, Made, Order, make},
    submit::spec,
};
