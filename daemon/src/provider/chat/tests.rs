//! Tests that bodies of chats are parsed alike, whatever pieces they arrive in.

use super::*;
use crate::provider::kinds::Openai;

/// Reads the body in pieces of `piece` bytes.
fn read(body: &[u8], piece: usize) -> ChatBody {
    let mut reader = ChatReader::new(&Openai);
    let _ = body.chunks(piece).all(|piece| reader.push(piece));
    reader.finish()
}

const WHOLE: &str = r#"{"choices":[{"message":{"content":"Hé \"you\".\n"},"finish_reason":"stop"}],"usage":{"total_tokens":9}}"#;
const STREAM: &str = concat!(
    ": keep-alive\n\n",
    "data: {\"choices\":[{\"delta\":{\"content\":\"Hé \\\"you\"}}]}\r\n\r\n",
    "event: message\ndata:{\"choices\":[{\"delta\":\ndata: {\"content\":\"\\\".\\n\"},\"finish_reason\":\"stop\"}]}\n\n",
    "data: {\"choices\":[],\"usage\":{\"total_tokens\":9}}\n\n",
    "data: [DONE]\n\n",
);

#[test]
fn both_forms_say_the_same_however_they_are_cut_into_pieces() {
    let padded = format!("\n\n  \r\n\u{feff}{WHOLE}\n");
    for piece in [1, 2, 3, 7, 100, 10_000] {
        for body in [WHOLE, &padded, STREAM] {
            let ChatBody { answer, is_whole, is_too_large, .. } = read(body.as_bytes(), piece);
            assert!(is_whole && !is_too_large, "{body}");
            assert_eq!(
                (answer.text.as_str(), answer.finish_reason.as_deref()),
                ("Hé \"you\".\n", Some("stop"))
            );
            assert_eq!(answer.usage, Some(serde_json::json!({ "total_tokens": 9 })));
        }
    }
}

#[test]
fn a_body_that_ends_early_is_not_whole() {
    for end in 0..WHOLE.len() {
        let body = read(&WHOLE.as_bytes()[..end], 64);
        assert!(!body.is_whole || end == 0, "{end}");
    }
    let last = STREAM.find("\"finish_reason\"").unwrap();
    let body = read(&STREAM.as_bytes()[..last], 64);
    assert_eq!((body.is_whole, body.answer.text.as_str()), (false, "Hé \"you"));
    // After the finish reason, only the token count can be missing.
    let reason = STREAM.find("data: {\"choices\":[]").unwrap();
    assert!(read(&STREAM.as_bytes()[..reason], 64).is_whole);
}

#[test]
fn an_error_within_a_stream_and_bodies_of_other_forms_are_told() {
    let broken =
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: {\"error\":{\"message\":\"no\"}}\n\n";
    let body = read(broken.as_bytes(), 64);
    assert_eq!((body.answer.error.unwrap()["message"].as_str(), body.is_whole), (Some("no"), false));
    for text in ["<html>log in</html>", "Internal Server Error", "{\"status\":\"ok\"}", "data: nonsense\n\n"]
    {
        let body = read(text.as_bytes(), 5);
        assert!(!body.answer.has_begun && body.beginning == text.as_bytes(), "{text}");
    }
    let nothing = read(b" \n", 1);
    assert!(nothing.beginning.is_empty() && !nothing.answer.has_begun);
}

#[test]
fn an_answer_without_end_is_not_held() {
    let mut reader = ChatReader::new(&Openai);
    assert!(reader.push(br#"{"choices":[{"message":{"content":""#));
    let piece = vec![b'a'; 64 * 1024];
    let taken = (0..1_000).take_while(|_| reader.push(&piece)).count();
    assert!(taken <= MAX_ANSWER_BYTES / (64 * 1024), "{taken}");
    assert!(reader.finish().is_too_large);
    for event in [
        format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{}\"}}}}]}}\n\n", "a".repeat(60_000)),
        "data: a".repeat(9_000),
    ] {
        let mut reader = ChatReader::new(&Openai);
        let taken = (0..1_000).take_while(|_| reader.push(event.as_bytes())).count();
        assert!(taken <= MAX_ANSWER_BYTES / 60_000 + 1, "{taken}");
        assert!(reader.finish().is_too_large);
    }
    let call = |index: usize| {
        format!(
            "data: {{\"choices\":[{{\"delta\":{{\"tool_calls\":[{{\"index\":{index},\"function\":{{\"name\":\"f\",\"arguments\":\"{}\"}}}}]}}}}]}}\n\n",
            "a".repeat(60_000)
        )
    };
    let refusal =
        format!("data: {{\"choices\":[{{\"delta\":{{\"refusal\":\"{}\"}}}}]}}\n\n", "a".repeat(60_000));
    for event in [&|_| call(0), &call as &dyn Fn(usize) -> String, &|_| refusal.clone()] {
        let mut reader = ChatReader::new(&Openai);
        let taken = (0..100).take_while(|number| reader.push(event(*number).as_bytes())).count();
        assert!((30..=MAX_ANSWER_BYTES / 60_000 + 1).contains(&taken), "{taken}");
        assert!(reader.finish().is_too_large);
    }
    // Whitespace that keeps the connection open is not stored, however much of it arrives.
    let mut reader = ChatReader::new(&Openai);
    assert!((0..100_000).all(|_| reader.push(b"\n")));
}

proptest::proptest! {
    #[test]
    fn any_body_is_read_alike_in_whatever_pieces_it_comes(
        parts in proptest::collection::vec(proptest::sample::select(vec![
            "data: ", "data:", "event: x\n", ": c\n", "\n", "\r\n", "\n\n", "[DONE]", "{", "}", "[", "\"", "é", " ", "<",
            "{\"choices\":[{\"delta\":{\"content\":\"a\"}}]}", "{\"error\":\"e\"}", "{\"choices\":[]}", "null",
        ]), 0..12),
        piece in 1_usize..40,
    ) {
        let body = parts.concat();
        let whole = read(body.as_bytes(), body.len().max(1));
        let split = read(body.as_bytes(), piece);
        proptest::prop_assert_eq!((whole.answer, whole.is_whole), (split.answer, split.is_whole));
    }
}
