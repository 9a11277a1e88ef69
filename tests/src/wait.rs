//! Waits for conditions, always with a deadline.

use std::{
    sync::mpsc,
    time::{Duration, Instant},
};

/// The longest time to wait for a condition. It is far longer than any condition takes, because other tests share the cores.
pub const DEADLINE: Duration = Duration::from_mins(1);

/// The interval at which a condition is polled.
const POLL: Duration = Duration::from_millis(10);

/// Polls `probe` until it returns a value, and returns the value. Fails with `what` in its message after [`DEADLINE`].
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

/// Sleeps. Use it only where the passing of time is what is tested, such as a seeded time of a kill, or the length of a measurement.
pub fn pause(time: Duration) {
    let (_open, nothing) = mpsc::channel::<()>();
    let _ = nothing.recv_timeout(time);
}
