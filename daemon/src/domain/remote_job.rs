//! What a provider holds for an attempt whose results are not here yet. It is journaled before anything is done with it, so that a restart
//! or a person's release goes on with it instead of asking, and paying, again. Pure.

use std::fmt;

use reel_protocol::Timestamp;
use serde::{Deserialize, Serialize};

/// The form in the journal. A daemon that finds another number knows of a job that it cannot go on with.
const VERSION: u32 = 1;

/// Longest text in the journal: sixteen results whose addresses carry long signatures. A longer one is not journaled.
const MAX_BYTES: usize = 128 * 1024;

/// What the provider holds. A service that is polled will add its `Submitted { id }`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "job", rename_all = "snake_case")]
pub enum RemoteJob {
    /// The results are made, and can be fetched from these addresses.
    Results {
        /// The provider that made them.
        provider: String,
        /// An address for each result. They may be signed, so they are in the journal and nowhere else.
        urls: Vec<String>,
        /// When the provider named them.
        named_at: Timestamp,
        /// Whether a person allowed to ask, and pay, again if they are gone.
        #[serde(default)]
        ask_if_gone: bool,
    },
}

#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    version: u32,
    #[serde(flatten)]
    job: T,
}

impl RemoteJob {
    /// Results that lie at these addresses, as the provider said at that time.
    pub fn results(
        provider: &str,
        urls: impl IntoIterator<Item = impl ToString>,
        named_at: Timestamp,
    ) -> Self {
        Self::Results {
            provider: provider.to_owned(),
            urls: urls.into_iter().map(|url| url.to_string()).collect(),
            named_at,
            ask_if_gone: false,
        }
    }

    /// The provider that holds it.
    pub fn provider(&self) -> &str {
        let Self::Results { provider, .. } = self;
        provider
    }

    /// Whether the provider may be asked anew if nothing of it is there any more.
    pub const fn may_ask_again(&self) -> bool {
        let Self::Results { ask_if_gone, .. } = self;
        *ask_if_gone
    }

    /// The same, after which the provider may be asked anew if nothing of it is there any more.
    #[must_use]
    pub fn or_ask_again(&self) -> Self {
        let mut job = self.clone();
        let Self::Results { ask_if_gone, .. } = &mut job;
        *ask_if_gone = true;
        job
    }

    /// As the journal keeps it; None where it is longer than anything that a service answers in good faith.
    pub fn encode(&self) -> Option<String> {
        let text = serde_json::to_string(&Versioned { version: VERSION, job: self }).ok()?;
        (text.len() <= MAX_BYTES).then_some(text)
    }

    /// Reads what the journal kept; None where this daemon does not know the form.
    pub fn decode(text: &str) -> Option<Self> {
        let Versioned { version, job } = serde_json::from_str(text).ok()?;
        (version == VERSION).then_some(job)
    }
}

impl fmt::Debug for RemoteJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Results { provider, urls, ask_if_gone, .. } = self;
        write!(f, "Results({} of {provider}, ask_if_gone: {ask_if_gone})", urls.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://cdn.example/a.png?sig=secret";

    #[test]
    fn a_job_comes_back_from_the_journal_as_it_was_and_shows_no_address() {
        let job = RemoteJob::results("studio", [URL], Timestamp::now());
        let text = job.encode().unwrap();
        assert!(
            text.starts_with(r#"{"version":1,"job":"results","provider":"studio","urls":["https://cdn"#),
            "{text}"
        );
        assert_eq!(RemoteJob::decode(&text).as_ref(), Some(&job));
        let shown = format!("{job:?}");
        assert!(!shown.contains("cdn") && !shown.contains("secret"), "{shown}");
        let released = job.or_ask_again();
        assert_eq!(RemoteJob::decode(&released.encode().unwrap()), Some(released));
    }

    #[test]
    fn what_another_version_wrote_is_not_guessed_at() {
        for text in [
            r#"{"version":2,"job":"results","provider":"a","urls":[],"named_at":"2026-11-23T20:00:00.000Z"}"#,
            r#"{"version":1,"job":"submitted","id":"7"}"#,
            "job-7",
            "",
        ] {
            assert_eq!(RemoteJob::decode(text), None, "{text}");
        }
        let long = format!("https://cdn.example/{}", "a".repeat(MAX_BYTES));
        assert_eq!(RemoteJob::results("studio", [long], Timestamp::now()).encode(), None);
    }
}
