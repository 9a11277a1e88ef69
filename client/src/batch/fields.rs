//! Checks the fields of an entry against the params of its kind, so that a mistyped name is refused before anything is submitted and paid for. Pure.

use reel_protocol::{ChatParams, ImageParams, SpeechParams, TranslateParams, VideoParams};
use reel_story::nearest;
use serde::{
    Deserializer,
    de::{DeserializeOwned, Visitor, value::Error},
    forward_to_deserialize_any,
};
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
    let known = names::<T>();
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

/// Returns the fields that `T` reads.
fn names<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut probe = Probe(&[]);
    // This always fails, because the probe has no values. It only records the fields that the type asks for.
    let _ = T::deserialize(&mut probe);
    probe.0
}

struct Probe(&'static [&'static str]);

impl<'de> Deserializer<'de> for &mut Probe {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(serde::de::Error::custom("a probe holds no value"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.0 = fields;
        self.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
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
