//! When a provider may be asked: its permits, its rate, whether it can be reached, and for each of its models a pause and a circuit. Pure: the
//! time comes in.
//!
//! Permits, `requests_per_minute` and whether a connection can be made belong to the provider. A 429 or a 503 belongs to the model that was
//! asked for, as a gateway serves models of several services under one address and key.

mod model;

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use reel_protocol::WaitReason;
use tokio::time::Instant;

use self::model::ModelGate;
use crate::domain::{Class, Model};

/// What `requests_per_minute` counts in, and a second for requests that are longer on their way than others: the service counts them when
/// they arrive.
const RATE_WINDOW: Duration = Duration::from_secs(61);
/// How long a provider is left alone that could not be reached; doubled each time until [`LONGEST_UNREACHED`].
const FIRST_UNREACHED: Duration = Duration::from_secs(1);
const LONGEST_UNREACHED: Duration = Duration::from_mins(1);
/// Tries in a row that did not reach it, some seven seconds apart in all, after which a task may be made by another provider instead.
const LONG_UNREACHED: u32 = 4;
/// Models whose pauses and circuits are remembered; past it those that are neither paused nor out of order are forgotten, then all.
const MAX_MODELS: usize = 256;

/// The limits of one provider, from the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GateLimits {
    /// Attempts under way at once.
    pub max_concurrent: u32,
    /// Attempts begun within any minute; None for no limit.
    pub requests_per_minute: Option<u32>,
}

impl GateLimits {
    /// Of a provider that is not configured any more.
    pub const SHUT: Self = Self { max_concurrent: 0, requests_per_minute: None };
}

/// Why no attempt may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shut {
    /// All permits are out; one that comes back opens it.
    Busy,
    /// `requests_per_minute` is used up until then.
    Rate(Instant),
    /// The provider asked to be left alone until then.
    Paused(Instant),
    /// It failed too often; it is tried again then.
    Circuit(Instant),
    /// No request reaches it; it is tried again then.
    Unreachable(Instant),
}

impl Shut {
    /// As those who wait for it are told.
    pub const fn reason(self) -> WaitReason {
        match self {
            Self::Busy => WaitReason::Provider,
            Self::Rate(_) => WaitReason::ProviderRate,
            Self::Paused(_) => WaitReason::ProviderPause,
            Self::Circuit(_) => WaitReason::ProviderDown,
            Self::Unreachable(_) => WaitReason::ProviderUnreachable,
        }
    }

    /// When it opens by itself; None where something else has to happen first.
    pub const fn until(self) -> Option<Instant> {
        match self {
            Self::Busy => None,
            Self::Rate(until) | Self::Paused(until) | Self::Circuit(until) | Self::Unreachable(until) => {
                Some(until)
            }
        }
    }
}

/// What an attempt says about its provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It answered, be it with a refusal of this request.
    Answered,
    /// It did not work, and may work later.
    Failed,
    /// It was asked too often; for how long it wants to be left alone, if it said so.
    Limited(Option<Duration>),
    /// The request never left, as no connection could be made.
    Unreached,
    /// Nothing can be told from it.
    Unclear,
}

impl From<Class> for Verdict {
    fn from(class: Class) -> Self {
        match class {
            Class::Unreached => Self::Unreached,
            Class::Transient(_) => Self::Failed,
            Class::RateLimited(wait) => Self::Limited(wait),
            Class::Ambiguous => Self::Unclear,
            Class::Quota
            | Class::QuotaWindow(_)
            | Class::Auth
            | Class::Invalid
            | Class::Moderated
            | Class::Gone
            | Class::Unknown => Self::Answered,
        }
    }
}

/// One that is under way.
#[derive(Debug)]
struct Attempt {
    model: Model,
    began: Instant,
    left: Option<Instant>,
    /// The service has nothing more to do for it.
    is_answered: bool,
}

/// The gate of one provider: it decides whether an attempt may begin now.
#[derive(Debug)]
pub struct Gate {
    limits: GateLimits,
    /// Attempts under way by ticket.
    out: BTreeMap<u64, Attempt>,
    next_ticket: u64,
    /// The last ticket of the service that was asked under this name before; what its attempts say is not about this one.
    last_of_former: u64,
    /// When requests left, oldest first; as many as decide anything, and none where the rate is not limited.
    sent: VecDeque<Instant>,
    /// Tries in a row that did not reach it.
    unreached: u32,
    /// When it is tried again; None while it can be reached.
    unreached_until: Option<Instant>,
    /// Models that are not simply well.
    models: BTreeMap<Model, ModelGate>,
}

impl Gate {
    /// Returns a gate that lets attempts begin within these limits.
    pub const fn new(limits: GateLimits) -> Self {
        Self {
            limits,
            out: BTreeMap::new(),
            next_ticket: 0,
            last_of_former: 0,
            sent: VecDeque::new(),
            unreached: 0,
            unreached_until: None,
            models: BTreeMap::new(),
        }
    }

    /// Returns the limits that are in force now.
    pub const fn limits(&self) -> GateLimits {
        self.limits
    }

    /// Takes new limits; what is under way goes on.
    pub fn set_limits(&mut self, limits: GateLimits) {
        self.limits = limits;
    }

    /// Another service is asked from now on: what the former one did is not its fault. The minute stays, as nobody knows whether they share it.
    pub fn renew(&mut self) {
        self.last_of_former = self.next_ticket;
        (self.unreached, self.unreached_until) = (0, None);
        self.models.clear();
    }

