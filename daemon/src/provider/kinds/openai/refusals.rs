//! Classifies a response without a picture, a sound or a text: first by the words of the service, then by its status code. Pure.

use std::time::{Duration, SystemTime};

use reqwest::{StatusCode, header::HeaderMap};

use crate::{
    domain::{Class, LONGEST_WAIT},
    provider::{
        http::{Document, Node, retry_after, should_retry},
        wire::Refusal,
        words::words,
    },
};

/// Status codes of a gateway that forwarded a request and lost the service behind it. That service may go on with the work, and charge for it.
/// `LiteLLM` answers 408 when it stops waiting, other gateways 504, and Cloudflare 524. 502 and 520 may also mean that the service closed the
/// connection in the middle of its response.
const LOST_BEHIND: [u16; 5] = [408, 502, 504, 520, 524];
/// Words with the same meaning, for gateways that answer 500 to everything: `litellm.Timeout`, `APIConnectionError`, `timeout_error`.
const LOST_WORDS: [&str; 6] = [
    "timeout",
    "timed out",
    "connection error",
    "connectionerror",
    "connection reset",
    "server disconnected",
];

/// Deepest nesting of errors that is read.
const MAX_ERROR_DEPTH: usize = 4;
/// Most errors of a list that are read.
const MAX_ERRORS: usize = 4;

/// Words of a moderated request in a message that a gateway passed on while its own code says less: `LiteLLM` answers these with 400 and
/// `invalid_request_error`.
const MODERATED_WORDS: [&str; 6] = [
    "contentpolicyviolation",
    "content_policy_violation",
    "moderation_blocked",
    "safety_violations=[",
    "rejected by the safety system",
    "result of our safety system",
];
/// Words of a used up quota; `LiteLLM` answers these with 429 and `throttling_error`.
const QUOTA_WORDS: [&str; 7] = [
    "insufficient_quota",
    "exceeded your current quota",
    "billing hard limit",
    "billing_hard_limit",
    "insufficient balance",
    "insufficient credits",
    "余额不足",
];
/// Words that make a message with [`QUOTA_WORDS`] a rate limit per minute after all: Google uses the same sentence for both.
const RATE_WORDS: [&str; 4] = ["retry in", "try again in", "per minute", "perminute"];

/// The parts of an error by which it is classified. Each of them is missing at some servers.
#[derive(Default)]
pub(super) struct Reason {
    pub words: Option<String>,
    pub kind: String,
    pub code: String,
}

/// Classifies a response that contains nothing of what was requested.
pub(in super::super) fn refusal(status: StatusCode, headers: &HeaderMap, document: &Document) -> Refusal {
    let reason = Reason::of(document);
    let wait = retry_after(headers, SystemTime::now());
    let class = match (reason.class_of_words(wait.is_some()), should_retry(headers)) {
        (Some(Class::RateLimited(_)), _) => limited(wait),
        (Some(class), _) => class,
        (None, _) if status.is_server_error() && reason.is_of_a_lost_answer() => Class::Ambiguous,
        (None, is_worth_it) => match class_of_status(status) {
            Class::RateLimited(_) => limited(wait),
            // The header `x-should-retry: false` overrides a status code that allows a retry.
            Class::Transient(_) if is_worth_it == Some(false) => Class::Unknown,
            Class::Transient(_) => Class::Transient(wait.map(|wait| wait.min(LONGEST_WAIT))),
            class => class,
        },
    };
    let message = reason.words.unwrap_or_else(|| "the service gave no reason".to_owned());
    // Cut off the Python traceback that a gateway may append.
    let message = message.split("Traceback (most recent").next().unwrap_or_default().trim().to_owned();
    Refusal { class, message }
}

/// The class of a rate limit with this wait. A wait that is longer than [`LONGEST_WAIT`] makes it a quota window, as no task waits for so long.
pub(super) fn limited(wait: Option<Duration>) -> Class {
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
        // openai-python retries 409 and everything from 500 on. 425 (Too Early, RFC 8470) may be retried as well.
        409 | 425 | 500.. => Class::Transient(None),
        400.. => Class::Invalid,
        _ => Class::Unknown,
    }
}

impl Reason {
    pub fn of(document: &Document) -> Self {
        let of = |node: &Node, name: &str| {
            node.all(name).find_map(|value| match value {
                Node::Text(text) => Some(text.clone()),
                // Some servers write the code as a number.
                Node::Number(number) => Some(number.to_string()),
                _ => None,
            })
        };
        // Take the field from the innermost error that has it.
        let first = |name: &str| {
            let roots = document.roots.iter().flat_map(|root| errors_of(root, 0));
            roots.filter_map(|error| of(error, name)).next_back().unwrap_or_default()
        };
        Self { words: words(document), kind: first("type"), code: first("code") }
    }

    /// Classifies by `code`, `type` and the message. None if they say no more than the status code. `has_wait` is true if the response names a
    /// wait.
    pub fn class_of_words(&self, has_wait: bool) -> Option<Class> {
        let is = |words: &[&str]| words.iter().any(|word| self.code == *word || self.kind == *word);
        if is(&["moderation_blocked", "content_policy_violation", "content_filter"])
            || self.says(&MODERATED_WORDS)
        {
            return Some(Class::Moderated);
        }
        let is_rate = || has_wait || self.says(&RATE_WORDS);
        if is(&["insufficient_quota", "billing_hard_limit_reached", "billing_not_active"])
            || (self.says(&QUOTA_WORDS) && !is_rate())
        {
            return Some(Class::Quota);
        }
        // `LiteLLM` without a database answers `no_db_connection` to every key that is not its own.
        if is(&["invalid_api_key", "auth_error", "no_db_connection", "authentication_error"]) {
            return Some(Class::Auth);
        }
        is(&["rate_limit_exceeded", "throttling_error"]).then_some(Class::RateLimited(None))
    }

    /// Whether a gateway forwarded the request and lost the response, so that the outcome is unknown.
    fn is_of_a_lost_answer(&self) -> bool {
        self.says(&LOST_WORDS)
    }

    fn says(&self, parts: &[&str]) -> bool {
        let texts = [self.kind.as_str(), &self.code, self.words.as_deref().unwrap_or_default()];
        texts.iter().any(|text| {
            let text = text.to_lowercase();
            parts.iter().any(|part| text.contains(part))
        })
    }
}

/// A value and the errors nested in it, each before those inside of it.
fn errors_of(node: &Node, depth: usize) -> Vec<&Node> {
    let mut errors = vec![node];
    let inner = ["error", "errors", "detail"].into_iter().flat_map(|name| node.all(name));
    let items = if let Node::List(items) = node { items.as_slice() } else { &[] };
    if depth < MAX_ERROR_DEPTH {
        errors
            .extend(inner.chain(items.iter().take(MAX_ERRORS)).flat_map(|inner| errors_of(inner, depth + 1)));
    }
    errors
}
