//! Waiting for a condition, always with a deadline.

use std::{
    sync::mpsc,
    time::{Duration, Instant},
};

/// How long a condition may take: far longer than it ever does, as other tests share the cores.
pub const DEADLINE: Duration = Duration::from_mins(1);

/// Time between two looks at a condition that nothing announces.
const POLL: Duration = Duration::from_millis(10);

/// The first value that `probe` gives; fails the test, naming `what`, when there is none in [`DEADLINE`].
#[track_caller]
pub fn eventually<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(begun.elapsed() < DEADLINE, "waited {DEADLINE:?} in vain: {what}");
        pause(POLL);
    }
}

/// Lets time pass where the passing of time is what is tested: a seeded moment to kill at, or an interval to measure over.
pub fn pause(time: Duration) {
    let (_open, nothing) = mpsc::channel::<()>();
    let _ = nothing.recv_timeout(time);
}
