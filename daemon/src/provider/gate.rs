//! Decides when a request to a provider may begin. It counts permits and requests per minute, tracks whether the provider can be reached, and keeps a
//! pause and a circuit breaker for each model. Pure: the caller passes the time in.
//!
//! Permits, `requests_per_minute` and reachability belong to the provider. A 429 or a 503 counts only against the model of that request, because a
//! gateway serves models of several services under one address and key.

mod model;

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use reel_protocol::WaitReason;
use tokio::time::Instant;

use self::model::ModelGate;
use crate::domain::{Class, Model};

/// The sliding window of `requests_per_minute`. It is one second longer than a minute because the service counts requests when they arrive, and some
/// take longer to arrive than others.
const RATE_WINDOW: Duration = Duration::from_secs(61);
/// The backoff after a first failed connection. It doubles with each further one, up to [`LONGEST_UNREACHED`].
const FIRST_UNREACHED: Duration = Duration::from_secs(1);
const LONGEST_UNREACHED: Duration = Duration::from_mins(1);
/// Failed connections in a row after which a task may go to another provider. The first and the fourth are seven seconds apart (1 + 2 + 4).
const LONG_UNREACHED: u32 = 4;
/// Most models whose state is kept. When there are more, those with neither a pause nor an open circuit are forgotten. If every model has one, all
/// are forgotten.
const MAX_MODELS: usize = 256;

/// The limits of one provider, from the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GateLimits {
    /// Most attempts in flight at once.
    pub max_concurrent: u32,
    /// Most requests within any minute; None for no limit.
    pub requests_per_minute: Option<u32>,
}

impl GateLimits {
    /// The limits of a provider that was removed from the configuration. They let no attempt begin.
    pub const NO_ATTEMPTS: Self = Self { max_concurrent: 0, requests_per_minute: None };
}

/// The reason why no attempt may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhyNot {
    /// All permits are in use, or one attempt is probing a provider or model that failed before. A permit that is given back may end it.
    Busy,
    /// `requests_per_minute` is used up until this time.
    Rate(Instant),
    /// The provider rate-limited this model. Its pause ends at this time.
    Paused(Instant),
    /// The circuit is open because the model failed too often. A probe is allowed at this time.
    Circuit(Instant),
    /// No connection can be made. The next try is allowed at this time.
    Unreachable(Instant),
    /// The server is being started, or loads its model. The next try is allowed at this time.
    Loading(Instant),
}

impl WhyNot {
    /// Returns the reason that waiting tasks show to clients.
    pub const fn reason(self) -> WaitReason {
        match self {
            Self::Busy => WaitReason::Provider,
            Self::Rate(_) => WaitReason::ProviderRate,
            Self::Paused(_) => WaitReason::ProviderPause,
            Self::Circuit(_) => WaitReason::ProviderDown,
            Self::Unreachable(_) => WaitReason::ProviderUnreachable,
            Self::Loading(_) => WaitReason::ProviderLoading,
        }
    }

    /// Returns when attempts may begin again. None for [`WhyNot::Busy`], which ends when a permit is given back.
    pub const fn until(self) -> Option<Instant> {
        match self {
            Self::Busy => None,
            Self::Rate(until)
            | Self::Paused(until)
            | Self::Circuit(until)
            | Self::Unreachable(until)
            | Self::Loading(until) => Some(until),
        }
    }
}

/// What the outcome of an attempt says about its provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The provider answered. A refusal of this one request is an answer too.
    Answered,
    /// The provider failed in a way that may be temporary, such as with a 503.
    Failed,
    /// The provider refused the request because of a rate limit, such as with a 429. The field is the wait that it asked for, if any.
    Limited(Option<Duration>),
    /// No connection could be made, so the request was not sent.
    Unreached,
    /// The server is being started, or loads its model, so nothing was done.
    Loading,
    /// The outcome is ambiguous, and says nothing about the provider.
    Unclear,
}

impl Verdict {
    /// Whether the attempt did nothing because no server worked, so that one attempt at a time finds out when it does.
    pub const fn is_unserved(self) -> bool {
        matches!(self, Self::Unreached | Self::Loading)
    }
}

