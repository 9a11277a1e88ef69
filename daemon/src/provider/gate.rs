//! When a provider may be asked: its permits, its rate, a pause that it asked for, and its circuit. Pure: the time comes in.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use reel_protocol::WaitReason;
use tokio::time::Instant;

/// What `requests_per_minute` counts in, and a second for requests that are longer on their way than others: the service counts them when
/// they arrive.
const RATE_WINDOW: Duration = Duration::from_secs(61);
/// Transient failures in a row that open the circuit.
const FAILURES: u32 = 5;
/// How long it stays open at first; doubled each time until [`LONGEST_OPEN`].
const FIRST_OPEN: Duration = Duration::from_secs(15);
const LONGEST_OPEN: Duration = Duration::from_mins(5);
/// How long a provider is left alone that limits its rate and does not say until when; doubled each time until [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// Limits in a row for which the provider is believed that says it may be asked again at once. From the next on it is left alone for a
/// second at least, doubled each time until [`LONGEST_FLOOR`].
const BELIEVED: u32 = 2;
const FIRST_FLOOR: Duration = Duration::from_secs(1);
const LONGEST_FLOOR: Duration = Duration::from_secs(30);

/// From the configuration.
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
}

impl Shut {
    /// As those who wait for it are told.
    pub const fn reason(self) -> WaitReason {
        match self {
            Self::Busy => WaitReason::Provider,
            Self::Rate(_) => WaitReason::ProviderRate,
            Self::Paused(_) => WaitReason::ProviderPause,
            Self::Circuit(_) => WaitReason::ProviderDown,
        }
    }

    /// When it opens by itself; None where something else has to happen first.
    pub const fn until(self) -> Option<Instant> {
        match self {
            Self::Busy => None,
            Self::Rate(until) | Self::Paused(until) | Self::Circuit(until) => Some(until),
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
    /// Nothing can be told from it.
    Unclear,
}

/// One that is under way.
#[derive(Debug, Clone, Copy)]
struct Attempt {
    began: Instant,
    has_left: bool,
    /// The service has nothing more to do for it.
    is_answered: bool,
}

/// One provider's gate.
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
    paused_until: Option<Instant>,
    /// In a row.
    limited: u32,
    /// In a row.
    failures: u32,
    /// How often the circuit opened since the last answer.
    openings: u32,
    open_until: Option<Instant>,
}

impl Gate {
    /// An open gate.
    pub const fn new(limits: GateLimits) -> Self {
        Self {
            limits,
            out: BTreeMap::new(),
            next_ticket: 0,
            last_of_former: 0,
            sent: VecDeque::new(),
            paused_until: None,
            limited: 0,
            failures: 0,
            openings: 0,
            open_until: None,
        }
    }

    /// The limits in force.
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
        (self.paused_until, self.open_until) = (None, None);
        (self.limited, self.failures, self.openings) = (0, 0, 0);
    }

    /// Attempts that the service works on, or will.
    pub fn running(&self) -> u32 {
        self.out.values().filter(|attempt| !attempt.is_answered).count() as u32
    }

    /// Why no attempt may begin now; None if one may.
    pub fn shut(&self, now: Instant) -> Option<Shut> {
        if self.running() >= self.limits.max_concurrent {
            return Some(Shut::Busy);
        }
        if let Some(until) = self.paused_until.filter(|until| *until > now) {
            return Some(Shut::Paused(until));
        }
        match self.open_until {
            Some(until) if until > now => return Some(Shut::Circuit(until)),
            // One attempt finds out whether it works again.
            Some(_) if !self.out.is_empty() => return Some(Shut::Busy),
            _ => {}
        }
        // Those that were let through and have not left yet will leave within this minute.
        let waiting = self.out.values().filter(|attempt| !attempt.has_left).count();
        let Some(left) = (self.limits.requests_per_minute? as usize).checked_sub(waiting + 1) else {
            // Should they leave this moment; nobody is told when they do.
            return Some(Shut::Rate(now + RATE_WINDOW));
        };
        let until = *self.sent.iter().rev().nth(left)? + RATE_WINDOW;
        (until > now).then_some(Shut::Rate(until))
    }

    /// Lets an attempt begin; the ticket goes back with [`Gate::give_back`].
    pub fn take(&mut self, now: Instant) -> Result<u64, Shut> {
        if let Some(shut) = self.shut(now) {
            return Err(shut);
        }
        self.next_ticket += 1;
        self.out.insert(self.next_ticket, Attempt { began: now, has_left: false, is_answered: false });
        Ok(self.next_ticket)
    }

    /// The attempt's request leaves now: the minute counts from here, not from when it was let through.
    pub fn leaves(&mut self, ticket: u64, now: Instant) {
        if self.out.get_mut(&ticket).is_some_and(|attempt| !std::mem::replace(&mut attempt.has_left, true)) {
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

    /// Takes what an attempt that is under way says about the provider.
    ///
    /// Those that began before a pause or an open circuit was over are of the same burst as the one that caused it, as none begins
    /// meanwhile: what they say is known, and does not count again.
    pub fn judge(&mut self, ticket: u64, verdict: Verdict, now: Instant) {
        let Some(Attempt { began, .. }) = self.out.get(&ticket).filter(|_| ticket > self.last_of_former)
        else {
            return;
        };
        let is_before = |until: Option<Instant>| until.is_some_and(|until| *began < until);
        let (is_paused, is_open) = (is_before(self.paused_until), is_before(self.open_until));
        match verdict {
            Verdict::Unclear => {}
            Verdict::Answered => {
                (self.failures, self.openings, self.limited, self.open_until) = (0, 0, 0, None);
            }
            Verdict::Limited(wait) => {
                self.limited += u32::from(!is_paused);
                let times = self.limited.saturating_sub(1);
                let wait = match (wait, self.limited.checked_sub(BELIEVED + 1)) {
                    (None, _) => doubled(FIRST_PAUSE, times, LONGEST_PAUSE),
                    (Some(wait), None) => wait,
                    (Some(wait), Some(times)) => wait.max(doubled(FIRST_FLOOR, times, LONGEST_FLOOR)),
                };
                let until = now + wait;
                self.paused_until = Some(self.paused_until.map_or(until, |earlier| earlier.max(until)));
                (self.failures, self.open_until) = (0, None);
            }
            Verdict::Failed if is_paused || is_open => {}
            Verdict::Failed => {
                self.failures += 1;
                let is_probe = self.open_until.is_some();
                if is_probe || self.failures >= FAILURES {
                    self.open_until = Some(now + doubled(FIRST_OPEN, self.openings, LONGEST_OPEN));
                    self.openings += 1;
                    self.failures = 0;
                }
            }
        }
    }
}

fn doubled(first: Duration, times: u32, longest: Duration) -> Duration {
    first.saturating_mul(1_u32.checked_shl(times).unwrap_or(u32::MAX).max(1)).min(longest)
}

#[cfg(test)]
mod tests;
