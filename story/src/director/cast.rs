//! The characters and places of a story, as they are collected from a model's answers.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::project::{Character, Place};

/// Most characters, and most places. More are walk-on parts, which pictures need not recognise.
const MOST: usize = 40;
/// Longest description of an appearance, in characters.
const LONGEST_LOOK: usize = 400;
/// Longest id, in characters.
const LONGEST_ID: usize = 32;

/// Whether a voice is that of a man or of a woman.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Gender {
    /// The voice of a man.
    Male,
    /// The voice of a woman.
    Female,
}

impl Gender {
    /// Parses a word of a model; None for any other word than `male` and `female`.
    fn parse(word: &str) -> Option<Self> {
        match word.to_lowercase().as_str() {
            "male" => Some(Self::Male),
            "female" => Some(Self::Female),
            _ => None,
        }
    }

    /// The word for it on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Male => "male",
            Self::Female => "female",
        }
    }
}

/// The characters and places that are known so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Cast {
    pub characters: Vec<Character>,
    pub places: Vec<Place>,
    /// Whether the voice of a character is male or female, by the character's id. Those of which the model did not say it are left out.
    pub genders: BTreeMap<String, Gender>,
    /// Other names of characters in lower case, each with the character's id.
    names: Vec<(String, String)>,
}

impl Cast {
    /// Returns a cast with the characters and places that the user gave. A model adds others.
    pub fn given(characters: &[Character], places: &[Place]) -> Self {
        let mut cast = Self { places: places.to_vec(), ..Self::default() };
        for character in characters {
            cast.learn_names(&character.id, [character.name.as_str()]);
            cast.characters.push(character.clone());
        }
        cast
    }

    /// Adds the characters and places of an answer. What is known already, by its id or by a name, stays as it is.
    pub fn add(&mut self, answer: &Map<String, Value>, characters: &str, places: &str) {
        for found in objects(answer, characters) {
            let (name, look) = (text(found, "name"), text(found, "look"));
            let number = self.characters.len() + 1;
            let id = slug(&text(found, "id"))
                .or_else(|| slug(&name))
                .or_else(|| (!name.is_empty()).then(|| format!("character-{number}")));
            let Some(id) = id.filter(|id| id != crate::project::NARRATOR) else { continue };
            let aliases: Vec<String> = found
                .get("aliases")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect();
            let known = self.character(&id).or_else(|| self.character(&name)).map(|known| known.id.clone());
            let of = known.clone().unwrap_or_else(|| id.clone());
            if known.is_none() {
                if self.characters.len() >= MOST || self.places.iter().any(|place| place.id == id) {
                    continue;
                }
                self.characters.push(Character {
                    id,
                    name: clipped(&name, 80),
                    look: clipped(&look, LONGEST_LOOK),
                    voice: String::new(),
                    sheet: String::new(),
                });
            }
            if let Some(gender) = Gender::parse(&text(found, "gender")) {
                self.genders.entry(of.clone()).or_insert(gender);
            }
            self.learn_names(&of, aliases.iter().map(String::as_str).chain([name.as_str()]));
        }
        for found in objects(answer, places) {
            let Some(id) = slug(&text(found, "id")) else { continue };
            let is_known = self.place(&id).is_some() || self.characters.iter().any(|one| one.id == id);
            if !is_known && self.places.len() < MOST {
                self.places.push(Place {
                    id,
                    look: clipped(&text(found, "look"), LONGEST_LOOK),
                    sheet: String::new(),
                });
            }
        }
    }

