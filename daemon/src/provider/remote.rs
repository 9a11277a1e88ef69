//! A provider on the network: one attempt from its permit to its pictures, the same for every kind of service.
//!
//! It owns the instance's key and way to the network. The gateway sends it attempts; it reports to the gate what each says about the service.

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

use self::{
    failures::shown,
    reading::{Came, OTHER_PICTURES, Parts, Reading, Text},
    resume::Sinks,
};
use super::{
    Equipment, Generate, GenerateError, Generated, Permit, Provider, VoiceList,
    gate::Verdict,
    http::{Document, Exchange},
    inspect::{InspectError, Inspected},
    notes::{Beside, notes},
    wire::{Item, Wire},
    words::words_beside_pictures,
};
use crate::{
    cache::{Fresh, SPOOL_BYTES, Spooled},
    config::{ProviderConfig, RemoteConfig},
    domain::{CancelSignal, Class, Failure, ImageRequest, ServiceRequest},
    memory::{Holder, Reservation},
    secret::Secret,
};

/// What a call holds in memory while its answer arrives: up to six of hyper's buffers of 400 KiB (one that fills, one that is sent to the
/// reader, three that wait for the reader, and one that is read), and the decoder's blocks. What spools hold is reserved beside it.
const CALL_BYTES: u64 = 3 * 1024 * 1024;
/// Largest picture, in bytes: ten times what services send.
const MAX_PICTURE_BYTES: u64 = 256 * 1024 * 1024;
/// An answer of so many bytes for each picture holds them.
const PICTURE_ANSWER_BYTES: usize = 16 * 1024;
/// Room that the disk must have before a picture is asked for: what is paid must not be lost for want of it.
const ROOM_BYTES: u64 = 64 * 1024 * 1024;

/// A configured service on the network.
#[derive(Debug)]
pub struct RemoteProvider {
    config: ProviderConfig,
    /// Where the service is reached, and with which key.
    remote: RemoteConfig,
    /// What its kind says on the wire.
    wire: Arc<dyn Wire>,
    equipment: Equipment,
}

