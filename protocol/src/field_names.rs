//! Finds the names of the fields of a params type through its `Deserialize`, so that hints always agree with the types. Pure.

use serde::{
    Deserialize, Deserializer,
    de::{Visitor, value::Error},
    forward_to_deserialize_any,
};

/// Returns the fields that `T` reads. Empty for structs without fields, and for anything but structs.
pub fn field_names<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
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
    use crate::methods::{Empty, TaskIdParams, TaskWaitParams};

    #[test]
    fn a_type_names_its_fields() {
        assert_eq!(field_names::<TaskIdParams>(), ["id"]);
        assert_eq!(field_names::<TaskWaitParams>(), ["ids", "batch", "until", "timeout_s"]);
        assert!(field_names::<Empty>().is_empty() && field_names::<String>().is_empty());
    }
}
