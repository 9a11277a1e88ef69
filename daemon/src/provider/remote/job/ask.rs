//! The requests of a job: its submission, its polls, and the request to stop it.

use std::time::{Duration, SystemTime};

use reel_protocol::Timestamp;
use reqwest::{
    Request, StatusCode, Url,
    header::{CONTENT_TYPE, HeaderMap, HeaderValue},
};
use tokio::time::timeout;

use super::{Call, Ticket};
use crate::{
    domain::{Class, Failure, JobFields, RemoteJob},
    provider::{
        http::{Document, Reach, SendError, retry_after},
        jobs::{JobRequest, JobState, JobWire},
        remote::{RemoteProvider, failures::shown},
        wire::Refusal,
    },
    secret::Secret,
};

/// Longest duration of a request that the service answers from what it knows: a poll, a list, a cancellation.
const SHORT_REQUEST: Duration = Duration::from_mins(1);
/// How many times a service is asked to stop a job.
const CANCEL_TRIES: u32 = 4;
/// The pause before the second request to stop a job; each further pause is longer by the same time.
const CANCEL_PAUSE: Duration = Duration::from_secs(2);

/// The outcome of a poll.
pub(super) enum Poll {
    /// The response has the state of the job. `hint` is the delay until the next poll, if the service named one.
    Told { state: JobState, hint: Option<Duration>, cost_microusd: Option<u64> },
    /// The poll failed, and the next one may succeed. `is_refusal` is true if the service refuses to answer, such as for a wrong key.
    Untold { reason: String, wait: Option<Duration>, is_refusal: bool },
    /// The service does not know the job.
    Gone(String),
}

/// Whether the service stopped the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cancelled {
    Yes,
    No,
}

/// The response to a short request.
pub(super) struct Short {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub document: Document,
}

impl RemoteProvider {
    /// Submits a job, and journals the fields that name it before the first poll. If the response of a paid service is lost, searches for the job.
    pub(super) async fn submit_job(&self, call: &Call<'_>, leaves: impl FnOnce()) -> Result<Ticket, Failure> {
        let since = Timestamp::now();
        // Journal a paid submission before the request leaves. A restarted daemon then searches for the job at the service, and submits nothing.
        if self.config.is_paid {
            let submitting = RemoteJob::submitting(&self.config.name, since);
            if !call.jobs.remember(Some(submitting)).await {
                let message = "that a job is submitted could not be journaled, so none was submitted";
                let hint = "reel daemon logs says more; the task is tried again";
                return Err(Failure::new(Class::Transient(None), message, hint));
            }
        }
        match self.send_submission(call, leaves).await {
            Ok((fields, cost_microusd)) => {
                let submitted_at = Timestamp::now();
                self.remember_submitted(call, fields.clone(), submitted_at).await;
                Ok(Ticket { fields, submitted_at, ask_if_gone: false, cost_microusd })
            }
            Err(failure) if failure.class == Class::Ambiguous && self.config.is_paid => {
                match self.look_for_lost(call, since, false).await {
                    Ok(Some(ticket)) => Ok(ticket),
                    _ => Err(failure),
                }
            }
            Err(failure) => {
                if self.config.is_paid {
                    // If this write fails, a restarted daemon searches for the job, and a person decides.
                    let _ = call.jobs.remember(None).await;
                }
                Err(failure)
            }
        }
    }

    /// Adds the job to the known jobs and journals it. If the journal refuses the write, as on a full disk, this attempt still polls the job.
    pub(super) async fn remember_submitted(&self, call: &Call<'_>, fields: JobFields, at: Timestamp) {
        self.equipment.known_jobs.add(&self.config.name, &fields);
        let _ = call.jobs.remember(Some(RemoteJob::submitted(&self.config.name, fields, at))).await;
    }

    async fn send_submission(
        &self,
        call: &Call<'_>,
        leaves: impl FnOnce(),
    ) -> Result<(JobFields, Option<u64>), Failure> {
        let reserved = self.ready(1, 0)?;
        let key = self.key().await?;
        let model = call.request.params.model.as_deref().or(self.config.model_for("video"));
        let (inputs, held) = match call.request.inputs.as_slice() {
            [] => (Vec::new(), None),
            files => self.read_inputs(files.to_vec()).await.map(|(inputs, held)| (inputs, Some(held)))?,
        };
        let request = self.job_request(call.wire.submit(&call.request, model, inputs), key.as_ref())?;
        call.progress.report(0.0, format!("submitting to {}", self.config.name));
        let exchange = self.equipment.http.send(request, Reach::Anywhere, leaves).await;
        let exchange = exchange.map_err(|error| self.not_answered(error))?;
        let (status, headers) = (exchange.response.status(), exchange.response.headers().clone());
        let unreadable = exchange.unreadable();
        let document = Document::of_error(&exchange.error_text().await);
        drop((reserved, held));
        if status.is_success() {
            if let Some(fields) = call.wire.accepted(&document) {
                return Ok((fields, self.wire.cost_microusd(&headers, &document)));
            }
            if document.roots.is_empty() && !document.is_web_page() {
                // The response was cut before the id arrived, so the service may have the job.
                let reason = unreadable.as_deref().unwrap_or("it ended before it named a job");
                return Err(self.lost(reason).status(status.as_u16()));
            }
        }
        let refusal = self.wire.refusal(status, &headers, &document);
        if status.is_success() {
            if document.is_web_page() {
                return Err(self.web_page(&refusal, status, key.as_ref()));
            }
            let words = shown(&refusal.message, key.as_ref());
            let message = format!("{} answered without naming a job: {words}", self.config.name);
            let hint = "reel retry submits it again, and may pay again";
            return Err(Failure::new(refusal.class, message, hint).status(status.as_u16()));
        }
        Err(self.refused(refusal, status, key.as_ref()))
    }

