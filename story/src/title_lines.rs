//! Chooses the sizes and the line breaks of titles, and the further line breaks of large subtitles, so that they fit into the frame.

use unicode_linebreak::{BreakOpportunity, linebreaks};
use unicode_segmentation::UnicodeSegmentation as _;

/// The share of the frame's width that a line may take.
const WIDTH: f64 = 0.84;
/// Most lines while there is room to make the letters smaller.
const FEW_LINES: usize = 3;
/// The size at which more lines are allowed, as a share of the size of a short title.
const SMALLER: f64 = 0.6;
/// The ratio of two sizes that are tried one after the other.
const STEP: f64 = 0.94;
/// Smallest size, in pixels.
const SMALLEST: f64 = 8.0;

/// A line of a title.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TitleLine {
    /// The text of the line, without white space at its ends.
    pub text: String,
    /// The height of the line in pixels, from which the size of the letters follows.
    pub size: u32,
    /// The height of the empty room above the line, in pixels.
    pub gap: u32,
}

/// How large a text is: shares of the frame's shorter side for a short and for a long text, and the share of the height that it may take.
struct Sizes {
    usual: f64,
    least: f64,
    room: f64,
}

const ALONE: Sizes = Sizes { usual: 0.15, least: 0.04, room: 0.8 };
const ABOVE_CHAPTER: Sizes = Sizes { room: 0.5, ..ALONE };
const BELOW_TITLE: Sizes = Sizes { usual: 0.075, least: 0.035, room: 0.25 };
const CHAPTER_ALONE: Sizes = Sizes { usual: 0.11, least: 0.04, room: 0.8 };

/// Returns the lines of a title, with a chapter below it. Either may be empty. `advance` returns the width of a letter as a share of the line's
/// height.
pub fn title_lines(
    title: &str,
    chapter: &str,
    frame: (u32, u32),
    advance: &dyn Fn(char) -> f64,
) -> Vec<TitleLine> {
    let (title, chapter) = (title.trim(), chapter.trim());
    let (above, below) = if title.is_empty() { (ALONE, CHAPTER_ALONE) } else { (ABOVE_CHAPTER, BELOW_TITLE) };
    let mut lines = fitted(title, &if chapter.is_empty() { ALONE } else { above }, frame, advance);
    let mut under = fitted(chapter, &below, frame, advance);
    if let Some(first) = under.first_mut().filter(|_| !lines.is_empty()) {
        first.gap = (first.size / 2).max(1);
    }
    lines.append(&mut under);
    lines
}

/// Breaks lines that are too wide for a frame of this width into several. `size` is the height of a line, and `advance` returns the width of a letter as a
/// share of it. `libass` breaks lines too, but not between letters that have no space between them.
pub fn wrapped(lines: &[String], width: u32, size: u32, advance: &dyn Fn(char) -> f64) -> Vec<String> {
    let measure = |text: &str| text.trim().chars().map(advance).sum::<f64>() * f64::from(size);
    let width = f64::from(width);
    let whole = |line: &String| balanced(line, width, &measure, true).unwrap_or_else(|| vec![line.clone()]);
    lines.iter().flat_map(whole).collect()
}

/// Breaks a text at the largest size at which it fits.
fn fitted(text: &str, sizes: &Sizes, frame: (u32, u32), advance: &dyn Fn(char) -> f64) -> Vec<TitleLine> {
    if text.is_empty() {
        return Vec::new();
    }
    let side = f64::from(frame.0.min(frame.1));
    let (width, room) = (f64::from(frame.0) * WIDTH, f64::from(frame.1) * sizes.room);
    let (usual, least) = ((side * sizes.usual).max(SMALLEST), (side * sizes.least).max(SMALLEST));
    let mut size = usual;
    let lines = loop {
        let measure = |text: &str| text.trim().chars().map(advance).sum::<f64>() * size;
        let is_last = size <= least;
        if let Some(lines) = balanced(text, width, &measure, is_last) {
            let is_short = lines.len() <= FEW_LINES || size <= usual * SMALLER;
            if is_last || (is_short && lines.len() as f64 * size <= room) {
                break lines;
            }
        }
        size = (size * STEP).max(least);
    };
    lines.into_iter().map(|text| TitleLine { text, size: size as u32, gap: 0 }).collect()
}

/// Breaks a text into as few lines as possible, all of similar width. None if a word is too wide and must not be broken.
fn balanced(
    text: &str,
    width: f64,
    measure: &dyn Fn(&str) -> f64,
    may_break_words: bool,
) -> Option<Vec<String>> {
    let mut lines = broken(text, width, measure, may_break_words)?;
    let (mut narrow, mut wide) = (0.0, width);
    for _ in 0..10 {
        let middle = f64::midpoint(narrow, wide);
        match broken(text, middle, measure, false) {
            Some(narrower) if narrower.len() <= lines.len() => (lines, wide) = (narrower, middle),
            _ => narrow = middle,
        }
    }
    Some(lines)
}

