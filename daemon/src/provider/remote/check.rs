//! `provider.check`: tests a provider without paying. It only claims what a request has shown.

use std::time::Duration;

use reel_protocol::{ErrorCode, TaskError};
use reqwest::{Method, StatusCode, header::HeaderMap};

use super::{
    RemoteProvider,
    address::{endpoint, missing_port},
};
use crate::{
    domain::Class,
    provider::{
        condition::fault,
        http::{Document, Reach, SendError, Unreached},
    },
    secret::Secret,
};

/// Paths of the API that people copy into `base_url` by mistake. Each request appends its own path to `base_url`.
const ENDPOINTS: [&str; 4] = ["/images/generations", "/images/edits", "/chat/completions", "/models"];

/// A key that no service has issued. A service that accepts it does not check keys.
const WRONG_KEY: &str = "reel-asks-with-a-wrong-key";

/// Longest duration of a check with its two requests. A person waits for it.
const CHECK: Duration = Duration::from_secs(30);

/// The response to the free request for the list of models.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    document: Document,
}

/// Runs a check within a time limit. Returns a message about the time limit if it runs out.
async fn within(
    limit: Duration,
    host: &str,
    check: impl Future<Output = Result<String, TaskError>>,
) -> Result<String, TaskError> {
    tokio::time::timeout(limit, check).await.unwrap_or_else(|_| {
        let seconds = limit.as_secs();
        let message = format!(
            "{host} did not answer within {seconds} seconds, where a list of models was asked for; is base_url right? It may also be busy: check again later"
        );
        Err(fault(ErrorCode::ProviderUnavailable, message))
    })
}

impl RemoteProvider {
    pub(super) async fn check_service(&self) -> Result<String, TaskError> {
        within(CHECK, &self.authority(), self.try_check()).await
    }

    /// Returns what is known about a usable provider, or why it cannot be used and what to do about it.
    async fn try_check(&self) -> Result<String, TaskError> {
        let (name, host) = (&self.config.name, &self.authority());
        self.check_base_url()?;
        let key = self.key().await.map_err(|failure| failure.error)?;
        let answer = self.ask_for_models(key.as_ref()).await?;
        if !answer.status.is_success() {
            let refusal = self.wire.refusal(answer.status, &answer.headers, &answer.document);
            // Some servers that make pictures have no list of models.
            let is_usable = refusal.class == Class::Invalid && self.wire.lists_models();
            let failure = self.refused(refusal, answer.status, key.as_ref());
            if is_usable {
                let (status, words) = (answer.status, failure.error.message);
                return Ok(format!(
                    "{host} answers, and lists no models ({status}: {words}); only a picture shows whether address and key are right"
                ));
            }
            return Err(failure.error);
        }
        if answer.document.is_web_page() {
            let message = format!(
                "{host} answers with a web page instead of JSON; providers.{name}.base_url is probably not the API's address: /v1 may be \
                 missing at its end"
            );
            return Err(fault(ErrorCode::ProviderFailed, message));
        }
        let described = self.wire.described(&answer.document, &self.config.services);
        let described = described
            .map_err(|why| fault(ErrorCode::ProviderFailed, format!("{host} answers, and {why}")))?;
        if key.is_none() {
            let said = described.unwrap_or_else(|| "no key is configured".to_owned());
            return Ok(format!("{host} answers; {said}"));
        }
        // A service that serves this list to everybody says nothing about the key, so try a wrong key as well.
        match self.ask_for_models(Secret::new(WRONG_KEY).as_ref()).await {
            Ok(other) if matches!(other.status.as_u16(), 401 | 403) => {
                Ok(format!("{host} answers, and takes the key"))
            }
            _ => Ok(format!(
                "{host} answers, and answers a wrong key as well; only a picture shows whether the key is right"
            )),
        }
    }

    /// Returns the host of the server, with the port if the address has one.
    fn authority(&self) -> String {
        self.remote
            .base_url
            .port()
            .map_or_else(|| self.host().to_owned(), |port| format!("{}:{port}", self.host()))
    }

    /// Returns an error if `base_url` ends in a path of the API: every request would then go to a wrong URL.
    fn check_base_url(&self) -> Result<(), TaskError> {
        let mut url = self.remote.base_url.clone();
        let path = url.path().trim_end_matches('/').to_owned();
        let Some(endpoint) = ENDPOINTS.into_iter().find(|endpoint| path.ends_with(endpoint)) else {
            return Ok(());
        };
        url.set_path(path.trim_end_matches(endpoint));
        let name = &self.config.name;
        let message = format!(
            "providers.{name}.base_url ends in {endpoint}, which reel adds itself; write base_url = \"{url}\""
        );
        Err(fault(ErrorCode::ConfigInvalid, message))
    }

    async fn ask_for_models(&self, key: Option<&Secret>) -> Result<Answer, TaskError> {
        let host = self.authority();
        let request = self.request(Method::GET, self.url(self.wire.check_path()), key);
        let request = request.map_err(|failure| failure.error)?;
        let exchange =
            self.equipment.http.send(request, Reach::Anywhere, || {}).await.map_err(|error| match error {
                SendError::NotSent(Unreached { reason, remedy }) => {
                    let host = endpoint(&self.remote.base_url);
                    let port = missing_port(self.config.kind, &self.remote.base_url);
                    let remedy = port.or(remedy).unwrap_or_else(|| "is it running?".to_owned());
                    fault(
                        ErrorCode::ProviderUnavailable,
                        format!("{host} cannot be reached: {reason}; {remedy}"),
                    )
                }
                SendError::Forbidden(_) | SendError::Closed(_) | SendError::Late(_) => {
                    fault(ErrorCode::ProviderUnavailable, format!("{host} did not answer: {error}"))
                }
            })?;
        let (status, headers) = (exchange.response.status(), exchange.response.headers().clone());
        let document = Document::of_error(&exchange.error_text().await);
        Ok(Answer { status, headers, document })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_check_that_is_not_answered_ends_with_a_message() {
        let begun = tokio::time::Instant::now();
        let said = within(CHECK, "studio.test", std::future::pending()).await.unwrap_err();
        assert!(said.message.contains("studio.test did not answer within 30 seconds"), "{said:?}");
        assert_eq!(begun.elapsed().as_secs(), 30);
        let fine = within(CHECK, "studio.test", std::future::ready(Ok("fine".to_owned()))).await;
        assert_eq!(fine, Ok("fine".to_owned()));
    }
}
