//! Writes subtitles and titles as an ASS file, from which `libass` draws them into frames. The format is small, so this file writes it without a library.

use std::{fmt::Write as _, ops::Range};

use crate::{
    srt::millis,
    subtitle_style::{SubtitleOutline, SubtitlePosition, SubtitleStyle},
    subtitles::Cue,
    title_lines::TitleLine,
};

/// Longest time in which a title appears or disappears, in milliseconds.
const FADE_MS: u64 = 500;

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
    let (size, side, edge) = (style.line_height(), style.side_margin(), style.edge_margin());
    // A comma would end the field of the font's name.
    let font: String =
        style.font.chars().filter(|character| !character.is_control() && *character != ',').collect();
    let colours = "&H00FFFFFF,&H00101010";
    let border = border(style.outline, f64::from(size));
    let alignment = match style.position {
        SubtitlePosition::Bottom => 2,
        SubtitlePosition::Middle => 5,
        SubtitlePosition::Top => 8,
    };
    let mut file = format!(
        "[Script Info]\nScriptType: v4.00+\nPlayResX: {width}\nPlayResY: {height}\nWrapStyle: 0\nScaledBorderAndShadow: yes\n\n\
         [V4+ Styles]\nFormat: Name, Fontname, Fontsize, PrimaryColour, OutlineColour, BackColour, Bold, BorderStyle, Outline, Shadow, \
         Alignment, MarginL, MarginR, MarginV, Encoding\n\
         Style: Default,{font},{size},{colours},&H60000000,0,{border},{alignment},{side},{side},{edge},-1\n\
         Style: Title,{font},{size},{colours},&H60000000,0,1,1.0,0,5,{side},{side},0,-1\n\n\
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

/// Returns the fields of a style for the edge of its letters: the kind, the width of the edge, and that of the shadow or of the room within a box.
fn border(outline: SubtitleOutline, size: f64) -> String {
    match outline {
        // The outline is wide enough for white letters on a white sky.
        SubtitleOutline::On => format!("1,{:.1},0", (size * 0.08).max(1.0)),
        SubtitleOutline::Box => format!("4,0,{:.1}", size * 0.2),
        SubtitleOutline::None => "1,0,0".to_owned(),
    }
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
        let style = SubtitleStyle::usual((1920, 1080), "Noto Sans, CJK\nX".to_owned());
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
    }

    #[test]
    fn styles_are_fields_of_the_file() {
        use SubtitleOutline::{Box, None as NoEdge, On};
        use SubtitlePosition::{Bottom, Middle, Top};
        for (frame, size, position, outline, expected) in [
            ((1920, 1080), None, Bottom, On, "54,&H00FFFFFF,&H00101010,&H60000000,0,1,4.3,0,2,96,96,67,-1"),
            ((1080, 1920), None, Bottom, On, "60,&H00FFFFFF,&H00101010,&H60000000,0,1,4.8,0,2,54,54,384,-1"),
            ((1080, 1080), None, Bottom, On, "54,&H00FFFFFF,&H00101010,&H60000000,0,1,4.3,0,2,54,54,67,-1"),
            (
                (1920, 1080),
                Some(100),
                Top,
                Box,
                "100,&H00FFFFFF,&H00101010,&H60000000,0,4,0,20.0,8,96,96,67,-1",
            ),
            (
                (1920, 1080),
                Some(40),
                Middle,
                NoEdge,
                "40,&H00FFFFFF,&H00101010,&H60000000,0,1,0,0,5,96,96,0,-1",
            ),
            ((320, 180), Some(9), Bottom, On, "9,&H00FFFFFF,&H00101010,&H60000000,0,1,1.0,0,2,16,16,11,-1"),
        ] {
            let usual = SubtitleStyle::usual(frame, "Sans".to_owned());
            let file = ass(&[], &[], &SubtitleStyle { size, position, outline, ..usual });
            assert!(file.contains(&format!("Style: Default,Sans,{expected}\n")), "{file}");
        }
    }

    #[test]
    fn a_title_is_a_halo_and_letters_that_fade() {
        let style = SubtitleStyle::usual((1920, 1080), "Sans".to_owned());
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
