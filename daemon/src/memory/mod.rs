//! Memory: how much may be reserved (`budget`), how tight it is (`levels`, from `sample`), and which parts of the daemon are asked to free some
//! (`supervisor`).

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

/// Held by tests that measure the size of this process, since tests run concurrently in it.
#[cfg(test)]
static RESIDENT_TESTS: std::sync::Mutex<()> = std::sync::Mutex::new(());

#[cfg(test)]
mod tests;
