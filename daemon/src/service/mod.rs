//! Services: what can be asked for, whether a request holds, and who carries it out.

mod debug;
mod image;
mod key;
mod messages;
mod planner;
mod registry;
mod run;
mod styles;

pub use self::{
    messages::{GetServiceStatus, SetImageProviders},
    planner::Planner,
    registry::{RegistryParts, ServiceRegistry},
    run::{Lost, RunEnd, RunTask},
};
