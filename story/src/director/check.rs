//! Checks a model's shots: their ranges must cover the sentences, and the repeated words must be those of the sentences.

use std::ops::Range;

use serde_json::{Map, Value};

use super::{
    cast::{Cast, clipped, text},
    numbered::Numbered,
};
use crate::{camera::Camera, project::ShotTransition};

/// Longest prompt of a picture, in characters.
const LONGEST_PROMPT: usize = 1_000;
/// Most errors that are told to the model.
const MOST_ERRORS: usize = 8;

/// A shot as a model describes it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Described {
    /// The indices of its sentences, from 0.
    pub sentences: Range<usize>,
    /// The id of the character who speaks; None for the narrator.
    pub speaker: Option<String>,
    pub characters: Vec<String>,
    pub place: Option<String>,
    pub picture: String,
    pub camera: Option<Camera>,
    pub motion: String,
    pub transition: ShotTransition,
}

/// Returns the shots of an answer about these sentences. The errors are sentences for the model.
pub(super) fn shots(
    answer: &Map<String, Value>,
    cast: &Cast,
    numbered: &Numbered,
    sentences: Range<usize>,
) -> Result<Vec<Described>, Vec<String>> {
    let mut errors = Vec::new();
    let found: Vec<&Map<String, Value>> = answer
        .get("shots")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_object)
        .collect();
    let mut shots = Vec::new();
    let mut next = sentences.start;
    for (position, shot) in (1..).zip(found.iter().take(sentences.len())) {
        let Some((from, to)) = number(shot, "from").zip(number(shot, "to")) else {
            errors.push(format!("shot {position} has no numbers `from` and `to`"));
            break;
        };
        if from != next + 1 || to < from || to > sentences.end {
            errors.push(format!(
                "shot {position} is from {from} to {to}; it must begin with {} and end at {} at the latest",
                next + 1,
                sentences.end
            ));
            break;
        }
        if !is_head(&text(shot, "head"), numbered.sentence(from - 1)) {
            let words: Vec<&str> = numbered.sentence(from - 1).split_whitespace().take(3).collect();
            errors.push(format!(
                "shot {position} begins with sentence {from}, whose first words are {:?}, and its head is {:?}",
                clipped(&words.join(" "), 40),
                clipped(&text(shot, "head"), 40)
            ));
        }
        next = to;
        shots.push(described(shot, cast, from - 1..to));
    }
    if errors.is_empty() && next < sentences.end {
        errors.push(format!("the sentences {} to {} are in no shot", next + 1, sentences.end));
    }
    if errors.is_empty() && found.len() > sentences.len() {
        errors.push(format!("there are {} shots for {} sentences", found.len(), sentences.len()));
    }
    let foreign =
        (1..).zip(&shots).find(|(_, shot)| !is_english(&shot.picture)).map(|(position, _)| position);
    if let Some(position) = foreign.filter(|_| errors.is_empty()) {
        errors.push(format!("`picture` of shot {position} and of others must be in English"));
    }
    errors.truncate(MOST_ERRORS);
    if errors.is_empty() { Ok(shots) } else { Err(errors) }
}

fn described(shot: &Map<String, Value>, cast: &Cast, sentences: Range<usize>) -> Described {
    let id = |word: &str| cast.character(word).map(|character| character.id.clone());
    let mut characters: Vec<String> = Vec::new();
    for word in
        shot.get("characters").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    {
        characters.extend(id(word).filter(|id| !characters.contains(id)));
    }
    let size = match text(shot, "size").as_str() {
        "wide" => "Wide shot: ",
        "close" => "Close-up: ",
        "detail" => "Detail: ",
        _ => "",
    };
    let picture = clipped(&text(shot, "picture"), LONGEST_PROMPT);
    Described {
        sentences,
        speaker: id(&text(shot, "speaker")),
        characters,
        place: cast.place(&text(shot, "place")).map(|place| place.id.clone()),
        picture: if picture.is_empty() { picture } else { format!("{size}{picture}") },
        // Another word than those of the schema leaves the choice to the rules.
        camera: serde_json::from_value(Value::String(text(shot, "camera").to_lowercase())).ok(),
        motion: clipped(&text(shot, "motion"), LONGEST_PROMPT),
        transition: match text(shot, "transition").to_lowercase().as_str() {
            "cut" => ShotTransition::Cut,
            _ => ShotTransition::Usual,
        },
    }
}

