//! Checks the fields of an entry against the params of its kind, so that a mistyped name is refused before anything is submitted and paid for. Pure.

use reel_protocol::{ChatParams, ImageParams, SpeechParams, TranslateParams, VideoParams, field_names};
use reel_story::nearest;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::other::PICTURE;

/// The kinds whose params this version knows. Other kinds are checked by the daemon only.
const KINDS: [&str; 5] = [PICTURE, "voice.speak", "text.chat", "translate.text", "video.generate"];

/// Checks the names and the types of the fields. `kind` and `name`, which belong to the batch, must be removed before. An error says what is wrong.
pub fn check(kind: &str, fields: &Map<String, Value>) -> Result<(), String> {
    match kind {
        PICTURE => check_as::<ImageParams>(fields),
        "voice.speak" => check_as::<SpeechParams>(fields),
        "text.chat" => check_as::<ChatParams>(fields),
        "translate.text" => check_as::<TranslateParams>(fields),
        "video.generate" => check_as::<VideoParams>(fields),
        other => match nearest(other, KINDS) {
            Some(near) => Err(format!("there is no kind `{other}`; did you mean `{near}`?")),
            None => Ok(()),
        },
    }
}

fn check_as<T: DeserializeOwned>(fields: &Map<String, Value>) -> Result<(), String> {
    let known = field_names::<T>();
    if let Some(wrong) = fields.keys().find(|field| !known.contains(&field.as_str())) {
        let of_batch = ["kind", "name"];
        let near = nearest(wrong, known.iter().copied().chain(of_batch));
        return Err(match near {
            Some(near) => format!("unknown field `{wrong}`; did you mean `{near}`?"),
            None => format!(
                "unknown field `{wrong}`; the fields are {}, {}",
                of_batch.join(", "),
                known.join(", ")
            ),
        });
    }
    serde_json::from_value::<T>(Value::Object(fields.clone())).map(drop).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_field_is_refused_with_the_nearest_name() {
        for (kind, fields, expected) in [
            (PICTURE, r#"{"prompt":"a","width":64,"extra":{}}"#, None),
            (PICTURE, r#"{"promt":"a"}"#, Some("unknown field `promt`; did you mean `prompt`?")),
            (PICTURE, r#"{"prompt":"a","nmae":"b"}"#, Some("did you mean `name`?")),
            (
                PICTURE,
                r#"{"prompt":"a","sparkle":1}"#,
                Some("unknown field `sparkle`; the fields are kind, name, prompt"),
            ),
            (PICTURE, r#"{"prompt":"a","width":"wide"}"#, Some("invalid type: string")),
            ("voice.speak", r#"{"text":"Hello.","voice":"x"}"#, None),
            ("voice.speak", r#"{"txet":"Hello."}"#, Some("unknown field `txet`; did you mean `text`?")),
            ("voice.speak", r#"{"voice":"x"}"#, Some("missing field `text`")),
            (
                "video.generate",
                r#"{"prompt":"a","durations":5}"#,
                Some("unknown field `durations`; did you mean `duration_s`?"),
            ),
            (
                "voice.speek",
                r#"{"text":"a"}"#,
                Some("there is no kind `voice.speek`; did you mean `voice.speak`?"),
            ),
            ("debug.sleep", r#"{"ms":5}"#, None),
        ] {
            let found = check(kind, &serde_json::from_str(fields).unwrap());
            match expected {
                None => assert_eq!(found, Ok(()), "{kind} {fields}"),
                Some(part) => {
                    let found = found.unwrap_err();
                    assert!(found.contains(part), "{kind} {fields}: {found}");
                }
            }
        }
    }
}
