//! A provider on the network: one attempt from its permit to its artifacts. The code is the same for every kind of service.
//!
//! It owns the instance's key and HTTP client. The gateway sends it attempts, and it reports to the gate what each attempt tells about the service.

mod address;
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
mod picture;
mod post;
mod reading;
mod resume;
mod side;
mod speech;
#[cfg(test)]
mod tests;

use std::{
    cell::Cell,
    sync::{Arc, Mutex},
};

use futures_util::future::{LocalBoxFuture, ready};
use reel_protocol::{ErrorCode, TaskError, methods::PlannedRequest};
use reqwest::{
    Method, Request, Url,
    header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, HeaderValue},
};

pub(super) use self::failures::shown;
use self::reading::OTHER_PICTURES;
use super::{
    Equipment, Generate, GenerateError, Generated, Permit, Provider, VoiceList,
    chat::StructuredOutput,
    gate::Verdict,
    inspect::{InspectError, Inspected},
    jobs::JobWork,
    key::no_key,
    wire::Wire,
};
use crate::{
    cache::{SPOOL_BYTES, Spooled},
    config::{ProviderConfig, RemoteConfig},
    domain::{CancelSignal, Class, Failure, ServiceRequest},
    memory::{Holder, Reservation},
    secret::Secret,
};

/// Memory that a call reserves while its response arrives, in bytes: up to six of hyper's buffers of 400 KiB (one is being filled, one is sent to
/// the reader, three wait for the reader, and one is read), and the decoder's blocks. The memory of spools is reserved in addition.
const CALL_BYTES: u64 = 3 * 1024 * 1024;
/// Largest picture, in bytes: ten times what services send.
const MAX_PICTURE_BYTES: u64 = 256 * 1024 * 1024;
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
    /// The way in which the service is asked for JSON that fits a schema, after it refused the ways before that one.
    structured_output: Mutex<StructuredOutput>,
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
        let structured_output = Mutex::default();
        Some(Self { config: config.clone(), remote, wire, structured_output, equipment: equipment.clone() })
    }
}

impl Provider for RemoteProvider {
    fn generate(
        self: Arc<Self>,
        call: Generate,
    ) -> LocalBoxFuture<'static, Result<Generated, GenerateError>> {
        Box::pin(async move { self.attempt(call).await })
    }

    fn check(self: Arc<Self>) -> LocalBoxFuture<'static, Result<String, TaskError>> {
        Box::pin(async move { self.check_service().await })
    }

    fn models(self: Arc<Self>) -> LocalBoxFuture<'static, Result<Option<Vec<String>>, Failure>> {
        Box::pin(async move { self.list_models().await })
    }

    fn voices(self: Arc<Self>) -> LocalBoxFuture<'static, Result<VoiceList, Failure>> {
        Box::pin(ready(Ok(self.wire.voices())))
    }

    fn free_memory(self: Arc<Self>) -> LocalBoxFuture<'static, ()> {
        self.stop_for_memory();
        Box::pin(ready(()))
    }

    fn requests(&self, request: &ServiceRequest) -> Vec<PlannedRequest> {
        self.planned_requests(request)
    }
}

/// The bodies that a call has received. Each comes with the result of its inspection, if the reading thread has inspected it already.
type Files = Vec<(Spooled, Look)>;

/// The result of inspecting a picture; None if the picture has not been inspected yet.
type Look = Option<Result<Inspected, InspectError>>;

impl RemoteProvider {
    /// Runs one attempt: at the service of the request, and as a job if the service takes jobs for it.
    pub async fn attempt(&self, call: Generate) -> Result<Generated, GenerateError> {
        match call.request.clone() {
            ServiceRequest::Image(request) if self.wire.jobs("image").is_some() => {
                self.run_job(JobWork::Image(request), call).await
            }
            ServiceRequest::Image(request) => self.make_pictures(&request, call).await,
            ServiceRequest::Speech(params) => {
                let Generate { permit, cancel, progress, .. } = call;
                self.speak(&params, permit, cancel, &progress).await
            }
            ServiceRequest::Chat(params) => {
                let Generate { permit, cancel, progress, .. } = call;
                self.chat(&params, permit, cancel, &progress).await
            }
            ServiceRequest::Video(request) => self.run_job(JobWork::Video(request), call).await,
            ServiceRequest::Render(_) => {
                let message = format!("{} assembles no films", self.config.name);
                let failure = Failure::new(Class::Invalid, message, "leave the provider out");
                Err(GenerateError::Failed(failure))
            }
        }
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
        if let Some(permit) = permit.filter(|_| has_left.get() || verdict.is_unserved()) {
            permit.judge(verdict);
        }
        asked.map_err(GenerateError::Failed)
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

    pub(super) fn request(&self, method: Method, url: Url, key: Option<&Secret>) -> Result<Request, Failure> {
        let mut request = Request::new(method, url);
        request
            .headers_mut()
            .insert(ACCEPT, HeaderValue::from_static("application/json, image/*, audio/*, video/*"));
        // A request without this header accepts any coding, including ones that nothing here can decode.
        request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(key) = key {
            let header = HeaderValue::from_str(&self.wire.authorization(key.expose()));
            let mut header =
                header.map_err(|_| no_key(&self.config.name, "the key holds characters that no key has"))?;
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

/// Completes once the task is cancelled and nothing of the call may be charged; otherwise never.
pub(super) async fn stopped(mut cancel: CancelSignal, may_be_paid: impl Fn() -> bool) {
    // The sender is dropped only when the tracker ends. Then nobody can cancel the call any more, so it runs on.
    let is_told = cancel.wait_for(|is_cancelled| *is_cancelled).await.is_ok();
    if !is_told || may_be_paid() {
        std::future::pending::<()>().await;
    }
}
