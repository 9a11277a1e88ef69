//! Reads from response headers how long to wait before the next request, in all forms that providers use. Pure: the caller passes the time.

use std::time::{Duration, SystemTime};

use reqwest::header::HeaderMap;

/// The wait in milliseconds. The SDKs of `OpenAI` read this header first.
const MILLISECONDS: &str = "retry-after-ms";
/// The wait in seconds, with or without a fraction, or the date at which it ends. The `LiteLLM` proxy renames the first header to the second.
const SECONDS_OR_DATE: [&str; 2] = ["retry-after", "llm_provider-retry-after"];
/// The time until the limit on requests is reset completely, as Go writes durations: `1s`, `6m0s`, `12ms`.
const RESET: &str = "x-ratelimit-reset-requests";
/// How many requests are left under that limit. Only 0 shows that this limit refused the request, and not the one on tokens or pictures.
const REMAINING: &str = "x-ratelimit-remaining-requests";

/// Longest wait that is returned. Longer and infinite waits are cut down to it: they only say that it will take very long.
const LONGEST: Duration = Duration::from_hours(24);

/// Returns the wait that the headers ask for, counted from `now` and at most a day. None if they ask for none.
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let milliseconds = text(MILLISECONDS).and_then(|text| seconds(text, 1_000.0));
    // Measure a date by the provider's own clock (`Date`) if it is given, as the clock of this machine may be wrong.
    let their_now = text("date").and_then(|date| httpdate::parse_http_date(date).ok()).unwrap_or(now);
    let named = |name: &&str| {
        let text = text(name)?;
        seconds(text, 1.0).or_else(|| {
            let date = httpdate::parse_http_date(text).ok()?;
            Some(date.duration_since(their_now).unwrap_or_default())
        })
    };
    let reset = || text(RESET).filter(|_| text(REMAINING) == Some("0")).and_then(go_span);
    let wait = milliseconds.or_else(|| SECONDS_OR_DATE.iter().find_map(named)).or_else(reset);
    wait.map(|wait| wait.min(LONGEST))
}

/// Returns what the header `x-should-retry` says. None if it is neither `true` nor `false`.
pub fn should_retry(headers: &HeaderMap) -> Option<bool> {
    headers.get("x-should-retry")?.to_str().ok()?.trim().parse().ok()
}

fn seconds(text: &str, per_second: f64) -> Option<Duration> {
    let number: f64 = text.parse().ok().filter(|number: &f64| !number.is_nan())?;
    Some(Duration::from_secs_f64((number / per_second).clamp(0.0, LONGEST.as_secs_f64())))
}

/// Parses a duration as Go writes it. None if any part of the text is unknown, since the rest alone would be a wrong duration.
fn go_span(text: &str) -> Option<Duration> {
    humantime::parse_duration(text).ok().or_else(|| {
        // Go writes the seconds with a fraction, such as `8.64s` and `1m2.5s`.
        let number = text.strip_suffix('s')?;
        let (minutes, rest) = number.split_once('m').unwrap_or(("0", number));
        let minutes: u32 = minutes.parse().ok()?;
        Duration::from_mins(minutes.into()).checked_add(seconds(rest, 1.0)?)
    })
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let header = |(name, value): &(&str, &str)| {
            (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap())
        };
        pairs.iter().map(header).collect()
    }

    /// The headers, and the expected wait in seconds.
    type Case = (&'static [(&'static str, &'static str)], Option<f64>);

    const NONE_LEFT: (&str, &str) = (REMAINING, "0");

    #[test]
    fn every_shape_is_read() {
        // 2026-11-23 10:00:00 UTC.
        let now = SystemTime::UNIX_EPOCH + Duration::from_hours(498_730);
        let cases: &[Case] = &[
            (&[], None),
            (&[("retry-after", "7")], Some(7.0)),
            (&[("Retry-After", " 0.25 ")], Some(0.25)),
            (&[("retry-after", "-3")], Some(0.0)),
            (&[("retry-after", "nan")], None),
            (&[("retry-after", "soon")], None),
            (&[("retry-after", "1e300")], Some(86_400.0)),
            (&[("retry-after", "99999999999999999999")], Some(86_400.0)),
            (&[("retry-after", "inf")], Some(86_400.0)),
            (&[("retry-after", "-inf")], Some(0.0)),
            (&[("retry-after-ms", "1e30")], Some(86_400.0)),
            (&[("retry-after", "Fri, 31 Dec 9999 23:59:59 GMT")], Some(86_400.0)),
            (&[NONE_LEFT, ("x-ratelimit-reset-requests", "1000000000h")], Some(86_400.0)),
            (&[("retry-after-ms", "1500"), ("retry-after", "2")], Some(1.5)),
            (&[("llm_provider-retry-after", "4")], Some(4.0)),
            (&[("retry-after", "Mon, 23 Nov 2026 10:00:30 GMT")], Some(30.0)),
            (&[("retry-after", "Mon, 23 Nov 2026 09:00:00 GMT")], Some(0.0)),
            (
                &[
                    ("retry-after", "Mon, 23 Nov 2026 12:00:30 GMT"),
                    ("date", "Mon, 23 Nov 2026 12:00:00 GMT"),
                ],
                Some(30.0),
            ),
            (&[NONE_LEFT, ("x-ratelimit-reset-requests", "6m0s")], Some(360.0)),
            (&[NONE_LEFT, ("x-ratelimit-reset-requests", "12ms")], Some(0.012)),
            (&[NONE_LEFT, ("x-ratelimit-reset-requests", "1m2.5s")], Some(62.5)),
            (&[NONE_LEFT, ("x-ratelimit-reset-requests", "8.64s")], Some(8.64)),
            (&[NONE_LEFT, ("x-ratelimit-reset-requests", "5 apples")], None),
            (&[NONE_LEFT, ("x-ratelimit-reset-requests", "5s"), ("retry-after", "1")], Some(1.0)),
            (&[("x-ratelimit-reset-requests", "12ms")], None),
            (&[("x-ratelimit-reset-requests", "12ms"), ("x-ratelimit-remaining-requests", "4999")], None),
        ];
        for (pairs, wanted) in cases {
            let read = retry_after(&headers(pairs), now).map(|wait| wait.as_secs_f64());
            assert_eq!(read, *wanted, "{pairs:?}");
        }
        assert_eq!(should_retry(&headers(&[("x-should-retry", "false")])), Some(false));
        assert_eq!(should_retry(&headers(&[("x-should-retry", "maybe")])), None);
    }
}
