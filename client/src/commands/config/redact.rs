//! Hides API keys in a configuration before it is shown.

/// The configuration key whose strings are secrets.
const KEY: &str = "api_key";

/// The text that replaces a secret.
const HIDDEN: &str = "***";

/// Hides every string value of a key named `api_key`. Comments are included, because a key in a comment is still a secret.
pub fn redact(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(found) = rest.find(KEY) {
        let (before, after) = rest.split_at(found + KEY.len());
        shown.push_str(before);
        rest = after;
        let Some(value) = value_of(after) else { continue };
        let Some(delimiter) = opening(value) else { continue };
        shown.push_str(after.strip_suffix(value).unwrap_or_default());
        shown.push_str(delimiter);
        shown.push_str(HIDDEN);
        shown.push_str(delimiter);
        let body = value.strip_prefix(delimiter).unwrap_or_default();
        rest = after_string(body, delimiter);
    }
    shown + rest
}

/// Returns the text after `=`, if `api_key` is used as a key here.
fn value_of(after_key: &str) -> Option<&str> {
    let after = after_key.strip_prefix(['"', '\'']).unwrap_or(after_key).trim_start_matches([' ', '\t']);
    after.strip_prefix('=').map(|value| value.trim_start_matches([' ', '\t']))
}

fn opening(value: &str) -> Option<&'static str> {
    [r#"""""#, "'''", "\"", "'"].into_iter().find(|delimiter| value.starts_with(delimiter))
}

/// Returns the text after the end of the string. An unclosed string extends to the end of its line, or of the text if it may span lines.
fn after_string<'a>(body: &'a str, delimiter: &str) -> &'a str {
    let is_multiline = delimiter.len() == 3;
    let is_basic = delimiter.starts_with('"');
    let mut is_escaped = false;
    for (index, character) in body.char_indices() {
        let rest = body.get(index..).unwrap_or_default();
        if is_escaped {
            is_escaped = false;
        } else if is_basic && character == '\\' {
            is_escaped = true;
        } else if let Some(after) = rest.strip_prefix(delimiter) {
            // Up to two quotes may precede the three closing ones. They belong to the secret.
            let quote = if is_basic { '"' } else { '\'' };
            return if is_multiline { after.trim_start_matches(quote) } else { after };
        } else if character == '\n' && !is_multiline {
            return rest;
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_a_key_is_hidden_and_nothing_else() {
        for (text, expected) in [
            ("api_key = \"sk-1\"\nx = 1\n", "api_key = \"***\"\nx = 1\n"),
            ("api_key='sk-1'", "api_key='***'"),
            ("\"api_key\" = \"sk\\\"-1\" # mine", "\"api_key\" = \"***\" # mine"),
            (
                "a = { kind = \"openai\", api_key = \"sk\", model = \"m\" }",
                "a = { kind = \"openai\", api_key = \"***\", model = \"m\" }",
            ),
            ("studio.api_key = \"\"\"sk\nsk\"\"\"\"\nx = 1", "studio.api_key = \"\"\"***\"\"\"\nx = 1"),
            ("# api_key = \"sk\"", "# api_key = \"***\""),
            ("api_key = \"sk\nx = 1", "api_key = \"***\"\nx = 1"),
            ("api_key = { env = \"X\" }", "api_key = { env = \"X\" }"),
            ("# the api_key is secret = \"no\"", "# the api_key is secret = \"no\""),
            ("model = \"m\"", "model = \"m\""),
        ] {
            assert_eq!(redact(text), expected);
        }
    }
}
