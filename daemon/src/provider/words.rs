//! Finds the error message in an answer, in whichever field the service puts it. Pure.

use super::http::{Document, Node};

/// Names of fields that hold an error message, the most informative first. Sources: `OpenAI`, `FastAPI`, Cloudflare, Google, `NestJS`, RFC 9457 and
/// RFC 6749, and answers of relays that were observed.
const NAMES: &[&str] = &[
    "message",
    "msg",
    "error_message",
    "errorMessage",
    "error_msg",
    "errmsg",
    "err_msg",
    "detail",
    "details",
    "error_description",
    "reason",
    "error",
    "errors",
    "failure",
    "exception",
    "status_message",
    "title",
    "description",
];
/// Most items of a list that are shown.
const MAX_ITEMS: usize = 3;
/// Most characters of a body that are shown if no message is found in it.
const MAX_BEGINNING_CHARS: usize = 300;

/// Returns the message of the service, or the beginning of the body if none is found. None if the body is blank.
pub fn words(document: &Document) -> Option<String> {
    document.roots.iter().find_map(|root| said(root, false)).or_else(|| beginning(document))
}

/// Returns the error that an answer reports besides its pictures. None if it reports none, or only a word such as `success`.
pub fn words_beside_pictures(document: &Document) -> Option<String> {
    let errors =
        ["error", "errors", "detail"].map(|name| document.roots.iter().flat_map(move |root| root.all(name)));
    let words = errors.into_iter().flatten().find_map(|error| said(error, true))?;
    let is_fine = ["success", "ok", "succeeded"].iter().any(|fine| words.eq_ignore_ascii_case(fine));
    (!is_fine).then_some(words)
}

/// Returns the message in a value. With `is_of_error` the value is known to describe an error, so that any text in it counts.
fn said(node: &Node, is_of_error: bool) -> Option<String> {
    match node {
        Node::Text(_) if is_of_error => node.text().map(str::to_owned),
        Node::List(items) => {
            let items: Vec<_> =
                items.iter().filter_map(|item| said(item, is_of_error)).take(MAX_ITEMS).collect();
            (!items.is_empty()).then(|| items.join("; "))
        }
        Node::Map(fields) => {
            // Each value is searched once, the most informative first.
            let mut fields: Vec<_> = fields.iter().map(|(name, value)| (rank(name, value), value)).collect();
            fields.sort_by_key(|(rank, _)| *rank);
            let words =
                fields.into_iter().find_map(|(rank, value)| said(value, is_of_error || rank < UNNAMED))?;
            Some(where_it_is(node).map_or_else(|| words.clone(), |place| format!("{place}: {words}")))
        }
        _ => None,
    }
}

/// The rank of a field with any other name.
const UNNAMED: usize = NAMES.len() + 1;

/// Returns how informative a field is. The lowest rank, 0, is the best.
fn rank(name: &str, value: &Node) -> usize {
    // An object is more informative than a text beside it, which is only a category at some services.
    if matches!(name, "error" | "errors") && value.inside().next().is_some() {
        return 0;
    }
    NAMES.iter().position(|named| *named == name).map_or(UNNAMED, |position| position + 1)
}

/// Returns the field that a `FastAPI` error is about, such as `size` for `["body", "size"]`.
fn where_it_is(node: &Node) -> Option<String> {
    let Some(Node::List(names)) = node.all("loc").next() else { return None };
    let names: Vec<_> = names.iter().filter_map(Node::text).filter(|name| *name != "body").collect();
    (!names.is_empty()).then(|| names.join("."))
}

fn beginning(document: &Document) -> Option<String> {
    let text = String::from_utf8_lossy(&document.beginning);
    let text = if text.trim_start().starts_with('<') { without_tags(&text) } else { text.into_owned() };
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let words: String = words.chars().take(MAX_BEGINNING_CHARS).collect();
    (!words.is_empty()).then_some(words)
}