    /// Asks the service for the state of a job.
    pub(super) async fn poll(&self, wire: &dyn JobWire, fields: &JobFields) -> Poll {
        let untold = |reason: String| Poll::Untold { reason, wait: None, is_refusal: false };
        let key = match self.key().await {
            Ok(key) => key,
            Err(failure) => {
                return Poll::Untold { reason: failure.error.message, wait: None, is_refusal: true };
            }
        };
        let answer = match self.ask_shortly(wire.poll(fields), key.as_ref()).await {
            Ok(answer) => answer,
            Err(reason) => return untold(reason),
        };
        let Short { status, headers, document } = answer;
        let wait = retry_after(&headers, SystemTime::now());
        if status.is_success() {
            let hint = wire.poll_hint(&headers).or(wait);
            let cost_microusd = self.wire.cost_microusd(&headers, &document);
            return Poll::Told { state: wire.state(&headers, &document), hint, cost_microusd };
        }
        let Refusal { class, message } = self.wire.refusal(status, &headers, &document);
        let reason = format!("{} (status {})", shown(&message, key.as_ref()), status.as_u16());
        if matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE) {
            return Poll::Gone(reason);
        }
        let passes = matches!(class, Class::Transient(_) | Class::RateLimited(_) | Class::Ambiguous)
            || status.is_server_error();
        Poll::Untold { reason, wait, is_refusal: !passes }
    }

    /// Asks the service to stop a job of a cancelled task. A 404 or 410 counts as stopped.
    pub(super) async fn cancel_job(&self, call: &Call<'_>, ticket: &Ticket) -> Cancelled {
        let name = &self.config.name;
        for attempt in 0..CANCEL_TRIES {
            let Some(request) = call.wire.cancel(&ticket.fields) else { return Cancelled::No };
            if attempt > 0 {
                tokio::time::sleep(CANCEL_PAUSE * attempt).await;
            }
            let Ok(key) = self.key().await else { continue };
            let Ok(answer) = self.ask_shortly(request, key.as_ref()).await else { continue };
            let status = answer.status;
            if status.is_success() || matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE) {
                tracing::info!(provider = %name, "a job was cancelled at its service");
                // The next task that asks for the same must not continue the cancelled job.
                let _ = call.jobs.remember(None).await;
                return Cancelled::Yes;
            }
            if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS {
                tracing::warn!(provider = %name, %status, "a job cannot be cancelled at its service, and goes on there");
                return Cancelled::No;
            }
        }
        tracing::warn!(provider = %name, "a job could not be cancelled, as its service does not answer, and goes on there");
        Cancelled::No
    }

    /// Sends a request that is answered within [`SHORT_REQUEST`]. Returns the reason if there is no response.
    pub(super) async fn ask_shortly(
        &self,
        request: JobRequest,
        key: Option<&Secret>,
    ) -> Result<Short, String> {
        let request = self.job_request(request, key).map_err(|failure| failure.error.message)?;
        let asking = async {
            let sent = self.equipment.http.send(request, Reach::Anywhere, || ()).await;
            let exchange = sent.map_err(|error: SendError| error.to_string())?;
            let (status, headers) = (exchange.response.status(), exchange.response.headers().clone());
            let document = Document::of_error(&exchange.error_text().await);
            Ok(Short { status, headers, document })
        };
        timeout(SHORT_REQUEST, asking)
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {} s", SHORT_REQUEST.as_secs())))
    }

    fn job_request(&self, request: JobRequest, key: Option<&Secret>) -> Result<Request, Failure> {
        let JobRequest { method, path, query, body } = request;
        let mut sent = self.request(method, self.job_url(&path, &query), key)?;
        if let Some((content_type, bytes)) = body {
            let content_type = HeaderValue::from_str(&content_type)
                .map_err(|_| self.bad_answer("the form has no content type"))?;
            sent.headers_mut().insert(CONTENT_TYPE, content_type);
            *sent.body_mut() = Some(bytes.into());
        }
        Ok(sent)
    }

    /// Appends path segments and a query to the provider's `base_url`.
    pub(in crate::provider) fn job_url(&self, path: &[String], query: &[(&'static str, String)]) -> Url {
        let mut url = self.remote.base_url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// The failure of a job that ended without a result, as the task shows it.
    pub(super) async fn job_failed(&self, refusal: Refusal) -> Failure {
        let Refusal { class, message } = refusal;
        let (name, key) = (&self.config.name, self.key().await.unwrap_or_default());
        let hint = match class {
            Class::Moderated => "change the prompt; asking the same again would be refused again".to_owned(),
            Class::Quota => format!("{name}'s account has nothing left: top it up, then reel retry"),
            Class::Invalid => "change the request, or the provider's model".to_owned(),
            Class::Transient(_) | Class::RateLimited(_) => "the task is tried again".to_owned(),
            _ => "reel retry submits it again, and may pay again".to_owned(),
        };
        Failure::new(class, format!("{name}: {}", shown(&message, key.as_ref())), hint)
    }
}
