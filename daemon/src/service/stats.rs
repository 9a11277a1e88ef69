//! Counts of what each service has done since the daemon started, and the providers of each service: the result of `service.status`.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use reel_protocol::methods::{Latency, ProviderCounts, ServiceInfo, ServiceStatusResult};

use super::{RunEnd, SERVICES, Service};
use crate::domain::ProviderProfile;

/// The latencies of a provider cover this many of its last successful attempts.
const TIMES: usize = 256;

/// The statistics of all services; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct ServiceStats(Arc<Mutex<Counters>>);

#[derive(Debug, Default)]
struct Counters {
    /// The configured providers, in the order of selection.
    providers: Vec<ProviderProfile>,
    counts: BTreeMap<&'static str, Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    successes: u64,
    errors: u64,
    last_error: Option<String>,
    by_provider: BTreeMap<String, Attempts>,
}

/// How the attempts of one provider ended.
#[derive(Debug, Default)]
struct Attempts {
    successes: u64,
    /// The number of failed attempts, by the code of the error.
    errors: BTreeMap<String, u64>,
    last_error: Option<String>,
    /// How long the last successful attempts took, oldest first.
    times: VecDeque<Duration>,
}

impl ServiceStats {
    /// Statistics with no attempts and these configured providers.
    pub fn of(providers: Vec<ProviderProfile>) -> Self {
        let stats = Self::default();
        stats.set_providers(providers);
        stats
    }

    /// Replaces the configured providers. The counts stay.
    pub fn set_providers(&self, providers: Vec<ProviderProfile>) {
        self.counters().providers = providers;
    }

    /// Counts the end of an attempt that took `elapsed`. An attempt that was stopped is not counted, and a flawed result counts as an error.
    pub(super) fn count(
        &self,
        service: &'static str,
        provider: Option<&str>,
        elapsed: Duration,
        end: &RunEnd,
    ) {
        let mut counters = self.counters();
        let counts = counters.counts.entry(service).or_default();
        let mut nobody = Attempts::default();
        let attempts = match provider {
            Some(name) => counts.by_provider.entry(name.to_owned()).or_default(),
            None => &mut nobody,
        };
        let error = match end {
            RunEnd::Stopped => return,
            RunEnd::Done => None,
            RunEnd::Made { kept, .. } => kept.made.flaw.as_ref(),
            RunEnd::Failed(error, _) | RunEnd::FailedAtCost(error, _, _) => Some(error),
        };
        match error {
            None => {
                counts.successes += 1;
                attempts.succeeded(elapsed);
            }
            Some(error) => {
                let words = format!("{}: {}", error.code, error.message);
                counts.errors += 1;
                counts.last_error = Some(words.clone());
                *attempts.errors.entry(error.code.clone()).or_default() += 1;
                attempts.last_error = Some(words);
            }
        }
    }

    /// Each service with its methods, providers, styles and counts.
    pub fn status(&self) -> ServiceStatusResult {
        let counters = self.counters();
        let info = |service: &&'static dyn Service| (service.name().to_owned(), counters.info(*service));
        ServiceStatusResult { services: SERVICES.iter().map(info).collect() }
    }

    fn counters(&self) -> MutexGuard<'_, Counters> {
        // A poisoned lock is used on, since nothing that is done under the lock can leave the counts half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counters {
    fn info(&self, service: &dyn Service) -> ServiceInfo {
        let name = service.name();
        let provided_by = service.provided_by();
        let mut serving: Vec<_> =
            self.providers.iter().filter(|provider| provider.serves(provided_by)).collect();
        serving.sort_by_key(|provider| !provider.is_default_for(provided_by));
        let counts = self.counts.get(name);
        let (successes, errors) = counts.map_or((0, 0), |counts| (counts.successes, counts.errors));
        ServiceInfo {
            methods: service.methods().iter().map(|method| (*method).to_owned()).collect(),
            providers: serving.into_iter().map(|provider| provider.name.clone()).collect(),
            styles: service.styles(),
            requests: successes + errors,
            successes,
            errors,
            last_error: counts.and_then(|counts| counts.last_error.clone()),
            by_provider: counts.map_or_else(BTreeMap::new, |counts| {
                counts.by_provider.iter().map(|(name, attempts)| (name.clone(), attempts.info())).collect()
            }),
        }
    }
}

impl Attempts {
    fn succeeded(&mut self, elapsed: Duration) {
        self.successes += 1;
        if self.times.len() == TIMES {
            self.times.pop_front();
        }
        self.times.push_back(elapsed);
    }

    fn info(&self) -> ProviderCounts {
        let mut times: Vec<_> = self.times.iter().map(|time| time.as_millis() as u64).collect();
        times.sort_unstable();
        // The smallest time that `percent` of a hundred attempts did not exceed.
        let percentile =
            |percent: usize| times.get((times.len() * percent).div_ceil(100).checked_sub(1)?).copied();
        let latency = || Some(Latency { p50: percentile(50)?, p95: percentile(95)? });
        ProviderCounts {
            requests: self.successes + self.errors.values().sum::<u64>(),
            successes: self.successes,
            errors: self.errors.clone(),
            last_error: self.last_error.clone(),
            latency_ms: latency(),
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
            stats.count("image", Some("studio"), Duration::from_secs(1), &end);
        }
        for tenths in 2..=20 {
            let elapsed = Duration::from_millis(tenths * 100);
            stats.count("voice", Some("speaker"), elapsed, &RunEnd::Done);
        }
        stats.count("debug", None, Duration::ZERO, &RunEnd::Done);
        let services = stats.status().services;
        let image = &services["image"];
        assert_eq!((image.requests, image.successes, image.errors), (2, 1, 1));
        assert_eq!(image.last_error.as_deref(), Some("over_memory: no room"));
        assert_eq!((&image.providers[..], image.styles.is_empty()), (&["studio".to_owned()][..], false));
        let debug = &services["debug"];
        assert_eq!((debug.requests, debug.providers.len(), debug.by_provider.len()), (1, 0, 0));
        let studio = &image.by_provider["studio"];
        assert_eq!((studio.requests, studio.successes, studio.errors["over_memory"]), (2, 1, 1));
        assert_eq!(studio.latency_ms, Some(Latency { p50: 1_000, p95: 1_000 }));
        let speaker = &services["voice"].by_provider["speaker"];
        assert_eq!(speaker.latency_ms, Some(Latency { p50: 1_100, p95: 2_000 }));
    }
}