impl RemoteProvider {
    /// An instance that has not asked anybody yet; None where its kind has read no address.
    pub fn build(
        config: &ProviderConfig,
        equipment: &Equipment,
        wire: Arc<dyn Wire>,
    ) -> Option<Arc<dyn Provider>> {
        let remote = config.own.remote.clone()?;
        Some(Arc::new(Self { config: config.clone(), remote, wire, equipment: equipment.clone() }))
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

/// What a call has made: pictures, and what was seen of those that were looked at while they came.
type Files = Vec<(Spooled, Look)>;

/// What was seen of a picture, if it was looked at.
type Look = Option<Result<Inspected, InspectError>>;

/// What a call came to.
enum Got {
    /// All that the answer names, and what was seen of each picture.
    Whole(Fresh, Vec<Inspected>),
    /// Bodies, of which some may be no pictures.
    Files(Files),
}

impl RemoteProvider {
    async fn attempt(&self, call: Generate) -> Result<Generated, GenerateError> {
        let request = match call.request.clone() {
            ServiceRequest::Image(request) => request,
            ServiceRequest::Speech(params) => {
                let Generate { permit, cancel, progress, .. } = call;
                return self.speak(&params, permit, cancel, &progress).await;
            }
            ServiceRequest::Chat(params) => {
                let Generate { permit, cancel, progress, .. } = call;
                return self.chat(&params, permit, cancel, &progress).await;
            }
            ServiceRequest::Video(request) => return self.make_video(request, call).await,
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
            // A paid result is fetched though nobody wants it any more: it is kept for whoever asks next.
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
        let (mut fresh, seen) = match got {
            Got::Whole(fresh, seen) => (fresh, seen),
            Got::Files(files) => {
                // The rest is given back before they are looked at, which may wait for memory.
                let held_bytes = files.iter().map(|(file, _)| file.memory_bytes()).sum();
                share = share.map(|mut share| share.split(held_bytes));
                let inspected = self.inspect(files).await;
                if inspected.as_ref().is_err_and(|failure| failure.class == Class::Unknown) {
                    // There is nothing to fetch again.
                    let _ = jobs.remember(None).await;
                }
                let (pictures, seen, missing) = inspected.map_err(GenerateError::Failed)?;
                beside.missing = beside.missing.or(missing);
                (pictures.into(), seen)
            }
        };
        if let (Fresh::Pictures(pictures), Some(share)) = (&mut fresh, &mut share) {
            for picture in pictures {
                picture.reservation = Some(share.split(picture.body.memory_bytes()));
            }
        }
        let notes = notes(&self.config.name, &request.params, &seen, &beside);
        Ok(Generated { pictures: fresh, notes, cost_microusd: beside.cost_microusd })
    }

    /// Asks the provider, until the call is stopped; a call that may be paid goes on though nobody wants it any more.
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

    /// Waits for an answer, unless the call is stopped before it may be paid, and tells the gate how the provider is.
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
        // What else failed before the request left says nothing about the provider.
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
            // A picture in it may be one of those that were sent.
            return Err(self.refusal_of(exchange, key.as_ref()).await);
        }
        let received = self.receive(exchange, request.params.n, key.as_ref(), sinks, answered).await;
        // Where a result could not be fetched, that status says more.
        received.map_err(|failure| match failure.error.provider_status {
            Some(_) => failure,
            None => failure.status(status.as_u16()),
        })
    }

    /// What is asked for first, while nothing has been paid.
    fn ready(&self, count: u32, more_bytes: u64) -> Result<Reservation, Failure> {
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
        // With what it owns, as what is still to be fetched then may take long.
        let arrived = move |bytes| {
            // One that names its pictures is short, and they are still to be fetched.
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
            shelver: self.equipment.shelver.clone(),
            progress: sinks.progress.clone(),
            name: self.config.name.clone(),
        };
        let read = exchange.read_with(arrived, |chunks| reading.read(chunks)).await;
        // A picture that came whole was made, and may be paid, whatever the status of the answer is.
        let of_status = || (!status.is_success()).then(|| format!("status {}", status.as_u16()));
        let beside = |document: &Document, passed_over, missing| Beside {
            words: words_beside_pictures(document).map(|words| shown(&words, key)).or_else(of_status),
            cost_microusd: self.cost_microusd(&headers, document),
            passed_over,
            missing,
        };
        let parts = match self.read(read.map(Ok))? {
            Came::Whole { fresh, seen, document, passed_over } => {
                return Ok((Got::Whole(fresh, seen), beside(&document, passed_over, None)));
            }
            Came::Parts(parts) => parts,
        };
        let Parts { mut items, pictures, document, cut, passed_over, is_too_large } = parts;
        if !status.is_success() {
            // Nothing is fetched for a failure, and what it holds counts only where it decodes.
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

    fn request(&self, method: Method, url: Url, key: Option<&Secret>) -> Result<Request, Failure> {
        let mut request = Request::new(method, url);
        request
            .headers_mut()
            .insert(ACCEPT, HeaderValue::from_static("application/json, image/*, audio/*, video/*"));
        // A request without it takes any coding, also such as nothing here reads.
        request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(key) = key {
            let header = HeaderValue::from_str(&format!("Bearer {}", key.expose()));
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

    fn host(&self) -> &str {
        self.remote.base_url.host_str().unwrap_or(&self.config.name)
    }
}

/// Whether a picture of an answer is in the answer itself, and every pixel of it was decoded.
fn is_decoded(item: &Item, pictures: &[Option<Text>]) -> bool {
    let picture = item.number().and_then(|number| pictures.get(number)?.as_ref());
    picture.is_some_and(|(text, look)| {
        text.is_ok() && matches!(look, Some(Ok(inspected)) if inspected.undecoded.is_none())
    })
}

/// Ends when the call is told to stop and nothing of it may be paid.
async fn stopped(mut cancel: CancelSignal, may_be_paid: impl Fn() -> bool) {
    // The sender goes away only with the tracker, and then nobody is left to stop it.
    let is_told = cancel.wait_for(|is_cancelled| *is_cancelled).await.is_ok();
    if !is_told || may_be_paid() {
        std::future::pending::<()>().await;
    }
}