impl From<Class> for Verdict {
    fn from(class: Class) -> Self {
        match class {
            Class::Unreached => Self::Unreached,
            Class::Loading => Self::Loading,
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

/// An attempt between [`Gate::take`] and [`Gate::give_back`].
#[derive(Debug)]
struct InFlight {
    model: Model,
    began: Instant,
    left: Option<Instant>,
    /// Whether the service has answered completely. The attempt then takes up no permit.
    is_answered: bool,
}

/// The gate of one provider. It decides whether an attempt may begin.
#[derive(Debug)]
pub struct Gate {
    limits: GateLimits,
    /// Attempts that were let through and have not been given back, by ticket.
    in_flight: BTreeMap<u64, InFlight>,
    next_ticket: u64,
    /// The last ticket that was issued before [`Gate::renew`]. Verdicts of tickets up to it concern the former service and are ignored.
    last_of_former: u64,
    /// Times at which requests were sent, oldest first. At most `requests_per_minute` are kept, and none if there is no such limit.
    sent: VecDeque<Instant>,
    /// Failed connections in a row, and answers of a server that it loads its model.
    unreached: u32,
    /// When the next attempt may be made; None while the provider can be reached and has loaded its model.
    unreached_until: Option<Instant>,
    /// Whether the last of these failures was that the server is being started or loads its model.
    is_loading: bool,
    /// The pauses and circuits of the models for which an attempt has been judged.
    models: BTreeMap<Model, ModelGate>,
    /// Whether no attempt may begin because the server is being stopped.
    is_server_stopping: bool,
}

impl Gate {
    /// Returns a gate with these limits and no history.
    pub const fn new(limits: GateLimits) -> Self {
        Self {
            limits,
            in_flight: BTreeMap::new(),
            next_ticket: 0,
            last_of_former: 0,
            sent: VecDeque::new(),
            unreached: 0,
            unreached_until: None,
            is_loading: false,
            models: BTreeMap::new(),
            is_server_stopping: false,
        }
    }

    /// Returns the current limits.
    pub const fn limits(&self) -> GateLimits {
        self.limits
    }

    /// Replaces the limits. Attempts in flight go on.
    pub fn set_limits(&mut self, limits: GateLimits) {
        self.limits = limits;
    }

    /// Forgets failures and pauses, because another service is configured under this name. The requests of the last minute still count, as both may
    /// share one account.
    pub fn renew(&mut self) {
        self.last_of_former = self.next_ticket;
        (self.unreached, self.unreached_until) = (0, None);
        self.models.clear();
    }

    /// Lets no attempt begin, or lets them begin again.
    pub const fn set_server_stopping(&mut self, is_server_stopping: bool) {
        self.is_server_stopping = is_server_stopping;
    }

    /// Records that a connection can be made, as was found without an attempt.
    pub const fn reached(&mut self) {
        (self.unreached, self.unreached_until) = (0, None);
    }

    /// Whether the server was being started or loaded its model when it was last tried.
    pub const fn is_loading(&self) -> bool {
        self.is_loading && self.unreached_until.is_some()
    }

    /// Returns the number of permits in use.
    pub fn running(&self) -> u32 {
        self.in_flight.values().filter(|attempt| !attempt.is_answered).count() as u32
    }

    /// Returns why no attempt with this model may begin at `now`; None if one may.
    pub fn why_not(&self, model: &Model, now: Instant) -> Option<WhyNot> {
        if self.is_server_stopping || self.running() >= self.limits.max_concurrent {
            return Some(WhyNot::Busy);
        }
        self.why_not_ignoring_permits(model, now)
    }

    /// Like [`Gate::why_not`], but ignores whether a permit is free.
    pub fn why_not_ignoring_permits(&self, model: &Model, now: Instant) -> Option<WhyNot> {
        match self.unreached_until {
            Some(until) if until > now && self.is_loading => return Some(WhyNot::Loading(until)),
            Some(until) if until > now => return Some(WhyNot::Unreachable(until)),
            // One attempt probes whether the provider can be reached again. The others wait for it.
            Some(until) if self.in_flight.values().any(|attempt| attempt.began >= until) => {
                return Some(WhyNot::Busy);
            }
            _ => {}
        }
        let began =
            self.in_flight.values().filter(|attempt| attempt.model == *model).map(|attempt| attempt.began);
        if let Some(why_not) = self.models.get(model).and_then(|gate| gate.why_not(now, began)) {
            return Some(why_not);
        }
        // Attempts that were let through and have not sent their request yet will send it within this minute.
        let waiting = self.in_flight.values().filter(|attempt| attempt.left.is_none()).count();
        let Some(left) = (self.limits.requests_per_minute? as usize).checked_sub(waiting + 1) else {
            // This is the time if they were sent at `now`. Nothing notifies the waiters when they are sent later.
            return Some(WhyNot::Rate(now + RATE_WINDOW));
        };
        let until = *self.sent.iter().rev().nth(left)? + RATE_WINDOW;
        (until > now).then_some(WhyNot::Rate(until))
    }

    /// Whether a task should go to another provider that is able to run it. True while the circuit of the model is open, and during the backoff after
    /// four or more failed connections in a row.
    pub fn is_down(&self, model: &Model, now: Instant) -> bool {
        let is_unreached =
            self.unreached >= LONG_UNREACHED && self.unreached_until.is_some_and(|until| until > now);
        is_unreached || self.models.get(model).is_some_and(|gate| gate.is_open(now))
    }

    /// Lets an attempt begin and returns its ticket, which must be passed to [`Gate::give_back`] in the end.
    pub fn take(&mut self, model: &Model, now: Instant) -> Result<u64, WhyNot> {
        if let Some(why_not) = self.why_not(model, now) {
            return Err(why_not);
        }
        self.next_ticket += 1;
        let attempt = InFlight { model: model.clone(), began: now, left: None, is_answered: false };
        self.in_flight.insert(self.next_ticket, attempt);
        Ok(self.next_ticket)
    }

    /// Records that the attempt sends its request at `now`. It counts for `requests_per_minute` from this time, not from [`Gate::take`].
    pub fn leaves(&mut self, ticket: u64, now: Instant) {
        if let Some(attempt) = self.in_flight.get_mut(&ticket)
            && attempt.left.is_none()
        {
            attempt.left = Some(now);
            self.remember(now);
        }
    }

    /// Records that the answer arrived completely. This frees the permit although the daemon still processes the answer.
    pub fn answered(&mut self, ticket: u64) {
        if let Some(attempt) = self.in_flight.get_mut(&ticket) {
            attempt.is_answered = true;
        }
    }

    /// Ends the attempt. If it never sent its request, it does not count for `requests_per_minute`.
    pub fn give_back(&mut self, ticket: u64) {
        self.in_flight.remove(&ticket);
    }

    /// Counts a request that was sent at `at`, also one of an earlier daemon process.
    pub fn remember(&mut self, at: Instant) {
        let Some(limit) = self.limits.requests_per_minute else { return };
        self.sent.push_back(at);
        while self.sent.len() > limit as usize {
            self.sent.pop_front();
        }
    }

    /// Updates the state of the provider and of the model with the verdict of an attempt in flight.
    ///
    /// No attempt begins during a pause or while the circuit is open. So an attempt that began before the end of one belongs to the burst that caused
    /// it. Its failure says nothing new, and does not count again.
    pub fn judge(&mut self, ticket: u64, verdict: Verdict, now: Instant) {
        let Some(attempt) = self.in_flight.get_mut(&ticket).filter(|_| ticket > self.last_of_former) else {
            return;
        };
        let began = attempt.began;
        let is_late = self.unreached_until.is_some_and(|until| began < until);
        if verdict.is_unserved() {
            let left = attempt.left.take();
            // The request never arrived or did nothing, so the provider does not count it.
            if let Some(place) = self.sent.iter().rposition(|at| Some(*at) == left) {
                self.sent.remove(place);
            }
            if !is_late {
                let wait = doubled(FIRST_UNREACHED, self.unreached, LONGEST_UNREACHED);
                self.unreached_until = Some(now + wait);
                self.unreached += 1;
                self.is_loading = verdict == Verdict::Loading;
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
