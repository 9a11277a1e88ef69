//! Finds the names of the fields of a params type through its `Deserialize`, so that hints always agree with the specification. Pure.

use std::fmt;

use crate::nearest::nearest;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor, value::Error},
    forward_to_deserialize_any,
};

/// Most unknown fields of an object that are compared with the known ones.
const MOST_UNKNOWN: usize = 64;

/// Returns the fields that `T` reads. Empty for structs without fields, and for anything but structs.
pub(super) fn names<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    let mut probe = Probe(&[]);
    // This always fails, because the probe has no values. It only records the fields that the type asks for.
    let _ = T::deserialize(&mut probe);
    probe.0
}

/// Returns a field of a JSON object that `T` does not read and that resembles one that it reads, with that one. Other unknown fields are ignored, because
/// later versions may have them.
pub(super) fn mistyped<'de, T: Deserialize<'de>>(object: &str) -> Option<(String, &'static str)> {
    let known = names::<T>();
    first_unknown(object, known, |field| {
        nearest(field, known.iter().copied()).map(|near| (field.to_owned(), near))
    })
}

/// Returns a field of a JSON object that `T` does not read and `Other` does.
pub(super) fn of_another<'de, T: Deserialize<'de>, Other: Deserialize<'de>>(
    object: &str,
) -> Option<&'static str> {
    let others = names::<Other>();
    first_unknown(object, names::<T>(), |field| others.iter().copied().find(|other| *other == field))
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
    use reel_protocol::{
        TaskSpec,
        methods::{Empty, ServiceCallParams, TaskIdParams, TaskWaitParams},
    };

    use super::*;

    #[test]
    fn a_type_names_its_fields() {
        assert_eq!(names::<TaskIdParams>(), ["id"]);
        assert_eq!(names::<TaskWaitParams>(), ["ids", "batch", "until", "timeout_s"]);
        assert!(names::<Empty>().is_empty() && names::<String>().is_empty());
    }

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
