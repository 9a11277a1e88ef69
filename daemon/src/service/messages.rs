//! What the services are asked beside plans and runs.

use actix::Message;
use reel_protocol::methods::ServiceStatusResult;

use crate::domain::ProviderProfile;

/// Answer each service with its methods, styles and counts.
#[derive(Debug, Message)]
#[rtype(result = "ServiceStatusResult")]
pub struct GetServiceStatus;

/// Take other providers of pictures, in the order of selection.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SetImageProviders(pub Vec<ProviderProfile>);
