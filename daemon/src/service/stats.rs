//! What the services have done since the daemon started, and who makes their results: the answer to `service.status`.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use reel_protocol::methods::{ServiceInfo, ServiceStatusResult};

use super::{RunEnd, SERVICES, Service};
use crate::domain::ProviderProfile;

/// The statistics of all services; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct ServiceStats(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    /// In the order of selection.
    providers: Vec<ProviderProfile>,
    counts: BTreeMap<&'static str, Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    successes: u64,
    errors: u64,
    last_error: Option<String>,
}

impl ServiceStats {
    /// These providers are configured from now on.
    pub fn set_providers(&self, providers: Vec<ProviderProfile>) {
        self.seen().providers = providers;
    }

    /// Counts the end of an attempt.
    pub(super) fn count(&self, service: &'static str, end: &RunEnd) {
        let mut seen = self.seen();
        let counts = seen.counts.entry(service).or_default();
        match end {
            RunEnd::Done | RunEnd::Made { .. } => counts.successes += 1,
            RunEnd::Failed(error, _) => {
                counts.errors += 1;
                counts.last_error = Some(format!("{}: {}", error.code, error.message));
            }
            RunEnd::Stopped => {}
        }
    }

    /// Each service with its methods, providers, styles and counts.
    pub fn status(&self) -> ServiceStatusResult {
        let seen = self.seen();
        let info = |service: &&'static dyn Service| (service.name().to_owned(), seen.info(*service));
        ServiceStatusResult { services: SERVICES.iter().map(info).collect() }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Nothing that is done under the lock can leave it half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn info(&self, service: &dyn Service) -> ServiceInfo {
        let name = service.name();
        let serving = self.providers.iter().filter(|provider| provider.serves(name));
        let counts = self.counts.get(name);
        let (successes, errors) = counts.map_or((0, 0), |counts| (counts.successes, counts.errors));
        ServiceInfo {
            methods: service.methods().iter().map(|method| (*method).to_owned()).collect(),
            providers: serving.map(|provider| provider.name.clone()).collect(),
            styles: service.styles(),
            requests: successes + errors,
            successes,
            errors,
            last_error: counts.and_then(|counts| counts.last_error.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use reel_protocol::TaskError;

    use super::*;

    #[test]
    fn each_service_has_its_own_counts_and_the_providers_that_serve_it() {
        let stats = ServiceStats::default();
        let provider = |name: &str, services: &[&str]| ProviderProfile {
            name: name.to_owned(),
            services: services.iter().map(|name| (*name).to_owned()).collect(),
            ..ProviderProfile::default()
        };
        stats.set_providers(vec![provider("studio", &["image"]), provider("speaker", &["voice"])]);
        let error = TaskError {
            code: "over_memory".into(),
            message: "no room".into(),
            hint: None,
            retryable: true,
            provider_status: None,
        };
        for end in [RunEnd::Done, RunEnd::Stopped, RunEnd::failed(error)] {
            stats.count("image", &end);
        }
        let services = stats.status().services;
        let image = &services["image"];
        assert_eq!((image.requests, image.successes, image.errors), (2, 1, 1));
        assert_eq!(image.last_error.as_deref(), Some("over_memory: no room"));
        assert_eq!((&image.providers[..], image.styles.is_empty()), (&["studio".to_owned()][..], false));
        assert_eq!((services["debug"].requests, services["debug"].providers.len()), (0, 0));
    }
}
