//! What the machine reads and takes synchronously, without a message: memory, and the providers' permits.

use reel_protocol::WaitReason;

use super::{Moment, RunId};
use crate::{budget::OverBudget, domain::Target};

/// The machine's surroundings. Every call returns at once, and has no effects except those that its description names.
pub trait Surroundings {
    /// Whether the memory pressure is critical, so that nothing may start.
    fn is_memory_critical(&self) -> bool;

    /// Reserves memory for the machine, or refuses with numbers.
    fn reserve(&mut self, bytes: u64) -> Result<(), OverBudget>;

    /// Gives back a part of the reserved memory.
    fn give_back(&mut self, bytes: u64);

    /// Takes a permit of the target for this attempt. Returns false if there is none.
    fn acquire(&mut self, run: RunId, target: &Target) -> bool;

    /// Gives back the permit of an attempt that does not begin.
    fn release(&mut self, run: RunId);

    /// Whether an attempt may begin at the target. False if there is no such provider.
    fn is_free(&self, target: &Target) -> bool;

    /// Returns why no attempt may begin at the target. `None` if one may, or if there is no such provider.
    fn why_not(&self, target: &Target) -> Option<Closed>;

    /// Whether the target is out of order, so that its tasks should go to another provider that can run them.
    fn is_down(&self, target: &Target) -> bool;
}

/// Why no attempt may begin at a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed {
    /// The reason that waiting tasks show to clients.
    pub reason: WaitReason,
    /// When the gate opens by itself. `None` if that depends on something else, such as a permit that is given back.
    pub until: Option<Moment>,
}
