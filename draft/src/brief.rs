//! Extracts from a prompt what a picture needs: the place, the hour, the weather, the figures and the camera.

use super::dice::RequestDigest;
use super::keywords::{TABLE, Word};

/// Bytes of the prompt that are searched for words. The rest only changes the random choices.
const READ_BYTES: usize = 4096;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hour {
    Dawn,
    Day,
    Dusk,
    Night,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Camera {
    CloseUp,
    Normal,
    Wide,
    Aerial,
}

/// The facts from which a picture is composed.
#[derive(Debug, Clone)]
pub struct Brief {
    /// The words of the prompt, in their order and without repetitions.
    words: Vec<Word>,
    pub place: Word,
    pub hour: Hour,
    pub camera: Camera,
}

const PLACES: [Word; 14] = [
    Word::Space,
    Word::Room,
    Word::Station,
    Word::Harbour,
    Word::Street,
    Word::Rooftops,
    Word::City,
    Word::Desert,
    Word::Sea,
    Word::Lake,
    Word::Snowfield,
    Word::Forest,
    Word::Meadow,
    Word::Mountains,
];

/// The place that a word implies if the prompt names none.
const IMPLIED: [(Word, Word); 10] = [
    (Word::Lighthouse, Word::Sea),
    (Word::Boat, Word::Sea),
    (Word::Train, Word::Meadow),
    (Word::Bridge, Word::Lake),
    (Word::Castle, Word::Mountains),
    (Word::Car, Word::Street),
    (Word::Ruins, Word::Desert),
    (Word::House, Word::Meadow),
    (Word::Robot, Word::City),
    (Word::Indoors, Word::Room),
];

/// With one of these phrases, the rain is over and is not drawn.
const OVER: [&str; 8] = [
    "雨后",
    "雨停",
    "雨过",
    "after rain",
    "after the rain",
    "after a rain",
    "after the storm",
    "after a storm",
];

impl Brief {
    pub fn read(prompt: &str, digest: &RequestDigest) -> Self {
        let mut words = find_words(prompt);
        let mut dice = digest.dice("brief");
        let has = |word: Word| words.contains(&word);
        let said = PLACES.into_iter().find(|place| has(*place));
        let implied = IMPLIED.into_iter().find(|(word, _)| has(*word)).map(|(_, place)| place);
        // A lighthouse is by the sea even if the prompt names only mountains.
        let place = if has(Word::Lighthouse) && !has(Word::Space) && !has(Word::Room) {
            Word::Sea
        } else {
            said.or(implied).unwrap_or_else(|| {
                dice.pick([
                    Word::Mountains,
                    Word::Sea,
                    Word::Meadow,
                    Word::Forest,
                    Word::City,
                    Word::Lake,
                    Word::Desert,
                ])
            })
        };
        let hour = if has(Word::Night) {
            Hour::Night
        } else if has(Word::Dusk) {
            Hour::Dusk
        } else if has(Word::Dawn) {
            Hour::Dawn
        } else if has(Word::Day) {
            Hour::Day
        } else if has(Word::Stars) || has(Word::Moon) || place == Word::Space {
            Hour::Night
        } else {
            dice.pick([Hour::Dawn, Hour::Day, Hour::Day, Hour::Dusk, Hour::Dusk, Hour::Night])
        };
        let camera = if has(Word::CloseUp) {
            Camera::CloseUp
        } else if has(Word::Aerial) {
            Camera::Aerial
        } else if has(Word::Wide) {
            Camera::Wide
        } else {
            Camera::Normal
        };
        if words.is_empty() {
            words.push(dice.pick([Word::Person, Word::Birds, Word::House, Word::Cloudy, Word::Clear]));
        }
        Self { words, place, hour, camera }
    }

    pub fn has(&self, word: Word) -> bool {
        self.words.contains(&word)
    }

    pub fn words(&self) -> &[Word] {
        &self.words
    }

    pub fn is_dark(&self) -> bool {
        self.hour == Hour::Night || self.has(Word::Storm)
    }

    /// Returns whether light is low, so that lamps and windows are lit.
    pub fn is_dim(&self) -> bool {
        self.is_dark() || self.hour == Hour::Dusk || self.has(Word::Fog)
    }

    /// Returns whether the sky is covered: colours are softer, and the sun is not visible.
    pub fn is_overcast(&self) -> bool {
        [Word::Rain, Word::Storm, Word::Fog, Word::Snowfall].into_iter().any(|word| self.has(word))
    }
}

fn find_words(prompt: &str) -> Vec<Word> {
    let mut end = prompt.len().min(READ_BYTES);
    while !prompt.is_char_boundary(end) {
        end -= 1;
    }
    let text = prompt.get(..end).unwrap_or_default().to_lowercase();
    let mut spaced = String::with_capacity(text.len() + 2);
    spaced.push(' ');
    spaced.extend(text.chars().map(|letter| {
        if letter.is_alphanumeric() || letter == '-' || letter == '\'' { letter } else { ' ' }
    }));
    spaced.push(' ');
    let mut found: Vec<(usize, Word)> = TABLE
        .iter()
        .filter_map(|(word, english, chinese)| {
            let in_english = english.iter().filter_map(|form| find_whole(&spaced, form));
            let in_chinese = chinese.iter().filter_map(|form| spaced.find(form));
            in_english.chain(in_chinese).min().map(|at| (at, *word))
        })
        .collect();
    found.sort_by_key(|(at, _)| *at);
    let mut words: Vec<Word> = found.into_iter().map(|(_, word)| word).collect();
    if OVER.iter().any(|form| spaced.contains(form)) {
        words.retain(|word| !matches!(word, Word::Rain | Word::Storm));
    }
    // "Two people" is a pair and not a crowd.
    if words.contains(&Word::Pair) {
        words.retain(|word| *word != Word::Crowd);
    }
    words
}

fn find_whole(spaced: &str, form: &str) -> Option<usize> {
    spaced.match_indices(form).map(|(at, _)| at).find(|at| {
        let starts = spaced.get(..*at).is_some_and(|before| before.ends_with(' '));
        let rest = spaced.get(at + form.len()..).unwrap_or_default();
        starts
            && (rest.starts_with(' ')
                || rest.starts_with("s ")
                || rest.starts_with("es ")
                || rest.starts_with("'s "))
    })
}

#[cfg(test)]
mod tests {
    use super::super::Panel;
    use super::super::dice::RequestDigest;
    use super::{Brief, Camera, Hour};
    use crate::keywords::Word;

    fn read(prompt: &str) -> Brief {
        let panel = Panel {
            prompt: prompt.to_owned(),
            negative_prompt: None,
            style: None,
            width: 64,
            height: 64,
            seed: 0,
            sample: 0,
            has_caption: true,
            is_card: false,
        };
        Brief::read(prompt, &RequestDigest::of(&panel))
    }

    #[test]
    fn prompts_are_read_in_both_languages() {
        let table = [
            ("The lighthouse keeper at dusk", Word::Sea, Hour::Dusk, Word::Keeper),
            ("黄昏的灯塔，守塔人", Word::Sea, Hour::Dusk, Word::Keeper),
            ("Cats on rooftops, midnight", Word::Rooftops, Hour::Night, Word::Cat),
            ("雨夜的街道，一个女孩", Word::Street, Hour::Night, Word::Rain),
            ("a train crosses snowy mountains at dawn", Word::Snowfield, Hour::Dawn, Word::Train),
            ("沙漠里的废墟，正午", Word::Desert, Hour::Day, Word::Ruins),
        ];
        for (prompt, place, hour, word) in table {
            let brief = read(prompt);
            assert_eq!((brief.place, brief.hour), (place, hour), "{prompt}");
            assert!(brief.has(word), "{prompt}: {:?}", brief.words());
        }
    }

    #[test]
    fn rain_that_has_passed_does_not_fall() {
        for prompt in ["雨后的街道", "a street after the rain, wet stones", "暴雨后的港口"] {
            let brief = read(prompt);
            assert!(!brief.has(Word::Rain) && !brief.has(Word::Storm), "{prompt}");
        }
        assert!(read("after work she walks in the rain").has(Word::Rain));
    }

    #[test]
    fn stairs_and_lanterns_are_indoors_unless_a_place_is_named() {
        for (prompt, place) in [
            ("he climbs the stairs with a lantern", Word::Room),
            ("她提着灯笼走上楼梯", Word::Room),
            ("stone stairs in the mountains", Word::Mountains),
            ("lanterns over a street", Word::Street),
        ] {
            assert_eq!(read(prompt).place, place, "{prompt}");
        }
    }

    #[test]
    fn english_words_are_whole_words() {
        assert!(!read("a research seat, discarded").has(Word::Sea));
        assert!(!read("scarce carpets").has(Word::Car));
        assert!(read("seas").has(Word::Sea));
        assert!(!read("two people").has(Word::Crowd));
        assert_eq!(read("close-up of a face").camera, Camera::CloseUp);
    }
}
