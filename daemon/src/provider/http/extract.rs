//! Takes a JSON answer apart while it arrives: the texts of one field, which may be megabytes, go to a sink piece by piece, and the rest is
//! kept for a real parser. Pure.
//!
//! It knows no more of JSON than where strings begin and end and which string is a field's name. What it keeps is the same document with
//! the number of each text that went to the sink in its place, `"0"` for the first: whatever is wrong with the document the parser still
//! finds, and wherever a text stood it says which one it was.

use memchr::memchr2;

/// What is kept of an answer besides the texts that go to the sink, in bytes: a thousand times what answers have.
const MAX_KEPT_BYTES: usize = 1024 * 1024;

/// Takes the texts of the field, one after another.
pub trait Sink {
    /// Why it takes no more.
    type Error;
    /// A text begins.
    fn begin(&mut self) -> Result<(), Self::Error>;
    /// A part of it, with JSON's escapes taken out.
    fn piece(&mut self, bytes: &[u8]) -> Result<(), Self::Error>;
    /// It ends.
    fn end(&mut self) -> Result<(), Self::Error>;
}

/// Why the answer was not taken apart to its end.
#[derive(Debug, PartialEq, Eq)]
pub enum ExtractError<E> {
    /// What is kept grew past its limit.
    TooLarge,
    /// The sink refused.
    Sink(E),
}

impl<E> From<E> for ExtractError<E> {
    fn from(error: E) -> Self {
        Self::Sink(error)
    }
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Between strings. Whether the last string was the field's name; whether a colon has followed it.
    Between { is_name: bool, has_colon: bool },
    /// In a string that is kept; how many of its bytes are those of the field's name so far, None if others came.
    Kept { matched: Option<usize> },
    /// Behind a backslash of such a string.
    KeptEscape,
    /// In a text for the sink.
    Taken,
    /// Behind a backslash of such a text.
    TakenEscape,
    /// In the four digits of `\u`, with those that came.
    TakenUnicode { digits: u32, value: u32 },
}

/// The reader of one answer.
#[derive(Debug)]
pub struct Extract {
    field: &'static str,
    state: State,
    kept: Vec<u8>,
    /// Texts that the sink has to their ends.
    taken: usize,
}

impl Extract {
    /// Gives the texts of this field to the sink, wherever they stand.
    pub const fn new(field: &'static str) -> Self {
        let state = State::Between { is_name: false, has_colon: false };
        Self { field, state, kept: Vec::new(), taken: 0 }
    }

    /// Takes the next bytes of the answer.
    pub fn push<S: Sink>(&mut self, mut bytes: &[u8], sink: &mut S) -> Result<(), ExtractError<S::Error>> {
        while let Some((first, rest)) = bytes.split_first() {
            bytes = match self.state {
                State::Taken => self.taken(bytes, sink)?,
                State::Kept { matched } => {
                    let length = memchr2(b'"', b'\\', bytes).unwrap_or(bytes.len());
                    if length > 0 {
                        let (plain, rest) = bytes.split_at(length);
                        self.keep(plain)?;
                        self.state = State::Kept { matched: self.match_name(matched, plain) };
                        rest
                    } else {
                        self.keep(&[*first])?;
                        self.state = match first {
                            b'"' => State::Between {
                                is_name: matched == Some(self.field.len()),
                                has_colon: false,
                            },
                            _ => State::KeptEscape,
                        };
                        rest
                    }
                }
                State::KeptEscape => {
                    self.keep(&[*first])?;
                    // A name that is written with escapes is not the one that services write.
                    self.state = State::Kept { matched: None };
                    rest
                }
                State::TakenEscape | State::TakenUnicode { .. } => {
                    self.escaped(*first, sink)?;
                    rest
                }
                State::Between { is_name, has_colon } => {
                    self.between(*first, is_name, has_colon, sink)?;
                    rest
                }
            };
        }
        Ok(())
    }

    /// The document with the numbers of the texts in their places.
    pub fn finish(self) -> Vec<u8> {
        self.kept
    }

    fn between<S: Sink>(
        &mut self,
        byte: u8,
        is_name: bool,
        has_colon: bool,
        sink: &mut S,
    ) -> Result<(), ExtractError<S::Error>> {
        self.keep(&[byte])?;
        self.state = match byte {
            b'"' if has_colon => {
                sink.begin()?;
                State::Taken
            }
            b'"' => State::Kept { matched: Some(0) },
            b':' => State::Between { is_name: false, has_colon: is_name },
            byte if byte.is_ascii_whitespace() => State::Between { is_name, has_colon },
            _ => State::Between { is_name: false, has_colon: false },
        };
        Ok(())
    }

