//! What a person changed in the shots since the story was split: texts that were edited, added, removed, joined or divided. Pure.

use std::{collections::HashMap, ops::Range};

use super::align::{Pair, align};
use crate::characters::letters;

/// The texts of shots that a person added to or removed from the former split of the story. The same text may be there several times, such as a
/// refrain, so each change is counted. All counts are 0 if the former split is not known.
#[derive(Debug, Default, Clone)]
pub(super) struct OwnTexts {
    added: HashMap<String, usize>,
    removed: HashMap<String, usize>,
}

impl OwnTexts {
    /// Finds a person's changes. `base` has the former shots of the story as the person grouped them, and `new` those of the changed story. Where the story
    /// changed the same part, only what it did not change counts, and what the person removed there comes back, so that no sentence is lost.
    pub fn of(base: &[&str], shots: &[&str], new: &[&str]) -> Self {
        let mut own = Self::default();
        let left = counts(new);
        for (of_base, of_shots) in unequal(base, shots) {
            let (base, shots) = (part(base, &of_base), part(shots, &of_shots));
            // Whether the changed story still has all former texts of this part.
            let is_unchanged = counts(base).iter().all(|(text, count)| left.get(text) >= Some(count));
            if is_unchanged {
                own.removed = merged(own.removed, base);
                own.added = merged(own.added, shots);
                continue;
            }
            for pair in align(base, shots) {
                match pair {
                    Pair::Both(former, shot) => {
                        let (Some(former), Some(shot)) = (base.get(former), shots.get(shot)) else {
                            continue;
                        };
                        if left.contains_key(*former) {
                            add(&mut own.removed, former);
                            add(&mut own.added, shot);
                        }
                    }
                    Pair::New(shot) => {
                        own.added = merged(own.added, shots.get(shot..=shot).unwrap_or_default());
                    }
                    Pair::Old(_) => {}
                }
            }
        }
        own
    }

    /// Whether a person added a shot with this text. Each such shot is found once.
    pub fn take_added(&mut self, text: &str) -> bool {
        take(&mut self.added, text)
    }

    /// Whether a person removed a shot with this text, or changed its text. Each such shot is found once.
    pub fn take_removed(&mut self, text: &str) -> bool {
        take(&mut self.removed, text)
    }
}

/// Returns the texts of the former split in the groups of the shots, where a person only joined or divided shots.
pub(super) fn as_grouped<'a>(base: &[&'a str], shots: &[&'a str]) -> Vec<&'a str> {
    let mut grouped = Vec::with_capacity(base.len());
    let mut at = 0;
    for (of_base, of_shots) in unequal(base, shots) {
        grouped.extend(part(base, &(at..of_base.start)));
        at = of_base.end;
        let (former, shots) = (part(base, &of_base), part(shots, &of_shots));
        let (former_start, start) = equal_start(&letters_of(former), &letters_of(shots));
        let former = part(former, &(former_start..former.len()));
        let rest = part(shots, &(start..shots.len()));
        let reversed = |texts: &[&str]| {
            letters_of(texts).iter().rev().map(|text| text.chars().rev().collect()).collect::<Vec<String>>()
        };
        let (former_end, end) = equal_start(&reversed(former), &reversed(rest));
        grouped.extend(part(shots, &(0..start)));
        grouped.extend(part(former, &(0..former.len() - former_end)));
        grouped.extend(part(rest, &(rest.len() - end..rest.len())));
    }
    grouped.extend(part(base, &(at..base.len())));
    grouped
}

/// Returns how many texts at the start of both lists have the same letters when they are joined.
fn equal_start(left: &[String], right: &[String]) -> (usize, usize) {
    let whole = [left.concat(), right.concat()];
    let [left_whole, right_whole] = &whole;
    let common =
        left_whole.bytes().zip(right_whole.bytes()).take_while(|(left, right)| left == right).count();
    let ends = |texts: &[String]| {
        let mut end = 0;
        texts
            .iter()
            .enumerate()
            .map(|(index, text)| {
                end += text.len();
                (end, index + 1)
            })
            .collect::<Vec<_>>()
    };
    let of_right: HashMap<usize, usize> = ends(right).into_iter().collect();
    let ends = ends(left).into_iter().take_while(|(end, _)| *end <= common);
    ends.filter_map(|(end, count)| Some((count, *of_right.get(&end)?))).last().unwrap_or_default()
}

/// Returns the parts of both lists that lie between texts that are equal and in the same order.
fn unequal(base: &[&str], shots: &[&str]) -> Vec<(Range<usize>, Range<usize>)> {
    let equal = align(base, shots).into_iter().filter_map(|pair| match pair {
        Pair::Both(old, new) => (base.get(old) == shots.get(new)).then_some((old, new)),
        Pair::Old(_) | Pair::New(_) => None,
    });
    let mut found = Vec::new();
    let (mut old_at, mut new_at) = (0, 0);
    for (old, new) in equal.chain([(base.len(), shots.len())]) {
        if old > old_at || new > new_at {
            found.push((old_at..old, new_at..new));
        }
        (old_at, new_at) = (old + 1, new + 1);
    }
    found
}

fn part<'a, T>(list: &'a [T], range: &Range<usize>) -> &'a [T] {
    list.get(range.clone()).unwrap_or_default()
}

fn letters_of(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| letters(text)).collect()
}

fn counts(texts: &[&str]) -> HashMap<String, usize> {
    merged(HashMap::new(), texts)
}

fn merged(mut counts: HashMap<String, usize>, texts: &[&str]) -> HashMap<String, usize> {
    for text in texts {
        add(&mut counts, text);
    }
    counts
}

fn add(counts: &mut HashMap<String, usize>, text: &str) {
    *counts.entry(text.to_owned()).or_default() += 1;
}

fn take(counts: &mut HashMap<String, usize>, text: &str) -> bool {
    let Some(count) = counts.get_mut(text).filter(|count| **count > 0) else { return false };
    *count -= 1;
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_and_divided_shots_are_groups_and_edited_ones_are_not() {
        let base = ["a b.", "c.", "d.", "e f.", "g."];
        for (shots, expected) in [
            (&base[..], &base[..]),
            (&["a b. c.", "d.", "e f.", "g."], &["a b. c.", "d.", "e f.", "g."]),
            (&["a", "b.", "c.", "d.", "e", "f. g."], &["a", "b.", "c.", "d.", "e", "f. g."]),
            (&["a b. c.", "x.", "e f. g."], &["a b. c.", "d.", "e f. g."]),
            (&["own.", "a b.", "c. d.", "g."], &["a b.", "c. d.", "e f.", "g."]),
            (&[], &base),
        ] {
            assert_eq!(as_grouped(&base, shots), expected, "{shots:?}");
        }
    }

    #[test]
    fn a_change_counts_where_the_story_still_has_the_text() {
        let base = ["one.", "two.", "three.", "four."];
        let shots = ["one.", "my two.", "added.", "four."];
        // The new story, the texts that a person added, and those that it removed.
        for (new, added, removed) in [
            (&base[..], &["my two.", "added."][..], &["two.", "three."][..]),
            (&["one.", "two.", "3.", "four."], &["my two.", "added."], &["two."]),
            (&["one.", "2.", "three.", "four."], &["added."], &[]),
        ] {
            let mut own = OwnTexts::of(&base, &shots, new);
            let is_added: Vec<&str> = shots.into_iter().filter(|text| own.take_added(text)).collect();
            let is_removed: Vec<&str> = base.into_iter().filter(|text| own.take_removed(text)).collect();
            assert_eq!((is_added.as_slice(), is_removed.as_slice()), (added, removed), "{new:?}");
        }
    }
}
