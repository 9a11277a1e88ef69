//! What a request would ask of a provider, and how much of it, without asking. Pure.

use reel_protocol::{CacheMode, JsonText};

use super::{Work, attempt::seed, find};
use crate::domain::{CacheKey, Quantity, ServiceRequest};

/// A request that is not carried out.
#[derive(Debug)]
pub struct Preview {
    /// How much it asks for, as far as that is known.
    pub quantity: Quantity,
    /// What the provider would be asked; None where that follows from files, which are not read here.
    pub request: Option<ServiceRequest>,
}

/// What a request whose params hold would ask of the provider with this cache key; None where it needs no provider.
pub fn preview(kind: &str, params: &JsonText, cache: CacheMode, key: &CacheKey) -> Option<Preview> {
    let (service, method) = find(kind)?;
    match service.check(method, params).ok()? {
        Work::AtProvider(work) => {
            let quantity = work.quantity();
            let has_inputs = !work.inputs().is_empty();
            let request = (!has_inputs).then(|| work.into_request(seed(cache, key)));
            Some(Preview { quantity, request })
        }
        Work::Here(_) | Work::Workflow(_) => None,
    }
}
