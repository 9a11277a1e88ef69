//! The plans of calls that the cache had a result for: a program that asks the same again has its answer without planning. Pure.

use std::{
    hash::{BuildHasher, RandomState},
    num::NonZeroUsize,
};

use lru::LruCache;
use reel_protocol::{JsonText, TaskSpec};

use super::Plan;

/// Plans that are kept.
const PLANS: NonZeroUsize = NonZeroUsize::new(256).unwrap();

/// Params beyond this are planned each time: what is kept is at most so much twice for each plan, 2 MiB in all.
const LONGEST_BYTES: usize = 4 * 1024;

/// The plans.
pub(super) struct Plans {
    /// By the hash of what was asked for, so that finding one copies nothing; of two with the same hash the later one is kept.
    plans: LruCache<u64, (Asked, Plan)>,
    hasher: RandomState,
}

/// What a plan is made from.
struct Asked {
    kind: String,
    params: JsonText,
    provider: Option<String>,
}

impl Default for Plans {
    fn default() -> Self {
        Self { plans: LruCache::sparse(PLANS), hasher: RandomState::new() }
    }
}

impl Plans {
    /// Keeps how that would run.
    pub fn put(&mut self, spec: &TaskSpec, plan: &Plan) {
        if spec.params.as_str().len().max(plan.params.as_str().len()) <= LONGEST_BYTES {
            let TaskSpec { kind, params, provider, .. } = spec;
            let asked = Asked { kind: kind.clone(), params: params.clone(), provider: provider.clone() };
            self.plans.put(self.hash(spec), (asked, plan.clone()));
        }
    }

    /// The plan that a planner of this generation made for the same.
    pub fn get(&mut self, spec: &TaskSpec, generation: u64) -> Option<&Plan> {
        let hash = self.hash(spec);
        let (asked, plan) = self.plans.get(&hash)?;
        let is_same =
            asked.kind == spec.kind && asked.params == spec.params && asked.provider == spec.provider;
        (is_same && plan.generation == generation).then_some(plan)
    }

    fn hash(&self, spec: &TaskSpec) -> u64 {
        self.hasher.hash_one((&spec.kind, &spec.params, &spec.provider))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(params: String) -> TaskSpec {
        let params = JsonText::parse(params).unwrap();
        TaskSpec { kind: "image.generate".into(), params, ..TaskSpec::default() }
    }

    #[test]
    fn a_plan_is_found_by_all_that_it_was_made_from_and_by_its_planner_only() {
        let mut plans = Plans::default();
        let asked = spec(r#"{"prompt":"a"}"#.into());
        plans.put(&asked, &Plan { generation: 3, ..Plan::default() });
        assert!(plans.get(&asked, 3).is_some());
        assert!(plans.get(&TaskSpec { name: Some("a label".into()), ..asked.clone() }, 3).is_some());
        assert!(plans.get(&asked, 4).is_none(), "the providers have changed");
        for other in [
            spec(r#"{"prompt":"b"}"#.into()),
            TaskSpec { kind: "image.edit".into(), ..asked.clone() },
            TaskSpec { provider: Some("studio".into()), ..asked.clone() },
        ] {
            assert!(plans.get(&other, 3).is_none(), "{other:?}");
        }
        plans.put(&asked, &Plan { generation: 4, ..Plan::default() });
        assert!(plans.get(&asked, 4).is_some());
    }

    #[test]
    fn neither_their_number_nor_their_size_grows_without_end() {
        let mut plans = Plans::default();
        for number in 0..1_000 {
            plans.put(&spec(number.to_string()), &Plan::default());
        }
        assert_eq!(plans.plans.len(), PLANS.get());
        let long = |bytes: usize| JsonText::parse(format!("{:?}", "x".repeat(bytes))).unwrap();
        let asked = TaskSpec { params: long(LONGEST_BYTES), ..TaskSpec::default() };
        plans.put(&asked, &Plan::default());
        assert!(plans.get(&asked, 0).is_none());
        plans.put(&spec("1".into()), &Plan { params: long(LONGEST_BYTES), ..Plan::default() });
        assert!(plans.get(&spec("1".into()), 0).is_none());
    }
}
