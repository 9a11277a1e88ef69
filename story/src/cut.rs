//! Cuts a text that is too long into balanced pieces. A cut is near its target position and at the best place there: behind a sentence, else a
//! clause, else a word, else a grapheme.

use unicode_segmentation::UnicodeSegmentation as _;

use crate::{
    characters::{closer_of, is_clause_end, is_closer, is_end, is_wide},
    sentences::inner_ends,
};

/// Appends pieces of the text that measure at most `most` and are as equal as good places allow. Joined in order, they are the whole text; white
/// space stays at the end of a piece. A piece of a single grapheme may measure more.
pub(crate) fn cut<'a>(text: &'a str, most: f64, measure: &impl Fn(&str) -> f64, pieces: &mut Vec<&'a str>) {
    // The recursion cannot become deep: each side has at least 30 % of its share, unless a cut behind a grapheme is the only one possible.
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

/// Returns the byte position of the best cut near the target, or None if the text is a single grapheme. At the target the left side has as much of
/// the text as its number of pieces demands.
fn place_near_middle(text: &str, length: f64, most: f64, measure: &impl Fn(&str) -> f64) -> Option<usize> {
    let needed = (length / most).ceil().max(2.0);
    let share = (needed / 2.0).floor() / needed;
    // The measure is not proportional to bytes and is expensive, so the byte position of the target is found by bisection.
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

/// Returns the byte position that has about `share` of the text's measure on its left.
fn share_of_bytes(text: &str, share: f64, measure: &impl Fn(&str) -> f64, length: f64) -> usize {
    let (mut low, mut high) = (0, text.len());
    // In a long text the position need not be exact.
    while high - low > 1 + text.len() / 256 {
        let middle = usize::midpoint(low, high);
        let is_left = measure(text.get(..floor(text, middle)).unwrap_or_default()) < length * share;
        if is_left { low = middle } else { high = middle }
    }
    floor(text, high)
}

/// Returns the start of the character at a byte position.
fn floor(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Returns the byte positions behind commas, colons, semicolons and dashes.
fn clause_ends(text: &str) -> Vec<usize> {
    let mut places = Vec::new();
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let next = characters.peek().map(|(_, next)| *next);
        let is_set_off = !character.is_ascii() || next.is_some_and(char::is_whitespace);
        // A closing quote, or the second half of a dash, stays with its clause.
        if is_clause_end(character)
            && is_set_off
            && next.is_some_and(|next| !is_closer(next) && !is_clause_end(next))
        {
            places.push(at + character.len_utf8());
        }
    }
    places
}

/// Returns the byte positions between words: behind white space, and between characters of scripts without spaces, unless a line must not begin or
/// end there.
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
