//! How long a provider wants to be left alone, in all the shapes in which providers say it. Pure: the time comes in.

use std::time::{Duration, SystemTime};

use reqwest::header::HeaderMap;

/// In milliseconds: the SDKs of `OpenAI` read it first.
const MILLISECONDS: &str = "retry-after-ms";
/// In seconds, with or without a fraction, or as a date. The second is what the `LiteLLM` proxy makes of it.
const SECONDS_OR_DATE: [&str; 2] = ["retry-after", "llm_provider-retry-after"];
/// When the limit on requests has all of its room again, as Go writes spans: `1s`, `6m0s`, `12ms`.
const RESET: &str = "x-ratelimit-reset-requests";
/// How much room it has now: only with none is it the one that refused, and not that on tokens or pictures.
const REMAINING: &str = "x-ratelimit-remaining-requests";

/// Longest wait that is told. Whoever names a longer one, or one without an end, means that it will take very long.
const LONGEST: Duration = Duration::from_hours(24);

/// The wait that the headers name, from now on; at most a day.
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let milliseconds = text(MILLISECONDS).and_then(|text| seconds(text, 1_000.0));
    // A date is read by the provider's own clock, where it tells it: ours may be wrong.
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

/// Returns what the header `x-should-retry` says, if it is there.
pub fn should_retry(headers: &HeaderMap) -> Option<bool> {
    headers.get("x-should-retry")?.to_str().ok()?.trim().parse().ok()
}

fn seconds(text: &str, per_second: f64) -> Option<Duration> {
    let number: f64 = text.parse().ok().filter(|number: &f64| !number.is_nan())?;
    Some(Duration::from_secs_f64((number / per_second).clamp(0.0, LONGEST.as_secs_f64())))
}

/// The whole text or nothing: half of a span would be a wrong one.
fn go_span(text: &str) -> Option<Duration> {
    humantime::parse_duration(text).ok().or_else(|| {
        // A fraction, which Go writes for what is under a minute.
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

    /// Headers, and the wait in seconds.
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