    /// Attempts that the service works on, or will.
    pub fn running(&self) -> u32 {
        self.out.values().filter(|attempt| !attempt.is_answered).count() as u32
    }

    /// Why no attempt with this model may begin now; None if one may.
    pub fn shut(&self, model: &Model, now: Instant) -> Option<Shut> {
        if self.running() >= self.limits.max_concurrent {
            return Some(Shut::Busy);
        }
        self.closed(model, now)
    }

    /// The same, had the provider a permit left.
    pub fn closed(&self, model: &Model, now: Instant) -> Option<Shut> {
        match self.unreached_until {
            Some(until) if until > now => return Some(Shut::Unreachable(until)),
            // One attempt finds out whether it can be reached again.
            Some(until) if self.out.values().any(|attempt| attempt.began >= until) => {
                return Some(Shut::Busy);
            }
            _ => {}
        }
        let began = self.out.values().filter(|attempt| attempt.model == *model).map(|attempt| attempt.began);
        if let Some(shut) = self.models.get(model).and_then(|gate| gate.shut(now, began)) {
            return Some(shut);
        }
        // Those that were let through and have not left yet will leave within this minute.
        let waiting = self.out.values().filter(|attempt| attempt.left.is_none()).count();
        let Some(left) = (self.limits.requests_per_minute? as usize).checked_sub(waiting + 1) else {
            // Should they leave this moment; nobody is told when they do.
            return Some(Shut::Rate(now + RATE_WINDOW));
        };
        let until = *self.sent.iter().rev().nth(left)? + RATE_WINDOW;
        (until > now).then_some(Shut::Rate(until))
    }

    /// Whether a task that another provider could make need not wait for this one: it failed too often, or was not reached for long.
    pub fn is_down(&self, model: &Model, now: Instant) -> bool {
        let is_unreached =
            self.unreached >= LONG_UNREACHED && self.unreached_until.is_some_and(|until| until > now);
        is_unreached || self.models.get(model).is_some_and(|gate| gate.is_open(now))
    }

    /// Lets an attempt begin; the ticket goes back with [`Gate::give_back`].
    pub fn take(&mut self, model: &Model, now: Instant) -> Result<u64, Shut> {
        if let Some(shut) = self.shut(model, now) {
            return Err(shut);
        }
        self.next_ticket += 1;
        let attempt = Attempt { model: model.clone(), began: now, left: None, is_answered: false };
        self.out.insert(self.next_ticket, attempt);
        Ok(self.next_ticket)
    }

    /// The attempt's request leaves now: the minute counts from here, not from when it was let through.
    pub fn leaves(&mut self, ticket: u64, now: Instant) {
        if let Some(attempt) = self.out.get_mut(&ticket)
            && attempt.left.is_none()
        {
            attempt.left = Some(now);
            self.remember(now);
        }
    }

    /// The answer is here as a whole: the service is free for another one, whatever is still to be done with it here.
    pub fn answered(&mut self, ticket: u64) {
        if let Some(attempt) = self.out.get_mut(&ticket) {
            attempt.is_answered = true;
        }
    }

    /// The attempt is over. One whose request never left does not count for the rate.
    pub fn give_back(&mut self, ticket: u64) {
        self.out.remove(&ticket);
    }

    /// A request left at that time, be it from an earlier daemon.
    pub fn remember(&mut self, at: Instant) {
        let Some(limit) = self.limits.requests_per_minute else { return };
        self.sent.push_back(at);
        while self.sent.len() > limit as usize {
            self.sent.pop_front();
        }
    }

    /// Takes what an attempt that is under way says about the provider and its model.
    ///
    /// Those that began before a pause or an open circuit was over are of the same burst as the one that caused it, as none begins
    /// meanwhile: what they say is known, and does not count again.
    pub fn judge(&mut self, ticket: u64, verdict: Verdict, now: Instant) {
        let Some(attempt) = self.out.get_mut(&ticket).filter(|_| ticket > self.last_of_former) else {
            return;
        };
        let began = attempt.began;
        let is_late = self.unreached_until.is_some_and(|until| began < until);
        if verdict == Verdict::Unreached {
            let left = attempt.left.take();
            // It did not arrive, so the provider does not count it.
            if let Some(place) = self.sent.iter().rposition(|at| Some(*at) == left) {
                self.sent.remove(place);
            }
            if !is_late {
                let wait = doubled(FIRST_UNREACHED, self.unreached, LONGEST_UNREACHED);
                self.unreached_until = Some(now + wait);
                self.unreached += 1;
            }
            return;
        }
        if !is_late {
            (self.unreached, self.unreached_until) = (0, None);
        }
        let model = attempt.model.clone();
        if !self.models.contains_key(&model) && self.models.len() >= MAX_MODELS {
            self.models.retain(|_, gate| !gate.is_well(now));
            if self.models.len() >= MAX_MODELS {
                self.models.clear();
            }
        }
        self.models.entry(model).or_default().judge(began, verdict, now);
    }
}

fn doubled(first: Duration, times: u32, longest: Duration) -> Duration {
    first.saturating_mul(1_u32.checked_shl(times).unwrap_or(u32::MAX).max(1)).min(longest)
}

#[cfg(test)]
mod tests;
