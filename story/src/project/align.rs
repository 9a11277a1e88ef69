//! Matches the texts of two lists in order: equal texts, and texts that are similar.

use std::collections::HashMap;

/// One entry of an alignment. Numbers are indices in the lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pair {
    /// The old text at the first index matches the new text at the second.
    Both(usize, usize),
    /// The old text at this index matches no new one.
    Old(usize),
    /// The new text at this index matches no old one.
    New(usize),
}

/// Smallest similarity (Dice coefficient of their character pairs) at which two texts count as the same shot.
const LEAST_ALIKE: f64 = 0.5;
/// Largest number of comparisons. Above it the lists are first divided at texts that are there once in both, so that a novel does not take minutes.
const MOST_COMPARISONS: usize = 4_000_000;

/// Aligns both lists. Equal and similar texts are matched as far as their order allows.
pub(super) fn align(old: &[&str], new: &[&str]) -> Vec<Pair> {
    let equal_ends =
        |ends: &mut dyn Iterator<Item = (&&str, &&str)>| ends.take_while(|(old, new)| old == new).count();
    let start = equal_ends(&mut old.iter().zip(new));
    let least = old.len().min(new.len());
    let end = equal_ends(&mut old.iter().rev().zip(new.iter().rev())).min(least - start);
    let middle_old = old.get(start..old.len() - end).unwrap_or_default();
    let middle_new = new.get(start..new.len() - end).unwrap_or_default();
    let middle = if middle_old.len() * middle_new.len() <= MOST_COMPARISONS {
        align_alike(middle_old, middle_new)
    } else {
        align_anchored(middle_old, middle_new)
    };
    let shifted = middle.into_iter().map(|pair| shifted(pair, start, start));
    let head = (0..start).map(|index| Pair::Both(index, index));
    let tail = (0..end).rev().map(|from_end| Pair::Both(old.len() - 1 - from_end, new.len() - 1 - from_end));
    head.chain(shifted).chain(tail).collect()
}

/// Returns a pair of parts of the lists as one of the lists. The parts begin at these places.
const fn shifted(pair: Pair, old_start: usize, new_start: usize) -> Pair {
    match pair {
        Pair::Both(old, new) => Pair::Both(old + old_start, new + new_start),
        Pair::Old(old) => Pair::Old(old + old_start),
        Pair::New(new) => Pair::New(new + new_start),
    }
}

/// Returns the alignment with the largest sum of similarities.
#[expect(clippy::indexing_slicing, reason = "the table has a row and a column more than the lists")]
fn align_alike(old: &[&str], new: &[&str]) -> Vec<Pair> {
    let old_pairs: Vec<_> = old.iter().map(|text| pairs(text)).collect();
    let new_pairs: Vec<_> = new.iter().map(|text| pairs(text)).collect();
    let columns = new.len() + 1;
    // `best[i * columns + j]` is the largest sum for the old texts from `i` on and the new texts from `j` on. `alike` has the similarity of each two
    // texts.
    let mut best = vec![0.0_f32; (old.len() + 1) * columns];
    let mut alike = vec![0.0_f32; old.len() * new.len()];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            let likeness = if old[i] == new[j] { 1.5 } else { likeness(&old_pairs[i], &new_pairs[j]) as f32 };
            alike[i * new.len() + j] = likeness;
            let skipped = best[(i + 1) * columns + j].max(best[i * columns + j + 1]);
            let is_pair = f64::from(likeness) >= LEAST_ALIKE;
            let paired = if is_pair { best[(i + 1) * columns + j + 1] + likeness } else { 0.0 };
            best[i * columns + j] = skipped.max(paired);
        }
    }
    let mut found = Vec::with_capacity(old.len().max(new.len()));
    let (mut i, mut j) = (0, 0);
    while i < old.len() && j < new.len() {
        let likeness = alike[i * new.len() + j];
        let here = best[i * columns + j];
        if f64::from(likeness) >= LEAST_ALIKE && here <= best[(i + 1) * columns + j + 1] + likeness {
            found.push(Pair::Both(i, j));
            i += 1;
            j += 1;
        } else if here <= best[(i + 1) * columns + j] {
            found.push(Pair::Old(i));
            i += 1;
        } else {
            found.push(Pair::New(j));
            j += 1;
        }
    }
    found.extend((i..old.len()).map(Pair::Old));
    found.extend((j..new.len()).map(Pair::New));
    found
}

