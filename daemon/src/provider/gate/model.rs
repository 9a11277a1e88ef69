//! What a provider's answers say about one of its models: a pause that was asked for, and a circuit that opens after failures in a row. Pure.

use std::time::Duration;

use tokio::time::Instant;

use super::{Shut, Verdict, doubled};

/// Transient failures in a row that open the circuit.
const FAILURES: u32 = 5;
/// How long it stays open at first; doubled each time until [`LONGEST_OPEN`].
pub(super) const FIRST_OPEN: Duration = Duration::from_secs(15);
const LONGEST_OPEN: Duration = Duration::from_mins(5);
/// How long a model is left alone whose rate is limited and that does not say until when; doubled each time until [`LONGEST_PAUSE`].
pub(super) const FIRST_PAUSE: Duration = Duration::from_secs(1);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// Limits in a row for which a provider is believed that says it may be asked again at once. From the next on it is left alone for a second
/// at least, doubled each time until [`LONGEST_FLOOR`].
const BELIEVED: u32 = 2;
const FIRST_FLOOR: Duration = Duration::from_secs(1);
const LONGEST_FLOOR: Duration = Duration::from_secs(30);

/// One model's pause and circuit.
#[derive(Debug, Default)]
pub(super) struct ModelGate {
    paused_until: Option<Instant>,
    /// How many answers in a row said that the model was asked too often.
    limited: u32,
    /// How many answers in a row were failures of the service.
    failures: u32,
    /// How often the circuit opened since the last answer.
    openings: u32,
    open_until: Option<Instant>,
}

impl ModelGate {
    /// Why no attempt may begin now, with those of this model that are under way and `began` then; None if one may.
    pub fn shut(&self, now: Instant, mut began: impl Iterator<Item = Instant>) -> Option<Shut> {
        if let Some(until) = self.paused_until.filter(|until| *until > now) {
            return Some(Shut::Paused(until));
        }
        match self.open_until? {
            until if until > now => Some(Shut::Circuit(until)),
            // One attempt finds out whether it works again.
            until => began.any(|began| began >= until).then_some(Shut::Busy),
        }
    }

    /// Whether the circuit is open.
    pub fn is_open(&self, now: Instant) -> bool {
        self.open_until.is_some_and(|until| until > now)
    }

    /// Whether nothing is remembered that matters now.
    pub fn is_well(&self, now: Instant) -> bool {
        !self.is_open(now) && self.paused_until.is_none_or(|until| until <= now)
    }

    /// Takes what an attempt says that began then.
    pub fn judge(&mut self, began: Instant, verdict: Verdict, now: Instant) {
        let is_before = |until: Option<Instant>| until.is_some_and(|until| began < until);
        let (is_paused, is_open) = (is_before(self.paused_until), is_before(self.open_until));
        match verdict {
            Verdict::Unclear | Verdict::Unreached => {}
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
