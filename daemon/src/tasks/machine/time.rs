//! The machine's time. The driver passes it with each event, so that a test or a simulator can choose it.

use std::{ops::Add, time::Duration};

use reel_protocol::Timestamp;

/// A point on the driver's monotonic clock, as the time since an origin that the driver chooses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(Duration);

impl Moment {
    /// Returns the moment that is `elapsed` after the origin.
    pub const fn after_origin(elapsed: Duration) -> Self {
        Self(elapsed)
    }

    /// Returns the time from the origin to this moment.
    pub const fn since_origin(self) -> Duration {
        self.0
    }

    /// Returns the time from this moment to a later one. Zero if the other one is earlier.
    pub const fn until(self, later: Self) -> Duration {
        later.0.saturating_sub(self.0)
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span))
    }
}

/// The readings of both clocks at the time of an event.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// The monotonic clock. Timers and deadlines use it.
    pub moment: Moment,
    /// The wall clock. Rows contain it, and people read it.
    pub wall: Timestamp,
}
