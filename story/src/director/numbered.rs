//! Numbers the sentences of a story. A model answers with these numbers, so it can neither lose nor change the text.

use std::ops::Range;

use crate::{SplitStory, sentences::sentences_in, speaking_time, split::shots_of};

/// Largest speaking time of a shot, in seconds. A longer one is divided by rule.
const LONGEST_SHOT_S: f64 = 12.0;

/// The sentences of a story, in their order.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Numbered {
    text: String,
    sentences: Vec<Sentence>,
    /// The heading of each scene; None for a scene without one.
    pub titles: Vec<Option<String>>,
    language: Option<String>,
}

/// A sentence: its bytes in the text, and the number of its scene.
#[derive(Debug, Clone, PartialEq)]
struct Sentence {
    range: Range<usize>,
    scene: usize,
}

impl Numbered {
    /// Numbers the sentences of a story that was split by rule.
    pub fn of(story: &SplitStory, language: Option<&str>) -> Self {
        let mut numbered = Self {
            text: story.text.clone(),
            sentences: Vec::new(),
            titles: story.scenes.iter().map(|scene| scene.title.clone()).collect(),
            language: language.map(str::to_owned),
        };
        for (scene, split) in story.scenes.iter().enumerate() {
            let (Some(first), Some(last)) = (split.shots.first(), split.shots.last()) else { continue };
            let ranges = sentences_in(&story.text, first.range.start..last.range.end);
            numbered.sentences.extend(ranges.into_iter().map(|range| Sentence { range, scene }));
        }
        numbered
    }

    /// Returns the number of sentences.
    pub fn len(&self) -> usize {
        self.sentences.len()
    }

    /// Returns the text of the sentence with this index, from 0.
    pub fn sentence(&self, index: usize) -> &str {
        self.sentences
            .get(index)
            .and_then(|sentence| self.text.get(sentence.range.clone()))
            .unwrap_or_default()
    }

    /// Returns the scene of the sentence with this index.
    pub fn scene(&self, index: usize) -> usize {
        self.sentences.get(index).map_or(0, |sentence| sentence.scene)
    }

    /// Returns the sentences as a model sees them: one in each line, behind its number from 1. A line marks where a scene begins.
    pub fn listing(&self, sentences: Range<usize>) -> String {
        let mut lines = Vec::new();
        let mut scene = None;
        for index in sentences {
            if scene.replace(self.scene(index)) != Some(self.scene(index)) {
                let title = self.titles.get(self.scene(index)).cloned().flatten().unwrap_or_default();
                lines.push(format!("--- scene {} {title}", self.scene(index) + 1).trim_end().to_owned());
            }
            lines.push(format!("{} {}", index + 1, self.sentence(index).replace('\n', " ")));
        }
        lines.join("\n")
    }

    /// Divides sentences into the texts of shots: at the ends of scenes, and by rule where a shot would be too long. Each comes with its scene.
    pub fn texts(&self, sentences: Range<usize>) -> Vec<(usize, String)> {
        self.divided(sentences, LONGEST_SHOT_S)
    }

    /// Divides sentences into shots by rule. Each text comes with its scene.
    pub fn texts_by_rule(&self, sentences: Range<usize>) -> Vec<(usize, String)> {
        self.divided(sentences, 0.0)
    }

    /// Divides sentences at the ends of scenes, and by rule where a part takes longer to speak than `longest_s`.
    fn divided(&self, sentences: Range<usize>, longest_s: f64) -> Vec<(usize, String)> {
        let language = self.language.as_deref();
        let mut texts = Vec::new();
        for part in self.by_scene(sentences) {
            let Some((first, last)) = self.sentences.get(part.start).zip(self.sentences.get(part.end - 1))
            else {
                continue;
            };
            let text = self.text.get(first.range.start..last.range.end).unwrap_or_default();
            if speaking_time(text, language).as_secs_f64() <= longest_s {
                texts.push((first.scene, text.to_owned()));
            } else {
                texts.extend(shots_of(text, language).into_iter().map(|text| (first.scene, text)));
            }
        }
        texts
    }

    fn by_scene(&self, sentences: Range<usize>) -> Vec<Range<usize>> {
        let mut parts: Vec<Range<usize>> = Vec::new();
        for index in sentences {
            match parts.last_mut() {
                Some(part) if self.scene(part.start) == self.scene(index) => part.end = index + 1,
                _ => parts.push(index..index + 1),
            }
        }
        parts
    }

    /// Divides the sentences into consecutive ranges that measure at most `most`, each as long as possible. A range ends with a scene if more than
    /// half of it is full there.
    pub fn windows(&self, most: usize, measure: impl Fn(&str) -> usize) -> Vec<Range<usize>> {
        let mut windows = Vec::new();
        let (mut start, mut size) = (0, 0);
        for index in 0..self.len() {
            let weight = measure(self.sentence(index));
            let is_new_scene = index > start && self.scene(index) != self.scene(index - 1);
            if index > start && (size + weight > most || (is_new_scene && size * 2 > most)) {
                windows.push(start..index);
                (start, size) = (index, 0);
            }
            size += weight;
        }
        if start < self.len() {
            windows.push(start..self.len());
        }
        windows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::split;

    const STORY: &str = "CHAPTER I\n\nThe keeper lit the lamp. \"Go!\" he cried. The sea was calm.\n\nA gull came.\n\nCHAPTER II\n\nMorning broke.";

    #[test]
    fn sentences_have_numbers_and_scenes_and_lose_nothing() {
        let story = split(STORY, None).unwrap();
        let numbered = Numbered::of(&story, None);
        let sentences: Vec<_> = (0..numbered.len()).map(|index| numbered.sentence(index)).collect();
        assert_eq!(
            sentences,
            [
                "The keeper lit the lamp.",
                "\"Go!\" he cried.",
                "The sea was calm.",
                "A gull came.",
                "Morning broke."
            ]
        );
        assert_eq!(
            numbered.listing(2..5),
            "--- scene 1 CHAPTER I\n3 The sea was calm.\n4 A gull came.\n--- scene 2 CHAPTER II\n5 Morning broke."
        );
        assert_eq!(
            numbered.texts(3..5),
            [(0, "A gull came.".to_owned()), (1, "Morning broke.".to_owned())],
            "a shot ends with its scene"
        );
        assert_eq!(numbered.windows(2, |_| 1), [0..2, 2..4, 4..5]);
        assert_eq!(numbered.windows(5, |_| 1), [0..4, 4..5]);
        let all: String = numbered.texts_by_rule(0..5).into_iter().map(|(_, text)| text).collect();
        let whole = |text: &str| text.chars().filter(|one| !one.is_whitespace()).collect::<String>();
        assert_eq!(whole(&all), whole(&story.text));
    }

    #[test]
    fn a_long_shot_is_divided() {
        let text = "The wind went on and on over the grey water of the bay. ".repeat(12);
        let story = split(&text, None).unwrap();
        let numbered = Numbered::of(&story, None);
        let texts = numbered.texts(0..12);
        assert!(texts.len() > 3, "{texts:?}");
    }
}
