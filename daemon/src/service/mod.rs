//! Services: what can be asked for, whether a request holds, and who carries it out.

mod debug;
mod image;
mod key;
mod messages;
mod registry;
mod styles;

pub use self::{
    image::Takes,
    messages::{GetServiceStatus, SetImageProviders},
    registry::{ProviderEntry, RegistryParts, ServiceRegistry},
};
