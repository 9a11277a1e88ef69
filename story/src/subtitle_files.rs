//! Writes cues as files: SRT for players, and ASS for burning into the picture. Both formats are small, so this file writes them without a library.

use std::fmt::Write as _;

use crate::{subtitles::Cue, timeline::SAMPLE_RATE};

/// The appearance of burnt subtitles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubtitleStyle {
    /// The frame's width, in pixels.
    pub width: u32,
    /// The frame's height, in pixels.
    pub height: u32,
    /// The font's family name. The font must have all characters of the text: a missing one is shown as a box.
    pub font: String,
}

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

/// Returns the cues as the text of an ASS file. Its coordinates are the pixels of the frame.
pub fn ass(cues: &[Cue], style: &SubtitleStyle) -> String {
    let SubtitleStyle { width, height, .. } = style;
    // In a wide frame two lines take a ninth of the height. In an upright frame 18 wide characters fill the width.
    let size = (height / 20).min(width / 23).max(8);
    // The outline is wide enough for white letters on a white sky.
    let outline = (f64::from(size) * 0.08).max(1.0);
    let (side, bottom) = (width / 20, height / 16);
    // A comma would end the field of the font's name.
    let font: String =
        style.font.chars().filter(|character| !character.is_control() && *character != ',').collect();
    let mut file = format!(
        "[Script Info]\nScriptType: v4.00+\nPlayResX: {width}\nPlayResY: {height}\nWrapStyle: 0\nScaledBorderAndShadow: yes\n\n\
         [V4+ Styles]\nFormat: Name, Fontname, Fontsize, PrimaryColour, OutlineColour, BackColour, Bold, BorderStyle, Outline, Shadow, \
         Alignment, MarginL, MarginR, MarginV, Encoding\n\
         Style: Default,{font},{size},&H00FFFFFF,&H00101010,&H80000000,0,1,{outline:.1},0,2,{side},{side},{bottom},-1\n\n\
         [Events]\nFormat: Layer, Start, End, Style, Text\n"
    );
    for cue in cues {
        let time = |samples: u64| {
            let cs = (millis(samples) + 5) / 10;
            format!("{}:{:02}:{:02}.{:02}", cs / 360_000, cs / 6000 % 60, cs / 100 % 60, cs % 100)
        };
        let lines: Vec<String> = cue.lines.iter().map(|line| escaped(line)).collect();
        let (start, end) = (time(cue.samples.start), time(cue.samples.end));
        let _ = writeln!(file, "Dialogue: 0,{start},{end},Default,{}", lines.join("\\N"));
    }
    file
}

/// Escapes what the format would take for an instruction.
fn escaped(line: &str) -> String {
    let mut escaped = String::with_capacity(line.len());
    for character in line.chars() {
        match character {
            '{' => escaped.push_str("\\{"),
            '}' => escaped.push_str("\\}"),
            // The format has no escape for a backslash. A word joiner separates it from the next letter.
            '\\' => escaped.push_str("\\\u{2060}"),
            '\n' | '\r' => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Converts samples to milliseconds, rounded to the nearest.
fn millis(samples: u64) -> u64 {
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

    #[test]
    fn ass_has_the_frames_pixels_and_no_instructions_from_the_text() {
        let style = SubtitleStyle { width: 1920, height: 1080, font: "Noto Sans, CJK\nX".to_owned() };
        let file = ass(&[cue(19_200..96_000, &["{\\b1}it's", "C:\\New"])], &style);
        assert!(file.contains("PlayResX: 1920\nPlayResY: 1080\nWrapStyle: 0\n"), "{file}");
        assert!(file.contains("Style: Default,Noto Sans CJKX,54,"), "{file}");
        assert!(file.contains(",0,1,4.3,0,2,96,96,67,-1\n"), "{file}");
        let last = file.lines().last().unwrap();
        assert_eq!(
            last,
            "Dialogue: 0,0:00:00.40,0:00:02.00,Default,\\{\\\u{2060}b1\\}it's\\NC:\\\u{2060}New"
        );
        let upright = ass(&[], &SubtitleStyle { width: 1080, height: 1920, ..style });
        assert!(upright.contains(",46,&H"), "{upright}");
    }
}
