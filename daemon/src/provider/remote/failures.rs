//! Classifies the failures of an attempt, and words them: what happened, and what a person can do next.

use reel_protocol::{ErrorCode, TaskError, Timestamp, is_unprintable};
use reqwest::StatusCode;

use super::{
    RemoteProvider,
    address::{endpoint, missing_port},
};
use crate::{
    domain::{Class, Failure},
    provider::{
        http::{BodyFault, SendError, Unreached},
        key::{load_key, refused_key},
        loading::has_failed,
        machine::{Outlook, Prospect},
        wire::Refusal,
    },
    secret::Secret,
};

/// Longest part of a service's own words that is shown, in characters.
const SHOWN_CHARS: usize = 500;

impl RemoteProvider {
    /// Loads the API key. Returns None if none is configured.
    pub(in crate::provider) async fn key(&self) -> Result<Option<Secret>, Failure> {
        let Some(source) = &self.remote.api_key else { return Ok(None) };
        load_key(&self.config.name, source).await.map(Some)
    }

    pub(super) fn read<T>(&self, read: Option<Result<T, BodyFault>>) -> Result<T, Failure> {
        match read {
            Some(Ok(read)) => Ok(read),
            Some(Err(BodyFault::TooLarge)) => Err(self.bad_answer("the answer is larger than any picture")),
            Some(Err(BodyFault::NotBase64)) => Err(self.bad_answer("the answer's picture is not base64")),
            Some(Err(BodyFault::Disk(error))) => {
                let failure = self.lost(&format!("the picture arrived and could not be written: {error}"));
                let code = ErrorCode::StorageFull.name();
                let hint = failure.error.hint;
                let error = TaskError { code: code.to_owned(), hint, ..failure.error };
                Err(Failure { error, ..failure })
            }
            None => Err(Failure::with_code(
                Class::Ambiguous,
                ErrorCode::Internal,
                "reading the answer failed",
                "please report it; reel daemon logs shows the cause",
            )),
        }
    }

    pub(in crate::provider) fn not_answered(&self, error: SendError) -> Failure {
        match error {
            SendError::Closed(_) | SendError::Late(_) => self.lost(&error.to_string()),
            SendError::Forbidden(reason) => self.not_answered(SendError::NotSent(reason.as_str().into())),
            SendError::NotSent(Unreached { reason, remedy }) => {
                let machines = &self.equipment.machines;
                machines.unreached(&self.config.name);
                self.unreached(&reason, remedy, machines.outlook(&self.config.name))
            }
        }
    }

    /// The failure of a request to a server to which no connection can be made. `remedy` is what a person can do about that.
    fn unreached(&self, reason: &str, remedy: Option<String>, outlook: Option<Outlook>) -> Failure {
        let name = &self.config.name;
        let message = format!("{name} at {} cannot be reached: {reason}", endpoint(&self.remote.base_url));
        let Some(Outlook { what, hint, prospect }) = outlook else {
            let port = missing_port(self.config.kind, &self.remote.base_url);
            let port = port.map(|what| format!("; {what}")).unwrap_or_default();
            let hint = remedy.unwrap_or_else(|| {
                format!("is it running? reel providers check {name} asks it; the task waits until it can be reached")
            });
            return Failure::new(Class::Unreached, message + &port, hint);
        };
        let hint = hint.unwrap_or_else(|| {
            format!("the task waits until it can be reached; reel providers shows {name}")
        });
        let class = match prospect {
            Prospect::Starting => Class::Loading,
            Prospect::Waits => Class::Unreached,
            Prospect::Fails => Class::Unknown,
        };
        Failure::with_code(class, ErrorCode::ProviderUnavailable, format!("{message}; {what}"), hint)
    }

    pub(super) fn lost(&self, reason: &str) -> Failure {
        let name = &self.config.name;
        self.ambiguous(format!("the request went to {name}, and its answer was lost: {reason}"))
    }

    /// A gateway forwarded the request and lost the response of the service behind it, so whether the work was done is unknown.
    fn lost_behind(&self, words: &str) -> Failure {
        let name = &self.config.name;
        self.ambiguous(format!("{name} asked the service behind it, and lost its answer: {words}"))
    }

    fn ambiguous(&self, message: String) -> Failure {
        let name = &self.config.name;
        let hint = if self.config.is_paid {
            format!(
                "it may have been paid: look at {name}'s account, then reel release asks again, reel cancel cancels the task"
            )
        } else {
            "asking again costs nothing".to_owned()
        };
        Failure::new(Class::Ambiguous, message, hint)
    }

    pub(in crate::provider) fn bad_answer(&self, reason: &str) -> Failure {
        let message = format!("{}: {reason}", self.config.name);
        Failure::new(Class::Unknown, message, self.retry_hint())
    }

