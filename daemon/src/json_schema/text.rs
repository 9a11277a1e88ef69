//! Extracts the JSON from the text of a model, without the thoughts before it and the code fence around it.

/// Returns the part of an answer that should be JSON.
pub fn json_of(answer: &str) -> &str {
    let mut text = answer.trim();
    if let Some(thoughts) = text.strip_prefix("<think>")
        && let Some((_, behind)) = thoughts.split_once("</think>")
    {
        text = behind.trim_start();
    }
    // JSON begins with one of these, and a string in it may contain a fence.
    if text.starts_with(['{', '[', '"']) {
        return text;
    }
    let Some((_, fenced)) = text.split_once("```") else { return text };
    let Some((_, body)) = fenced.split_once('\n') else { return text };
    body.rsplit_once("```").map_or(body, |(json, _)| json).trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thoughts_fences_and_words_around_the_json_are_left_out() {
        for answer in [
            r#"{"a":"```"}"#,
            " \n{\"a\":\"```\"}\n",
            "```json\n{\"a\":\"```\"}\n```",
            "```\n{\"a\":\"```\"}\n```\n",
            "<think>{} or []?\n</think>\n\n{\"a\":\"```\"}",
            "<think>hm</think>\n```json\n{\"a\":\"```\"}\n```",
            "Here it is:\n\n```json\n{\"a\":\"```\"}\n```\nI hope it helps.",
        ] {
            assert_eq!(json_of(answer), "{\"a\":\"```\"}", "{answer}");
        }
        assert_eq!(json_of("```json\n[1]"), "[1]");
        for answer in ["no JSON at all", "<think>for ever", "```", "", "7"] {
            assert_eq!(json_of(answer), answer);
        }
    }
}
