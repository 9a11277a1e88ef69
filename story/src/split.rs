//! Splits a story into scenes and shots by rule: without a model, and without losing or changing a character.

use std::ops::Range;

use crate::{
    blocks::{Block, blocks},
    characters::opens_speech,
    cut::cut,
    sentences::sentence_ends,
    source::{StoryError, decode},
    speaking_time,
};

/// Speaking time up to which sentences are added to a shot, in seconds.
const FULL_S: f64 = 6.0;
/// Largest speaking time of a shot, in seconds. Longer sentences are cut.
pub(crate) const MOST_S: f64 = 12.0;
/// Smallest speaking time of a shot, in seconds. A shorter shot is joined with a neighbour where that is possible.
pub const LEAST_S: f64 = 2.0;
/// Largest speaking time of a shot that is joined from a short one and the one before it, in seconds.
const JOINED_S: f64 = 9.0;

/// The result of splitting a story.
#[derive(Debug, Clone, PartialEq)]
pub struct SplitStory {
    /// The spoken text, in the composed form of Unicode (NFC): one paragraph in each line, without headings and separators.
    pub text: String,
    /// The scenes in their order.
    pub scenes: Vec<SplitScene>,
}

/// A scene: the text between headings or separators. It has no shots if its heading is followed by another heading.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SplitScene {
    /// The text of the heading; None behind a separator or at the start of the story.
    pub title: Option<String>,
    /// The shots in their order.
    pub shots: Vec<SplitShot>,
}

/// The text that is spoken over one picture.
#[derive(Debug, Clone, PartialEq)]
pub struct SplitShot {
    /// The byte range of the text in [`SplitStory::text`]. Between two shots there is only white space.
    pub range: Range<usize>,
    /// The text. It has a line break where a paragraph ends inside the shot.
    pub text: String,
    /// The estimated speaking time, in seconds.
    pub seconds: f64,
}

/// Splits a story's bytes, which must be text in UTF-8. The language (BCP 47) only tells whether Chinese characters are read as Chinese or Japanese.
pub fn split_bytes(bytes: &[u8], language: Option<&str>) -> Result<SplitStory, StoryError> {
    split(decode(bytes)?, language)
}

/// Splits a story. Fails if it has no text to speak.
pub fn split(text: &str, language: Option<&str>) -> Result<SplitStory, StoryError> {
    let blocks = blocks(text);
    if blocks.is_empty() {
        return Err(StoryError::Empty);
    }
    let mut builder = ShotBuilder { language, text: String::new(), scenes: vec![SplitScene::default()] };
    for block in blocks {
        match block {
            Block::Heading(title) => builder.open(Some(title)),
            Block::Separator => builder.open(None),
            Block::Paragraph(paragraph) => builder.add(&paragraph),
        }
    }
    let ShotBuilder { text, mut scenes, .. } = builder;
    if text.is_empty() {
        return Err(StoryError::HeadingsOnly);
    }
    scenes.retain(|scene| scene.title.is_some() || !scene.shots.is_empty());
    for scene in &mut scenes {
        join_short(scene, &text, language);
    }
    Ok(SplitStory { text, scenes })
}

/// Divides spoken text, without headings, into the texts of shots.
pub(crate) fn shots_of(text: &str, language: Option<&str>) -> Vec<String> {
    let mut builder = ShotBuilder { language, text: String::new(), scenes: vec![SplitScene::default()] };
    for paragraph in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        builder.add(paragraph);
    }
    let ShotBuilder { text, mut scenes, .. } = builder;
    for scene in &mut scenes {
        join_short(scene, &text, language);
    }
    scenes.into_iter().flat_map(|scene| scene.shots).map(|shot| shot.text).collect()
}

impl SplitStory {
    /// Returns all shots in their order.
    pub fn shots(&self) -> impl Iterator<Item = &SplitShot> {
        self.scenes.iter().flat_map(|scene| &scene.shots)
    }
}

struct ShotBuilder<'a> {
    language: Option<&'a str>,
    text: String,
    scenes: Vec<SplitScene>,
}

