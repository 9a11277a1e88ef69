//! Cuts a text that is too long into balanced pieces, at the best place that is near: behind a sentence, else a clause, else a word, else
//! a character as a reader counts them.

use unicode_segmentation::UnicodeSegmentation as _;

use crate::{
    characters::{closer_of, is_clause_end, is_closer, is_end, is_wide},
    sentences::inner_ends,
};

/// Cuts a text into pieces that measure no more than `most`, and as equal as good places allow. The pieces are the whole text in order;
/// blank space stays at the end of a piece. A single character may measure more.
pub(crate) fn cut<'a>(text: &'a str, most: f64, measure: &impl Fn(&str) -> f64, pieces: &mut Vec<&'a str>) {
    // Deep recursion is not possible: each side has a quarter at least, but where it has a single character.
    let length = measure(text);
    let place = (length > most).then(|| place_near_middle(text, length, most, measure)).flatten();
    match place.map(|place| text.split_at(place)) {
        Some((left, right)) => {
            cut(left, most, measure, pieces);
            cut(right, most, measure, pieces);
        }
        None => pieces.push(text),
    }
}

/// Where to cut, as near as possible to where the left side has its share of the pieces that are needed.
fn place_near_middle(text: &str, length: f64, most: f64, measure: &impl Fn(&str) -> f64) -> Option<usize> {
    let needed = (length / most).ceil().max(2.0);
    let share = (needed / 2.0).floor() / needed;
    // The measure is not the number of bytes, and is costly: the share of the bytes is corrected once by measuring.
    let target = share_of_bytes(text, share, measure, length);
    let is_in = |place: &usize, least: f64| {
        let at = *place as f64 / text.len() as f64;
        *place > 0 && *place < text.len() && at > share * least && at < 1.0 - (1.0 - share) * least
    };
    let near = |place: &usize| place.abs_diff(target);
    [(inner_ends(text), 0.6), (clause_ends(text), 0.6), (inner_ends(text), 0.3), (clause_ends(text), 0.3)]
        .into_iter()
        .chain([(words(text), 0.3)])
        .find_map(|(places, least)| places.into_iter().filter(|place| is_in(place, least)).min_by_key(near))
        .or_else(|| {
            let places = text.grapheme_indices(true).map(|(at, _)| at).filter(|at| *at > 0);
            places.min_by_key(near)
        })
}

/// The byte position at which about `share` of the measure is on the left.
fn share_of_bytes(text: &str, share: f64, measure: &impl Fn(&str) -> f64, length: f64) -> usize {
    let (mut low, mut high) = (0, text.len());
    // Of a long text the target need not be exact.
    while high - low > 1 + text.len() / 256 {
        let middle = usize::midpoint(low, high);
        let is_left = measure(text.get(..floor(text, middle)).unwrap_or_default()) < length * share;
        if is_left { low = middle } else { high = middle }
    }
    floor(text, high)
}

/// The start of the character at a byte position.
fn floor(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Places behind commas, colons, semicolons and dashes.
fn clause_ends(text: &str) -> Vec<usize> {
    let mut places = Vec::new();
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let next = characters.peek().map(|(_, next)| *next);
        let is_set_off = !character.is_ascii() || next.is_some_and(char::is_whitespace);
        // Closing quotes, and the second half of a dash, stay.
        if is_clause_end(character)
            && is_set_off
            && next.is_some_and(|next| !is_closer(next) && !is_clause_end(next))
        {
            places.push(at + character.len_utf8());
        }
    }
    places
}

/// Places between words: behind blank space, and between characters of scripts without spaces, as far as no line may begin or end there.
pub(crate) fn words(text: &str) -> Vec<usize> {
    let mut places = Vec::new();
    let mut former = None;
    for (at, grapheme) in text.grapheme_indices(true) {
        let first = grapheme.chars().next().unwrap_or(' ');
        if let Some(former) = former {
            let is_between = char::is_whitespace(former) || is_wide(former) || is_wide(first);
            if is_between
                && !first.is_whitespace()
                && may_begin(first)
                && closer_of(former).is_none_or(|_| former == '"')
            {
                places.push(at);
            }
        }
        former = grapheme.chars().next_back();
    }
    places
}

/// Whether a line may begin with the character.
fn may_begin(character: char) -> bool {
    let is_closing = is_closer(character) && closer_of(character).is_none();
    !(is_closing
        || is_end(character)
        || is_clause_end(character) && character != '—'
        || matches!(character, 'ー' | '々' | '·'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pieces(text: &str, most: f64) -> Vec<&str> {
        let mut pieces = Vec::new();
        cut(text, most, &|text| text.chars().count() as f64, &mut pieces);
        pieces
    }

    #[test]
    fn the_best_place_near_the_middle_is_taken() {
        for (text, most, expected) in [
            ("short", 10.0, &["short"][..]),
            ("One two three. Four five six.", 20.0, &["One two three.", " Four five six."]),
            ("One two three, four five six", 20.0, &["One two three,", " four five six"]),
            ("One two three four five six", 20.0, &["One two three ", "four five six"]),
            ("他走了很远的路，终于到了渡口", 8.0, &["他走了很远的路，", "终于到了渡口"]),
            ("他走了很远的路终于到了渡口", 8.0, &["他走了很远的路", "终于到了渡口"]),
            ("aaaaaaaaaaaa", 6.0, &["aaaaaa", "aaaaaa"]),
        ] {
            assert_eq!(pieces(text, most), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn pieces_are_the_whole_text_and_short_enough(text in "\\PC{0,300}", most in 1_u32..50) {
            let pieces = pieces(&text, f64::from(most));
            prop_assert_eq!(pieces.concat(), text.as_str());
            for piece in &pieces {
                let is_single = piece.graphemes(true).count() == 1;
                prop_assert!(piece.chars().count() <= most as usize || is_single, "{piece:?}");
                prop_assert!(!piece.is_empty() || text.is_empty());
            }
        }
    }
}
