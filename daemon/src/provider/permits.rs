//! The gates of all providers. The tracker asks them before it starts a task, and attempts report to them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use reel_protocol::{Timestamp, methods::ProviderEvent};
use tokio::{sync::Notify, time::Instant};

use super::gate::{Gate, GateLimits, Verdict, WhyNot};
use crate::{domain::Target, events::EventHub};

type Gates = BTreeMap<Arc<str>, Gate>;

/// The shared gates of all providers. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Permits(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    gates: Mutex<Gates>,
    given_back: Notify,
    events: EventHub,
}

/// The right to have one attempt in flight. Dropping it gives it back.
#[derive(Debug)]
pub struct Permit {
    permits: Permits,
    target: Target,
    ticket: u64,
}

impl Permits {
    /// Returns gates with these limits. They send an event when an attempt closes or opens one of them.
    pub fn new(limits: impl IntoIterator<Item = (Arc<str>, GateLimits)>, events: EventHub) -> Self {
        let permits = Self(Arc::new(Shared { events, ..Shared::default() }));
        permits.configure(limits);
        permits
    }

    /// Replaces the limits. A provider that is not named lets no attempt begin until it is named again. Attempts in flight go on.
    pub fn configure(&self, limits: impl IntoIterator<Item = (Arc<str>, GateLimits)>) {
        let mut gates = self.gates();
        gates.values_mut().for_each(|gate| gate.set_limits(GateLimits::NO_ATTEMPTS));
        for (name, limits) in limits {
            gates.entry(name).or_insert_with(|| Gate::new(limits)).set_limits(limits);
        }
    }

    /// Forgets the provider's pauses and circuits, because another service is configured under its name.
    pub fn renew(&self, provider: &str) {
        if let Some(gate) = self.gates().get_mut(provider) {
            gate.renew();
        }
    }

    /// Whether an attempt may begin now. False if there is no such provider.
    pub fn is_free(&self, target: &Target) -> bool {
        let gates = self.gates();
        gates.get(&target.provider).is_some_and(|gate| gate.why_not(&target.model, Instant::now()).is_none())
    }

    /// Returns why no attempt may begin now. None if one may, or if there is no such provider.
    pub fn why_not(&self, target: &Target) -> Option<WhyNot> {
        self.gates().get(&target.provider)?.why_not(&target.model, Instant::now())
    }

    /// Whether the provider's server was being started or loaded its model when it was last tried.
    pub fn is_loading(&self, provider: &str) -> bool {
        self.gates().get(provider).is_some_and(Gate::is_loading)
    }

    /// Whether a task should go to another provider that is able to run it: the circuit is open, or the provider cannot be reached for several
    /// seconds.
    pub fn is_down(&self, target: &Target) -> bool {
        self.gates().get(&target.provider).is_some_and(|gate| gate.is_down(&target.model, Instant::now()))
    }

    /// Lets no attempt begin at the provider because its server is being stopped, or lets them begin again.
    pub fn set_closed(&self, provider: &str, is_stopping: bool) {
        if let Some(gate) = self.gates().get_mut(provider) {
            gate.set_server_stopping(is_stopping);
        }
        self.0.given_back.notify_one();
    }

    /// Lets attempts begin at once, because the provider's server can be reached.
    pub fn reopen(&self, provider: &str) {
        if let Some(gate) = self.gates().get_mut(provider) {
            gate.reached();
        }
        self.set_closed(provider, false);
    }

    /// Returns a permit if an attempt may begin now.
    pub fn try_acquire(&self, target: &Target) -> Option<Permit> {
        let ticket = self.gates().get_mut(&target.provider)?.take(&target.model, Instant::now()).ok()?;
        Some(Permit { permits: self.clone(), target: target.clone(), ticket })
    }

    /// Returns the number of permits in use and the limit. Both are 0 if there is no such provider.
    pub fn usage(&self, provider: &str) -> (u32, u32) {
        let gates = self.gates();
        gates.get(provider).map_or((0, 0), |gate| (gate.running(), gate.limits().max_concurrent))
    }

    /// Counts a request that an earlier daemon process sent at `at`.
    pub fn remember(&self, provider: &str, at: Instant) {
        if let Some(gate) = self.gates().get_mut(provider) {
            gate.remember(at);
        }
    }

    /// Waits until a permit is given back or a service has answered. One return may stand for several of these. None is missed between two calls.
    pub async fn given_back(&self) {
        self.0.given_back.notified().await;
    }

    fn gates(&self) -> MutexGuard<'_, Gates> {
        // Nothing that runs under the lock can leave a gate half changed, so a poisoned lock may be used.
        self.0.gates.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// Records that the attempt sends its request now.
    pub fn leaves(&self) {
        self.change(|gate, now| gate.leaves(self.ticket, now));
    }

    /// Records that the service has answered. Another attempt may begin although this one has not been judged yet.
    pub fn answered(&self) {
        if let Some(gate) = self.permits.gates().get_mut(&self.target.provider) {
            gate.answered(self.ticket);
        }
        self.permits.0.given_back.notify_one();
    }

    /// Reports what the outcome of the attempt says about its provider.
    pub fn judge(&self, verdict: Verdict) {
        self.change(|gate, now| gate.judge(self.ticket, verdict, now));
    }

    /// Changes the gate, and sends an event if that opened or closed it.
    fn change(&self, act: impl FnOnce(&mut Gate, Instant)) {
        let now = Instant::now();
        let Target { provider, model } = &self.target;
        let changed = {
            let mut gates = self.permits.gates();
            let Some(gate) = gates.get_mut(provider) else { return };
            let before = gate.why_not_ignoring_permits(model, now);
            act(gate, now);
            let after = gate.why_not_ignoring_permits(model, now);
            is_news(before, after).then_some(after)
        };
        if let Some(why_not) = changed {
            self.permits.0.events.provider(|| ProviderEvent {
                name: provider.to_string(),
                model: model.as_deref().map(str::to_owned),
                wait_reason: why_not.map(WhyNot::reason),
                waits_until: why_not.and_then(WhyNot::until).map(wall_time),
            });
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(gate) = self.permits.gates().get_mut(&self.target.provider) {
            gate.give_back(self.ticket);
        }
        self.permits.0.given_back.notify_one();
    }
}

/// Whether clients are told of a change. A gate that waits for the end of a probe is still as closed as they were told before.
fn is_news(before: Option<WhyNot>, after: Option<WhyNot>) -> bool {
    before.map(WhyNot::reason) != after.map(WhyNot::reason) && after != Some(WhyNot::Busy)
}

/// Converts a time of the monotonic clock to the current wall clock. A time in the past becomes now.
pub(super) fn wall_time(at: Instant) -> Timestamp {
    let left = at.saturating_duration_since(Instant::now()).as_millis() as u64;
    Timestamp::from_unix_ms(Timestamp::now().unix_ms() + left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_told_of_a_closed_provider_until_its_probe_has_ended() {
        let at = Instant::now();
        let (busy, down) = (Some(WhyNot::Busy), Some(WhyNot::Circuit(at)));
        for (before, after, is_told) in [
            (None, None, false),
            (None, down, true),
            // The probe sends its request, and fails or succeeds.
            (busy, busy, false),
            (busy, down, true),
            (busy, None, true),
            // An attempt that began before the circuit opened ends during the probe.
            (down, busy, false),
            (down, Some(WhyNot::Circuit(at + std::time::Duration::from_secs(9))), false),
            (None, busy, false),
        ] {
            assert_eq!(is_news(before, after), is_told, "{before:?} {after:?}");
        }
    }
}