/// Returns the text of a web page, without scripts and styles.
fn without_tags(page: &str) -> String {
    let mut text = String::new();
    let mut rest = page;
    while let Some((before, tag)) = rest.split_once('<') {
        text.push_str(before);
        text.push(' ');
        let name: String = tag.chars().take_while(char::is_ascii_alphabetic).collect();
        let end = match name.to_ascii_lowercase().as_str() {
            "script" => "</script",
            "style" => "</style",
            _ => "",
        };
        // Names of tags are ASCII, so lower case keeps the positions.
        let at = tag.to_ascii_lowercase().find(end);
        let tag = at.and_then(|at| tag.get(at + end.len()..)).unwrap_or_default();
        rest = tag.split_once('>').map_or("", |(_, after)| after);
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_found_wherever_an_answer_has_them() {
        for body in [
            r#"{"error":{"message":"WORDS","type":"t","code":"c"}}"#,
            r#"{"error":"WORDS"}"#,
            r#"{"error":{"error":{"message":"WORDS"}}}"#,
            r#"{"error":{"message":{"en":"WORDS"}}}"#,
            r#"{"error":[{"message":"WORDS"}]}"#,
            r#"{"error":{"code":7,"msg":"WORDS"}}"#,
            r#"{"error":"Bad Request","message":["WORDS"],"statusCode":400}"#,
            r#"{"error":"invalid_request","error_description":"WORDS"}"#,
            r#"{"message":"outer","error":{"message":"WORDS"}}"#,
            r#"{"detail":"WORDS"}"#,
            r#"{"detail":[{"msg":"WORDS","type":"value_error"}]}"#,
            r#"{"success":false,"errors":[{"code":7003,"message":"WORDS"}],"messages":[]}"#,
            r#"[{"error":{"code":400,"message":"WORDS","status":"INVALID_ARGUMENT"}}]"#,
            r#"{"code":40001,"msg":"WORDS"}"#,
            r#"{"error_code":336003,"error_msg":"WORDS"}"#,
            r#"{"type":"about:blank","title":"Bad Request","detail":"WORDS","status":400}"#,
            r#"{"response":{"error":{"message":"WORDS"}}}"#,
            r#"{"error":{"message":"","code":null,"details":[{"reason":"WORDS"}]}}"#,
            "WORDS",
            "\u{feff}{'error': {'message': 'WORDS', 'code': None}}",
            "data: {\"error\":{\"message\":\"WORDS\"}}\n\ndata: [DONE]\n\n",
            "<html><head><style>p{}</style><script>if(a<b)c()</script></head><p>WORDS</p></html>",
            "<HTML><STYLE>p{}</STYLE><Script>if(a<b)c()</SCRIPT ><P>WORDS</P></HTML>",
        ] {
            assert_eq!(words(&Document::of_error(body.as_bytes())).as_deref(), Some("WORDS"), "{body}");
        }
        let field =
            r#"{"detail":[{"loc":["body","size"],"msg":"must be 1024x1024"},{"loc":["n"],"msg":"no"}]}"#;
        let said = |body: &[u8]| words(&Document::of_error(body));
        assert_eq!(said(field.as_bytes()).as_deref(), Some("size: must be 1024x1024; n: no"));
        assert_eq!(said(br#"{"status":"ok"}"#).as_deref(), Some(r#"{"status":"ok"}"#));
        assert_eq!(said(b" \n"), None);
        assert_eq!(said(b"\xd3\xe0\xb6\xee").map(|words| words.is_empty()), Some(false));
    }

    #[test]
    fn an_error_that_says_nothing_says_nothing_beside_pictures() {
        for (body, words) in [
            (r#"{"error":{"message":"","type":"","param":"","code":null}}"#, None),
            (r#"{"error":{}}"#, None),
            (r#"{"error":{"code":0,"message":"success"}}"#, None),
            (r#"{"error":false,"errors":[]}"#, None),
            (r#"{"error":{"message":"one was blocked"}}"#, Some("one was blocked")),
        ] {
            let document = Document::of_error(body.as_bytes());
            assert_eq!(words_beside_pictures(&document).as_deref(), words, "{body}");
        }
    }
}
