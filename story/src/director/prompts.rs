//! What a model is asked: the instructions, the numbered sentences, and the JSON Schema of the answer.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Cast, cast::clipped};
use crate::project::{Character, Place};

/// Instructions for the characters and places of a story.
pub(super) const CAST: &str = "You prepare a short film of a story. List the characters that are seen or speak, and the places where it happens. \
    `look` describes an appearance for a painter who does not know the story, in English, in at most 40 words: for a character age, hair, face, \
    clothes with their colours, and one mark by which it is recognised; for a place its most visible things, light and colours. `id` is a short \
    name of a-z, 0-9 and -. `gender` is male, female or null, to choose a voice. `aliases` are other names that the story uses. Leave out what is mentioned only once and not seen. \
    Answer with one JSON object and nothing else.";

/// Instructions for the shots of a part of a story.
pub(super) const SHOTS: &str = "You direct a short film of still pictures that is told by a narrator. Divide the numbered sentences into shots. \
    A shot is one picture with the sentences that are spoken over it. Never write the sentences yourself: name them by `from` and `to`, their first \
    and last number. The shots follow each other without a gap: each begins with the number after the end of the one before, the first with the first number, and the \
    last ends with the last number. A shot has one to four sentences, and ends where a scene ends. `head` repeats the first three words of its \
    first sentence exactly. `speaker` is the id of the character who says all of its sentences, else null for the narrator; give what is said in \
    quotes a shot of its own where it is long enough. `characters` are the ids of those who are seen. `place` is the id of the place, or null. \
    `picture` says in English, in at most 50 words, what is seen: who does what, where, the light; no names that a painter does not know, no text, \
    no style. Do not repeat the looks, which are added. `size` is wide, medium, close or detail. `camera` is the slow move over the picture: still, \
    in, out, left, right, up or down. `motion` says in a few English words what moves if the picture becomes a video. `transition` is cut within an \
    action, else dissolve. Put characters and places that are not listed into `new_characters` and `new_places`. `carry` tells, in at most 60 \
    words, what the next part must know. Answer with one JSON object and nothing else.";

/// Instructions for a story about a theme.
pub(super) const STORY: &str = "You write short stories that are read aloud. Write the story only: plain text in paragraphs, without a heading, \
    notes, lists or markup. It has a beginning, a turn and an end, things to see in every paragraph, few characters, and simple sentences.";

/// Returns the JSON Schema of an answer with characters and places.
pub(super) fn cast_schema() -> Value {
    json!({
        "type": "object", "additionalProperties": false, "required": ["characters", "places"],
        "properties": {
            "characters": { "type": "array", "items": {
                "type": "object", "additionalProperties": false, "required": ["id", "name", "aliases", "gender", "look"],
                "properties": {
                    "id": { "type": "string" }, "name": { "type": "string" },
                    "aliases": { "type": "array", "items": { "type": "string" } },
                    "gender": { "type": ["string", "null"] }, "look": { "type": "string" },
                },
            } },
            "places": { "type": "array", "items": place_schema() },
        },
    })
}

/// Returns the JSON Schema of an answer with shots. All fields are required, because the strict modes of services demand it.
pub(super) fn shots_schema() -> Value {
    let nullable = json!({ "type": ["string", "null"] });
    json!({
        "type": "object", "additionalProperties": false, "required": ["shots", "new_characters", "new_places", "carry"],
        "properties": {
            "shots": { "type": "array", "items": {
                "type": "object", "additionalProperties": false,
                "required": ["from", "to", "head", "speaker", "characters", "place", "picture", "size", "camera", "motion", "transition"],
                "properties": {
                    "from": { "type": "integer" }, "to": { "type": "integer" }, "head": { "type": "string" },
                    "speaker": nullable, "characters": { "type": "array", "items": { "type": "string" } }, "place": nullable,
                    "picture": { "type": "string" },
                    "size": { "type": "string", "enum": ["wide", "medium", "close", "detail"] },
                    "camera": { "type": "string", "enum": ["still", "in", "out", "left", "right", "up", "down"] },
                    "motion": { "type": "string" },
                    "transition": { "type": "string", "enum": ["cut", "dissolve"] },
                },
            } },
            "new_characters": { "type": "array", "items": {
                "type": "object", "additionalProperties": false, "required": ["id", "name", "gender", "look"],
                "properties": {
                    "id": { "type": "string" }, "name": { "type": "string" }, "gender": nullable, "look": { "type": "string" },
                },
            } },
            "new_places": { "type": "array", "items": place_schema() },
            "carry": { "type": "string" },
        },
    })
}

fn place_schema() -> Value {
    json!({
        "type": "object", "additionalProperties": false, "required": ["id", "look"],
        "properties": { "id": { "type": "string" }, "look": { "type": "string" } },
    })
}

/// Returns the request for the characters and places of a part of the story.
pub(super) fn cast_request(cast: &Cast, listing: &str) -> String {
    let mut request = known(cast);
    let _ = write!(request, "The story, or a part of it:\n{listing}");
    request
}

/// Returns the request for the shots of a part of the story.
pub(super) fn shots_request(
    cast: &Cast,
    before: &[String],
    carry: &str,
    wanted: Option<usize>,
    listing: &str,
) -> String {
    let mut request = known(cast);
    if !before.is_empty() {
        let _ = write!(request, "The pictures before this part:\n{}\n\n", before.join("\n"));
    }
    if !carry.is_empty() {
        let _ = write!(request, "What was said about the next part:\n{carry}\n\n");
    }
    if let Some(wanted) = wanted {
        let _ = write!(request, "Make about {wanted} shots of this part.\n\n");
    }
    let _ = write!(request, "The sentences:\n{listing}");
    request
}

/// Returns the request for a story about a theme.
pub(super) fn story_request(theme: &str, language: Option<&str>, shots: Option<u32>) -> String {
    let words = shots.map_or(400, |shots| shots.saturating_mul(18).clamp(60, 4_000));
    let language = language.map(|tag| format!(" in the language {tag}")).unwrap_or_default();
    format!("Write a story of about {words} words{language} about: {theme}")
}

/// Returns the request to mend an answer.
pub(super) fn repair_request(errors: &[String]) -> String {
    format!(
        "Your answer has these errors:\n- {}\nAnswer again with the whole JSON object, mended.",
        errors.join("\n- ")
    )
}

/// Returns the instruction for a provider that is told the schema in words only.
pub(super) fn schema_words(schema: &Value) -> String {
    format!("\nThe JSON object must fit this JSON Schema: {schema}")
}

fn known(cast: &Cast) -> String {
    if cast.characters.is_empty() && cast.places.is_empty() {
        return String::new();
    }
    let character =
        |one: &Character| json!({ "id": one.id, "name": one.name, "look": clipped(&one.look, 300) });
    let place = |one: &Place| json!({ "id": one.id, "look": clipped(&one.look, 300) });
    let listed = json!({
        "characters": cast.characters.iter().map(character).collect::<Vec<_>>(),
        "places": cast.places.iter().map(place).collect::<Vec<_>>(),
    });
    format!("The characters and places that are known:\n{listed}\n\n")
}