/// Aligns long lists: at the texts that are there once in both lists, as far as their order is the same, and in the parts between them.
fn align_anchored(old: &[&str], new: &[&str]) -> Vec<Pair> {
    let anchors = anchors(old, new);
    if anchors.is_empty() {
        return align_equal(old, new);
    }
    let mut found = Vec::with_capacity(old.len() + new.len());
    let (mut i, mut j) = (0, 0);
    for (old_at, new_at) in anchors.into_iter().chain([(old.len(), new.len())]) {
        let parts = (old.get(i..old_at).unwrap_or_default(), new.get(j..new_at).unwrap_or_default());
        found.extend(align(parts.0, parts.1).into_iter().map(|pair| shifted(pair, i, j)));
        if old_at < old.len() {
            found.push(Pair::Both(old_at, new_at));
        }
        (i, j) = (old_at + 1, new_at + 1);
    }
    found
}

/// Returns the places of the texts that are there once in both lists: the longest sequence of them that has the same order in both.
fn anchors(old: &[&str], new: &[&str]) -> Vec<(usize, usize)> {
    let in_new = single_places(new);
    let singles = single_places(old);
    let mut common: Vec<(usize, usize)> =
        singles.iter().filter_map(|(text, old)| Some((*old, *in_new.get(text)?))).collect();
    common.sort_unstable();
    // The smallest last place of a sequence of each length, as an index in `common`; and what comes before each entry in its best sequence.
    let mut ends: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(common.len());
    let place = |index: &usize| common.get(*index).map_or(0, |(_, new)| *new);
    for (index, (_, new)) in common.iter().enumerate() {
        let length = ends.partition_point(|end| place(end) < *new);
        before.push(length.checked_sub(1).and_then(|last| ends.get(last)).copied());
        match ends.get_mut(length) {
            Some(end) => *end = index,
            None => ends.push(index),
        }
    }
    let mut sequence: Vec<(usize, usize)> =
        std::iter::successors(ends.last().copied(), |index| before.get(*index).copied().flatten())
            .filter_map(|index| common.get(index).copied())
            .collect();
    sequence.reverse();
    sequence
}

/// Returns the places of the texts that are in the list only once.
fn single_places<'a>(texts: &[&'a str]) -> HashMap<&'a str, usize> {
    let mut places: HashMap<&str, Option<usize>> = HashMap::new();
    for (place, text) in texts.iter().enumerate() {
        places.entry(text).and_modify(|known| *known = None).or_insert(Some(place));
    }
    places.into_iter().filter_map(|(text, place)| Some((text, place?))).collect()
}

/// Aligns equal texts only: each old text is matched with the next equal new one.
fn align_equal(old: &[&str], new: &[&str]) -> Vec<Pair> {
    let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
    for (index, text) in new.iter().enumerate().rev() {
        places.entry(text).or_default().push(index);
    }
    let mut found = Vec::with_capacity(old.len() + new.len());
    let mut next = 0;
    for (index, text) in old.iter().enumerate() {
        let later = places.get_mut(text).and_then(|places| {
            while places.last().is_some_and(|place| *place < next) {
                places.pop();
            }
            places.pop()
        });
        let Some(place) = later else {
            found.push(Pair::Old(index));
            continue;
        };
        found.extend((next..place).map(Pair::New));
        found.push(Pair::Both(index, place));
        next = place + 1;
    }
    found.extend((next..new.len()).map(Pair::New));
    found
}

