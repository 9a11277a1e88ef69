//! Spans of time on the wire: seconds as a JSON number with a fraction. They are kept as milliseconds, so that equal values compare equal.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A span of time in seconds, such as `1.5` in JSON, from 0 to a hundred years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seconds(pub Duration);

/// Longest span, in seconds: a hundred years. A longer one is a mistake and would overflow clocks.
const MAX_SECONDS: f64 = 100.0 * 365.25 * 86_400.0;

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0.as_millis() as f64 / 1000.0)
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        if !(0.0..=MAX_SECONDS).contains(&seconds) {
            return Err(de::Error::custom("seconds are a number from 0 to a hundred years"));
        }
        Ok(Self(Duration::from_millis((seconds * 1000.0).round() as u64)))
    }
}
