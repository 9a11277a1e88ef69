//! Writes subtitles and titles as an ASS file, from which `libass` draws them into frames. The format is small, so this file writes it without a library.

use std::{fmt::Write as _, ops::Range};

use crate::{srt::millis, subtitles::Cue, title_lines::TitleLine};

/// Longest time in which a title appears or disappears, in milliseconds.
const FADE_MS: u64 = 500;

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

/// A title that is shown in the middle of the frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownTitle {
    /// The samples (48 kHz) during which it is shown. It appears and disappears gradually within them.
    pub samples: Range<u64>,
    /// The lines, each with its size.
    pub lines: Vec<TitleLine>,
}

/// Returns cues and titles as the text of an ASS file. Its coordinates are the pixels of the frame.
pub fn ass(cues: &[Cue], titles: &[ShownTitle], style: &SubtitleStyle) -> String {
    let SubtitleStyle { width, height, .. } = style;
    // In a wide frame two lines take a ninth of the height. In an upright frame 18 wide characters fill the width.
    let size = (height / 20).min(width / 23).max(8);
    // The outline is wide enough for white letters on a white sky.
    let outline = (f64::from(size) * 0.08).max(1.0);
    let (side, bottom) = (width / 20, height / 16);
    // A comma would end the field of the font's name.
    let font: String =
        style.font.chars().filter(|character| !character.is_control() && *character != ',').collect();
    let colours = "&H00FFFFFF,&H00101010,&H80000000";
    let mut file = format!(
        "[Script Info]\nScriptType: v4.00+\nPlayResX: {width}\nPlayResY: {height}\nWrapStyle: 0\nScaledBorderAndShadow: yes\n\n\
         [V4+ Styles]\nFormat: Name, Fontname, Fontsize, PrimaryColour, OutlineColour, BackColour, Bold, BorderStyle, Outline, Shadow, \
         Alignment, MarginL, MarginR, MarginV, Encoding\n\
         Style: Default,{font},{size},{colours},0,1,{outline:.1},0,2,{side},{side},{bottom},-1\n\
         Style: Title,{font},{size},{colours},0,1,{outline:.1},0,5,{side},{side},0,-1\n\n\
         [Events]\nFormat: Layer, Start, End, Style, Text\n"
    );
    for cue in cues {
        let lines: Vec<String> = cue.lines.iter().map(|line| escaped(line)).collect();
        let _ = writeln!(file, "Dialogue: 0,{},Default,{}", times(&cue.samples), lines.join("\\N"));
    }
    for title in titles.iter().filter(|title| !title.lines.is_empty()) {
        write_title(&mut file, title);
    }
    file
}

/// Writes a title as two events: a dark, soft halo, which makes it readable on any picture, and the letters on top of it.
fn write_title(file: &mut String, title: &ShownTitle) {
    let size = f64::from(title.lines.iter().map(|line| line.size).max().unwrap_or_default());
    let mut text = String::new();
    for (index, line) in title.lines.iter().enumerate() {
        let gap = if line.gap > 0 { format!("{{\\fs{}}}\\h\\N", line.gap) } else { String::new() };
        let end = if index == 0 { "" } else { "\\N" };
        let _ = write!(text, "{end}{gap}{{\\fs{}}}{}", line.size, escaped(&line.text));
    }
    let fade = FADE_MS.min(millis(title.samples.end.saturating_sub(title.samples.start)) / 4);
    let times = times(&title.samples);
    let _ = writeln!(
        file,
        "Dialogue: 1,{times},Title,{{\\fad({fade},{fade})\\1a&HFF&\\3a&H60&\\bord{:.1}\\blur{:.1}}}{text}",
        size * 0.11,
        size * 0.12
    );
    let _ = writeln!(
        file,
        "Dialogue: 2,{times},Title,{{\\fad({fade},{fade})\\bord{:.1}\\blur0.6}}{text}",
        (size * 0.025).max(1.0)
    );
}

/// Returns the start and the end of an event. The format counts hundredths of a second.
fn times(samples: &Range<u64>) -> String {
    let time = |samples: u64| {
        let cs = (millis(samples) + 5) / 10;
        format!("{}:{:02}:{:02}.{:02}", cs / 360_000, cs / 6000 % 60, cs / 100 % 60, cs % 100)
    };
    format!("{},{}", time(samples.start), time(samples.end))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_the_frames_pixels_and_no_instructions_from_the_text() {
        let style = SubtitleStyle { width: 1920, height: 1080, font: "Noto Sans, CJK\nX".to_owned() };
        let lines = ["{\\b1}it's", "C:\\New"].map(str::to_owned).to_vec();
        let file = ass(&[Cue { samples: 19_200..96_000, lines }], &[], &style);
        assert!(file.contains("PlayResX: 1920\nPlayResY: 1080\nWrapStyle: 0\n"), "{file}");
        assert!(file.contains("Style: Default,Noto Sans CJKX,54,"), "{file}");
        assert!(file.contains(",0,1,4.3,0,2,96,96,67,-1\n"), "{file}");
        let last = file.lines().last().unwrap();
        assert_eq!(
            last,
            "Dialogue: 0,0:00:00.40,0:00:02.00,Default,\\{\\\u{2060}b1\\}it's\\NC:\\\u{2060}New"
        );
        let upright = ass(&[], &[], &SubtitleStyle { width: 1080, height: 1920, ..style });
        assert!(upright.contains(",46,&H"), "{upright}");
    }

    #[test]
    fn a_title_is_a_halo_and_letters_that_fade() {
        let style = SubtitleStyle { width: 1920, height: 1080, font: "Sans".to_owned() };
        let line = |text: &str, size, gap| TitleLine { text: text.to_owned(), size, gap };
        let title = ShownTitle {
            samples: 0..144_000,
            lines: vec![line("The", 100, 0), line("{Lamp}", 100, 0), line("I", 50, 20)],
        };
        let short = ShownTitle { samples: 0..48_000, lines: vec![line("End", 10, 0)] };
        let empty = ShownTitle { samples: 0..48_000, lines: Vec::new() };
        let file = ass(&[], &[title, empty, short], &style);
        let events: Vec<_> = file.lines().filter(|line| line.starts_with("Dialogue")).collect();
        let text = "{\\fs100}The\\N{\\fs100}\\{Lamp\\}\\N{\\fs20}\\h\\N{\\fs50}I";
        assert_eq!(
            events,
            [
                format!("Dialogue: 1,0:00:00.00,0:00:03.00,Title,{{\\fad(500,500)\\1a&HFF&\\3a&H60&\\bord11.0\\blur12.0}}{text}"),
                format!("Dialogue: 2,0:00:00.00,0:00:03.00,Title,{{\\fad(500,500)\\bord2.5\\blur0.6}}{text}"),
                "Dialogue: 1,0:00:00.00,0:00:01.00,Title,{\\fad(250,250)\\1a&HFF&\\3a&H60&\\bord1.1\\blur1.2}{\\fs10}End".to_owned(),
                "Dialogue: 2,0:00:00.00,0:00:01.00,Title,{\\fad(250,250)\\bord1.0\\blur0.6}{\\fs10}End".to_owned(),
            ]
        );
    }
}
