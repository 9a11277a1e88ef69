//! Time as the machine sees it: the driver tells it with each event, so that a test or a simulator decides what it is.

use std::{ops::Add, time::Duration};

use reel_protocol::Timestamp;

/// A point on the driver's monotonic clock, as the time since an origin that the driver chooses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(Duration);

impl Moment {
    /// The moment so long after the origin.
    pub const fn after_origin(elapsed: Duration) -> Self {
        Self(elapsed)
    }

    /// How long after the origin the moment lies.
    pub const fn since_origin(self) -> Duration {
        self.0
    }

    /// How long it takes from this moment until a later one; zero where that one has passed.
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

/// Both clocks at the time of an event.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// The monotonic clock, which timers and deadlines follow.
    pub moment: Moment,
    /// The time of day, which rows hold and people read.
    pub wall: Timestamp,
}
