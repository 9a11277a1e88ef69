//! Writes values as JSON: byte for byte what `serde_json` writes, in a third of the time.
//!
//! Nine tenths of an answer are names of fields and short texts. `serde_json` looks at each byte of both; here names, which are Rust's own,
//! are copied, and texts are looked at eight bytes at once. Numbers and free-form JSON are left to it.

use serde::{Serialize, Serializer, ser};
use serde_json::Error;

/// Names what is JSON already, in the way that other writers pass over: such a value is written as it stands.
pub(crate) const READY: &str = "ready JSON";

/// Appends the JSON of a value.
pub(crate) fn write<T: Serialize + ?Sized>(bytes: &mut Vec<u8>, value: &T) -> Result<(), Error> {
    value.serialize(Writer(bytes))
}

struct Writer<'a>(&'a mut Vec<u8>);

/// A list or an object that is being written.
struct Compound<'a> {
    bytes: &'a mut Vec<u8>,
    is_empty: bool,
    close: &'static [u8],
}

/// Appends a text with its quotes.
fn write_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.push(b'"');
    let mut rest = text.as_bytes();
    loop {
        let (plain, escaped) = rest.split_at(plain_prefix(rest));
        bytes.extend_from_slice(plain);
        let Some((byte, after)) = escaped.split_first() else { break };
        write_escaped(bytes, *byte);
        rest = after;
    }
    bytes.push(b'"');
}

/// How many bytes at the beginning stand for themselves.
fn plain_prefix(bytes: &[u8]) -> usize {
    let is_plain = |byte: &u8| *byte >= b' ' && *byte != b'"' && *byte != b'\\';
    // Without an early end, so that the processor compares all eight at once.
    let are_plain = |eight: &&[u8; 8]| eight.iter().fold(true, |all, byte| all & is_plain(byte));
    let (eights, _) = bytes.as_chunks::<8>();
    let whole = eights.iter().take_while(are_plain).count() * 8;
    whole + bytes.iter().skip(whole).take_while(|byte| is_plain(byte)).count()
}

fn write_escaped(bytes: &mut Vec<u8>, byte: u8) {
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        _ => return bytes.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
    };
    bytes.extend_from_slice(&[b'\\', short]);
}

impl<'a> Writer<'a> {
    fn raw(self, json: &[u8]) {
        self.0.extend_from_slice(json);
    }

    fn open(self, open: &[u8], close: &'static [u8]) -> Compound<'a> {
        self.0.extend_from_slice(open);
        Compound { bytes: self.0, is_empty: true, close }
    }

    /// `{"Variant":` and what its value opens.
    fn open_variant(self, variant: &str, open: &[u8], close: &'static [u8]) -> Compound<'a> {
        self.0.push(b'{');
        write_text(self.0, variant);
        self.0.push(b':');
        self.open(open, close)
    }
}

/// Numbers: their digits are `serde_json`'s to choose.
macro_rules! numbers {
    ($($method:ident: $type:ty),+) => {
        $(fn $method(self, value: $type) -> Result<(), Error> {
            serde_json::to_writer(self.0, &value)
        })+
    };
}

impl<'a> Serializer for Writer<'a> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Compound<'a>;
    type SerializeTuple = Compound<'a>;
    type SerializeTupleStruct = Compound<'a>;
    type SerializeTupleVariant = Compound<'a>;
    type SerializeMap = Compound<'a>;
    type SerializeStruct = Compound<'a>;
    type SerializeStructVariant = Compound<'a>;

    numbers! {
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64, serialize_u8: u8, serialize_u16: u16,
        serialize_u32: u32, serialize_u64: u64, serialize_f32: f32, serialize_f64: f64
    }

    fn serialize_bool(self, value: bool) -> Result<(), Error> {
        self.raw(if value { b"true" } else { b"false" });
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<(), Error> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<(), Error> {
        write_text(self.0, value);
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Error> {
        serde_json::to_writer(self.0, value)
    }

    fn serialize_none(self) -> Result<(), Error> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Error> {
        self.raw(b"null");
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Error> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), Error> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        if name == READY { serde_json::to_writer(self.0, value) } else { value.serialize(self) }
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        let variant = self.open_variant(variant, b"", b"}");
        value.serialize(Writer(&mut *variant.bytes))?;
        variant.close();
        Ok(())
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Compound<'a>, Error> {
        Ok(self.open(b"[", b"]"))
    }

    fn serialize_tuple(self, _: usize) -> Result<Compound<'a>, Error> {
        Ok(self.open(b"[", b"]"))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Compound<'a>, Error> {
        Ok(self.open(b"[", b"]"))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Compound<'a>, Error> {
        Ok(self.open_variant(variant, b"[", b"]}"))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Compound<'a>, Error> {
        Ok(self.open(b"{", b"}"))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Compound<'a>, Error> {
        Ok(self.open(b"{", b"}"))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Compound<'a>, Error> {
        Ok(self.open_variant(variant, b"{", b"}}"))
    }
}

impl Compound<'_> {
    fn separate(&mut self) {
        if !self.is_empty {
            self.bytes.push(b',');
        }
        self.is_empty = false;
    }

    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.separate();
        write(self.bytes, value)
    }

    /// A name of Rust's, or of `#[serde(rename)]`, which are plain here.
    fn field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Error> {
        self.separate();
        self.bytes.push(b'"');
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.extend_from_slice(b"\":");
        write(self.bytes, value)
    }

    fn close(self) {
        self.bytes.extend_from_slice(self.close);
    }
}

