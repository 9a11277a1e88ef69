//! Groups the sentences of a changed story as the former shots had them. Pure.
//!
//! A language model, or a person, groups sentences otherwise than the rules do. So a changed story is not split by rule as a whole: each former end of
//! a shot stays where the sentence before it, or the one behind it, is still in the story. Only what is new or too long is split by rule.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    ops::Range,
};

use super::align::{Pair, align};
use crate::{
    characters::letters,
    sentences::sentences_in,
    speaking_time,
    split::{LEAST_S, MOST_S, SplitScene, SplitShot, SplitStory, shots_of},
};

/// A sentence: its bytes in the text, and its letters, which are its characters without white space.
#[derive(Debug)]
struct Sentence {
    range: Range<usize>,
    letters: String,
}

/// Returns the story with its sentences in the groups that the former shots had.
pub(super) fn regrouped(story: &SplitStory, former: &[&str], language: Option<&str>) -> SplitStory {
    let text = story.text.as_str();
    let scenes: Vec<Range<usize>> = story.scenes.iter().map(range_of).collect();
    let new: Vec<Sentence> = scenes.iter().flat_map(|scene| sentences(text, scene.clone())).collect();
    let (old_text, ends) = joined(former, &new);
    let old = sentences(&old_text, 0..old_text.len());
    let matches: HashMap<usize, usize> = align(&letters_of(&old), &letters_of(&new))
        .into_iter()
        .filter_map(|pair| if let Pair::Both(old, new) = pair { Some((old, new)) } else { None })
        .collect();
    let groups = Groups {
        text,
        language,
        cuts: cuts(text, (&old, &ends), &new, &matches),
        known: matches.values().filter_map(|index| new.get(*index)).map(|known| known.range.start).collect(),
        former: former.iter().map(|text| letters(text)).collect(),
    };
    let scenes = story
        .scenes
        .iter()
        .zip(scenes)
        .map(|(scene, range)| SplitScene { title: scene.title.clone(), shots: groups.shots(range) });
    SplitStory { text: story.text.clone(), scenes: scenes.collect() }
}

/// Returns the bytes of a scene's text.
fn range_of(scene: &SplitScene) -> Range<usize> {
    match (scene.shots.first(), scene.shots.last()) {
        (Some(first), Some(last)) => first.range.start..last.range.end,
        _ => 0..0,
    }
}

/// Returns the sentences of a part of a text.
fn sentences(text: &str, part: Range<usize>) -> Vec<Sentence> {
    let of = |range: Range<usize>| text.get(range).unwrap_or_default();
    sentences_in(text, part)
        .into_iter()
        .map(|range| Sentence { letters: letters(of(range.clone())), range })
        .collect()
}

fn letters_of(sentences: &[Sentence]) -> Vec<&str> {
    sentences.iter().map(|sentence| sentence.letters.as_str()).collect()
}

/// Joins the texts of the former shots. Returns the text, and the number of letters before the end of each shot. A line ends where a shot ends with a
/// whole sentence of the new story; elsewhere a long sentence may go on in the next shot.
fn joined(former: &[&str], new: &[Sentence]) -> (String, Vec<usize>) {
    let whole: HashSet<&str> = new.iter().map(|sentence| sentence.letters.as_str()).collect();
    let (mut text, mut count, mut ends) = (String::new(), 0, Vec::new());
    for shot in former.iter().map(|shot| shot.trim()).filter(|shot| !shot.is_empty()) {
        text.push_str(shot);
        let last = sentences(shot, 0..shot.len()).pop();
        let is_whole = last.is_some_and(|last| whole.contains(last.letters.as_str()));
        text.push(if is_whole { '\n' } else { ' ' });
        count += letters(shot).chars().count();
        ends.push(count);
    }
    (text, ends)
}

