//! The simulated providers: which are configured, how tasks are planned for them, and their permits and gates.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, sync::Arc, time::Duration};

use reel_protocol::{ErrorCode, WaitReason};
use reeld::{
    domain::{Candidate, Plan, PlanRefusal, PlanSpec, PlanTasks, Refused, Target},
    memory::{Holder, OverBudget},
    tasks::machine::{Closed, Moment, RunId, Surroundings},
};

/// The providers, in the order of selection.
pub const PROVIDERS: [Provider; 3] = [
    Provider { name: "studio", is_paid: true, permits: 2 },
    Provider { name: "spare", is_paid: true, permits: 1 },
    Provider { name: "local", is_paid: false, permits: 2 },
];

/// A simulated provider.
#[derive(Debug)]
pub struct Provider {
    pub name: &'static str,
    pub is_paid: bool,
    pub permits: usize,
}

/// Returns the index of a provider in [`PROVIDERS`].
pub fn place_of(name: &str) -> usize {
    PROVIDERS.iter().position(|provider| provider.name == name).unwrap()
}

/// Returns the cache key of a result of this provider for these params.
pub fn key_of(provider: usize, params: &str) -> [u8; 32] {
    let mut key = [provider as u8; 32];
    for (place, byte) in params.bytes().enumerate() {
        key[1 + place % 31] ^= byte;
    }
    key
}

/// Plans tasks for the configured providers.
#[derive(Debug)]
pub struct Planner {
    pub generation: u64,
    pub configured: [bool; PROVIDERS.len()],
}

/// The kind of tasks that consist of other tasks.
pub const WORKFLOW: &str = "story.make";

/// Returns whether tasks of this kind are made by a provider.
pub fn needs_provider(kind: &str) -> bool {
    kind == "image.generate"
}

impl PlanTasks for Planner {
    fn generation(&self) -> u64 {
        self.generation
    }

    fn plan(&self, spec: &PlanSpec<'_>) -> Result<Plan, PlanRefusal> {
        let params = spec.params.clone();
        if !needs_provider(spec.kind) {
            let is_workflow = spec.kind == WORKFLOW;
            return Ok(Plan { params, generation: self.generation, is_workflow, ..Plan::default() });
        }
        let is_offered = |place: &usize| {
            self.configured[*place] && spec.provider.is_none_or(|name| name == PROVIDERS[*place].name)
        };
        let mut places: Vec<usize> = (0..PROVIDERS.len()).filter(is_offered).collect();
        let was_refused = |place: &usize| {
            let name = PROVIDERS[*place].name;
            spec.refused_by.iter().any(|Refused { provider, .. }| provider == name)
        };
        if !places.iter().all(was_refused) {
            places.retain(|place| !was_refused(place));
        }
        places.sort_by_key(|place| spec.planned != Some(PROVIDERS[*place].name));
        if places.is_empty() {
            let code =
                if spec.provider.is_some() { ErrorCode::UnknownProvider } else { ErrorCode::NoProvider };
            return Err(PlanRefusal { index: 0, code, message: "not configured".to_owned(), hint: None });
        }
        let candidate = |place: usize| Candidate {
            price: None,
            provider: Arc::from(PROVIDERS[place].name),
            model: None,
            key: key_of(place, spec.params.as_str()),
            is_paid: PROVIDERS[place].is_paid,
            is_alternative: true,
        };
        let candidates = places.into_iter().map(candidate).collect();
        Ok(Plan { params, candidates, generation: self.generation, ..Plan::default() })
    }
}

/// What the machine sees of memory and of the providers.
#[derive(Debug, Default)]
pub struct State {
    /// The current time of the driver's monotonic clock.
    pub moment: Moment,
    pub is_memory_critical: bool,
    pub reserved_bytes: u64,
    pub budget_bytes: u64,
    pub configured: [bool; PROVIDERS.len()],
    /// When each provider's gate opens again, and whether it is closed because the provider is out of order.
    pub closed: [Option<(Moment, bool)>; PROVIDERS.len()],
    /// The provider at which each attempt has a permit.
    pub permits: BTreeMap<RunId, usize>,
}

impl State {
    /// Returns the number of permits that are taken at a provider.
    pub fn taken(&self, provider: usize) -> usize {
        self.permits.values().filter(|of| **of == provider).count()
    }

    fn closed(&self, provider: usize) -> Option<(Moment, bool)> {
        self.closed[provider].filter(|(until, _)| *until > self.moment)
    }

    /// Returns whether an attempt may begin at a provider.
    pub fn is_free(&self, provider: usize) -> bool {
        self.configured[provider]
            && self.closed(provider).is_none()
            && self.taken(provider) < PROVIDERS[provider].permits
    }
}

/// The environment of a machine. The driver changes it.
#[derive(Debug, Clone, Default)]
pub struct SimulatedSurroundings(pub Rc<RefCell<State>>);

impl Surroundings for SimulatedSurroundings {
    fn is_memory_critical(&self) -> bool {
        self.0.borrow().is_memory_critical
    }

    fn reserve(&mut self, bytes: u64) -> Result<(), OverBudget> {
        let mut state = self.0.borrow_mut();
        if state.reserved_bytes + bytes > state.budget_bytes {
            return Err(OverBudget {
                asked_bytes: bytes,
                reserved_bytes: state.reserved_bytes,
                limit_bytes: state.budget_bytes,
                holder: Holder::Request,
            });
        }
        state.reserved_bytes += bytes;
        Ok(())
    }

    fn give_back(&mut self, bytes: u64) {
        let mut state = self.0.borrow_mut();
        state.reserved_bytes = state.reserved_bytes.checked_sub(bytes).unwrap_or_else(|| {
            panic!("{bytes} bytes are given back, and {} are reserved", state.reserved_bytes)
        });
    }

    fn acquire(&mut self, run: RunId, target: &Target) -> bool {
        let provider = place_of(&target.provider);
        let mut state = self.0.borrow_mut();
        let is_free = state.is_free(provider);
        if is_free {
            assert!(state.permits.insert(run, provider).is_none(), "attempt {run} has two permits");
        }
        is_free
    }

    fn release(&mut self, run: RunId) {
        self.0.borrow_mut().permits.remove(&run);
    }

    fn is_free(&self, target: &Target) -> bool {
        self.0.borrow().is_free(place_of(&target.provider))
    }

    fn why_not(&self, target: &Target) -> Option<Closed> {
        let provider = place_of(&target.provider);
        let state = self.0.borrow();
        let (until, is_down) = state.closed(provider).filter(|_| state.configured[provider])?;
        let reason = if is_down { WaitReason::ProviderDown } else { WaitReason::ProviderPause };
        Some(Closed { reason, until: Some(until) })
    }

    fn is_down(&self, target: &Target) -> bool {
        let provider = place_of(&target.provider);
        let state = self.0.borrow();
        state.configured[provider] && state.closed(provider).is_some_and(|(_, is_down)| is_down)
    }
}

/// Returns the time this long after `moment`.
pub fn after(moment: Moment, milliseconds: u64) -> Moment {
    moment + Duration::from_millis(milliseconds)
}
