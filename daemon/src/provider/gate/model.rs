//! The state of one model of a provider: a pause after a rate limit, and a circuit breaker that opens after failures in a row. Pure.

use std::time::Duration;

use tokio::time::Instant;

use super::{Verdict, WhyNot, doubled};

/// Transient failures in a row that open the circuit.
const FAILURES: u32 = 5;
/// How long the circuit stays open the first time. Each further opening doubles it, up to [`LONGEST_OPEN`].
pub(super) const FIRST_OPEN: Duration = Duration::from_secs(15);
const LONGEST_OPEN: Duration = Duration::from_mins(5);
/// The pause after a rate limit if the provider names no wait. Each further one in a row doubles it, up to [`LONGEST_PAUSE`].
pub(super) const FIRST_PAUSE: Duration = Duration::from_secs(1);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// Rate limits in a row for which the wait that the provider names is used as it is, however short. From the next one on, the pause is at least
/// [`FIRST_FLOOR`], which doubles each time up to [`LONGEST_FLOOR`]. Some providers name a wait of almost nothing again and again.
const BELIEVED: u32 = 2;
const FIRST_FLOOR: Duration = Duration::from_secs(1);
const LONGEST_FLOOR: Duration = Duration::from_secs(30);

/// The pause and the circuit of one model.
#[derive(Debug, Default)]
pub(super) struct ModelGate {
    paused_until: Option<Instant>,
    /// Rate limits in a row. Those of one burst count once.
    limited: u32,
    /// Failures in a row.
    failures: u32,
    /// How often the circuit opened since the last [`Verdict::Answered`].
    openings: u32,
    open_until: Option<Instant>,
}

impl ModelGate {
    /// Returns why no attempt with this model may begin at `now`; None if one may. `began` has the start times of this model's attempts in flight.
    pub fn why_not(&self, now: Instant, mut began: impl Iterator<Item = Instant>) -> Option<WhyNot> {
        if let Some(until) = self.paused_until.filter(|until| *until > now) {
            return Some(WhyNot::Paused(until));
        }
        match self.open_until? {
            until if until > now => Some(WhyNot::Circuit(until)),
            // One attempt probes whether the model works again. The others wait for it.
            until => began.any(|began| began >= until).then_some(WhyNot::Busy),
        }
    }

    /// Whether the circuit is open at `now`.
    pub fn is_open(&self, now: Instant) -> bool {
        self.open_until.is_some_and(|until| until > now)
    }

    /// Whether the model is neither paused nor has an open circuit, so that its state may be forgotten.
    pub fn is_well(&self, now: Instant) -> bool {
        !self.is_open(now) && self.paused_until.is_none_or(|until| until <= now)
    }

    /// Updates the state with the verdict of an attempt that began at `began`.
    pub fn judge(&mut self, began: Instant, verdict: Verdict, now: Instant) {
        let is_before = |until: Option<Instant>| until.is_some_and(|until| began < until);
        let (is_paused, is_open) = (is_before(self.paused_until), is_before(self.open_until));
        match verdict {
            Verdict::Unclear | Verdict::Unreached | Verdict::Loading => {}
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
