//! The writer kept off the processor of the thread that feeds it.
//!
//! The system draws threads that wake each other thousands of times a second to one processor: the one that is woken then waits until the
//! other has done all that it has at hand, beside a processor without work, and does not part them while each sleeps for less than half a
//! millisecond. Of two processors, with 64 clients that submit, this takes a third of the tasks a second.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

/// Where the thread that feeds the writer was last seen.
#[derive(Debug, Clone, Default)]
pub struct Feeder(Arc<AtomicUsize>);

impl Feeder {
    /// Says that the calling thread feeds the writer.
    pub fn here(&self) {
        self.0.store(os::processor(), Relaxed);
    }
}

/// The place of the writer.
#[derive(Debug)]
pub struct Place {
    feeder: Feeder,
    /// All processors that it may use, while it does not use one of them.
    allowed: Option<os::Processors>,
}

impl Place {
    /// Of the calling thread, which is fed by that one.
    pub fn new(feeder: Feeder) -> Self {
        Self { feeder, allowed: None }
    }

    /// While much is to be done, leaves the processor where the other one runs and does not come back to it; else it may be anywhere: where
    /// each waits for the other, one processor for both saves waking the second one.
    pub fn choose(&mut self, is_much: bool) {
        if !is_much {
            if let Some(allowed) = self.allowed.take() {
                os::allow(&allowed);
            }
            return;
        }
        let processor = self.feeder.0.load(Relaxed);
        if processor == os::processor() {
            // Where it may not go, what it left before is still to be given back.
            self.allowed = os::leave(processor, self.allowed).or(self.allowed);
        }
    }
}

#[cfg(target_os = "linux")]
mod os {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};

    pub type Processors = CpuSet;

    pub fn processor() -> usize {
        sched_getcpu()
    }

    /// Moves to others of the processors that were allowed, which are given back; None, and nothing changes, where there is no other.
    pub fn leave(processor: usize, allowed: Option<Processors>) -> Option<Processors> {
        let allowed = allowed.or_else(|| sched_getaffinity(None).ok())?;
        let mut others = allowed;
        others.unset(processor);
        sched_setaffinity(None, &others).ok().map(|()| allowed)
    }

    pub fn allow(allowed: &Processors) {
        // It fails where none of them is there any more; then the system has chosen others.
        let _ = sched_setaffinity(None, allowed);
    }
}

#[cfg(not(target_os = "linux"))]
mod os {
    pub type Processors = ();

    pub fn processor() -> usize {
        0
    }

    pub fn leave(_: usize, _: Option<Processors>) -> Option<Processors> {
        None
    }

    pub fn allow((): &Processors) {}
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::thread::{CpuSet, sched_getaffinity};

    use super::*;

    #[test]
    fn a_thread_leaves_a_processor_and_may_come_back() {
        // Threads end with a test's own, and with them where they may be.
        std::thread::spawn(|| {
            let before = sched_getaffinity(None).unwrap();
            let processor = os::processor();
            let allowed = os::leave(processor, None);
            if before.count() == 1 {
                return assert!(allowed.is_none() && os::processor() == processor);
            }
            assert!(!sched_getaffinity(None).unwrap().is_set(processor) && os::processor() != processor);
            let mut place = Place { feeder: Feeder::default(), allowed };
            // To one that is not there.
            let mut nowhere = CpuSet::new();
            nowhere.set(os::processor());
            nowhere.set(CpuSet::MAX_CPU - 1);
            let allowed = place.allowed.replace(nowhere);
            place.feeder.here();
            place.choose(true);
            assert!(place.allowed == Some(nowhere));
            place.allowed = allowed;
            place.choose(false);
            assert!(place.allowed.is_none() && sched_getaffinity(None).unwrap() == before);
        })
        .join()
        .unwrap();
    }
}
