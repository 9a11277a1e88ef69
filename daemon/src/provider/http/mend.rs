//! What can still be read of a JSON document that was cut. Pure.

/// The document up to the last object or list that is whole, with what is open around it closed. Empty where nothing is whole.
///
/// It is for documents that are cut and otherwise hold; of another one the parser still finds what is wrong.
pub fn mend(document: &[u8]) -> Vec<u8> {
    let mut closers = Vec::new();
    let (mut is_string, mut is_escaped) = (false, false);
    let mut whole = (0, Vec::new());
    for (at, byte) in document.iter().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_string => is_escaped = true,
            b'"' => is_string = !is_string,
            _ if is_string => {}
            b'{' => closers.push(b'}'),
            b'[' => closers.push(b']'),
            b'}' | b']' => {
                closers.pop();
                whole = (at + 1, closers.clone());
            }
            _ => {}
        }
    }
    let (length, open) = whole;
    document.iter().take(length).chain(open.iter().rev()).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_whole_stays_and_what_is_open_is_closed() {
        for (cut, mended) in [
            (r#"{"data":[{"b64_json":"0"},{"b64_json":""#, r#"{"data":[{"b64_json":"0"}]}"#),
            (r#"{"data":[{"b64_json":"0"},{"url":"http://x/{\"}]"#, r#"{"data":[{"b64_json":"0"}]}"#),
            (
                r#"{"data":[{"b64_json":"0"}],"usage":{"a":[1],"b""#,
                r#"{"data":[{"b64_json":"0"}],"usage":{"a":[1]}}"#,
            ),
            (r#"{"data":[{"b64_json":"0"}]"#, r#"{"data":[{"b64_json":"0"}]}"#),
            (r#"{"data":[]}"#, r#"{"data":[]}"#),
            (r#"{"data":[{"b64_json":"0""#, ""),
            ("]}", "]}"),
            ("", ""),
        ] {
            assert_eq!(String::from_utf8_lossy(&mend(cut.as_bytes())), mended, "{cut}");
        }
    }
}