/// Returns the pairs of neighbouring characters, ignoring white space, sorted.
fn pairs(text: &str) -> Vec<(char, char)> {
    let characters: Vec<char> = text.chars().filter(|character| !character.is_whitespace()).collect();
    let mut pairs: Vec<(char, char)> =
        characters.iter().copied().zip(characters.iter().copied().skip(1)).collect();
    pairs.sort_unstable();
    pairs
}

/// Returns the fraction of pairs that both texts have (the Dice coefficient), from 0 to 1.
fn likeness(old: &[(char, char)], new: &[(char, char)]) -> f64 {
    let (mut olds, mut news) = (old.iter().peekable(), new.iter().peekable());
    let mut common = 0_usize;
    while let (Some(old), Some(new)) = (olds.peek(), news.peek()) {
        match old.cmp(new) {
            std::cmp::Ordering::Less => drop(olds.next()),
            std::cmp::Ordering::Greater => drop(news.next()),
            std::cmp::Ordering::Equal => {
                common += 1;
                olds.next();
                news.next();
            }
        }
    }
    2.0 * common as f64 / (old.len() + new.len()).max(1) as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn equal_and_alike_texts_are_pairs() {
        use Pair::{Both, New, Old};
        let old = ["The sea was calm.", "He lit the lamp.", "Nobody came.", "The end."];
        for (new, pairs) in [
            (&old[..], vec![Both(0, 0), Both(1, 1), Both(2, 2), Both(3, 3)]),
            (&["The sea was calm.", "The end."], vec![Both(0, 0), Old(1), Old(2), Both(3, 1)]),
            (
                &["A storm.", "The sea was very calm.", "He lit the old lamp.", "Nobody came.", "The end."],
                vec![New(0), Both(0, 1), Both(1, 2), Both(2, 3), Both(3, 4)],
            ),
            (&[], vec![Old(0), Old(1), Old(2), Old(3)]),
        ] {
            assert_eq!(align(&old, new), pairs, "{new:?}");
        }
        assert_eq!(
            align_equal(&["a", "b", "c"], &["x", "b", "a", "c"]),
            [New(0), New(1), Both(0, 2), Old(1), Both(2, 3)]
        );
    }

    #[test]
    fn long_lists_are_divided_at_texts_that_are_there_once() {
        let with_refrain = |number: usize| {
            if number.is_multiple_of(3) { "Yes.".to_owned() } else { format!("Line {number} of the tale.") }
        };
        let old: Vec<String> = (0..6_000).map(with_refrain).collect();
        let mut new = old.clone();
        new[3_001] = "Line 3001 of the long tale.".to_owned();
        new.insert(5_999, "One more.".to_owned());
        drop(new.remove(3));
        let (old, new): (Vec<&str>, Vec<&str>) =
            (old.iter().map(String::as_str).collect(), new.iter().map(String::as_str).collect());
        let pairs = align(&old, &new);
        let both = pairs.iter().filter(|pair| matches!(pair, Pair::Both(..))).count();
        assert_eq!((both, pairs.len()), (5_999, 6_001), "one text is gone, and one is new");
    }

    proptest! {
        #[test]
        fn every_text_is_there_once_and_in_order(
            old in proptest::collection::vec("[ab]{0,4}", 0..12),
            new in proptest::collection::vec("[ab]{0,4}", 0..12),
        ) {
            let old: Vec<&str> = old.iter().map(String::as_str).collect();
            let new: Vec<&str> = new.iter().map(String::as_str).collect();
            for pairs in [align(&old, &new), align_equal(&old, &new), align_anchored(&old, &new)] {
                let olds = pairs.iter().filter_map(|pair| match pair { Pair::Both(old, _) | Pair::Old(old) => Some(*old), Pair::New(_) => None });
                let news = pairs.iter().filter_map(|pair| match pair { Pair::Both(_, new) | Pair::New(new) => Some(*new), Pair::Old(_) => None });
                prop_assert!(olds.eq(0..old.len()));
                prop_assert!(news.eq(0..new.len()));
            }
        }
    }
}
