//! Shows what a request would send to a provider, and how much it asks for, without sending it. Pure.

use reel_protocol::{CacheMode, JsonText};

use super::{Work, attempt::seed, find};
use crate::domain::{CacheKey, Quantity, ServiceRequest};

/// What a request would do. It is not carried out.
#[derive(Debug)]
pub struct Preview {
    /// How much the request asks for, as far as that is known.
    pub quantity: Quantity,
    /// The request that the provider would get. None if it would carry files, which are not read here.
    pub request: Option<ServiceRequest>,
}

/// Previews a request to the provider with this cache key. None if the request needs no provider, or if its kind or its params are not valid.
pub fn preview(kind: &str, params: &JsonText, cache: CacheMode, key: &CacheKey) -> Option<Preview> {
    let (service, method) = find(kind)?;
    match service.check(method, params).ok()? {
        Work::AtProvider(work) => {
            let quantity = work.quantity();
            let has_inputs = !work.inputs().is_empty();
            let request = (!has_inputs).then(|| work.into_request(seed(cache, key)));
            Some(Preview { quantity, request })
        }
        Work::InDaemon(_) | Work::Workflow(_) => None,
    }
}