    fn learn_names<'a>(&mut self, id: &str, names: impl IntoIterator<Item = &'a str>) {
        for name in names {
            let name = name.trim().to_lowercase();
            if !name.is_empty()
                && self.names.len() < 10 * MOST
                && !self.names.iter().any(|(known, _)| *known == name)
            {
                self.names.push((name, id.to_owned()));
            }
        }
    }

    /// Returns the character with this id, or with this name.
    pub fn character(&self, word: &str) -> Option<&Character> {
        // A name without letters of ASCII is no id, and may still be known.
        let id = slug(word).unwrap_or_default();
        let by_id = self.characters.iter().find(|character| character.id == id);
        by_id.or_else(|| {
            let word = word.trim().to_lowercase();
            let of = self.names.iter().find(|(name, _)| *name == word).map(|(_, id)| id)?;
            self.characters.iter().find(|character| character.id == *of)
        })
    }

    /// Returns the place with this id.
    pub fn place(&self, word: &str) -> Option<&Place> {
        let id = slug(word)?;
        self.places.iter().find(|place| place.id == id)
    }
}

fn objects<'a>(answer: &'a Map<String, Value>, field: &str) -> impl Iterator<Item = &'a Map<String, Value>> {
    answer.get(field).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object)
}

/// Returns a text field on one line; empty if it is missing or no text.
pub(super) fn text(object: &Map<String, Value>, field: &str) -> String {
    let text = object.get(field).and_then(Value::as_str).unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Makes an id of a word; None if it has no letter or digit of ASCII.
pub(super) fn slug(word: &str) -> Option<String> {
    let mut id = String::new();
    for character in word.trim().to_lowercase().chars() {
        if character.is_ascii_alphanumeric() {
            id.push(character);
        } else if !id.is_empty() && !id.ends_with('-') {
            id.push('-');
        }
        if id.len() >= LONGEST_ID {
            break;
        }
    }
    let id = id.trim_end_matches('-');
    (!id.is_empty()).then(|| id.to_owned())
}

/// Returns the text up to `most` characters, cut behind a word where there is one.
pub(super) fn clipped(text: &str, most: usize) -> String {
    let Some((end, _)) = text.char_indices().nth(most) else { return text.to_owned() };
    let head = text.get(..end).unwrap_or_default();
    let cut = head.rfind(char::is_whitespace).filter(|at| *at > end / 2).unwrap_or(end);
    head.get(..cut).unwrap_or(head).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn characters_are_known_by_id_and_by_name_and_are_added_once() {
        let mut cast = Cast::default();
        let answer = json!({
            "characters": [
                { "id": "The Giant!", "name": "the Giant", "aliases": ["Goliath"], "look": "huge", "gender": "Male" },
                { "id": "giant-2", "name": "The Giant", "look": "small" },
                { "id": "narrator", "name": "me", "look": "" },
                { "name": "林", "look": "grey hair" },
                { "name": "林" },
                { "look": "nobody" },
                "nonsense",
            ],
            "places": [{ "id": "garden", "look": "walled" }, { "id": "garden", "look": "other" }, { "id": "the-giant", "look": "" }],
        });
        cast.add(answer.as_object().unwrap(), "characters", "places");
        let ids: Vec<_> = cast.characters.iter().map(|one| one.id.as_str()).collect();
        assert_eq!(ids, ["the-giant", "character-2"]);
        assert_eq!(cast.character("林").unwrap().look, "grey hair");
        assert_eq!(cast.genders, BTreeMap::from([("the-giant".to_owned(), Gender::Male)]));
        assert_eq!(cast.character("goliath").unwrap().id, "the-giant");
        assert_eq!(cast.character("the-giant").unwrap().look, "huge");
        assert!(cast.character("dwarf").is_none());
        assert_eq!(
            cast.places,
            [Place { id: "garden".to_owned(), look: "walled".to_owned(), sheet: String::new() }]
        );
    }

    #[test]
    fn ids_and_long_texts_are_cut() {
        for (word, id) in [
            ("Old  Man", Some("old-man")),
            ("—", None),
            ("Ünal", Some("nal")),
            (&"x".repeat(50), Some(&*"x".repeat(32))),
        ] {
            assert_eq!(slug(word).as_deref(), id, "{word}");
        }
        assert_eq!(clipped("one two three", 9), "one two");
        assert_eq!(clipped("短い", 9), "短い");
        assert_eq!(clipped(&"山".repeat(20), 5), "山".repeat(5));
    }
}
