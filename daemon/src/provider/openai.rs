//! The images API of `OpenAI`, and of the servers that speak it. Pure.
//!
//! Sources: openai-openapi `openapi.yaml` (`CreateImageRequest`, `ImagesResponse`, `Error`), openai-python `_base_client.py` for what its SDK
//! retries, and `LiteLLM`'s and stable-diffusion.cpp's answers as seen.

use std::time::SystemTime;

use reqwest::{StatusCode, Url, header::HeaderMap};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

use super::{
    PictureRequest,
    class::{Class, LONGEST_WAIT},
    http::{retry_after, should_retry},
    wire::{Item, Refusal, Submission, Wire},
};
use crate::service::Takes;

/// Longest part of a service's own words that is shown, in characters.
const SHOWN_CHARS: usize = 500;
/// What a gateway answers that gave up waiting for the service behind it (504, and Cloudflare's 524): that may go on, and charge.
const GAVE_UP_WAITING: [u16; 2] = [504, 524];

/// The kind `openai`.
#[derive(Debug)]
pub struct Openai;

impl Openai {
    /// Grows when the same request is sent in another way.
    pub const VERSION: &str = "1";

    /// What the API can be asked for. Which sizes it takes depends on the model, and the service says so.
    pub fn takes() -> Takes {
        Takes {
            has_numbers: false,
            own_fields: &["model", "prompt", "n", "size", "stream", "partial_images"],
            ..Takes::default()
        }
    }
}

#[derive(Deserialize)]
struct Document {
    #[serde(default, deserialize_with = "or_default")]
    data: Vec<Entry>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize, Default)]
struct Entry {
    #[serde(default)]
    b64_json: Option<String>,
    #[serde(default)]
    url: Option<String>,
}

/// `null` stands for what is empty at some servers.
fn or_default<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Entry>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// The parts of an error that decide; all of them are missing somewhere.
#[derive(Default)]
struct Reason {
    message: String,
    kind: String,
    code: String,
}

impl Wire for Openai {
    fn submission(&self, request: &PictureRequest, model: Option<&str>) -> Submission {
        let params = &request.params;
        let mut prompt = params.prompt.clone();
        if let Some(suffix) = request.style_suffix.filter(|suffix| !suffix.is_empty()) {
            prompt = format!("{prompt}, {suffix}");
        }
        // The API has no place for it; models that read sentences understand it.
        if let Some(negative) = params.negative_prompt.as_deref().filter(|text| !text.trim().is_empty()) {
            prompt = format!("{prompt}. Avoid: {negative}");
        }
        let mut body = Map::new();
        if let Some(model) = model {
            body.insert("model".to_owned(), json!(model));
        }
        body.insert("prompt".to_owned(), json!(prompt));
        body.insert("n".to_owned(), json!(params.n));
        body.insert("size".to_owned(), json!(format!("{}x{}", params.width, params.height)));
        let extra = params.extra.as_ref().and_then(|extra| extra.decode::<Map<String, Value>>().ok());
        body.extend(extra.unwrap_or_default());
        Submission { path: "images/generations", body: Value::Object(body).to_string().into_bytes() }
    }

    fn picture_field(&self) -> &'static str {
        "b64_json"
    }

    fn items(&self, document: &[u8], base: &Url) -> Result<Vec<Item>, Refusal> {
        let unknown = |message: String| Refusal { class: Class::Unknown, message };
        let document: Document = serde_json::from_slice(document)
            .map_err(|error| unknown(format!("the answer is not what the images API answers: {error}")))?;
        if let Some(error) = &document.error.filter(|error| !error.is_null()) {
            let reason = Reason::of(error);
            let class = match reason.class_of_words() {
                Some(Class::RateLimited(_)) => Class::RateLimited(None),
                Some(class) => class,
                None => Class::Unknown,
            };
            return Err(Refusal { class, message: reason.shown("answered with an error and status 200") });
        }
        let item = |entry: &Entry| {
            if entry.b64_json.is_some() {
                return Some(Item::Taken);
            }
            // Joined to the directory of the API, or to its host where it begins with a slash.
            let mut directory = base.clone();
            directory.set_path(&format!("{}/", base.path().trim_end_matches('/')));
            entry.url.as_deref().and_then(|url| directory.join(url).ok()).map(Item::At)
        };
        let items: Vec<_> = document.data.iter().filter_map(item).collect();
        if items.is_empty() {
            return Err(unknown("answered without a picture".to_owned()));
        }
        Ok(items)
    }

    fn refusal(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Refusal {
        let error = serde_json::from_slice::<Value>(body).ok();
        let reason =
            error.as_ref().map(|body| Reason::of(body.get("error").unwrap_or(body))).unwrap_or_default();
        let wait = retry_after(headers, SystemTime::now());
        let class = match (reason.class_of_words(), should_retry(headers)) {
            (Some(Class::RateLimited(_)), _) => limited(wait),
            (Some(class), _) => class,
            (None, is_worth_it) => match class_of_status(status) {
                Class::RateLimited(_) => limited(wait),
                // The service knows better than its status.
                Class::Transient(_) if is_worth_it == Some(false) => Class::Unknown,
                Class::Transient(_) => Class::Transient(wait.map(|wait| wait.min(LONGEST_WAIT))),
                class => class,
            },
        };
        let fallback = if status.is_redirection() {
            "sends elsewhere; base_url may need another host, https, or /v1 at its end"
        } else if status == StatusCode::NOT_FOUND {
            "knows no such model or address; base_url may need /v1 at its end"
        } else {
            "said no more"
        };
        Refusal { class, message: reason.shown(fallback) }
    }

    fn check_path(&self) -> &'static str {
        "models"
    }
}

