//! What a provider holds for an attempt whose results are not here yet. It is journaled before anything is done with it, so that a restart
//! or a person's release goes on with it instead of asking, and paying, again. Pure.

use std::{collections::BTreeMap, fmt};

use reel_protocol::Timestamp;
use serde::{Deserialize, Serialize};

/// The form in the journal. A daemon that finds another number knows of a job that it cannot go on with.
const VERSION: u32 = 1;

/// Longest text in the journal: sixteen results whose addresses carry long signatures. A longer one is not journaled.
const MAX_BYTES: usize = 128 * 1024;

/// What the answer to a submission said that later requests need, such as the job's id, by name.
pub type JobFields = BTreeMap<String, String>;

/// What the provider holds.
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
    /// A job is about to be submitted. Whether the service has it is not known until the answer is here.
    Submitting {
        /// The provider that it is submitted to.
        provider: String,
        /// When the submission began, by our clock.
        since: Timestamp,
        /// Whether a person allowed to submit, and pay, again if the service has no such job.
        #[serde(default)]
        ask_if_gone: bool,
    },
    /// The service has accepted a job, and is polled until its results are there.
    Submitted {
        /// The provider that has it.
        provider: String,
        /// What names the job at the service.
        fields: JobFields,
        /// When the service accepted it.
        submitted_at: Timestamp,
        /// Whether a person allowed to submit, and pay, again if the job is gone.
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

    /// A job whose submission begins now.
    pub fn submitting(provider: &str, since: Timestamp) -> Self {
        Self::Submitting { provider: provider.to_owned(), since, ask_if_gone: false }
    }

    /// A job that the service accepted at that time.
    pub fn submitted(provider: &str, fields: JobFields, submitted_at: Timestamp) -> Self {
        Self::Submitted { provider: provider.to_owned(), fields, submitted_at, ask_if_gone: false }
    }

    /// The provider that holds it.
    pub fn provider(&self) -> &str {
        match self {
            Self::Results { provider, .. }
            | Self::Submitting { provider, .. }
            | Self::Submitted { provider, .. } => provider,
        }
    }

    /// Whether the provider may be asked anew if nothing of it is there any more.
    pub const fn may_ask_again(&self) -> bool {
        match self {
            Self::Results { ask_if_gone, .. }
            | Self::Submitting { ask_if_gone, .. }
            | Self::Submitted { ask_if_gone, .. } => *ask_if_gone,
        }
    }

    /// Whether the provider is known to have it, so that an attempt only waits for it and fetches.
    pub const fn is_at_provider(&self) -> bool {
        !matches!(self, Self::Submitting { .. })
    }

    /// The same, after which the provider may be asked anew if nothing of it is there any more.
    #[must_use]
    pub fn or_ask_again(&self) -> Self {
        let mut job = self.clone();
        match &mut job {
            Self::Results { ask_if_gone, .. }
            | Self::Submitting { ask_if_gone, .. }
            | Self::Submitted { ask_if_gone, .. } => *ask_if_gone = true,
        }
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
        let ask_if_gone = self.may_ask_again();
        match self {
            Self::Results { provider, urls, .. } => {
                write!(f, "Results({} of {provider}, ask_if_gone: {ask_if_gone})", urls.len())
            }
            Self::Submitting { provider, since, .. } => {
                write!(f, "Submitting(to {provider} since {since}, ask_if_gone: {ask_if_gone})")
            }
            // The fields may hold signed addresses.
            Self::Submitted { provider, submitted_at, .. } => {
                write!(f, "Submitted(to {provider} at {submitted_at}, ask_if_gone: {ask_if_gone})")
            }
        }
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
    fn a_submitted_job_keeps_what_names_it_at_the_service() {
        let fields = JobFields::from([("id".to_owned(), "video_7".to_owned())]);
        let job = RemoteJob::submitted("studio", fields, Timestamp::now());
        let text = job.encode().unwrap();
        assert!(
            text.contains(r#""job":"submitted","provider":"studio","fields":{"id":"video_7"}"#),
            "{text}"
        );
        assert_eq!(RemoteJob::decode(&text).as_ref(), Some(&job));
        assert!(!format!("{job:?}").contains("video_7"), "{job:?}");
        let submitting = RemoteJob::submitting("studio", Timestamp::now());
        assert_eq!(RemoteJob::decode(&submitting.encode().unwrap()).as_ref(), Some(&submitting));
        assert!(job.is_at_provider() && !submitting.is_at_provider());
        assert!(submitting.or_ask_again().may_ask_again() && !submitting.may_ask_again());
    }

    #[test]
    fn what_another_version_wrote_is_not_guessed_at() {
        for text in [
            r#"{"version":2,"job":"results","provider":"a","urls":[],"named_at":"2026-11-23T20:00:00.000Z"}"#,
            r#"{"version":1,"job":"submitted","id":"7"}"#,
            r#"{"version":1,"job":"promised","provider":"a"}"#,
            "job-7",
            "",
        ] {
            assert_eq!(RemoteJob::decode(text), None, "{text}");
        }
        let long = format!("https://cdn.example/{}", "a".repeat(MAX_BYTES));
        assert_eq!(RemoteJob::results("studio", [long], Timestamp::now()).encode(), None);
    }
}
