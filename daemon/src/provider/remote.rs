//! A provider on the network: one attempt from its permit to its artifacts. The code is the same for every kind of service.
//!
//! It owns the instance's key and HTTP client. The gateway sends it attempts, and it reports to the gate what each attempt tells about the service.

mod chat;
mod check;
mod collect;
mod convert;
mod cost;
mod failures;
mod fetch;
mod inputs;
mod job;
mod listings;
mod post;
mod reading;
mod resume;
mod side;
mod speech;
#[cfg(test)]
mod tests;

use std::{cell::Cell, sync::Arc};

use futures_util::future::{LocalBoxFuture, ready};
use reel_protocol::{
    ErrorCode,
    methods::{PlannedRequest, ProviderCheckResult},
};
use reqwest::{
    Method, Request, Url,
    header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, HeaderValue},
};

pub(super) use self::failures::shown;
use self::{
    reading::{Came, OTHER_PICTURES, Parts, Reading, Text},
    resume::Sinks,
};
use super::{
    Equipment, Generate, GenerateError, Generated, Permit, Provider, VoiceList,
    gate::Verdict,
    http::{Document, Exchange},
    inspect::{InspectError, Inspected},
    jobs::JobWork,
    notes::{Beside, notes},
    wire::{Item, Wire},
    words::words_beside_pictures,
};
use crate::{
    cache::{NewArtifact, SPOOL_BYTES, Spooled},
    config::{ProviderConfig, RemoteConfig},
    domain::{CancelSignal, Class, Failure, ImageRequest, ServiceRequest},
    memory::{Holder, Reservation},
    secret::Secret,
};

/// Memory that a call reserves while its response arrives, in bytes: up to six of hyper's buffers of 400 KiB (one is being filled, one is sent to
/// the reader, three wait for the reader, and one is read), and the decoder's blocks. The memory of spools is reserved in addition.
const CALL_BYTES: u64 = 3 * 1024 * 1024;
/// Largest picture, in bytes: ten times what services send.
const MAX_PICTURE_BYTES: u64 = 256 * 1024 * 1024;
/// Smallest response that can contain its pictures, in bytes for each picture. A shorter response only names their URLs.
const PICTURE_ANSWER_BYTES: usize = 16 * 1024;
/// Free disk space that is required before a picture is requested, in bytes: a paid result must not be lost to a full disk.
const ROOM_BYTES: u64 = 64 * 1024 * 1024;

/// A configured service that is reached over HTTP.
#[derive(Debug)]
pub struct RemoteProvider {
    pub(super) config: ProviderConfig,
    /// The base URL of the service, and where its API key comes from.
    pub(super) remote: RemoteConfig,
    /// Builds the requests of this kind of service, and reads its responses.
    wire: Arc<dyn Wire>,
    pub(super) equipment: Equipment,
}

impl RemoteProvider {
    /// Builds an instance, without any I/O. Returns None if the configuration has no base URL.
    pub fn build(
        config: &ProviderConfig,
        equipment: &Equipment,
        wire: Arc<dyn Wire>,
    ) -> Option<Arc<dyn Provider>> {
        Some(Arc::new(Self::new(config, equipment, wire)?))
    }

    /// Does the same as [`Self::build`], for a provider that carries out its attempts by itself and uses only parts of this one.
    pub fn new(config: &ProviderConfig, equipment: &Equipment, wire: Arc<dyn Wire>) -> Option<Self> {
        let remote = config.own.remote.clone()?;
        Some(Self { config: config.clone(), remote, wire, equipment: equipment.clone() })
    }
}

impl Provider for RemoteProvider {
    fn generate(
        self: Arc<Self>,
        call: Generate,
    ) -> LocalBoxFuture<'static, Result<Generated, GenerateError>> {
        Box::pin(async move { self.attempt(call).await })
    }

    fn check(self: Arc<Self>) -> LocalBoxFuture<'static, ProviderCheckResult> {
        Box::pin(async move { self.check_service().await })
    }

    fn models(self: Arc<Self>) -> LocalBoxFuture<'static, Result<Option<Vec<String>>, Failure>> {
        Box::pin(async move { self.list_models().await })
    }

    fn voices(self: Arc<Self>) -> LocalBoxFuture<'static, Result<VoiceList, Failure>> {
        Box::pin(ready(Ok(self.wire.voices())))
    }

    fn requests(&self, request: &ServiceRequest) -> Vec<PlannedRequest> {
        self.planned_requests(request)
    }
}