impl ShotBuilder<'_> {
    fn open(&mut self, title: Option<String>) {
        self.scenes.push(SplitScene { title, shots: Vec::new() });
    }

    fn add(&mut self, paragraph: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        let offset = self.text.len();
        self.text.push_str(paragraph);
        let mut start = 0;
        for end in sentence_ends(paragraph) {
            let sentence = paragraph.get(start..end).unwrap_or_default();
            let mut at = offset + start;
            start = end;
            let mut pieces = Vec::new();
            cut(sentence, MOST_S, &|piece| seconds(piece, self.language), &mut pieces);
            for piece in pieces {
                let range = trimmed(piece, at);
                at += piece.len();
                if !range.is_empty() {
                    self.place(range, at == offset + piece.len());
                }
            }
        }
    }

    /// Adds a sentence to the last shot, or begins a new shot with it.
    fn place(&mut self, range: Range<usize>, begins_paragraph: bool) {
        let language = self.language;
        let text = &self.text;
        let part = |range: &Range<usize>| text.get(range.clone()).unwrap_or_default();
        let Some(scene) = self.scenes.last_mut() else { return };
        let is_set_off = begins_paragraph || part(&range).starts_with(opens_speech);
        if let Some(last) = scene.shots.last_mut() {
            let joined = last.range.start..range.end;
            let joined_s = seconds(part(&joined), language);
            if joined_s <= FULL_S && !(is_set_off && last.seconds >= LEAST_S) {
                *last = SplitShot { text: part(&joined).to_owned(), seconds: joined_s, range: joined };
                return;
            }
        }
        let shot =
            SplitShot { text: part(&range).to_owned(), seconds: seconds(part(&range), language), range };
        scene.shots.push(shot);
    }
}

/// Joins shots that are too short with the ones before them.
fn join_short(scene: &mut SplitScene, text: &str, language: Option<&str>) {
    let mut joined: Vec<SplitShot> = Vec::with_capacity(scene.shots.len());
    for shot in scene.shots.drain(..) {
        if let Some(last) = joined.last_mut().filter(|_| shot.seconds < LEAST_S) {
            let range = last.range.start..shot.range.end;
            let both = text.get(range.clone()).unwrap_or_default();
            let both_s = seconds(both, language);
            if both_s <= JOINED_S {
                *last = SplitShot { text: both.to_owned(), seconds: both_s, range };
                continue;
            }
        }
        joined.push(shot);
    }
    scene.shots = joined;
}

fn seconds(text: &str, language: Option<&str>) -> f64 {
    speaking_time(text, language).as_secs_f64()
}