    fn taken<'a, S: Sink>(
        &mut self,
        bytes: &'a [u8],
        sink: &mut S,
    ) -> Result<&'a [u8], ExtractError<S::Error>> {
        let (plain, rest) = bytes.split_at(memchr2(b'"', b'\\', bytes).unwrap_or(bytes.len()));
        if !plain.is_empty() {
            sink.piece(plain)?;
        }
        match rest.split_first() {
            None => Ok(rest),
            Some((b'"', rest)) => {
                sink.end()?;
                self.keep(format!("{}\"", self.taken).as_bytes())?;
                self.taken += 1;
                self.state = State::Between { is_name: false, has_colon: false };
                Ok(rest)
            }
            Some((_, rest)) => {
                self.state = State::TakenEscape;
                Ok(rest)
            }
        }
    }

    fn escaped<S: Sink>(&mut self, byte: u8, sink: &mut S) -> Result<(), ExtractError<S::Error>> {
        let State::TakenUnicode { digits, value } = self.state else {
            let plain = match byte {
                b'u' => {
                    self.state = State::TakenUnicode { digits: 0, value: 0 };
                    return Ok(());
                }
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                other => other,
            };
            self.state = State::Taken;
            return Ok(sink.piece(&[plain])?);
        };
        // What is no digit makes a character that no sink takes.
        let digit = char::from(byte).to_digit(16).unwrap_or(0x0fff_ffff);
        let value = (value << 4) | digit;
        if digits < 3 {
            self.state = State::TakenUnicode { digits: digits + 1, value };
            return Ok(());
        }
        self.state = State::Taken;
        let character = char::from_u32(value).unwrap_or(char::REPLACEMENT_CHARACTER);
        Ok(sink.piece(character.encode_utf8(&mut [0; 4]).as_bytes())?)
    }

    fn match_name(&self, matched: Option<usize>, plain: &[u8]) -> Option<usize> {
        let rest = self.field.as_bytes().get(matched?..)?;
        rest.starts_with(plain).then(|| matched.unwrap_or_default() + plain.len())
    }

    fn keep<E>(&mut self, bytes: &[u8]) -> Result<(), ExtractError<E>> {
        if self.kept.len() + bytes.len() > MAX_KEPT_BYTES {
            return Err(ExtractError::TooLarge);
        }
        self.kept.extend_from_slice(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Default, PartialEq)]
    struct Texts(Vec<(Vec<u8>, bool)>);

    impl Sink for Texts {
        type Error = Infallible;

        fn begin(&mut self) -> Result<(), Infallible> {
            self.0.push((Vec::new(), false));
            Ok(())
        }

        fn piece(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
            self.0.last_mut().unwrap().0.extend_from_slice(bytes);
            Ok(())
        }

        fn end(&mut self) -> Result<(), Infallible> {
            self.0.last_mut().unwrap().1 = true;
            Ok(())
        }
    }

    fn extract(pieces: &[&[u8]]) -> (String, Texts) {
        let (mut extract, mut texts) = (Extract::new("b64_json"), Texts::default());
        for piece in pieces {
            extract.push(piece, &mut texts).unwrap();
        }
        (String::from_utf8_lossy(&extract.finish()).into_owned(), texts)
    }

    fn texts(all: &[&str]) -> Texts {
        Texts(all.iter().map(|text| (text.as_bytes().to_vec(), true)).collect())
    }

    #[test]
    fn the_field_goes_to_the_sink_and_the_rest_stays_as_it_was() {
        for (json, kept, taken) in [
            (r#"{"data":[{"b64_json":"AAAA"}]}"#, r#"{"data":[{"b64_json":"0"}]}"#, &["AAAA"][..]),
            (
                r#"[{"b64_json" : "A" , "x":"b64_json"},{"b64_json":""}]"#,
                r#"[{"b64_json" : "0" , "x":"b64_json"},{"b64_json":"1"}]"#,
                &["A", ""],
            ),
            (
                r#"{"b64_json":null,"url":"http://x/b64_json"}"#,
                r#"{"b64_json":null,"url":"http://x/b64_json"}"#,
                &[],
            ),
            (r#"{"b64_json":["A"],"my_b64_json":"B"}"#, r#"{"b64_json":["A"],"my_b64_json":"B"}"#, &[]),
            (r#"{"b64_json2":"C","b64_jso":"D"}"#, r#"{"b64_json2":"C","b64_jso":"D"}"#, &[]),
            (r#"["b64_json","A"]"#, r#"["b64_json","A"]"#, &[]),
            (
                r#"{"a\"b64_json":"A","p":"\"b64_json\":\"B\""}"#,
                r#"{"a\"b64_json":"A","p":"\"b64_json\":\"B\""}"#,
                &[],
            ),
            (r#"{"b64_json":"a\/b\u002Bc\n\"d"}"#, r#"{"b64_json":"0"}"#, &["a/b+c\n\"d"]),
            (r#"{"b64_json":"\u00zz"}"#, r#"{"b64_json":"0"}"#, &["\u{fffd}"]),
        ] {
            assert_eq!(extract(&[json.as_bytes()]), (kept.to_owned(), texts(taken)), "{json}");
        }
    }

    #[test]
    fn a_text_that_was_cut_has_no_end() {
        let (kept, texts) = extract(&[br#"{"data":[{"b64_json":"AAA"#]);
        assert_eq!(
            (kept.as_str(), texts),
            (r#"{"data":[{"b64_json":""#, Texts(vec![(b"AAA".to_vec(), false)]))
        );
    }

    #[test]
    fn what_is_kept_is_bounded_and_what_is_taken_is_not() {
        let (mut extract, mut texts) = (Extract::new("b64_json"), Texts::default());
        let long = vec![b'A'; 64 * 1024];
        extract.push(br#"{"b64_json":""#, &mut texts).unwrap();
        for _ in 0..200 {
            extract.push(&long, &mut texts).unwrap();
        }
        extract.push(br#"","prompt":""#, &mut texts).unwrap();
        let flood = (0..200).find_map(|_| extract.push(&long, &mut texts).err());
        assert_eq!(flood, Some(ExtractError::TooLarge));
    }

    proptest! {
        #[test]
        fn it_does_not_matter_where_the_answer_is_cut_into_pieces(
            text in r#"([{}\[\]:, \\"a-c/]|"b64_json"|"b64_json": ?"|\\u00[0-9a-f]{2}){0,30}"#,
            cuts in prop::collection::vec(0_usize..200, 0..6),
        ) {
            let mut pieces = vec![text.as_bytes()];
            for cut in cuts {
                let last = pieces.pop().unwrap();
                let (left, right) = last.split_at(cut.min(last.len()));
                pieces.extend([left, right]);
            }
            prop_assert_eq!(extract(&pieces), extract(&[text.as_bytes()]));
        }
    }
}