/// The bodies that a call has received. Each comes with the result of its inspection, if the reading thread has inspected it already.
type Files = Vec<(Spooled, Look)>;

/// The result of inspecting a picture; None if the picture has not been inspected yet.
type Look = Option<Result<Inspected, InspectError>>;

/// The outcome of a call that succeeded.
enum Got {
    /// Every picture of the response, already inspected, and what the inspection found for each.
    Whole(Vec<NewArtifact>, Vec<Inspected>),
    /// Bodies that may not all be pictures.
    Files(Files),
}

impl RemoteProvider {
    /// Runs one attempt.
    pub async fn attempt(&self, call: Generate) -> Result<Generated, GenerateError> {
        let request = match call.request.clone() {
            ServiceRequest::Image(request) if self.wire.jobs("image").is_some() => {
                return self.run_job(JobWork::Image(request), call).await;
            }
            ServiceRequest::Image(request) => request,
            ServiceRequest::Speech(params) => {
                let Generate { permit, cancel, progress, .. } = call;
                return self.speak(&params, permit, cancel, &progress).await;
            }
            ServiceRequest::Chat(params) => {
                let Generate { permit, cancel, progress, .. } = call;
                return self.chat(&params, permit, cancel, &progress).await;
            }
            ServiceRequest::Video(request) => return self.run_job(JobWork::Video(request), call).await,
            ServiceRequest::Render(_) => {
                let message = format!("{} assembles no films", self.config.name);
                let failure = Failure::new(Class::Invalid, message, "leave the provider out");
                return Err(GenerateError::Failed(failure));
            }
        };
        let Generate { job, permit, cancel, progress, jobs, .. } = call;
        let sinks = Sinks { progress: &progress, jobs: &jobs };
        let mut share = Some(self.ready(request.params.n, 0).map_err(GenerateError::Failed)?);
        let earlier = match job {
            // A paid result is fetched even after the task was cancelled: it is kept for the next task that asks for the same.
            Some(job) => tokio::select! {
                biased;
                () = stopped(cancel.clone(), || self.config.is_paid) => return Err(GenerateError::Stopped),
                earlier = self.resume(&job, sinks) => earlier.map_err(GenerateError::Failed)?,
            },
            None => None,
        };
        let (got, mut beside) = match earlier {
            Some(fetched) => {
                (Got::Files(fetched.into_iter().map(|file| (file, None)).collect()), Beside::default())
            }
            None => self.ask_unless_stopped(&request, permit.as_ref(), cancel, sinks).await?,
        };
        drop(permit);
        let (mut pictures, seen) = match got {
            Got::Whole(pictures, seen) => (pictures, seen),
            Got::Files(files) => {
                // Release the rest of the reservation first: the inspection may itself wait for memory.
                let held_bytes = files.iter().map(|(file, _)| file.memory_bytes()).sum();
                share = share.map(|mut share| share.split(held_bytes));
                let inspected = self.inspect(files).await;
                if inspected.as_ref().is_err_and(|failure| failure.class == Class::Unknown) {
                    // The fetched files are no pictures, so a later attempt must not fetch them again.
                    let _ = jobs.remember(None).await;
                }
                let (pictures, seen, missing) = inspected.map_err(GenerateError::Failed)?;
                beside.missing = beside.missing.or(missing);
                (pictures, seen)
            }
        };
        if let Some(share) = &mut share {
            for picture in &mut pictures {
                picture.reservation = Some(share.split(picture.body.memory_bytes()));
            }
        }
        let notes = notes(&self.config.name, &request.params, &seen, &beside);
        Ok(Generated { artifacts: pictures, notes, cost_microusd: beside.cost_microusd })
    }

