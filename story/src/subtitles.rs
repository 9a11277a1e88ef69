//! Divides a shot's text into subtitle cues. Each has one or two lines and is shown for its share of the real speech.

use std::ops::Range;

use crate::{characters::takes_two_columns, cut, speaking_time};

/// Largest number of narrow characters in a line.
const NARROW: u64 = 42;
/// Largest number of wide characters (Chinese, Japanese, Korean) in a line.
const WIDE: u64 = 18;
/// Largest width of a line, in units of which a narrow character has `WIDE` and a wide one `NARROW`.
const LINE: u64 = NARROW * WIDE;

/// The text that is shown at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cue {
    /// The samples of the film (48 kHz) during which the cue is shown.
    pub samples: Range<u64>,
    /// The text, as one or two lines.
    pub lines: Vec<String>,
}

/// Returns the cues of a text that is spoken during these samples. They follow each other without a gap. Each lasts in proportion to the estimated
/// speaking time of its text. There are none if the text is blank or the range is empty.
pub fn cues(text: &str, spoken: Range<u64>, language: Option<&str>) -> Vec<Cue> {
    let pieces: Vec<Vec<String>> = text.lines().flat_map(pieces).collect();
    let weigh = |lines: &Vec<String>| speaking_time(&lines.join(" "), language).as_secs_f64().max(0.1);
    let total: f64 = pieces.iter().map(weigh).sum();
    let length = spoken.end.saturating_sub(spoken.start);
    let mut cues = Vec::with_capacity(pieces.len());
    let (mut spent, mut start) = (0.0, spoken.start);
    for (index, lines) in pieces.iter().enumerate() {
        spent += weigh(lines);
        let is_last = index + 1 == pieces.len();
        let end = if is_last { spoken.end } else { spoken.start + (length as f64 * spent / total) as u64 };
        let end = end.clamp(start, spoken.end.max(start));
        if end > start {
            cues.push(Cue { samples: start..end, lines: lines.clone() });
        }
        start = end;
    }
    cues
}

/// Divides a paragraph into cues and returns the lines of each.
fn pieces(paragraph: &str) -> Vec<Vec<String>> {
    let measure = |text: &str| width(text.trim()) as f64;
    let mut pieces = Vec::new();
    cut::cut(paragraph, 2.0 * LINE as f64, &measure, &mut pieces);
    let mut cues = Vec::new();
    for piece in pieces {
        let piece = piece.trim();
        match lines(piece) {
            _ if piece.is_empty() => {}
            Some(lines) => cues.push(lines),
            // The width would fit into two lines, but long words leave room unused.
            None => {
                let mut parts = Vec::new();
                cut::cut(piece, LINE as f64, &measure, &mut parts);
                let parts = parts.into_iter().map(str::trim).filter(|part| !part.is_empty());
                cues.extend(parts.map(|part| vec![part.to_owned()]));
            }
        }
    }
    cues
}

/// Breaks the text into one or two lines of similar width. Of two equally good breaks it takes the one with the longer second line. None if the text
/// does not fit.
fn lines(text: &str) -> Option<Vec<String>> {
    let all = width(text);
    if all <= LINE {
        return Some(vec![text.to_owned()]);
    }
    let sides = |place: usize| {
        let (left, right) = text.split_at(place);
        (left.trim(), right.trim())
    };
    let fits = |place: &usize| {
        let (left, right) = sides(*place);
        width(left) <= LINE && width(right) <= LINE && !left.is_empty() && !right.is_empty()
    };
    let unevenness = |place: &usize| {
        let (left, right) = sides(*place);
        // A line that ends with a clause is easier to read.
        let bonus = if left
            .ends_with([',', '，', '。', '.', ';', '；', '、', '：', ':', '?', '!', '？', '！'])
        {
            LINE / 2
        } else {
            0
        };
        (width(left).abs_diff(width(right)) + LINE / 2 - bonus, width(left))
    };
    let place = cut::words(text).into_iter().filter(fits).min_by_key(unevenness)?;
    let (first, second) = sides(place);
    Some(vec![first.to_owned(), second.to_owned()])
}

/// Returns the width of a text in the units of [`LINE`]. Combining marks and joiners have no width.
fn width(text: &str) -> u64 {
    let of = |character: char| match character {
        '\u{300}'..='\u{36f}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{fe00}'..='\u{fe0f}' => 0,
        character if takes_two_columns(character) => NARROW,
        _ => WIDE,
    };
    text.chars().map(of).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str) -> Vec<String> {
        cues(text, 0..480_000, None).into_iter().map(|cue| cue.lines.join(" | ")).collect()
    }

    #[test]
    fn cues_are_lines_that_a_viewer_reads_at_once() {
        for (text, expected) in [
            ("", &[][..]),
            (" \n ", &[]),
            ("He lit the lamp.", &["He lit the lamp."]),
            (
                "The old keeper climbed the stairs every evening, and lit the lamp.",
                &["The old keeper climbed the stairs | every evening, and lit the lamp."],
            ),
            (
                "The old keeper climbed the stairs every evening, lit the lamp, and looked out over the dark water until morning came.",
                &[
                    "The old keeper climbed the stairs | every evening, lit the lamp,",
                    "and looked out over the dark | water until morning came.",
                ],
            ),
            ("One.\nTwo.", &["One.", "Two."]),
            (
                "从前有一个孤独的守塔人，每天晚上都要爬上高高的楼梯。",
                &["从前有一个孤独的守塔人， | 每天晚上都要爬上高高的楼梯。"],
            ),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn cues_share_the_real_speech_by_their_length() {
        let text = "Short.\nThis line is about three times as long.";
        let cues = cues(text, 1000..49_000, None);
        assert_eq!((cues[0].samples.start, cues[1].samples.end), (1000, 49_000));
        assert_eq!(cues[0].samples.end, cues[1].samples.start);
        let first = cues[0].samples.end - 1000;
        assert!((8_000..14_000).contains(&first), "{first}");
    }

    proptest! {
        #[test]
        fn every_character_is_shown_in_order_and_fits(text in "(\\PC|[a-zA-Z]{1,30}|[ ，。,.]|[一-龥]){0,150}", length in 1_000_u64..10_000_000) {
            let cues = cues(&text, 500..500 + length, None);
            let bare = |text: &str| text.chars().filter(|character| !character.is_whitespace()).collect::<String>();
            let whole: String = cues.iter().flat_map(|cue| &cue.lines).map(|line| bare(line)).collect();
            prop_assert_eq!(whole, bare(&text));
            let mut at = 500;
            for cue in &cues {
                prop_assert!((1..=2).contains(&cue.lines.len()));
                prop_assert_eq!(cue.samples.start, at);
                prop_assert!(cue.samples.end > at);
                at = cue.samples.end;
                for line in &cue.lines {
                    let is_single = unicode_segmentation::UnicodeSegmentation::graphemes(line.as_str(), true).count() == 1;
                    prop_assert!(width(line) <= LINE || is_single, "{line}");
                }
            }
            prop_assert!(cues.is_empty() || at == 500 + length);
        }
    }
}