    /// The hint for a response that is of no use.
    const fn retry_hint(&self) -> &'static str {
        if self.config.is_paid { "reel retry asks again, and may pay again" } else { "reel retry asks again" }
    }

    /// Turns a refusal into the failure that the task shows: the service's own words, the status code, and what to do next.
    pub(in crate::provider) fn refused(
        &self,
        refusal: Refusal,
        status: StatusCode,
        key: Option<&Secret>,
    ) -> Failure {
        let Refusal { class, message } = refusal;
        if matches!(class, Class::Transient(_))
            && let Some(failure) = self.not_ready(status, &shown(&message, key))
        {
            return failure.status(status.as_u16());
        }
        let name = &self.config.name;
        let message = format!("{} (status {})", shown(&message, key), status.as_u16());
        let hint = match class {
            Class::Auth => refused_key(name, self.remote.api_key.as_ref()),
            Class::Quota => format!("{name}'s account has nothing left: top it up, then reel retry"),
            Class::QuotaWindow(_) => format!("{name} accepts no more requests for now; reel retry later"),
            Class::Moderated => "change the prompt; asking the same again would be refused again".to_owned(),
            Class::Invalid if matches!(status.as_u16(), 404 | 405) => {
                format!("{}; or the model does not exist there", self.wrong_address())
            }
            Class::Invalid => "change the request, or the provider's model".to_owned(),
            Class::Unreached | Class::Loading | Class::Transient(_) | Class::RateLimited(_) => {
                format!("it is tried again; reel providers shows {name}")
            }
            Class::Ambiguous => return self.lost_behind(&message).status(status.as_u16()),
            Class::Unknown if status.is_redirection() => self.wrong_address(),
            Class::Gone | Class::Unknown => self.retry_hint().to_owned(),
        };
        let message = if status.is_success() {
            format!("{name} answered without a result: {message}")
        } else {
            format!("{name}: {message}")
        };
        Failure::new(class, message, hint).status(status.as_u16())
    }

    /// Returns the failure of a server of the user's own that answers that it cannot work yet, as while it loads its model. It is waited for like one
    /// that is down, but not without end, and not at all if it says that loading has failed. A 503 with other words may come from one of several
    /// models behind a gateway, and says nothing about the others.
    fn not_ready(&self, status: StatusCode, words: &str) -> Option<Failure> {
        let (name, status_words) = (&self.config.name, format!("{words} (status {})", status.as_u16()));
        if self.has_failed_to_load(status, words) {
            let message = format!("{name} cannot load its model: {status_words}");
            let hint = "look at the output of the server, and start it with a model that it can load; then reel retry";
            return Some(Failure::with_code(Class::Unknown, ErrorCode::ProviderUnavailable, message, hint));
        }
        let says_so = || self.remote.is_local() && words.to_ascii_lowercase().contains("loading");
        let is_loading = status == StatusCode::SERVICE_UNAVAILABLE
            && !self.config.is_paid
            && !is_busy(words)
            && (self.config.machine.is_some() || says_so());
        let patience = self.equipment.loading_patience;
        let seconds = patience.as_secs();
        if !is_loading {
            return None;
        }
        if self.equipment.loading.is_too_long(self.remote.base_url.as_str(), patience, Timestamp::now()) {
            let message = format!("{name} still does not work after {seconds} s: {status_words}");
            let hint = "look at the output of the server; raise http.loading_s if its model takes longer; then reel retry";
            return Some(Failure::with_code(Class::Unknown, ErrorCode::ProviderUnavailable, message, hint));
        }
        let message = format!("{name} does not work yet: {status_words}");
        let hint =
            format!("it is waited for, for up to {seconds} s (http.loading_s); reel providers shows {name}");
        Some(Failure::new(Class::Loading, message, hint))
    }

    /// Whether a server of the user's own answers that it could not load its model.
    pub(super) fn has_failed_to_load(&self, status: StatusCode, words: &str) -> bool {
        status == StatusCode::SERVICE_UNAVAILABLE
            && !self.config.is_paid
            && (self.config.machine.is_some() || self.remote.is_local())
            && has_failed(words)
    }

    /// Records that the server has carried out a request, so it does not load its model.
    pub(in crate::provider) fn works(&self) {
        self.equipment.loading.works(self.remote.base_url.as_str());
    }

    /// The failure for a web page in place of a JSON response: `base_url` is probably wrong.
    pub(super) fn web_page(&self, refusal: &Refusal, status: StatusCode, key: Option<&Secret>) -> Failure {
        let (name, words) = (&self.config.name, shown(&refusal.message, key));
        let message = format!("{name} answered with a web page instead of JSON: {words}");
        Failure::new(Class::Unknown, message, self.wrong_address()).status(status.as_u16())
    }

    fn wrong_address(&self) -> String {
        let name = &self.config.name;
        let end = if self.config.kind == "openai" { "; /v1 may be missing at its end" } else { "" };
        format!("providers.{name}.base_url is probably not the API's address{end}")
    }
}

/// Whether a server refuses more work because it already has too much. It runs, so the request is tried again a limited number of times.
fn is_busy(words: &str) -> bool {
    let words = words.to_ascii_lowercase();
    ["busy", "pending requests"].into_iter().any(|part| words.contains(part))
}

/// A service's own words, cut to [`SHOWN_CHARS`]. The key is removed first, as the service may repeat it: a key that the cut had shortened would
/// not be recognised.
pub(in crate::provider) fn shown(words: &str, key: Option<&Secret>) -> String {
    let words = key.map_or_else(|| words.to_owned(), |key| key.redact(words));
    words.chars().take(SHOWN_CHARS).map(|c| if is_unprintable(c) { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_server_is_told_from_one_that_loads_its_model() {
        for (words, expected) in [
            ("server busy, please try again.  maximum pending requests exceeded", true),
            ("Loading model", false),
            ("", false),
        ] {
            assert_eq!(is_busy(words), expected, "{words}");
        }
    }

    #[test]
    fn a_key_across_the_cut_is_not_shown_in_part() {
        let key = Secret::new("sk-0123456789").unwrap();
        for before in 480..SHOWN_CHARS {
            let words = format!("{}sk-0123456789 is wrong", "x".repeat(before));
            let said = shown(&words, Some(&key));
            assert!(!said.contains("sk-") && said.chars().count() <= SHOWN_CHARS, "{said}");
        }
        assert_eq!(shown("a\u{7}b\n", None), "a b ");
    }
}
