//! Writes cues as an SRT file for players. The format is small, so this file writes it without a library.

use std::fmt::Write as _;

use crate::{subtitles::Cue, timeline::SAMPLE_RATE};

/// Returns the cues as the text of an SRT file.
pub fn srt(cues: &[Cue]) -> String {
    let mut file = String::new();
    for (index, cue) in cues.iter().enumerate() {
        let time = |samples: u64| {
            let ms = millis(samples);
            format!("{:02}:{:02}:{:02},{:03}", ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000)
        };
        // Parsers take `-->` for a line of times.
        let text = cue.lines.join("\n").replace("-->", "-- >");
        let times = format!("{} --> {}", time(cue.samples.start), time(cue.samples.end));
        let _ = writeln!(file, "{}\n{times}\n{text}\n", index + 1);
    }
    file
}

/// Converts samples to milliseconds, rounded to the nearest.
pub(crate) fn millis(samples: u64) -> u64 {
    (samples * 1000 + u64::from(SAMPLE_RATE) / 2) / u64::from(SAMPLE_RATE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cue(samples: std::ops::Range<u64>, lines: &[&str]) -> Cue {
        Cue { samples, lines: lines.iter().map(|line| (*line).to_owned()).collect() }
    }

    #[test]
    fn srt_is_what_players_read() {
        let cues =
            [cue(19_200..96_024, &["Who is there?", "--> me"]), cue(48_000 * 3661..48_000 * 3662, &["从前"])];
        assert_eq!(
            srt(&cues),
            "1\n00:00:00,400 --> 00:00:02,001\nWho is there?\n-- > me\n\n2\n01:01:01,000 --> 01:01:02,000\n从前\n\n"
        );
    }
}
