//! What an answer without a picture, a sound or a text means: by the words of the service, before its status. Pure.

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

/// Errors within errors that are looked at.
const MAX_ERROR_DEPTH: usize = 4;
/// Errors of a list that are looked at.
const MAX_ERRORS: usize = 4;

/// Words in a message that a gateway passed on, where its own code says less: `LiteLLM` gives 400 and `invalid_request_error` for these.
const MODERATED_WORDS: [&str; 6] = [
    "contentpolicyviolation",
    "content_policy_violation",
    "moderation_blocked",
    "safety_violations=[",
    "rejected by the safety system",
    "result of our safety system",
];
/// The same of what is used up; `LiteLLM` gives 429 and `throttling_error` for these.
const QUOTA_WORDS: [&str; 7] = [
    "insufficient_quota",
    "exceeded your current quota",
    "billing hard limit",
    "billing_hard_limit",
    "insufficient balance",
    "insufficient credits",
    "余额不足",
];
/// What says of the same message that it is the rate of a minute after all: Google words both alike.
const RATE_WORDS: [&str; 4] = ["retry in", "try again in", "per minute", "perminute"];

/// The parts of an error that decide; all of them are missing somewhere.
#[derive(Default)]
pub(super) struct Reason {
    pub words: Option<String>,
    pub kind: String,
    pub code: String,
}

/// What an answer means that holds nothing of what was asked for.
pub(super) fn refusal(status: StatusCode, headers: &HeaderMap, document: &Document) -> Refusal {
    let reason = Reason::of(document);
    let wait = retry_after(headers, SystemTime::now());
    let class = match (reason.class_of_words(wait.is_some()), should_retry(headers)) {
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
    let message = reason.words.unwrap_or_else(|| "said no more".to_owned());
    // What follows is where in a gateway's program it happened.
    let message = message.split("Traceback (most recent").next().unwrap_or_default().trim().to_owned();
    Refusal { class, message }
}

/// The class of a refusal that names so long a pause: a window of the quota where the pause is longer than a task waits for.
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
        // The first two are among those that the SDK repeats.
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
                // A code is a number at some servers.
                Node::Number(number) => Some(number.to_string()),
                _ => None,
            })
        };
        // Of the innermost error that has one.
        let first = |name: &str| {
            let roots = document.roots.iter().flat_map(|root| errors_of(root, 0));
            roots.filter_map(|error| of(error, name)).next_back().unwrap_or_default()
        };
        Self { words: words(document), kind: first("type"), code: first("code") }
    }

    /// What `code`, `type` and the message say, where they say more than the status.
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
        // `LiteLLM` without a database answers the third to every key that is not its own.
        if is(&["invalid_api_key", "auth_error", "no_db_connection", "authentication_error"]) {
            return Some(Class::Auth);
        }
        is(&["rate_limit_exceeded", "throttling_error"]).then_some(Class::RateLimited(None))
    }

    /// Whether the service was asked on our behalf, and what came of it is not known.
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

/// A value and the errors inside of it, from the outermost to the innermost.
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
