//! Sends requests with a body, and turns error responses into failures.

use reqwest::{
    Method, StatusCode,
    header::{CONTENT_TYPE, HeaderMap, HeaderValue},
};

use super::RemoteProvider;
use crate::{
    domain::{Class, Failure, ProgressSink},
    provider::{
        http::{Document, Exchange, Reach},
        wire::Submission,
        words::words_beside_pictures,
    },
    secret::Secret,
};

impl RemoteProvider {
    /// Sends a request. Returns the response if its status code is a success, and the failure that it means otherwise.
    pub(super) async fn post(
        &self,
        submission: Submission,
        key: Option<&Secret>,
        progress: &ProgressSink,
        leaves: impl FnOnce(),
    ) -> Result<Exchange, Failure> {
        let exchange = self.send(submission, key, progress, leaves).await?;
        if exchange.response.status().is_success() {
            Ok(exchange)
        } else {
            Err(self.refusal_of(exchange, key).await)
        }
    }

    /// Turns a response with an error status into a failure.
    pub(super) async fn refusal_of(&self, exchange: Exchange, key: Option<&Secret>) -> Failure {
        let (status, headers) = (exchange.response.status(), exchange.response.headers().clone());
        let document = Document::of_error(&exchange.error_text().await);
        let refused = self.refused(self.wire.refusal(status, &headers, &document), status, key);
        self.charged(refused, &headers, &document)
    }

    /// Turns a complete response without a picture into a failure.
    pub(super) fn no_picture(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        document: &Document,
        key: Option<&Secret>,
    ) -> Failure {
        let refusal = self.wire.refusal(status, headers, document);
        let class = refusal.class;
        if document.is_web_page() {
            return self.web_page(&refusal, status, key);
        }
        let failure = self.refused(refusal, status, key);
        if document.roots.iter().all(|root| self.wire.preview(root).is_none()) {
            return failure;
        }
        // A preview was received, so the service had begun to draw and may charge for it.
        match class {
            Class::Unknown if words_beside_pictures(document).is_none() => {
                self.lost("the stream ended before the finished picture")
            }
            Class::Transient(_) | Class::RateLimited(_) => {
                self.bad_answer(&format!("the picture broke off: {}", failure.error.message))
            }
            _ => failure,
        }
    }

    /// Sends a request. Returns the response, whatever its status code is.
    pub(super) async fn send(
        &self,
        submission: Submission,
        key: Option<&Secret>,
        progress: &ProgressSink,
        leaves: impl FnOnce(),
    ) -> Result<Exchange, Failure> {
        let mut post = self.request(Method::POST, self.url(submission.path), key)?;
        let content_type = HeaderValue::from_str(&submission.content_type);
        let content_type = content_type.unwrap_or(HeaderValue::from_static("application/octet-stream"));
        post.headers_mut().insert(CONTENT_TYPE, content_type);
        *post.body_mut() = Some(submission.body.into());
        progress.report(0.0, format!("waiting for {}", self.config.name));
        let exchange = self
            .equipment
            .http
            .send(post, Reach::Anywhere, leaves)
            .await
            .map_err(|error| self.not_answered(error))?;
        progress.report(0.5, format!("receiving from {}", self.config.name));
        Ok(exchange)
    }
}
