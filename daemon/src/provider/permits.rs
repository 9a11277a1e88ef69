//! The gates of all providers, in one place that the tracker asks before it starts a task and the attempts report to.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use reel_protocol::{Timestamp, methods::ProviderEvent};
use tokio::{sync::Notify, time::Instant};

use super::gate::{Gate, GateLimits, Shut, Verdict};
use crate::{domain::Target, events::EventHub};

type Gates = BTreeMap<Arc<str>, Gate>;

/// The gates; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Permits(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    gates: Mutex<Gates>,
    given_back: Notify,
    events: EventHub,
}

/// The right to have one attempt under way; given back when dropped.
#[derive(Debug)]
pub struct Permit {
    permits: Permits,
    target: Target,
    ticket: u64,
}

impl Permits {
    /// Gates with these limits, which tell of their changes.
    pub fn new(limits: impl IntoIterator<Item = (Arc<str>, GateLimits)>, events: EventHub) -> Self {
        let permits = Self(Arc::new(Shared { events, ..Shared::default() }));
        permits.configure(limits);
        permits
    }

    /// Takes new limits. A provider that is not named any more is shut for good; what is under way goes on.
    pub fn configure(&self, limits: impl IntoIterator<Item = (Arc<str>, GateLimits)>) {
        let mut gates = self.gates();
        gates.values_mut().for_each(|gate| gate.set_limits(GateLimits::SHUT));
        for (name, limits) in limits {
            gates.entry(name).or_insert_with(|| Gate::new(limits)).set_limits(limits);
        }
    }

    /// Another service stands behind this name from now on: its pause and its circuit were the former one's.
    pub fn renew(&self, provider: &str) {
        if let Some(gate) = self.gates().get_mut(provider) {
            gate.renew();
        }
    }

    /// Whether an attempt may begin now.
    pub fn is_free(&self, target: &Target) -> bool {
        let gates = self.gates();
        gates.get(&target.provider).is_some_and(|gate| gate.shut(&target.model, Instant::now()).is_none())
    }

    /// Why no attempt may begin now; None if one may, or if there is no such provider.
    pub fn shut(&self, target: &Target) -> Option<Shut> {
        self.gates().get(&target.provider)?.shut(&target.model, Instant::now())
    }

    /// Whether a task that another provider could make need not wait for this one.
    pub fn is_down(&self, target: &Target) -> bool {
        self.gates().get(&target.provider).is_some_and(|gate| gate.is_down(&target.model, Instant::now()))
    }

    /// A permit, if one is to be had now.
    pub fn try_acquire(&self, target: &Target) -> Option<Permit> {
        let ticket = self.gates().get_mut(&target.provider)?.take(&target.model, Instant::now()).ok()?;
        Some(Permit { permits: self.clone(), target: target.clone(), ticket })
    }

    /// Permits in use, and in all.
    pub fn usage(&self, provider: &str) -> (u32, u32) {
        let gates = self.gates();
        gates.get(provider).map_or((0, 0), |gate| (gate.running(), gate.limits().max_concurrent))
    }

    /// Counts an attempt of an earlier daemon.
    pub fn remember(&self, provider: &str, at: Instant) {
        if let Some(gate) = self.gates().get_mut(provider) {
            gate.remember(at);
        }
    }

    /// Ends when a permit was given back, or a service has answered, since the last call ended: several may be answered by one, and none is
    /// missed.
    pub async fn given_back(&self) {
        self.0.given_back.notified().await;
    }

    fn gates(&self) -> MutexGuard<'_, Gates> {
        // Nothing that is done under the lock can leave a gate half changed.
        self.0.gates.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// The attempt's request leaves now.
    pub fn leaves(&self) {
        self.change(|gate, now| gate.leaves(self.ticket, now));
    }

    /// The service has answered: another attempt may begin, though this one has not been judged yet.
    pub fn answered(&self) {
        if let Some(gate) = self.permits.gates().get_mut(&self.target.provider) {
            gate.answered(self.ticket);
        }
        self.permits.0.given_back.notify_one();
    }

    /// Says what the attempt tells about its provider.
    pub fn judge(&self, verdict: Verdict) {
        self.change(|gate, now| gate.judge(self.ticket, verdict, now));
    }

    /// Changes the gate, and tells where that opened it or closed it.
    fn change(&self, act: impl FnOnce(&mut Gate, Instant)) {
        let now = Instant::now();
        let Target { provider, model } = &self.target;
        // One attempt that finds out whether it works again is under way: nothing new to tell.
        let closed = |gate: &Gate| gate.closed(model, now).filter(|shut| shut.until().is_some());
        let changed = {
            let mut gates = self.permits.gates();
            let Some(gate) = gates.get_mut(provider) else { return };
            let before = gate.closed(model, now);
            act(gate, now);
            let after = closed(gate);
            (before.map(Shut::reason) != after.map(Shut::reason)).then_some(after)
        };
        if let Some(shut) = changed {
            self.permits.0.events.provider(|| ProviderEvent {
                name: provider.to_string(),
                model: model.as_deref().map(str::to_owned),
                wait_reason: shut.map(Shut::reason),
                waits_until: shut.and_then(Shut::until).map(wall_time),
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

/// When a moment comes, by the clock of this machine as it now goes.
pub(super) fn wall_time(at: Instant) -> Timestamp {
    let left = at.saturating_duration_since(Instant::now()).as_millis() as u64;
    Timestamp::from_unix_ms(Timestamp::now().unix_ms() + left)
}
