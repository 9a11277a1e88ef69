//! Services: what can be asked for, whether a request holds, and who carries it out.

mod debug;
mod image;
mod key;
mod messages;
mod planner;
mod registry;
mod styles;

pub use self::{
    image::Takes,
    messages::{GetServiceStatus, SetImageProviders},
    planner::Planner,
    registry::{ProviderEntry, RegistryParts, ServiceRegistry},
};
