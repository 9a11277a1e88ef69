//! What the services are asked beside plans and runs.

use actix::Message;
use reel_protocol::methods::ServiceStatusResult;

/// Answer each service with its methods, styles and counts.
#[derive(Debug, Message)]
#[rtype(result = "ServiceStatusResult")]
pub struct GetServiceStatus;