fn limited(wait: Option<std::time::Duration>) -> Class {
    match wait {
        Some(wait) if wait > LONGEST_WAIT => Class::QuotaWindow(Some(wait)),
        wait => Class::RateLimited(wait),
    }
}

fn class_of_status(status: StatusCode) -> Class {
    match status.as_u16() {
        401 | 403 | 407 => Class::Auth,
        402 => Class::Quota,
        410 => Class::Gone,
        429 => Class::RateLimited(None),
        // 408: the server says that the request did not arrive as a whole. 409 and 425 are among those that the SDK repeats.
        408 | 409 | 425 => Class::Transient(None),
        status if GAVE_UP_WAITING.contains(&status) => Class::Ambiguous,
        500.. => Class::Transient(None),
        400.. => Class::Invalid,
        _ => Class::Unknown,
    }
}

impl Reason {
    fn of(error: &Value) -> Self {
        // A code is a number at some servers.
        let text = |key: &str| match error.get(key) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        };
        let message = match error {
            Value::String(message) => message.clone(),
            _ => [text("message"), text("detail")]
                .into_iter()
                .find(|text| !text.is_empty())
                .unwrap_or_default(),
        };
        Self { message, kind: text("type"), code: text("code") }
    }

    /// What `code` and `type` say, where they say more than the status.
    fn class_of_words(&self) -> Option<Class> {
        let is = |words: &[&str]| words.iter().any(|word| self.code == *word || self.kind == *word);
        if is(&["moderation_blocked", "content_policy_violation", "content_filter"]) {
            return Some(Class::Moderated);
        }
        if is(&["insufficient_quota", "billing_hard_limit_reached", "billing_not_active"]) {
            return Some(Class::Quota);
        }
        if is(&["invalid_api_key", "auth_error", "authentication_error"]) {
            return Some(Class::Auth);
        }
        is(&["rate_limit_exceeded", "throttling_error"]).then_some(Class::RateLimited(None))
    }

    fn shown(&self, fallback: &str) -> String {
        if self.message.is_empty() {
            return fallback.to_owned();
        }
        let clean = |c: char| if c.is_control() { ' ' } else { c };
        self.message.chars().take(SHOWN_CHARS).map(clean).collect()
    }
}

#[cfg(test)]
mod tests {
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
        assert_eq!(
            items(
                r#"{"created":1,"data":[{"b64_json":"","revised_prompt":null},{"url":"https://x/1.png"}]}"#
            ),
            Ok(vec![Item::Taken, at("https://x/1.png")])
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
            (
                429,
                None,
                r#"{"error":{"message":"m","code":"rate_limit_exceeded"}}"#,
                Class::RateLimited(None),
            ),
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
            (408, None, "", Class::Transient(None)),
            (500, None, "oops", Class::Transient(None)),
            (503, None, "", Class::Transient(None)),
            (503, Some(("retry-after", "1")), "", Class::Transient(second)),
            (500, Some(("x-should-retry", "false")), "", Class::Unknown),
            (504, None, "", Class::Ambiguous),
            (524, None, "<html>", Class::Ambiguous),
            (302, None, "", Class::Unknown),
        ];
        for (status, header, body, class) in cases {
            assert_eq!(refusal(status, header, body).class, class, "{status} {header:?} {body}");
        }
        assert_eq!(refusal(404, None, r#"{"detail":"Not Found"}"#).message, "Not Found");
        assert!(refusal(302, None, "").message.contains("base_url"));
        let long = format!(r#"{{"error":{{"message":"a\u0007{}"}}}}"#, "b".repeat(9_000));
        assert_eq!(refusal(400, None, &long).message.len(), SHOWN_CHARS);
    }
}
