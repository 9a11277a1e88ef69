//! Memory: what may be promised (`budget`), how tight it is (`levels`, from `sample`), and who is asked to give some back (`supervisor`).

pub mod children;
pub mod group;
pub mod group_tree;
pub mod levels;
pub mod os;
mod reclaim;
mod report;
pub mod sample;
pub mod supervisor;

pub use crate::budget::{Budget, Holder, OverBudget, Reservation};
pub use children::unshared_tree_bytes;
pub use supervisor::{
    GetMemoryStatus, MemoryParts, MemorySupervisor, PressureChanged, Reclaim, SetMemoryLimits, TrimMemory,
};

/// Held by tests that look at how large this process is, since tests run beside each other in it.
#[cfg(test)]
static RESIDENT_TESTS: std::sync::Mutex<()> = std::sync::Mutex::new(());

#[cfg(test)]
mod tests;
