//! A deserializer around another one. It records the path of a value that cannot be read, and accepts `7.0` where a whole number is expected.

use std::cell::RefCell;

use serde::{
    Deserializer,
    de::{DeserializeSeed, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor},
};

use super::Step;
use crate::MAX_ID;

/// The names with which the JSON parser asks for its own types, such as a raw value, begin like this.
const OWN_TYPES: &str = "$serde_json::private::";

/// A deserializer, visitor, seed or access, and where it records what.
pub(super) struct Tracked<'t, T> {
    inner: T,
    /// The steps to the value that cannot be read, from the innermost one outwards.
    trail: &'t RefCell<Vec<Step>>,
    /// Where the name of a field is recorded. None for values.
    name: Option<&'t RefCell<String>>,
    /// Whether the visitor expects a whole number.
    is_whole: bool,
}

impl<'t, T> Tracked<'t, T> {
    pub(super) const fn new(inner: T, trail: &'t RefCell<Vec<Step>>) -> Self {
        Self { inner, trail, name: None, is_whole: false }
    }

    fn visitor<V>(&self, visitor: V, is_whole: bool) -> Tracked<'t, V> {
        Tracked { inner: visitor, trail: self.trail, name: self.name, is_whole }
    }

    fn value<S>(&self, inner: S) -> Tracked<'t, S> {
        Tracked::new(inner, self.trail)
    }
}

macro_rules! deserialize {
    ($is_whole:literal: $($method:ident($($argument:ident: $type:ty),*))*) => {$(
        fn $method<V: Visitor<'de>>(self, $($argument: $type,)* visitor: V) -> Result<V::Value, D::Error> {
            let visitor = self.visitor(visitor, $is_whole);
            self.inner.$method($($argument,)* visitor)
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Tracked<'_, D> {
    type Error = D::Error;

    deserialize! { true:
        deserialize_i8() deserialize_i16() deserialize_i32() deserialize_i64()
        deserialize_u8() deserialize_u16() deserialize_u32() deserialize_u64()
    }

    deserialize! { false:
        deserialize_any() deserialize_bool() deserialize_f32() deserialize_f64() deserialize_char() deserialize_str()
        deserialize_string() deserialize_bytes() deserialize_byte_buf() deserialize_option() deserialize_unit()
        deserialize_seq() deserialize_map() deserialize_identifier() deserialize_ignored_any()
        deserialize_unit_struct(name: &'static str)
        deserialize_tuple(length: usize)
        deserialize_tuple_struct(name: &'static str, length: usize)
        deserialize_struct(name: &'static str, fields: &'static [&'static str])
        deserialize_enum(name: &'static str, variants: &'static [&'static str])
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        if name.starts_with(OWN_TYPES) {
            return self.inner.deserialize_newtype_struct(name, visitor);
        }
        let visitor = self.visitor(visitor, false);
        self.inner.deserialize_newtype_struct(name, visitor)
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

macro_rules! visit {
    ($($method:ident($type:ty))*) => {$(
        fn $method<E: Error>(self, value: $type) -> Result<V::Value, E> {
            self.inner.$method(value)
        }
    )*};
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Tracked<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.inner.expecting(f)
    }

    visit! {
        visit_bool(bool) visit_i8(i8) visit_i16(i16) visit_i32(i32) visit_i64(i64) visit_u8(u8) visit_u16(u16)
        visit_u32(u32) visit_u64(u64) visit_f32(f32) visit_char(char) visit_bytes(&[u8])
        visit_borrowed_bytes(&'de [u8]) visit_byte_buf(Vec<u8>)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<V::Value, E> {
        // Larger numbers are not exact, so another one may have been meant.
        if !self.is_whole || value.fract() != 0.0 || value.abs() > MAX_ID as f64 {
            return self.inner.visit_f64(value);
        }
        if value < 0.0 { self.inner.visit_i64(value as i64) } else { self.inner.visit_u64(value as u64) }
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<V::Value, E> {
        self.note(value);
        self.inner.visit_str(value)
    }

    fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<V::Value, E> {
        self.note(value);
        self.inner.visit_borrowed_str(value)
    }

    fn visit_string<E: Error>(self, value: String) -> Result<V::Value, E> {
        self.note(&value);
        self.inner.visit_string(value)
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_none()
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        let deserializer = self.value(deserializer);
        self.inner.visit_some(deserializer)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        let deserializer = self.value(deserializer);
        self.inner.visit_newtype_struct(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        let elements = Elements { access: self.value(access), index: 0 };
        self.inner.visit_seq(elements)
    }

    fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        let fields = Fields { access: self.value(access), name: RefCell::default() };
        self.inner.visit_map(fields)
    }

    fn visit_enum<A: EnumAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        let access = self.value(access);
        self.inner.visit_enum(access)
    }
}

impl<T> Tracked<'_, T> {
    fn note(&self, name: &str) {
        if let Some(noted) = self.name {
            name.clone_into(&mut noted.borrow_mut());
        }
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Tracked<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        let tracked = Tracked { inner: deserializer, trail: self.trail, name: self.name, is_whole: false };
        self.inner.deserialize(tracked)
    }
}

/// The elements of a list.
struct Elements<'t, A> {
    access: Tracked<'t, A>,
    index: usize,
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Elements<'_, A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        let (seed, index) = (self.access.value(seed), self.index);
        self.index += 1;
        let element = self.access.inner.next_element_seed(seed);
        element.inspect_err(|_| self.access.trail.borrow_mut().push(Step::Element(index)))
    }

    fn size_hint(&self) -> Option<usize> {
        self.access.inner.size_hint()
    }
}

/// The fields of an object.
struct Fields<'t, A> {
    access: Tracked<'t, A>,
    /// The name of the field whose value comes next.
    name: RefCell<String>,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Fields<'_, A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        let seed = Tracked { inner: seed, trail: self.access.trail, name: Some(&self.name), is_whole: false };
        self.access.inner.next_key_seed(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        let seed = self.access.value(seed);
        let value = self.access.inner.next_value_seed(seed);
        value.inspect_err(|_| self.access.trail.borrow_mut().push(Step::Field(self.name.take())))
    }

    fn size_hint(&self) -> Option<usize> {
        self.access.inner.size_hint()
    }
}

impl<'de, 't, A: EnumAccess<'de>> EnumAccess<'de> for Tracked<'t, A> {
    type Error = A::Error;
    type Variant = Tracked<'t, A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self::Variant), A::Error> {
        let (name, variant) = self.inner.variant_seed(seed)?;
        Ok((name, Tracked::new(variant, self.trail)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Tracked<'_, A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.inner.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        let seed = self.value(seed);
        self.inner.newtype_variant_seed(seed)
    }

    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, A::Error> {
        let visitor = self.value(visitor);
        self.inner.tuple_variant(length, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        let visitor = self.value(visitor);
        self.inner.struct_variant(fields, visitor)
    }
}