/// Returns the bytes of the new text at which a former shot ended. `matches` has the new sentence of each former one that is still there.
fn cuts(
    text: &str,
    (old, ends): (&[Sentence], &[usize]),
    new: &[Sentence],
    matches: &HashMap<usize, usize>,
) -> BTreeSet<usize> {
    let mut cuts = BTreeSet::new();
    let found = |index: usize| matches.get(&index).and_then(|index| new.get(*index));
    let mut ends = ends.iter().copied().peekable();
    let mut before = 0;
    for (index, sentence) in old.iter().enumerate() {
        let behind = before + sentence.letters.chars().count();
        while let Some(end) = ends.next_if(|end| *end <= behind) {
            if end == behind {
                cuts.extend(found(index).map(|new| new.range.end));
                cuts.extend(found(index + 1).map(|new| new.range.start));
            } else if let Some(new) = found(index).filter(|new| new.letters == sentence.letters) {
                cuts.extend(byte_behind(text, &new.range, end - before));
            }
        }
        before = behind;
    }
    cuts
}

/// Returns the position behind this many letters of a part of the text.
fn byte_behind(text: &str, part: &Range<usize>, count: usize) -> Option<usize> {
    let letters = text.get(part.clone())?.char_indices().filter(|(_, character)| !character.is_whitespace());
    letters.skip(count.checked_sub(1)?).map(|(at, character)| part.start + at + character.len_utf8()).next()
}

/// Where the shots of the new story end.
struct Groups<'a> {
    text: &'a str,
    language: Option<&'a str>,
    /// The bytes at which a former shot ended.
    cuts: BTreeSet<usize>,
    /// The bytes at which the sentences begin that the former story had, equal or alike.
    known: BTreeSet<usize>,
    /// The letters of each former shot.
    former: HashSet<String>,
}

