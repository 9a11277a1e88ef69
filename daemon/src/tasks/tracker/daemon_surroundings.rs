//! The machine's surroundings in the daemon: the memory budget, and the permits of attempts that are about to begin.

use std::collections::HashMap;

use reel_protocol::methods::MemoryLevel;
use tokio::{sync::watch, time::Instant};

use super::{TrackerParts, moment};
use crate::{
    budget::{Budget, Holder, OverBudget, Reservation},
    domain::Target,
    provider::{Permit, Permits},
    tasks::machine::{Closed, RunId, Surroundings},
};

/// The memory and the permits that the machine uses.
pub(in crate::tasks) struct DaemonSurroundings {
    permits: Permits,
    /// Permits of attempts whose rows are not committed yet.
    held: HashMap<RunId, Permit>,
    budget: Budget,
    /// The reservation for everything that the machine keeps in memory. None until the first one is made.
    reservation: Option<Reservation>,
    level: watch::Receiver<MemoryLevel>,
    origin: Instant,
}

impl DaemonSurroundings {
    pub(super) fn new(parts: &TrackerParts, origin: Instant) -> Self {
        Self {
            permits: parts.permits.clone(),
            held: HashMap::new(),
            budget: parts.budget.clone(),
            reservation: None,
            level: parts.level.clone(),
            origin,
        }
    }

    /// Returns the permit of an attempt that begins. None if it needs none.
    pub(super) fn take_permit(&mut self, run: RunId) -> Option<Permit> {
        self.held.remove(&run)
    }
}

impl Surroundings for DaemonSurroundings {
    fn is_memory_critical(&self) -> bool {
        *self.level.borrow() == MemoryLevel::Critical
    }

    fn reserve(&mut self, bytes: u64) -> Result<(), OverBudget> {
        if let Some(reservation) = &mut self.reservation {
            return reservation.grow(bytes);
        }
        self.reservation = Some(self.budget.reserve(Holder::Request, bytes)?);
        Ok(())
    }

    fn give_back(&mut self, bytes: u64) {
        if let Some(reservation) = &mut self.reservation {
            reservation.shrink(bytes);
        }
    }

    fn acquire(&mut self, run: RunId, target: &Target) -> bool {
        let Some(permit) = self.permits.try_acquire(target) else { return false };
        self.held.insert(run, permit);
        true
    }

    fn release(&mut self, run: RunId) {
        self.held.remove(&run);
    }

    fn is_free(&self, target: &Target) -> bool {
        self.permits.is_free(target)
    }

    fn why_not(&self, target: &Target) -> Option<Closed> {
        let why_not = self.permits.why_not(target)?;
        Some(Closed {
            reason: why_not.reason(),
            until: why_not.until().map(|until| moment(self.origin, until)),
        })
    }

    fn is_down(&self, target: &Target) -> bool {
        self.permits.is_down(target)
    }
}