/// Returns a number; models also write it as text.
fn number(shot: &Map<String, Value>, field: &str) -> Option<usize> {
    let value = shot.get(field)?;
    let number = value.as_u64().or_else(|| {
        value.as_f64().filter(|number| number.fract() == 0.0 && *number >= 0.0).map(|number| number as u64)
    });
    let number = number.or_else(|| value.as_str()?.trim().parse().ok())?;
    usize::try_from(number).ok().filter(|number| *number > 0)
}

/// Whether the repeated words are those at the start of the sentence, apart from case, punctuation and white space. Models that repeat more or fewer
/// words are right, too.
fn is_head(head: &str, sentence: &str) -> bool {
    let plain = |text: &str| {
        text.chars().filter(|one| one.is_alphanumeric()).flat_map(char::to_lowercase).collect::<String>()
    };
    let (head, sentence) = (plain(head), plain(sentence));
    sentence.is_empty() || (!head.is_empty() && (sentence.starts_with(&head) || head.starts_with(&sentence)))
}

/// Whether most letters are Latin ones. A language with Latin letters is not told from English here; picture models take it.
fn is_english(picture: &str) -> bool {
    let letters = picture.chars().filter(|one| one.is_alphabetic());
    let (latin, all) =
        letters.fold((0, 0), |(latin, all), one| (latin + usize::from(one.is_ascii()), all + 1));
    latin * 2 >= all
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{project::Character, split};

    /// The sentences of each shot, and its speaker.
    type Found = Vec<(Range<usize>, Option<String>)>;

    fn checked(shots: &Value) -> Result<Found, String> {
        let story = split("One came. Two went. \"Three!\" cried the giant. Four slept.", None).unwrap();
        let numbered = Numbered::of(&story, None);
        let giant = Character {
            id: "giant".to_owned(),
            name: "the Giant".to_owned(),
            look: String::new(),
            voice: String::new(),
            sheet: String::new(),
        };
        let answer = json!({ "shots": shots });
        let found = super::shots(answer.as_object().unwrap(), &Cast::given(&[giant], &[]), &numbered, 0..4);
        found
            .map(|shots| shots.into_iter().map(|shot| (shot.sentences, shot.speaker)).collect())
            .map_err(|errors| errors.join("; "))
    }

    #[test]
    fn ranges_must_cover_the_sentences_and_heads_must_match() {
        let good = json!([
            { "from": 1, "to": "2", "head": "one CAME", "picture": "a gate" },
            { "from": 3.0, "to": 4, "head": "Three! cried", "speaker": "The Giant", "characters": ["giant", "elf"], "picture": "a giant" },
        ]);
        assert_eq!(checked(&good).unwrap(), [(0..2, None), (2..4, Some("giant".to_owned()))]);
        for (shots, error) in [
            (json!([]), "the sentences 1 to 4 are in no shot"),
            (json!([{ "from": 1, "to": 2, "head": "One came" }]), "the sentences 3 to 4 are in no shot"),
            (
                json!([{ "from": 1, "to": 2, "head": "One" }, { "from": 4, "to": 4, "head": "Four" }]),
                "must begin with 3",
            ),
            (
                json!([{ "from": 1, "to": 2, "head": "One" }, { "from": 2, "to": 4, "head": "Two" }]),
                "must begin with 3",
            ),
            (json!([{ "from": 1, "to": 9, "head": "One" }]), "end at 4 at the latest"),
            (json!([{ "from": 1, "to": 4, "head": "Two went" }]), "whose first words are \"One came.\""),
            (json!([{ "from": 1, "head": "One" }]), "has no numbers"),
            (
                json!([{ "from": 1, "to": 4, "head": "One", "picture": "一座灯塔在海边" }]),
                "must be in English",
            ),
            (
                json!((0..500).map(|_| json!({ "from": 1, "to": 1, "head": "One" })).collect::<Vec<_>>()),
                "must begin with 2",
            ),
        ] {
            let errors = checked(&shots).unwrap_err();
            assert!(errors.contains(error), "{errors}");
        }
    }

    #[test]
    fn a_long_prompt_is_cut_behind_a_word() {
        let cast = Cast::default();
        let long = json!({ "picture": "grey sea ".repeat(300), "size": "wide", "camera": "SPIN", "transition": "wipe" });
        let shot = described(long.as_object().unwrap(), &cast, 0..1);
        assert!(shot.picture.starts_with("Wide shot: grey sea") && shot.picture.chars().count() <= 1_011);
        assert_eq!((shot.camera, shot.transition), (None, ShotTransition::Usual));
    }
}