impl Groups<'_> {
    /// Returns the shots of a scene.
    fn shots(&self, scene: Range<usize>) -> Vec<SplitShot> {
        let mut shots = Vec::new();
        let mut start = scene.start;
        let ends = self.cuts.range(scene.start..scene.end).copied().chain([scene.end]);
        for end in ends {
            self.add(start..end, &mut shots);
            start = end;
        }
        shots
    }

    /// Adds a part of the text. What is new or too long is split by rule, and what is new and short belongs to the shot before it.
    fn add(&self, part: Range<usize>, shots: &mut Vec<SplitShot>) {
        let Some(part) = self.trimmed(part) else { return };
        let shot = self.shot(part.clone());
        if self.former.contains(&letters(&shot.text)) {
            shots.push(shot);
            return;
        }
        let is_new = self.known.range(part.clone()).next().is_none();
        if !is_new && shot.seconds <= MOST_S {
            shots.push(shot);
            return;
        }
        if let Some(last) = shots.last_mut().filter(|_| is_new && shot.seconds < LEAST_S) {
            let both = self.shot(last.range.start..part.end);
            if both.seconds <= MOST_S {
                *last = both;
                return;
            }
        }
        let mut at = part.start;
        for text in shots_of(&shot.text, self.language) {
            let found = self.text.get(at..part.end).and_then(|rest| rest.find(&text));
            let start = at + found.unwrap_or_default();
            at = (start + text.len()).min(part.end);
            shots.push(self.shot(start..at));
        }
    }

    fn trimmed(&self, part: Range<usize>) -> Option<Range<usize>> {
        let text = self.text.get(part.clone())?;
        let start = part.start + text.len() - text.trim_start().len();
        let end = part.start + text.trim_end().len();
        (start < end).then_some(start..end)
    }

    fn shot(&self, range: Range<usize>) -> SplitShot {
        let text = self.text.get(range.clone()).unwrap_or_default().to_owned();
        let seconds = speaking_time(&text, self.language).as_secs_f64();
        SplitShot { range, text, seconds }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::split;

    const STORY: &str = "# The Lamp\n\nThe keeper climbed the stairs. He lit the lamp. \"Is anybody there?\" he called.\n\nNobody answered him.\n\n\
        # The Boat\n\nIn the morning a boat lay on the beach. It was empty.\n";

    fn texts(story: &SplitStory) -> Vec<&str> {
        story.shots().map(|shot| shot.text.as_str()).collect()
    }

    #[test]
    fn former_groups_stay_where_their_sentences_are_still_there() {
        // As a model grouped them: shots of one sentence, of two, and across a paragraph.
        let former = [
            "The keeper climbed the stairs.",
            "He lit the lamp.",
            "\"Is anybody there?\" he called.\nNobody answered him.",
            "In the morning a boat lay on the beach. It was empty.",
        ];
        let long =
            "He waited until the last star had gone and the sea was white with the first light of the day.";
        let with_long = format!("lamp. {long}");
        for (from, to, expected) in [
            ("", "", former.to_vec()),
            (
                "lit the lamp",
                "lit the great lamp",
                vec![former[0], "He lit the great lamp.", former[2], former[3]],
            ),
            ("lamp.", with_long.as_str(), vec![former[0], former[1], long, former[2], former[3]]),
            ("He lit the lamp. ", "", vec![former[0], former[2], former[3]]),
            ("lamp.", "lamp. Light!", vec![former[0], "He lit the lamp. Light!", former[2], former[3]]),
            (
                " It was empty.",
                " It was quite empty.",
                vec![
                    former[0],
                    former[1],
                    former[2],
                    "In the morning a boat lay on the beach. It was quite empty.",
                ],
            ),
            (
                "stairs. He lit",
                "stairs and lit",
                vec!["The keeper climbed the stairs and lit the lamp.", former[2], former[3]],
            ),
        ] {
            let story = split(&STORY.replacen(from, to, 1), None).unwrap();
            let regrouped = regrouped(&story, &former, None);
            assert_eq!(texts(&regrouped), expected, "{from:?} became {to:?}");
            assert_eq!(regrouped.scenes[1].title.as_deref(), Some("The Boat"));
            assert!(
                regrouped.shots().all(|shot| story.text[shot.range.clone()] == shot.text),
                "{regrouped:?}"
            );
        }
    }

    #[test]
    fn a_story_without_anything_in_common_is_split_by_rule() {
        let story = split(STORY, None).unwrap();
        for former in [&["One day the sun did not rise over Kyoto."][..], &[], &["", " "]] {
            assert_eq!(texts(&regrouped(&story, former, None)), texts(&story), "{former:?}");
        }
    }

    #[test]
    fn a_sentence_that_was_cut_stays_cut_in_the_same_places() {
        for text in [
            "the wind went on and on over the grey water of the bay, ".repeat(12),
            "风一直吹过海湾灰色的水面，".repeat(12),
        ] {
            let story = split(&format!("{text}and then it stopped."), None).unwrap();
            assert!(story.shots().count() > 2);
            assert_eq!(regrouped(&story, &texts(&story), None), story);
        }
    }

    proptest! {
        #[test]
        fn an_unchanged_story_keeps_its_shots_and_a_changed_one_loses_nothing(
            words in proptest::collection::vec("[a-d]{1,9}[.!,]?|\n\n|# x\n", 1..80),
            other in proptest::collection::vec("[a-d]{1,9}[.!,]?|\n\n", 1..80),
            keeps in 0_usize..80,
        ) {
            let Ok(story) = split(&words.join(" "), None) else { return Ok(()) };
            let changed = [words.get(..keeps.min(words.len())).unwrap_or_default(), &other].concat().join(" ");
            prop_assert_eq!(regrouped(&story, &texts(&story), None), story.clone());
            let Ok(changed) = split(&changed, None) else { return Ok(()) };
            let found = regrouped(&changed, &texts(&story), None);
            let told: String = texts(&found).iter().map(|text| letters(text)).collect();
            prop_assert_eq!(told, letters(&changed.text));
        }
    }
}
