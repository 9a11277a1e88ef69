//! Draws subtitles and titles into frames: it chooses the font and writes the file from which `ffmpeg` draws them.

use std::{fs, io, path::Path};

use reel_protocol::{BurntCue, BurntOutline, BurntPosition, BurntStyle, BurntTitle, FilmFormat};
use reel_story::{
    Cue, ShownTitle, SubtitleOutline, SubtitlePosition, SubtitleStyle, ass, timeline::samples_at,
    title_lines, wrapped,
};

use super::tools::{broken, no_font};
use crate::{
    fonts::{Font, Fonts},
    provider::GenerateError,
};

/// The name of the subtitle file in the program's directory.
const SUBTITLES: &str = "subtitles.ass";
/// The name of the directory of the font, in the program's directory.
const FONTS: &str = "fonts";

/// What is drawn into the frames of a shot.
pub(super) struct Text {
    pub cues: Vec<BurntCue>,
    pub style: BurntStyle,
    pub titles: Vec<BurntTitle>,
}

/// The content of a subtitle file, and its font.
pub(super) struct BurntText {
    file: String,
    font: Font,
}

/// Returns the subtitles and titles of a run of frames that begins with `first_frame`; `None` if there is nothing to show. Refuses a letter that no
/// font has, as it would be drawn as a box.
pub(super) async fn burnt(
    mut text: Text,
    first_frame: u64,
    format: FilmFormat,
) -> Result<Option<BurntText>, GenerateError> {
    text.cues.retain(|cue| cue.first_frame + cue.frames > first_frame);
    text.titles.retain(|title| title.first_frame + title.frames > first_frame);
    if text.cues.is_empty() && text.titles.is_empty() {
        return Ok(None);
    }
    // Reads font files.
    let drawing = tokio::task::spawn_blocking(move || drawn(&text, first_frame, format));
    drawing.await.map_err(|panic| broken("looking for fonts", &panic.to_string()))?.map(Some)
}

fn drawn(
    Text { cues, style, titles }: &Text,
    first_frame: u64,
    format: FilmFormat,
) -> Result<BurntText, GenerateError> {
    let lines = cues.iter().flat_map(|cue| &cue.lines);
    let words = titles.iter().flat_map(|title| [&title.title, &title.chapter]).flatten();
    let text: String = lines.chain(words).map(String::as_str).collect();
    let font = Fonts::of_the_system().covering(&text).map_err(no_font)?;
    let samples = |first: u64, frames: u64| {
        let (start, end) = (first.saturating_sub(first_frame), first + frames - first_frame);
        before_frame(start, format.fps)..before_frame(end, format.fps)
    };
    let style = subtitle_style(*style, format, font.family.clone());
    let widths = font.letter_widths(&text);
    let advance = |letter: char| widths.get(&letter).copied().unwrap_or(1.0);
    let room = format.width.saturating_sub(2 * style.side_margin());
    let cue = |cue: &BurntCue| {
        let lines: Vec<String> = cue.lines.iter().map(|line| font.drawable(line)).collect();
        let lines = wrapped(&lines, room, style.line_height(), &advance);
        Cue { samples: samples(cue.first_frame, cue.frames), lines }
    };
    let cues: Vec<Cue> = cues.iter().map(cue).collect();
    let title = |title: &BurntTitle| {
        let [above, below] =
            [&title.title, &title.chapter].map(|text| font.drawable(text.as_deref().unwrap_or_default()));
        ShownTitle {
            samples: samples(title.first_frame, title.frames),
            lines: title_lines(&above, &below, (format.width, format.height), &advance),
        }
    };
    let titles: Vec<ShownTitle> = titles.iter().map(title).collect();
    let file = ass(&cues, &titles, &style);
    Ok(BurntText { file, font })
}

fn subtitle_style(style: BurntStyle, format: FilmFormat, font: String) -> SubtitleStyle {
    SubtitleStyle {
        width: format.width,
        height: format.height,
        font,
        size: style.size,
        position: match style.position {
            BurntPosition::Bottom => SubtitlePosition::Bottom,
            BurntPosition::Middle => SubtitlePosition::Middle,
            BurntPosition::Top => SubtitlePosition::Top,
        },
        outline: match style.outline {
            BurntOutline::On => SubtitleOutline::On,
            BurntOutline::Box => SubtitleOutline::Box,
            BurntOutline::None => SubtitleOutline::None,
        },
    }
}

/// Returns the middle between a frame and the one before it, in samples. Subtitle files count hundredths of a second: with the rounded time of
/// the frame itself, the words would appear a frame late.
fn before_frame(frame: u64, fps: u32) -> u64 {
    samples_at((2 * frame).saturating_sub(1), 2 * fps)
}

/// Writes the text and its font into the program's directory. Returns the filter that draws them, or none without text.
pub(super) fn write_text(directory: &Path, text: Option<&BurntText>) -> io::Result<Vec<String>> {
    let Some(BurntText { file, font }) = text else { return Ok(Vec::new()) };
    fs::write(directory.join(SUBTITLES), file)?;
    // libass takes letters that this font lacks from the fonts of the system.
    let fonts = directory.join(FONTS);
    fs::create_dir(&fonts)?;
    font.put_into(&fonts)?;
    // The program runs in this directory, so the names are relative to it.
    Ok(vec![format!("ass={SUBTITLES}:fontsdir={FONTS}")])
}
