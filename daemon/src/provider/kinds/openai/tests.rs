//! Tables for the requests, the responses and the refusals.

use std::time::Duration;

use reel_protocol::{ImageParams, JsonText};
use reqwest::header::HeaderValue;

use super::*;
use crate::domain::Class;

fn body(params: ImageParams, model: Option<&str>) -> Value {
    let request = ImageRequest {
        params,
        seed: 1,
        style_suffix: Some("film still"),
        style_negative: None,
        inputs: Vec::new(),
    };
    let submission = Openai.submission(&request, model, &Settings::default());
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

/// The items of a response. `PNG` in the body is replaced by the base64 of a PNG.
fn items(body: &str) -> Vec<Item> {
    let base = Url::parse("http://host:8080/v1").unwrap();
    let png = format!("iVBORw0KGgoAAAANSUhEUgAA{}", "A".repeat(80));
    let document = Document::of_text("b64_json", body.replace("PNG", &png).as_bytes());
    Openai.items(&document, &base)
}

#[test]
fn pictures_are_found_in_the_answer_or_where_it_says() {
    let at = |url: &str| Item::At(Url::parse(url).unwrap());
    let inside = |number| Item::Inside { number, or_at: None };
    for (body, found) in [
        (
            r#"{"preview":{"b64_json":"AA"},"data":[{"b64_json":"AA","x":null},{"url":"https://x/1.png"}]}"#,
            vec![inside(1), at("https://x/1.png")],
        ),
        (
            r#"{"data":[{"url":"https://x/1.png","b64_json":"AA"},{"b64_json":"AA","url":""}]}"#,
            vec![Item::Inside { number: 0, or_at: Some(Url::parse("https://x/1.png").unwrap()) }, inside(1)],
        ),
        (
            r#"{"data":[{"b64_json":null,"url":"/generated/1.png"},{"url":"files/2.png"}]}"#,
            vec![at("http://host:8080/generated/1.png"), at("http://host:8080/v1/files/2.png")],
        ),
        (r#"{"data":[{"b64_json":"https://x/1.png"}]}"#, vec![at("https://x/1.png")]),
        (r#"{"data":[{"b64_json":null,"url":"data:image/png;base64,AAAA"}]}"#, vec![inside(0)]),
        (r#"{"data":[{"b64_json":"AA"}],"data":[]}"#, vec![inside(0)]),
        (r#"{"data":{"b64_json":"AA"}}"#, vec![inside(0)]),
        (r#"{"data":["PNG","https://x/1.png"]}"#, vec![inside(0), at("https://x/1.png")]),
        (r#"{"images":["PNG"],"parameters":{}}"#, vec![inside(0)]),
        (r#"{"images":[{"url":"https://x/1.png","content_type":"image/png"}]}"#, vec![at("https://x/1.png")]),
        (r#"{"artifacts":[{"base64":"PNG","seed":1}]}"#, vec![inside(0)]),
        (r#"{"predictions":[{"bytesBase64Encoded":"PNG","mimeType":"image/png"}]}"#, vec![inside(0)]),
        (
            r#"{"candidates":[{"content":{"parts":[{"text":"a"},{"inlineData":{"mimeType":"image/png","data":"PNG"}}]}}]}"#,
            vec![inside(0)],
        ),
        (
            r#"{"choices":[{"message":{"images":[{"image_url":{"url":"data:image/png;base64,PNG"}}]}}]}"#,
            vec![inside(0)],
        ),
        (r#"{"output":["https://x/1.png"]}"#, vec![at("https://x/1.png")]),
        (r#"{"output":"https://x/1.png"}"#, vec![at("https://x/1.png")]),
        (r#"{"status":{"deep":["PNG"]}}"#, vec![inside(0)]),
        (r#"[{"b64_json":"AA"}]"#, vec![inside(0)]),
        ("PNG", vec![inside(0)]),
        (
            "event: p\ndata: {\"type\":\"image_generation.partial_image\",\"b64_json\":\"AA\"}\n\n\
             event: c\ndata: {\"type\":\"image_generation.completed\",\"b64_json\":\"AA\"}\n\n",
            vec![inside(1)],
        ),
        ("data: {\"type\":\"image_edit.partial_image\",\"b64_json\":\"AA\"}\n\n", vec![]),
        (r#"{"data":[]}"#, vec![]),
        (r#"{"data":null}"#, vec![]),
        (r#"{"data":[{"url":""}"#, vec![]),
        (r#"{"error":{"message":"see https://x/doc","url":"https://x/doc"}}"#, vec![]),
        ("<html>", vec![]),
    ] {
        assert_eq!(items(body), found, "{body}");
    }
}

#[test]
fn an_answer_of_success_without_a_picture_is_classed_by_its_words() {
    for (json, class, words) in [
        (r#"{"data":[]}"#, Class::Unknown, "data"),
        ("<html><title>Log in</title>", Class::Unknown, "Log in"),
        (r#"{"error":{"message":"no","code":"moderation_blocked"}}"#, Class::Moderated, "no"),
        (
            r#"{"error":{"message":"slow down","type":"throttling_error"}}"#,
            Class::RateLimited(None),
            "slow down",
        ),
        (r#"{"error":"broken"}"#, Class::Unknown, "broken"),
        (r#"{"code":1001,"msg":"余额不足"}"#, Class::Quota, "余额不足"),
        (r#"{"detail":"model not loaded"}"#, Class::Unknown, "model not loaded"),
    ] {
        let refusal = Openai.refusal(StatusCode::OK, &HeaderMap::new(), &Document::of_error(json.as_bytes()));
        assert!(refusal.class == class && refusal.message.contains(words), "{json}: {refusal:?}");
    }
}

/// The refusal for this status code, header and body.
fn refusal(status: u16, header: Option<(&'static str, &'static str)>, body: &str) -> Refusal {
    let header = header.map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)));
    let headers = header.into_iter().collect();
    Openai.refusal(StatusCode::from_u16(status).unwrap(), &headers, &Document::of_error(body.as_bytes()))
}

#[test]
fn refusals_are_classed_by_their_words_before_their_status() {
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
    assert_eq!(refusal(500, None, "Internal Server Error").message, "Internal Server Error");
    assert_eq!(refusal(503, None, " ").message, "the service gave no reason");
    let lost = r#"{"error":{"message":"litellm.APIConnectionError: x\nTraceback (most recent call last):\n  File","code":"500"}}"#;
    assert_eq!(refusal(500, None, lost).message, "litellm.APIConnectionError: x");
}

#[test]
fn what_a_gateway_passes_on_in_words_is_classed_by_them() {
    let second = Some(Duration::from_secs(1));
    let cases = [
        (
            400,
            None,
            r#"{"error":{"message":"litellm.ContentPolicyViolationError: x","type":"invalid_request_error","code":"400"}}"#,
            Class::Moderated,
        ),
        (
            400,
            None,
            r#"{"error":{"message":"Your request was rejected by the safety system."}}"#,
            Class::Moderated,
        ),
        (400, None, r#"{"error":{"message":"blocked. safety_violations=[violence]"}}"#, Class::Moderated),
        (
            429,
            None,
            r#"{"error":{"message":"You exceeded your current quota, please check","type":"throttling_error","code":"429"}}"#,
            Class::Quota,
        ),
        (
            429,
            None,
            r#"{"error":{"message":"You exceeded your current quota. Please retry in 34 s."}}"#,
            Class::RateLimited(None),
        ),
        (
            429,
            Some(("retry-after", "1")),
            r#"{"error":"You exceeded your current quota"}"#,
            Class::RateLimited(second),
        ),
        (403, None, r#"{"message":"Insufficient balance"}"#, Class::Quota),
        (
            400,
            None,
            r#"{"error":{"message":"No connected db.","type":"no_db_connection","code":"400"}}"#,
            Class::Auth,
        ),
    ];
    for (status, header, body, class) in cases {
        assert_eq!(refusal(status, header, body).class, class, "{status} {header:?} {body}");
    }
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
        let refusal = Openai.refusal(
            StatusCode::from_u16(status).unwrap(),
            &again,
            &Document::of_error(body.as_bytes()),
        );
        assert_eq!(refusal.class, class, "{status} {body}");
    }
}

#[test]
fn a_cost_that_cannot_be_true_hides_no_other() {
    for (header, body, microusd) in [
        (None, r#"{"usage":{"cost":0.02}}"#, Some(20_000)),
        (Some("0.25"), r#"{"usage":{"cost":0.02}}"#, Some(250_000)),
        (Some("0.0"), r#"{"usage":{"cost":0.02}}"#, Some(20_000)),
        (Some("NaN"), r#"{"cost":0.02}"#, Some(20_000)),
        (Some("-1"), r#"{"cost":1e9,"usage":{"cost":0.02}}"#, Some(20_000)),
        (Some("0.0"), "{}", Some(0)),
        (Some("1e9"), "{}", None),
        (None, r#"{"usage":{"cost":0}}"#, Some(0)),
    ] {
        let headers = header.map(|cost| (COST_HEADER.parse().unwrap(), HeaderValue::from_static(cost)));
        let document = Document::of_error(body.as_bytes());
        let found = Openai.cost_microusd(&headers.into_iter().collect(), &document);
        assert_eq!(found, microusd, "{header:?} {body}");
    }
}