/// Breaks a text into lines that are filled one after the other.
fn broken(
    text: &str,
    width: f64,
    measure: &dyn Fn(&str) -> f64,
    may_break_words: bool,
) -> Option<Vec<String>> {
    let (mut lines, mut line, mut from) = (Vec::new(), String::new(), 0);
    let end = |line: &mut String, lines: &mut Vec<String>| {
        let whole = std::mem::take(line);
        if !whole.trim().is_empty() {
            lines.push(whole.trim().to_owned());
        }
    };
    for (to, opportunity) in linebreaks(text) {
        let word = text.get(from..to).unwrap_or_default();
        from = to;
        if measure(&format!("{line}{word}")) > width {
            end(&mut line, &mut lines);
        }
        if measure(word) <= width {
            line.push_str(word);
        } else if may_break_words {
            for letter in word.graphemes(true) {
                if measure(&format!("{line}{letter}")) > width {
                    end(&mut line, &mut lines);
                }
                line.push_str(letter);
            }
        } else {
            return None;
        }
        if opportunity == BreakOpportunity::Mandatory {
            end(&mut line, &mut lines);
        }
    }
    end(&mut line, &mut lines);
    Some(lines)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::characters::takes_two_columns;

    fn advance(letter: char) -> f64 {
        if takes_two_columns(letter) { 0.7 } else { 0.37 }
    }

    fn shown(title: &str, chapter: &str, frame: (u32, u32)) -> Vec<String> {
        let lines = title_lines(title, chapter, frame, &advance);
        lines.iter().map(|line| format!("{} {}+{}", line.text, line.size, line.gap)).collect()
    }

    #[test]
    fn short_titles_are_large_and_long_ones_are_broken_evenly_or_smaller() {
        let (wide, upright, square) = ((1920, 1080), (1080, 1920), (1080, 1080));
        let long = "The extraordinary and entirely true history of the keeper who was afraid of the dark";
        for (title, chapter, frame, expected) in [
            ("", " ", wide, &[][..]),
            ("The Lamp", "", wide, &["The Lamp 162+0"]),
            ("The Lamp", "Chapter I", wide, &["The Lamp 162+0", "Chapter I 81+40"]),
            ("", "Chapter I", wide, &["Chapter I 118+0"]),
            (
                "The Selfish Giant and His Garden",
                "",
                wide,
                &["The Selfish Giant 162+0", "and His Garden 162+0"],
            ),
            ("The Selfish Giant", "", upright, &["The Selfish 162+0", "Giant 162+0"]),
            ("Donaudampfschifffahrt", "", square, &["Donaudampfschifffahrt 111+0"]),
            ("守塔人", "第一章", upright, &["守塔人 162+0", "第一章 81+40"]),
            ("很久以前，有一座孤独的灯塔。", "", upright, &["很久以前，有一 162+0", "座孤独的灯塔。 162+0"]),
            ("One\nTwo", "", wide, &["One 162+0", "Two 162+0"]),
            (
                long,
                "",
                wide,
                &[
                    "The extraordinary and entirely 143+0",
                    "true history of the keeper who 143+0",
                    "was afraid of the dark 143+0",
                ],
            ),
        ] {
            assert_eq!(shown(title, chapter, frame), expected, "{title} {frame:?}");
        }
    }

    #[test]
    fn subtitles_that_are_too_wide_get_more_lines() {
        let lines = [
            "short".to_owned(),
            "从前有一个孤独的守塔人，每天".to_owned(),
            "a long line of words".to_owned(),
        ];
        assert_eq!(wrapped(&lines, 1000, 50, &advance), lines);
        assert_eq!(
            wrapped(&lines, 300, 50, &advance),
            ["short", "从前有一个孤独", "的守塔人，每天", "a long line", "of words"]
        );
        assert_eq!(wrapped(&[], 300, 50, &advance), Vec::<String>::new());
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_nothing_leaves_the_frame(
            title in "[a-zA-Z ]{0,60}|[从前有一座灯塔，。]{0,40}|\\PC{0,60}",
            chapter in "[a-z ]{0,30}",
            frame in prop::sample::select(vec![(1920, 1080), (1080, 1920), (1080, 1080), (320, 180), (64, 64)]),
        ) {
            let lines = title_lines(&title, &chapter, frame, &advance);
            let bare = |text: &str| text.chars().filter(|letter| !letter.is_whitespace()).collect::<String>();
            let all: String = lines.iter().map(|line| bare(&line.text)).collect();
            prop_assert_eq!(all, bare(&title) + &bare(&chapter));
            for line in &lines {
                let width: f64 = line.text.chars().map(advance).sum::<f64>() * f64::from(line.size);
                prop_assert!(width <= f64::from(frame.0) * WIDTH || line.text.graphemes(true).count() == 1, "{:?}", line);
            }
            if frame.0 >= 1000 {
                let height: u32 = lines.iter().map(|line| line.size + line.gap).sum();
                prop_assert!(height <= frame.1, "{:?}", lines);
            }
        }
    }
}
