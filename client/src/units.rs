//! Formats durations and sizes for people, and parses them from the command line.

use std::time::Duration;

/// Formats a duration with one number and one unit, such as `3.2 s`, `5 min`, `2 h` or `4 d`.
pub fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0 if span.as_millis() < 1000 => format!("{} ms", span.as_millis()),
        0..10 => format!("{:.1} s", span.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// Formats a duration without fractions, for ages.
pub fn age(span: Duration) -> String {
    if span.as_secs() < 60 { format!("{} s", span.as_secs()) } else { self::span(span) }
}

/// Formats a size, such as `512 B` or `1.5 MB`. Units are powers of 1024, as in the configuration.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KB", "MB", "GB", "TB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = "KB";
    for larger in UNITS.iter().skip(1) {
        if value < 1000.0 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    if value < 10.0 { format!("{value:.1} {unit}") } else { format!("{value:.0} {unit}") }
}

/// Parses a duration, such as `60s`, `5min` or `1h 30min`. A plain number, with or without a fraction, is in seconds.
pub fn parse_span(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string());
    }
    humantime::parse_duration(text).map_err(|error| error.to_string())
}

/// The sides that a request for a picture or a video may name, in pixels.
const SIDES: std::ops::RangeInclusive<u32> = 16..=16_384;

/// The sizes for ratios of the sides. Each has about a million pixels, and sides that models draw well.
const RATIOS: [(&str, (u32, u32)); 8] = [
    ("16:9", (1280, 720)),
    ("9:16", (720, 1280)),
    ("1:1", (1024, 1024)),
    ("4:3", (1152, 864)),
    ("3:4", (864, 1152)),
    ("3:2", (1248, 832)),
    ("2:3", (832, 1248)),
    ("21:9", (1344, 576)),
];

/// Parses a size in pixels, such as `1024x768`, or a ratio of the sides, such as `16:9`. Both sides must be possible for a picture.
pub fn parse_size(text: &str) -> Result<(u32, u32), String> {
    if let Some((_, size)) = RATIOS.iter().find(|(ratio, _)| *ratio == text) {
        return Ok(*size);
    }
    let sides = text.split_once(['x', 'X', '×']).and_then(|(width, height)| {
        let side = |side: &str| side.parse::<u32>().ok().filter(|side| SIDES.contains(side));
        side(width).zip(side(height))
    });
    sides.ok_or_else(|| {
        let ratios = RATIOS.map(|(ratio, _)| ratio).join(", ");
        let (least, most) = (SIDES.start(), SIDES.end());
        format!("a size is WIDTHxHEIGHT in pixels, each from {least} to {most}, such as 1024x768, or a ratio: {ratios}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_sizes_read_well() {
        for (ms, expected) in [
            (0, "0 ms"),
            (950, "950 ms"),
            (3_240, "3.2 s"),
            (59_900, "59 s"),
            (180_000, "3 min"),
            (7_200_000, "2 h"),
            (172_800_000, "2 d"),
        ] {
            assert_eq!(span(Duration::from_millis(ms)), expected);
        }
        for (size, expected) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1536, "1.5 KB"),
            (2048 << 20, "2.0 GB"),
            (200 << 20, "200 MB"),
            (5 << 60, "5242880 TB"),
        ] {
            assert_eq!(bytes(size), expected);
        }
    }

    #[test]
    fn typed_spans_and_sizes_are_understood_or_refused() {
        assert_eq!(parse_span("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_span("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_span("1h 30min"), Ok(Duration::from_mins(90)));
        for bad in ["", "-1", "soon", "nan", "1e300"] {
            assert!(parse_span(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_size("1024x768"), Ok((1024, 768)));
        assert_eq!(parse_size("16:9"), Ok((1280, 720)));
        for bad in ["", "1024", "x", "0x90", "90x", "-1x90", "100x200x300", "5:7", "99999x64", "hd"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }
}
