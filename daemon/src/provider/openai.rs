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

/// What a gateway answers that lost the service behind it after it had asked: that may go on, and charge. `LiteLLM` answers 408 where it
/// gave up waiting, others 504, and Cloudflare 524; 502 and 520 also say that the service hung up in the middle of its answer.
const LOST_BEHIND: [u16; 5] = [408, 502, 504, 520, 524];
/// The same in words, for gateways that answer 500 to everything: `litellm.Timeout`, `APIConnectionError`, `timeout_error`.
const LOST_WORDS: [&str; 6] = [
    "timeout",
    "timed out",
    "connection error",
    "connectionerror",
    "connection reset",
    "server disconnected",
];

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
        // Joined to the directory of the API, or to its host where it begins with a slash.
        let mut directory = base.clone();
        directory.set_path(&format!("{}/", base.path().trim_end_matches('/')));
        let item = |entry: &Entry| {
            let url = entry.url.as_deref().filter(|url| !url.is_empty());
            let at = url.and_then(|url| directory.join(url).ok());
            match entry.b64_json.as_deref().and_then(|number| number.parse().ok()) {
                Some(text) => Some(Item::Taken { text, or_at: at }),
                None => at.map(Item::At),
            }
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
            (None, _) if status.is_server_error() && reason.is_of_a_lost_answer() => Class::Ambiguous,
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
        status if LOST_BEHIND.contains(&status) => Class::Ambiguous,
        // The first two are among those that the SDK repeats.
        409 | 425 | 500.. => Class::Transient(None),
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

    /// Whether it was asked on our behalf, and what came of it is not known.
    fn is_of_a_lost_answer(&self) -> bool {
        let says = |text: &String| {
            let text = text.to_ascii_lowercase();
            LOST_WORDS.iter().any(|words| text.contains(words))
        };
        [&self.kind, &self.code, &self.message].into_iter().any(says)
    }

    fn shown(&self, fallback: &str) -> String {
        if self.message.is_empty() {
            return fallback.to_owned();
        }
        self.message.clone()
    }
}

#[cfg(test)]
mod tests;
