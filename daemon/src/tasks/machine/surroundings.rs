//! What the machine must know and take at once, without a message: memory, and the providers' permits.

use reel_protocol::WaitReason;

use super::{Moment, RunId};
use crate::{budget::OverBudget, domain::Target};

/// The machine's surroundings. Each call answers at once, and has no effect but those that it names.
pub trait Surroundings {
    /// Whether memory is so tight that nothing may start.
    fn is_memory_critical(&self) -> bool;

    /// Promises the machine so many more bytes, or refuses with numbers.
    fn reserve(&mut self, bytes: u64) -> Result<(), OverBudget>;

    /// Takes back a part of what was promised.
    fn give_back(&mut self, bytes: u64);

    /// Takes a permit of the target for this attempt, if one is to be had.
    fn acquire(&mut self, run: RunId, target: &Target) -> bool;

    /// Gives back the permit of an attempt that does not begin.
    fn release(&mut self, run: RunId);

    /// Whether an attempt may begin there; never where there is no such provider.
    fn is_free(&self, target: &Target) -> bool;

    /// Why no attempt may begin there; `None` if one may, or if there is no such provider.
    fn closed(&self, target: &Target) -> Option<Closed>;

    /// Whether a task that another provider could make need not wait for this one.
    fn is_down(&self, target: &Target) -> bool;
}

/// Why no attempt may begin at a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed {
    /// As those who wait for it are told.
    pub reason: WaitReason,
    /// When it opens by itself; `None` where something else has to happen first.
    pub until: Option<Moment>,
}
