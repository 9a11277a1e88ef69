//! Points in time on the wire.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

/// A point in time: milliseconds since 1970 in UTC. In JSON it is RFC 3339 with milliseconds, and in binary encodings a u64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

/// The last millisecond of the year 9999, the last year of RFC 3339.
const LAST_MS: u64 = 253_402_300_799_999;

const DAY_MS: u64 = 86_400_000;

impl Timestamp {
    /// Returns the current time of the system's clock.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::from_unix_ms(u64::try_from(since.as_millis()).unwrap_or(LAST_MS))
    }

    /// Returns the time `unix_ms` milliseconds after 1970, at most the end of the year 9999.
    pub fn from_unix_ms(unix_ms: u64) -> Self {
        Self(unix_ms.min(LAST_MS))
    }

    /// Returns the milliseconds since 1970.
    pub const fn unix_ms(self) -> u64 {
        self.0
    }

    /// Returns the time from `earlier` to this one; zero if the clock was set back in between.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Formats the time by RFC 3339. It is written by hand, because each task and each event has several times, and a formatter takes most of a
    /// microsecond for one.
    pub(crate) fn text(self) -> [u8; 24] {
        let (days, millis) = (self.0 / DAY_MS, self.0 % DAY_MS);
        let (year, month, day) = date(days);
        let digit = |number: u64| b'0' + (number % 10) as u8;
        let two = |number: u64| [digit(number / 10), digit(number)];
        let ([y1, y2], [y3, y4], [o1, o2], [d1, d2]) = (two(year / 100), two(year), two(month), two(day));
        let ([h1, h2], [m1, m2]) = (two(millis / 3_600_000), two(millis / 60_000 % 60));
        let ([s1, s2], [f1, f2], f3) = (two(millis / 1_000 % 60), two(millis / 10 % 100), digit(millis));
        [
            y1, y2, y3, y4, b'-', o1, o2, b'-', d1, d2, b'T', h1, h2, b':', m1, m2, b':', s1, s2, b'.', f1,
            f2, f3, b'Z',
        ]
    }
}

/// Returns the year, month and day of a day after 1970-01-01. Years begin in March here, so that the leap day is the last of a year, and the months
/// follow a pattern of 153 days in five.
const fn date(days: u64) -> (u64, u64, u64) {
    /// Days from March of the year 0 to 1970.
    const BEFORE_1970: u64 = 719_468;
    /// Days of 400 years. The calendar then repeats.
    const ERA: u64 = 146_097;

    let days = days + BEFORE_1970;
    let (era, day) = (days / ERA, days % ERA);
    let year = (day - day / 1_460 + day / 36_524 - day / (ERA - 1)) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let is_next_year = month >= 10;
    let month = if is_next_year { month - 9 } else { month + 3 };
    (era * 400 + year + is_next_year as u64, month, day)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.text()).map_err(|_| fmt::Error)?)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(std::str::from_utf8(&self.text()).map_err(ser::Error::custom)?)
        } else {
            serializer.serialize_u64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return u64::deserialize(deserializer).map(Self::from_unix_ms);
        }
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let time = humantime::parse_rfc3339(&text).map_err(de::Error::custom)?;
        let since = time.duration_since(UNIX_EPOCH).map_err(de::Error::custom)?;
        Ok(Self::from_unix_ms(u64::try_from(since.as_millis()).unwrap_or(LAST_MS)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_form_is_rfc_3339_in_utc_with_milliseconds() {
        let time = Timestamp::from_unix_ms(1_700_000_000_123);
        assert_eq!(serde_json::to_string(&time).unwrap(), r#""2023-11-14T22:13:20.123Z""#);
        assert_eq!(serde_json::from_str::<Timestamp>(r#""2023-11-14T22:13:20.123Z""#).unwrap(), time);
        assert!(serde_json::from_str::<Timestamp>(r#""yesterday""#).is_err());
        assert_eq!(Timestamp::from_unix_ms(u64::MAX).to_string(), "9999-12-31T23:59:59.999Z");
    }

    fn assert_as_humantime_writes_it(unix_ms: u64) {
        let expected =
            humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(unix_ms)).to_string();
        assert_eq!(Timestamp::from_unix_ms(unix_ms).to_string(), expected);
    }

    #[test]
    fn every_day_of_400_years_after_which_the_calendar_repeats_itself_is_written_right() {
        for days in 0..=146_097 {
            assert_as_humantime_writes_it(days * DAY_MS + days % DAY_MS);
        }
        assert_as_humantime_writes_it(LAST_MS);
    }

    proptest::proptest! {
        #[test]
        fn any_time_is_written_right(unix_ms in 0..=LAST_MS) {
            assert_as_humantime_writes_it(unix_ms);
        }
    }
}
