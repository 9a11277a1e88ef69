//! The remote jobs that this process has submitted, found, or read from the journal at its start, so that the search for a lost job does not take the job of another task.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use crate::domain::JobFields;

/// Most jobs that are remembered; the oldest is dropped first. No service lists this many for a few minutes.
const REMEMBERED: usize = 4_096;

/// The set of known jobs. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct KnownJobs(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    jobs: HashSet<Name>,
    order: VecDeque<Name>,
}

/// The provider's name, and the fields that identify the job there.
type Name = Arc<(String, JobFields)>;

impl KnownJobs {
    /// Adds a job of this provider.
    pub fn add(&self, provider: &str, fields: &JobFields) {
        let name: Name = Arc::new((provider.to_owned(), fields.clone()));
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.jobs.insert(Arc::clone(&name)) {
            return;
        }
        known.order.push_back(name);
        if known.order.len() > REMEMBERED
            && let Some(oldest) = known.order.pop_front()
        {
            known.jobs.remove(&oldest);
        }
    }

    /// Whether this job of this provider is in the set.
    pub fn holds(&self, provider: &str, fields: &JobFields) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.jobs.contains(&(provider.to_owned(), fields.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_known_at_its_provider_until_thousands_came_after_it() {
        let known = KnownJobs::default();
        let job = |number: usize| JobFields::from([("id".to_owned(), number.to_string())]);
        for number in 0..=REMEMBERED {
            known.add("studio", &job(number));
            known.add("studio", &job(number));
        }
        assert!(!known.holds("studio", &job(0)) && known.holds("studio", &job(1)));
        assert!(!known.holds("other", &job(1)));
    }
}
