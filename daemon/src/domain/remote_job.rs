//! The job or the results that a provider holds for an attempt until the daemon has fetched them. It is journaled before it is used. So after a
//! restart or a release the daemon continues it, instead of sending, and paying for, the request again. Pure.

use std::{collections::BTreeMap, fmt};

use reel_protocol::Timestamp;
use serde::{Deserialize, Serialize};

/// The version of the journaled form. A job with another version cannot be decoded, and so cannot be continued.
const VERSION: u32 = 1;

/// Longest journaled text, in bytes. It has room for sixteen results whose addresses contain long signatures. A longer text is not journaled.
const MAX_BYTES: usize = 128 * 1024;

/// The fields of the submission's response that later requests need, such as the job's id, by name.
pub type JobFields = BTreeMap<String, String>;

/// The job or the results that a provider holds.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "job", rename_all = "snake_case")]
pub enum RemoteJob {
    /// The results exist, and can be fetched from these addresses.
    Results {
        /// The provider that made the results.
        provider: String,
        /// The address of each result. It may contain a signature, so it is stored in the journal and nowhere else.
        urls: Vec<String>,
        /// The time at which the provider named the addresses.
        named_at: Timestamp,
        /// Whether a person allowed the daemon to send, and pay for, the request again if the results are gone.
        #[serde(default)]
        ask_if_gone: bool,
    },
    /// A job is being submitted. Until the response arrives, it is unknown whether the service has the job.
    Submitting {
        /// The provider to which the job is submitted.
        provider: String,
        /// The time at which the submission began, by the clock of this machine.
        since: Timestamp,
        /// Whether a person allowed the daemon to submit, and pay for, the job again if the service does not have it.
        #[serde(default)]
        ask_if_gone: bool,
    },
    /// The service accepted a job, and is polled until its results exist.
    Submitted {
        /// The provider that runs the job.
        provider: String,
        /// The fields that identify the job at the service.
        fields: JobFields,
        /// The time at which the service accepted the job.
        submitted_at: Timestamp,
        /// Whether a person allowed the daemon to submit, and pay for, the job again if it is gone.
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
    /// Returns results at these addresses, which the provider named at that time.
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

    /// Returns a job whose submission begins at `since`.
    pub fn submitting(provider: &str, since: Timestamp) -> Self {
        Self::Submitting { provider: provider.to_owned(), since, ask_if_gone: false }
    }

    /// Returns a job that the service accepted at that time.
    pub fn submitted(provider: &str, fields: JobFields, submitted_at: Timestamp) -> Self {
        Self::Submitted { provider: provider.to_owned(), fields, submitted_at, ask_if_gone: false }
    }

    /// Returns the name of the provider that holds the job or its results.
    pub fn provider(&self) -> &str {
        match self {
            Self::Results { provider, .. }
            | Self::Submitting { provider, .. }
            | Self::Submitted { provider, .. } => provider,
        }
    }

    /// Whether the request may be sent again if the provider has neither the job nor its results any more.
    pub const fn may_ask_again(&self) -> bool {
        match self {
            Self::Results { ask_if_gone, .. }
            | Self::Submitting { ask_if_gone, .. }
            | Self::Submitted { ask_if_gone, .. } => *ask_if_gone,
        }
    }

    /// Whether the provider is known to have the job or its results. An attempt then only polls and fetches.
    pub const fn is_at_provider(&self) -> bool {
        !matches!(self, Self::Submitting { .. })
    }

    /// Returns the same job, with the permission to send the request again if it is gone.
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

    /// Returns the text for the journal. None if it is longer than any honest response of a service needs.
    pub fn encode(&self) -> Option<String> {
        let text = serde_json::to_string(&Versioned { version: VERSION, job: self }).ok()?;
        (text.len() <= MAX_BYTES).then_some(text)
    }

    /// Reads a text from the journal. None if its form or version is unknown.
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
            // The fields may contain signed addresses.
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