    /// Sends the request, and stops waiting if the task is cancelled. A request to a paid provider that has left is always waited for.
    async fn ask_unless_stopped(
        &self,
        request: &ImageRequest,
        permit: Option<&Permit>,
        cancel: CancelSignal,
        sinks: Sinks<'_>,
    ) -> Result<(Got, Beside), GenerateError> {
        let has_left = Cell::new(false);
        let leaves = || {
            has_left.set(true);
            if let Some(permit) = permit {
                permit.leaves();
            }
        };
        let answered = || {
            if let Some(permit) = permit {
                permit.answered();
            }
        };
        let asking = self.ask(request, sinks, (leaves, answered));
        self.unless_stopped(permit, cancel, &has_left, asking).await
    }

    /// Waits for a response, unless the task is cancelled before the request may be charged, and reports the verdict to the gate. `has_left` says
    /// whether the request has left.
    async fn unless_stopped<T>(
        &self,
        permit: Option<&Permit>,
        cancel: CancelSignal,
        has_left: &Cell<bool>,
        asking: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, GenerateError> {
        let asked = tokio::select! {
            biased;
            () = stopped(cancel, || self.config.is_paid && has_left.get()) => return Err(GenerateError::Stopped),
            asked = asking => asked,
        };
        let verdict = asked.as_ref().map_or_else(|failure| failure.class.into(), |_| Verdict::Answered);
        if asked.is_ok() {
            self.works();
        }
        // A server that was given up has not answered, although its tasks are not tried again.
        let has_answered = asked.as_ref().err().is_none_or(|failure| failure.error.provider_status.is_some());
        if verdict == Verdict::Answered && has_answered {
            self.equipment.machines.reached(&self.config.name);
        }
        // Any other failure before the request left says nothing about the provider.
        if let Some(permit) = permit.filter(|_| has_left.get() || verdict == Verdict::Unreached) {
            permit.judge(verdict);
        }
        asked.map_err(GenerateError::Failed)
    }

    async fn ask(
        &self,
        request: &ImageRequest,
        sinks: Sinks<'_>,
        (leaves, answered): (impl FnOnce(), impl FnOnce()),
    ) -> Result<(Got, Beside), Failure> {
        let key = self.key().await?;
        let model = request.params.model.as_deref().or(self.config.model_for("image"));
        let (submission, _held) = self.picture_submission(request, model).await?;
        let exchange = self.send(submission, key.as_ref(), sinks.progress, leaves).await?;
        let status = exchange.response.status();
        if !status.is_success() && !request.inputs.is_empty() {
            // A picture in this response may be an echo of an input picture, so the response counts as a refusal.
            return Err(self.refusal_of(exchange, key.as_ref()).await);
        }
        let received = self.receive(exchange, request.params.n, key.as_ref(), sinks, answered).await;
        // If a result could not be fetched, the failure has the status of that fetch already, which says more.
        received.map_err(|failure| match failure.error.provider_status {
            Some(_) => failure,
            None => failure.status(status.as_u16()),
        })
    }

    /// Checks the free disk space and reserves the memory of a call for `count` results, before anything is paid. `more_bytes` is reserved on top.
    pub(super) fn ready(&self, count: u32, more_bytes: u64) -> Result<Reservation, Failure> {
        if !self.equipment.spools.has_room(ROOM_BYTES) {
            let message = "the disk has no room for a result, so none was asked for";
            let hint = "free some room on the disk; the task is tried again";
            return Err(Failure::with_code(Class::Transient(None), ErrorCode::StorageFull, message, hint));
        }
        let spools = (count as usize + OTHER_PICTURES) * SPOOL_BYTES;
        self.equipment.budget.reserve(Holder::Body, CALL_BYTES + spools as u64 + more_bytes).map_err(|over| {
            let hint = "reel memory shows who holds what; the task is tried again";
            Failure::with_code(Class::Transient(None), ErrorCode::OverMemory, over.to_string(), hint)
        })
    }

    async fn receive(
        &self,
        exchange: Exchange,
        count: u32,
        key: Option<&Secret>,
        sinks: Sinks<'_>,
        answered: impl FnOnce(),
    ) -> Result<(Got, Beside), Failure> {
        let (status, headers) = (exchange.response.status(), exchange.response.headers().clone());
        let count = count as usize;
        let arrived = move |bytes| {
            // A response that only names its pictures is short. The pictures are still to be fetched, so the permit stays in use.
            if bytes >= PICTURE_ANSWER_BYTES * count {
                answered();
            }
        };
        let reading = Reading {
            wire: Arc::clone(&self.wire),
            base: self.remote.base_url.clone(),
            count,
            spools: self.equipment.spools.clone(),
            inspector: self.equipment.inspector.clone(),
            progress: sinks.progress.clone(),
            name: self.config.name.clone(),
        };
        let read = exchange.read_with(arrived, |chunks| reading.read(chunks)).await;
        // A complete picture was made, and may be charged, even if the response has an error status.
        let of_status = || (!status.is_success()).then(|| format!("status {}", status.as_u16()));
        let beside = |document: &Document, passed_over, missing| Beside {
            words: words_beside_pictures(document).map(|words| shown(&words, key)).or_else(of_status),
            cost_microusd: self.cost_microusd(&headers, document),
            passed_over,
            missing,
        };
        let parts = match self.read(read.map(Ok))? {
            Came::Whole { pictures, seen, document, passed_over } => {
                return Ok((Got::Whole(pictures, seen), beside(&document, passed_over, None)));
            }
            Came::Parts(parts) => parts,
        };
        let Parts { mut items, pictures, document, cut, passed_over, is_too_large } = parts;
        if !status.is_success() {
            // Fetch no URLs that an error response names. A picture inside of it counts only if every pixel was decoded.
            items.retain(|item| is_decoded(item, &pictures));
            if items.is_empty() {
                let refusal = self.wire.refusal(status, &headers, &document);
                return Err(self.charged(self.refused(refusal, status, key), &headers, &document));
            }
        }
        if !items.is_empty() {
            let (files, missing) = self.collect(items, pictures, key, sinks).await?;
            return Ok((Got::Files(files), beside(&document, passed_over, missing)));
        }
        match cut {
            Some(cut) => Err(self.lost(&cut)),
            None if is_too_large => Err(self.bad_answer("the answer is larger than any picture")),
            None => Err(self.charged(self.no_picture(status, &headers, &document, key), &headers, &document)),
        }
    }

    pub(super) fn request(&self, method: Method, url: Url, key: Option<&Secret>) -> Result<Request, Failure> {
        let mut request = Request::new(method, url);
        request
            .headers_mut()
            .insert(ACCEPT, HeaderValue::from_static("application/json, image/*, audio/*, video/*"));
        // A request without this header accepts any coding, including ones that nothing here can decode.
        request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(key) = key {
            let header = HeaderValue::from_str(&self.wire.authorization(key.expose()));
            let mut header = header.map_err(|_| self.no_key("the key holds characters that no key has"))?;
            header.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, header);
        }
        Ok(request)
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.remote.base_url.clone();
        url.set_path(&format!("{}/{path}", url.path().trim_end_matches('/')));
        url
    }

    pub(super) fn host(&self) -> &str {
        self.remote.base_url.host_str().unwrap_or(&self.config.name)
    }
}

/// Whether a picture is contained in the response itself and every pixel of it was decoded.
fn is_decoded(item: &Item, pictures: &[Option<Text>]) -> bool {
    let picture = item.number().and_then(|number| pictures.get(number)?.as_ref());
    picture.is_some_and(|(text, look)| {
        text.is_ok() && matches!(look, Some(Ok(inspected)) if inspected.undecoded.is_none())
    })
}

/// Completes once the task is cancelled and nothing of the call may be charged; otherwise never.
pub(super) async fn stopped(mut cancel: CancelSignal, may_be_paid: impl Fn() -> bool) {
    // The sender is dropped only when the tracker ends. Then nobody can cancel the call any more, so it runs on.
    let is_told = cancel.wait_for(|is_cancelled| *is_cancelled).await.is_ok();
    if !is_told || may_be_paid() {
        std::future::pending::<()>().await;
    }
}
