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
    cache::Spooled,
    domain::{Class, Failure, JobFields, RemoteJob},
    media::MEMORY_BYTES,
    memory::Reservation,
    provider::{
        http::{Answer, BodyFault, BodyLimits, Document, Reach, SendError, read_answer, retry_after},
        jobs::{JobRequest, JobState, JobWork},
        remote::{
            MAX_PICTURE_BYTES, RemoteProvider,
            failures::shown,
            reading::{MAX_PICTURES, OTHER_PICTURES},
        },
        wire::{Item, Refusal},
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
    /// The response has the state of the job. `hint` is the delay until the next poll, if the service named one. `inside` has the results if this
    /// kind of service sends them in this response.
    Told { state: JobState, hint: Option<Duration>, cost_microusd: Option<u64>, inside: Option<Inside> },
    /// The poll failed, and the next one may succeed. `is_refusal` is true if the service refuses to answer, such as for a wrong key.
    Untold { reason: String, wait: Option<Duration>, is_refusal: bool },
    /// The service does not know the job.
    Gone(String),
}

/// The results that a response contains.
pub(super) struct Inside {
    /// The files in their order. One that could not be read is an error, and does not affect the others.
    pub files: Vec<Result<Spooled, BodyFault>>,
    /// The memory that is reserved for the files and their inspection.
    pub share: Reservation,
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
                let hint = "reel daemon logs shows the cause; the task is tried again";
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
        let model = call.work.model().or(self.config.model_for(call.work.service()));
        let (inputs, held) = match &call.work {
            work if work.inputs().is_empty() => (Vec::new(), Vec::new()),
            JobWork::Image(request) => self.read_pictures(request).await?,
            JobWork::Video(request) => self.read_formed(&request.inputs, false).await?,
        };
        let submission = call.wire.submit(&call.work, model, &self.config.own.settings, inputs);
        let submission = submission.ok_or_else(|| self.takes_no_job(&call.work))?;
        let request = self.job_request(submission, key.as_ref())?;
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
            return Err(Failure::new(refusal.class, message, self.resubmit_hint()).status(status.as_u16()));
        }
        Err(self.refused(refusal, status, key.as_ref()))
    }

    /// Asks the service for the state of a job.
    pub(super) async fn poll(&self, call: &Call<'_>, fields: &JobFields) -> Poll {
        let wire = call.wire;
        let untold = |reason: String| Poll::Untold { reason, wait: None, is_refusal: false };
        let key = match self.key().await {
            Ok(key) => key,
            Err(failure) => {
                return Poll::Untold { reason: failure.error.message, wait: None, is_refusal: true };
            }
        };
        let answer = if wire.result(fields).is_some() {
            self.ask_shortly(wire.poll(fields), key.as_ref()).await.map(|answer| (answer, None))
        } else {
            self.ask_for_results(call, fields, key.as_ref()).await
        };
        let (Short { status, headers, document }, inside) = match answer {
            Ok(answer) => answer,
            Err(reason) => return untold(reason),
        };
        let wait = retry_after(&headers, SystemTime::now());
        if status.is_success() {
            let hint = wire.poll_hint(&headers).or(wait);
            let cost_microusd = self.wire.cost_microusd(&headers, &document);
            return Poll::Told { state: wire.state(&headers, &document), hint, cost_microusd, inside };
        }
        let Refusal { class, message } = self.wire.refusal(status, &headers, &document);
        let reason = format!("{} (status {})", shown(&message, key.as_ref()), status.as_u16());
        if matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE) {
            return Poll::Gone(reason);
        }
        let passes = (matches!(class, Class::Transient(_) | Class::RateLimited(_) | Class::Ambiguous)
            || status.is_server_error())
            && !self.has_failed_to_load(status, &message);
        Poll::Untold { reason, wait, is_refusal: !passes }
    }

    /// Sends a poll whose response contains the results if the job is done. Returns the reason if there is no complete response.
    async fn ask_for_results(
        &self,
        call: &Call<'_>,
        fields: &JobFields,
        key: Option<&Secret>,
    ) -> Result<(Short, Option<Inside>), String> {
        let count = call.work.count();
        let share = self.ready(count, MEMORY_BYTES).map_err(|failure| failure.error.message)?;
        let request =
            self.job_request(call.wire.poll(fields), key).map_err(|failure| failure.error.message)?;
        let sent = timeout(SHORT_REQUEST, self.equipment.http.send(request, Reach::Anywhere, || ())).await;
        let exchange = sent.map_err(|_| silent())?.map_err(|error| self.unanswered(&error))?;
        let (status, headers) = (exchange.response.status(), exchange.response.headers().clone());
        if !status.is_success() {
            let document = Document::of_error(&exchange.error_text().await);
            return Ok((Short { status, headers, document }, None));
        }
        let in_memory = count as usize + OTHER_PICTURES;
        let limits = BodyLimits { in_memory, pictures: MAX_PICTURES, picture_bytes: MAX_PICTURE_BYTES };
        let (field, spools) = (self.wire.picture_field(), self.equipment.spools.clone());
        let read = exchange
            .read_with(|_| (), move |chunks| read_answer(chunks, field, &spools, limits, &mut |_, _| ()))
            .await;
        let Answer { document, pictures, cut, is_too_large, .. } = read.ok_or("reading the answer failed")?;
        if let Some(reason) = cut {
            return Err(reason);
        }
        if is_too_large {
            return Err("the answer is larger than any result".to_owned());
        }
        let mut pictures: Vec<_> = pictures.into_iter().map(Some).collect();
        let items = self.wire.items(&document, &self.remote.base_url);
        let numbers = items.iter().filter_map(Item::number);
        let files = numbers.filter_map(|number| pictures.get_mut(number)?.take()).collect();
        Ok((Short { status, headers, document }, Some(Inside { files, share })))
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
            let exchange = sent.map_err(|error| self.unanswered(&error))?;
            let (status, headers) = (exchange.response.status(), exchange.response.headers().clone());
            let document = Document::of_error(&exchange.error_text().await);
            Ok(Short { status, headers, document })
        };
        timeout(SHORT_REQUEST, asking).await.unwrap_or_else(|_| Err(silent()))
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
            _ => self.resubmit_hint().to_owned(),
        };
        Failure::new(class, format!("{name}: {}", shown(&message, key.as_ref())), hint)
    }

    /// Returns why a short request got no response. A server that cannot be reached is started if the configuration says how.
    fn unanswered(&self, error: &SendError) -> String {
        let (name, machines) = (&self.config.name, &self.equipment.machines);
        if !matches!(error, SendError::NotSent(_)) {
            return error.to_string();
        }
        machines.unreached(name);
        machines
            .outlook(name)
            .map_or_else(|| error.to_string(), |outlook| format!("{error}; {}", outlook.what))
    }

    /// The hint for a job of which nothing is left.
    pub(super) const fn resubmit_hint(&self) -> &'static str {
        if self.config.is_paid {
            "reel retry submits it again, and may pay again"
        } else {
            "reel retry submits it again"
        }
    }

    /// The failure if this kind of service takes no jobs for this work.
    pub(super) fn takes_no_job(&self, work: &JobWork) -> Failure {
        let message = format!("{} takes no jobs for the service {}", self.config.name, work.service());
        Failure::new(Class::Invalid, message, "reel providers shows what each one serves")
    }
}

fn silent() -> String {
    format!("no answer within {} s", SHORT_REQUEST.as_secs())
}
