//! Finds fields of a request that its type does not read: mistyped names, and fields of another method. Pure.

use std::fmt;

use crate::nearest::nearest;
use reel_protocol::field_names;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};

/// Most unknown fields of an object that are compared with the known ones.
const MOST_UNKNOWN: usize = 64;

/// Returns a field of a JSON object that `T` does not read and that resembles one that it reads, with that one. Other unknown fields are ignored, because
/// later versions may have them.
pub(super) fn mistyped<'de, T: Deserialize<'de>>(object: &str) -> Option<(String, &'static str)> {
    let known = field_names::<T>();
    first_unknown(object, known, |field| {
        nearest(field, known.iter().copied()).map(|near| (field.to_owned(), near))
    })
}

/// Returns a field of a JSON object that `T` does not read and `Other` does.
pub(super) fn of_another<'de, T: Deserialize<'de>, Other: Deserialize<'de>>(
    object: &str,
) -> Option<&'static str> {
    let others = field_names::<Other>();
    first_unknown(object, field_names::<T>(), |field| others.iter().copied().find(|other| *other == field))
}

/// Returns the first result of `pick` for the fields of a JSON object that are not among the known ones.
fn first_unknown<R>(
    object: &str,
    known: &'static [&'static str],
    pick: impl Fn(&str) -> Option<R>,
) -> Option<R> {
    serde_json::Deserializer::from_str(object).deserialize_map(Unknown { known, pick }).ok()?
}

/// Reads the fields of an object and keeps none but the one that it returns, because an object may have millions.
struct Unknown<F> {
    known: &'static [&'static str],
    pick: F,
}

impl<'de, R, F: Fn(&str) -> Option<R>> Visitor<'de> for Unknown<F> {
    type Value = Option<R>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let (mut found, mut unknown) = (None, 0);
        while let Some(field) = fields.next_key::<String>()? {
            fields.next_value::<IgnoredAny>()?;
            if found.is_none() && unknown < MOST_UNKNOWN && !self.known.contains(&field.as_str()) {
                unknown += 1;
                found = (self.pick)(&field);
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use reel_protocol::{TaskSpec, methods::ServiceCallParams};

    use super::*;

    #[test]
    fn a_mistyped_field_is_told_from_one_of_a_later_version() {
        let found = |object| mistyped::<TaskSpec>(object).map(|(field, near)| format!("{field}: {near}"));
        for (object, wanted) in [
            (r#"{"kind":"a.b","requestId":"q"}"#, Some("requestId: request_id")),
            (r#"{"kind":"a.b","parms":{"width":1}}"#, Some("parms: params")),
            (r#"{"kind":"a.b","Priority":1}"#, Some("Priority: priority")),
            (r#"{"kind":"a.b","colour_space":"x","params":{"requestId":1}}"#, None),
            ("{}", None),
            ("7", None),
        ] {
            assert_eq!(found(object).as_deref(), wanted, "{object}");
        }
    }

    #[test]
    fn a_field_of_another_type_is_found() {
        for (object, wanted) in [
            (r#"{"service":"a","method":"b","request_id":"q"}"#, Some("request_id")),
            (r#"{"later":1,"metadata":{}}"#, Some("metadata")),
            (r#"{"service":"a","params":{"priority":1},"cache":"use"}"#, None),
            ("7", None),
        ] {
            assert_eq!(of_another::<ServiceCallParams, TaskSpec>(object), wanted, "{object}");
        }
    }
}