/// Returns the byte range of a piece, which begins at `at`, without the white space at its ends.
fn trimmed(piece: &str, at: usize) -> Range<usize> {
    let start = at + piece.len() - piece.trim_start().len();
    start..(at + piece.trim_end().len()).max(start)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use unicode_normalization::UnicodeNormalization as _;

    use super::*;

    fn texts(story: &SplitStory) -> Vec<&str> {
        story.shots().map(|shot| shot.text.as_str()).collect()
    }

    /// Asserts that the shots follow each other in the text with only white space between them.
    #[track_caller]
    fn assert_whole(story: &SplitStory) {
        let mut at = 0;
        for shot in story.shots() {
            assert!(story.text[at..shot.range.start].trim().is_empty(), "lost before {:?}", shot.text);
            assert_eq!(&story.text[shot.range.clone()], shot.text);
            assert!(!shot.text.trim().is_empty());
            at = shot.range.end;
        }
        assert!(story.text[at..].trim().is_empty(), "lost at the end: {:?}", &story.text[at..]);
    }

    #[test]
    fn sentences_are_packed_and_quotes_and_paragraphs_begin_shots() {
        let story = "The keeper climbed the stairs every evening. He lit the lamp. He looked out over the dark water, \
                     and nobody came.\n\n\"Is anybody there?\" he called into the wind that night.\n\nNobody answered him at all that night.";
        assert_eq!(
            texts(&split(story, None).unwrap()),
            [
                "The keeper climbed the stairs every evening. He lit the lamp.",
                "He looked out over the dark water, and nobody came.",
                "\"Is anybody there?\" he called into the wind that night.",
                "Nobody answered him at all that night.",
            ]
        );
    }

    #[test]
    fn headings_and_separators_open_scenes() {
        let story =
            split("# One\n\nFirst text of a scene.\n\n***\n\nSecond.\n\nChapter 3\n\nThird.", None).unwrap();
        let titles: Vec<_> =
            story.scenes.iter().map(|scene| (scene.title.as_deref(), scene.shots.len())).collect();
        assert_eq!(titles, [(Some("One"), 1), (None, 1), (Some("Chapter 3"), 1)]);
    }

    #[test]
    fn nothing_to_speak_is_refused_by_its_reason() {
        for (text, error) in [
            ("", StoryError::Empty),
            (" \n\u{3000}\n", StoryError::Empty),
            ("# One\n\n## Two\n", StoryError::HeadingsOnly),
            ("第一章\n\n***\n", StoryError::HeadingsOnly),
        ] {
            assert_eq!(split(text, None).unwrap_err(), error, "{text:?}");
        }
    }

    #[test]
    fn short_lines_of_dialogue_share_shots() {
        let story = split(
            "“Who?”\n\n“Me.”\n\n“Why?”\n\n“I don’t know.”\n\n“Come in, then, and sit down by the fire.”",
            None,
        );
        let story = story.unwrap();
        assert_whole(&story);
        assert!(story.shots().all(|shot| shot.seconds >= LEAST_S), "{story:#?}");
        assert_eq!(story.shots().count(), 2);
    }

    #[test]
    fn odd_stories_are_split_whole_and_within_the_times() {
        let long = "the sea and the wind and the lamp ".repeat(150);
        for text in [
            long.as_str(),
            &"海".repeat(5000),
            &"a".repeat(5000),
            &"“Go!” ".repeat(300),
            &"👩‍👩‍👧‍👦🏳️‍🌈 ".repeat(300),
            &"كان يا ما كان في قديم الزمان، رجل يعيش وحده في منارة. ".repeat(20),
            &"היה היה שומר מגדלור. הוא חי לבדו. ".repeat(20),
            "!!!???...",
        ] {
            let story = split(text, None).unwrap();
            assert_whole(&story);
            let head: String = text.chars().take(20).collect();
            assert!(story.shots().all(|shot| shot.seconds <= MOST_S + 1e-9), "{head}");
            let emoji = story.shots().flat_map(|shot| shot.text.chars()).next().unwrap();
            assert_ne!(emoji, '\u{200d}');
        }
    }

    #[test]
    fn two_megabytes_are_split_in_a_moment() {
        let story =
            split_bytes("A sentence of a long story, told again. ".repeat(50_000).as_bytes(), None).unwrap();
        assert_whole(&story);
        assert_whole(&split_bytes("without any mark ".repeat(100_000).as_bytes(), None).unwrap());
    }

    /// Returns the text without white space and without marks of headings and separators. It is normalised after that, because combining marks that
    /// were apart may stand beside each other then.
    fn spoken(text: &str) -> String {
        text.nfc()
            .filter(|character| !character.is_whitespace() && !"#*-_=~—–─·•◇◆○●☆★※⁂❦⁕".contains(*character))
            .nfc()
            .collect()
    }

    #[test]
    fn marks_that_were_on_two_lines_are_one_text() {
        let text = "！\u{1d17b}\r\u{9cd}？";
        let story = split(text, None).unwrap();
        let whole: String = story.shots().map(|shot| shot.text.as_str()).collect();
        assert_eq!(spoken(&whole), spoken(text));
    }

    proptest! {
        #[test]
        fn no_character_is_lost_or_changed(text in "(\\PC|[ \n\r\t。！？，“”「」\"'.!?,#*—第章]|[a-zA-Z]{1,8} ){0,200}") {
            if let Ok(story) = split(&text, None) {
                assert_whole(&story);
                let mut whole = String::new();
                for scene in &story.scenes {
                    whole += scene.title.as_deref().unwrap_or_default();
                    whole.extend(scene.shots.iter().map(|shot| shot.text.as_str()));
                }
                prop_assert_eq!(spoken(&whole), spoken(&text));
                for shot in story.shots() {
                    prop_assert!(shot.seconds <= MOST_S + 1e-9);
                }
            } else {
                prop_assert!(blocks(&text).iter().all(|block| !matches!(block, Block::Paragraph(_))));
            }
        }

        #[test]
        fn any_bytes_are_a_story_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = split_bytes(&bytes, None);
        }
    }
}