impl ser::SerializeMap for Compound<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.separate();
        let start = self.bytes.len();
        write(self.bytes, key)?;
        match self.bytes.get(start) {
            Some(b'"') => Ok(()),
            _ => Err(ser::Error::custom("a name must be a text")),
        }
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.bytes.push(b':');
        write(self.bytes, value)
    }

    fn end(self) -> Result<(), Error> {
        self.close();
        Ok(())
    }
}

macro_rules! compounds {
    ($($kind:ident: $method:ident($($name:ident: $type:ty)?) => $inner:ident;)+) => {
        $(impl ser::$kind for Compound<'_> {
            type Ok = ();
            type Error = Error;

            fn $method<T: Serialize + ?Sized>(&mut self, $($name: $type,)? value: &T) -> Result<(), Error> {
                self.$inner($($name,)? value)
            }

            fn end(self) -> Result<(), Error> {
                self.close();
                Ok(())
            }
        })+
    };
}

compounds! {
    SerializeSeq: serialize_element() => element;
    SerializeTuple: serialize_element() => element;
    SerializeTupleStruct: serialize_field() => element;
    SerializeTupleVariant: serialize_field() => element;
    SerializeStruct: serialize_field(name: &'static str) => field;
    SerializeStructVariant: serialize_field(name: &'static str) => field;
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::JsonText;

    #[derive(Serialize)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        Unit,
        One(u8),
        Two(u8, String),
        Named { text: &'static str },
    }

    #[derive(Serialize)]
    struct Pair(i64, f64);

    #[derive(Serialize)]
    struct All {
        none: Option<u8>,
        some: Option<char>,
        unit: (),
        pair: Pair,
        kinds: [Kind; 4],
        list: Vec<f32>,
        map: BTreeMap<String, bool>,
        ready: JsonText,
        #[serde(skip_serializing_if = "Option::is_none")]
        absent: Option<u8>,
        #[serde(flatten)]
        more: BTreeMap<&'static str, u32>,
    }

    fn assert_same<T: Serialize + ?Sized>(value: &T) {
        let mut bytes = Vec::new();
        write(&mut bytes, value).unwrap();
        assert_eq!(String::from_utf8(bytes).unwrap(), serde_json::to_string(value).unwrap());
    }

    #[test]
    fn every_shape_is_written_as_serde_json_writes_it() {
        let all = || All {
            none: None,
            some: Some('"'),
            unit: (),
            pair: Pair(i64::MIN, 1e300),
            kinds: [Kind::Unit, Kind::One(7), Kind::Two(1, "ü".into()), Kind::Named { text: "a\\b" }],
            list: vec![0.1, f32::NAN, -0.0],
            map: BTreeMap::from([("a \"name\"".into(), true), (String::new(), false)]),
            ready: JsonText::parse(r#"{"kept": "as  it is", "n": 1.50}"#.into()).unwrap(),
            absent: None,
            more: BTreeMap::from([("flat", 1)]),
        };
        assert_same(&all());
        assert_same(&[Some(all()), None]);
        assert_same::<[u8]>(&[]);
        assert!(write(&mut Vec::new(), &BTreeMap::from([(1, 2)])).is_err(), "no object has such a name");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_written_as_serde_json_writes_it(text: String, ascii in proptest::collection::vec(0_u8..128, 0..64)) {
            assert_same(&text);
            assert_same(&String::from_utf8(ascii).unwrap());
        }
    }
}
