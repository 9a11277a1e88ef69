//! What is sent, what is read, and what a refusal means, in tables.

use std::time::Duration;

use reel_protocol::{ImageParams, JsonText};
use reqwest::header::HeaderValue;

use super::*;

fn body(params: ImageParams, model: Option<&str>) -> Value {
    let request = PictureRequest { params, seed: 1, style_suffix: Some("film still") };
    let submission = Openai.submission(&request, model);
    assert_eq!(submission.path, "images/generations");
    serde_json::from_slice(&submission.body).unwrap()
}

#[test]
fn a_request_holds_what_the_api_knows_and_what_the_user_adds() {
    let mut params = ImageParams::new("a cat? #1 \"quoted\"\n猫");
    params.negative_prompt = Some("dogs".into());
    params.extra = Some(JsonText::parse(r#"{"quality":"low"}"#.into()).unwrap());
    assert_eq!(
        body(params, Some("gpt-image-2")),
        json!({
            "model": "gpt-image-2", "prompt": "a cat? #1 \"quoted\"\n猫, film still. Avoid: dogs",
            "n": 1, "size": "1024x1024", "quality": "low",
        })
    );
    assert_eq!(body(ImageParams::new("x"), None).get("model"), None);
}

#[test]
fn pictures_are_found_in_the_answer_or_where_it_says() {
    let base = Url::parse("http://host:8080/v1").unwrap();
    let items = |json: &str| Openai.items(json.as_bytes(), &base);
    let at = |url: &str| Item::At(Url::parse(url).unwrap());
    let taken = |text, or_at| Item::Taken { text, or_at };
    assert_eq!(
        items(r#"{"preview":{"b64_json":"0"},"data":[{"b64_json":"1","x":null},{"url":"https://x/1.png"}]}"#),
        Ok(vec![taken(1, None), at("https://x/1.png")])
    );
    assert_eq!(
        items(r#"{"data":[{"url":"https://x/1.png","b64_json":"0"},{"b64_json":"1","url":""}]}"#),
        Ok(vec![taken(0, Some(Url::parse("https://x/1.png").unwrap())), taken(1, None)])
    );
    assert_eq!(
        items(r#"{"data":[{"b64_json":null,"url":"/generated/1.png"},{"url":"files/2.png"}]}"#),
        Ok(vec![at("http://host:8080/generated/1.png"), at("http://host:8080/v1/files/2.png")])
    );
    for (json, class, words) in [
        (r#"{"data":[]}"#, Class::Unknown, "without a picture"),
        (r#"{"data":null}"#, Class::Unknown, "without a picture"),
        (r#"{"data":[{"url":""}"#, Class::Unknown, "not what the images API answers"),
        ("<html>", Class::Unknown, "not what the images API answers"),
        (r#"{"error":{"message":"no","code":"moderation_blocked"}}"#, Class::Moderated, "no"),
        (
            r#"{"error":{"message":"slow down","type":"throttling_error"}}"#,
            Class::RateLimited(None),
            "slow down",
        ),
        (r#"{"error":"broken"}"#, Class::Unknown, "broken"),
    ] {
        let refusal = items(json).unwrap_err();
        assert!(refusal.class == class && refusal.message.contains(words), "{json}: {refusal:?}");
    }
}

#[test]
fn refusals_are_classed_by_their_words_before_their_status() {
    let refusal = |status: u16, header: Option<(&'static str, &'static str)>, body: &str| {
        let header = header.map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)));
        let headers = header.into_iter().collect();
        Openai.refusal(StatusCode::from_u16(status).unwrap(), &headers, body.as_bytes())
    };
    let second = Some(Duration::from_secs(1));
    let hours = Some(Duration::from_hours(2));
    let cases = [
        (429, None, r#"{"error":{"message":"m","code":"rate_limit_exceeded"}}"#, Class::RateLimited(None)),
        (429, Some(("retry-after", "1")), "", Class::RateLimited(second)),
        (429, Some(("retry-after", "7200")), "", Class::QuotaWindow(hours)),
        (429, Some(("retry-after", "1")), r#"{"error":{"type":"insufficient_quota"}}"#, Class::Quota),
        (
            429,
            None,
            r#"{"error":{"message":"m","type":"throttling_error","code":"429"}}"#,
            Class::RateLimited(None),
        ),
        (
            400,
            None,
            r#"{"error":{"type":"image_generation_user_error","code":"moderation_blocked"}}"#,
            Class::Moderated,
        ),
        (
            400,
            None,
            r#"{"error":{"message":"size","type":"invalid_request_error","code":400}}"#,
            Class::Invalid,
        ),
        (401, None, r#"{"error":{"code":"invalid_api_key"}}"#, Class::Auth),
        (403, None, "", Class::Auth),
        (402, None, "", Class::Quota),
        (404, None, r#"{"detail":"Not Found"}"#, Class::Invalid),
        (410, None, "", Class::Gone),
        (413, None, "", Class::Invalid),
        (409, None, "", Class::Transient(None)),
        (500, None, "oops", Class::Transient(None)),
        (503, None, "", Class::Transient(None)),
        (503, Some(("retry-after", "1")), "", Class::Transient(second)),
        (500, Some(("x-should-retry", "false")), "", Class::Unknown),
        (302, None, "", Class::Unknown),
    ];
    for (status, header, body, class) in cases {
        assert_eq!(refusal(status, header, body).class, class, "{status} {header:?} {body}");
    }
    assert_eq!(refusal(404, None, r#"{"detail":"Not Found"}"#).message, "Not Found");
    assert!(refusal(302, None, "").message.contains("base_url"));
}

#[test]
fn what_a_gateway_lost_behind_it_may_have_been_made() {
    let cases = [
        (408, r#"{"error":{"message":"litellm.Timeout","code":"408"}}"#, Class::Ambiguous),
        (502, "<html>", Class::Ambiguous),
        (504, "", Class::Ambiguous),
        (520, "", Class::Ambiguous),
        (524, "<html>", Class::Ambiguous),
        (521, "", Class::Transient(None)),
        (500, r#"{"error":{"message":"m","type":"server_error"}}"#, Class::Transient(None)),
        (500, r#"{"error":{"message":"m","type":"timeout_error"}}"#, Class::Ambiguous),
        (500, r#"{"error":{"message":"m","code":"Timeout"}}"#, Class::Ambiguous),
        (500, r#"{"error":{"message":"litellm.APIConnectionError: x","code":"500"}}"#, Class::Ambiguous),
        (500, r#"{"error":"Request timed out."}"#, Class::Ambiguous),
        (400, r#"{"error":{"message":"timeout is no number"}}"#, Class::Invalid),
    ];
    let again = HeaderMap::from_iter([("x-should-retry".parse().unwrap(), HeaderValue::from_static("true"))]);
    for (status, body, class) in cases {
        let refusal = Openai.refusal(StatusCode::from_u16(status).unwrap(), &again, body.as_bytes());
        assert_eq!(refusal.class, class, "{status} {body}");
    }
}
