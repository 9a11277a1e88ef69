//! An attempt: the job of an earlier attempt is looked for, or a new one is submitted; it is followed to its end, and its files are fetched.

use std::{
    cell::{Cell, RefCell},
    sync::Arc,
};

use futures_util::future::LocalBoxFuture;
use reel_protocol::{TaskError, Timestamp, methods::PlannedRequest};
use serde_json::{Map, Value};

use super::{
    deliver::Delivery, follow::Followed, server::ANSWER_BYTES, settings::ComfySettings, socket::Socket,
    wire::ComfyWire,
};
use crate::{
    config::ProviderConfig,
    domain::{
        CancelSignal, Class, Failure, ImageRequest, JobFields, JobSink, ProgressSink, RemoteJob,
        ServiceRequest, VideoRequest,
    },
    media::MEMORY_BYTES,
    memory::Reservation,
    provider::{
        Equipment, Generate, GenerateError, Generated, Permit, Provider,
        remote::{RemoteProvider, shown},
    },
};

/// The field of the journal with the id of a job at the server.
const ID: &str = "prompt_id";
/// The field of the journal with the id that was chosen here, if the server has chosen another one.
const OWN_ID: &str = "own_id";
/// How often one attempt submits a job that the server then does not have, such as after a restart of the server.
const MOST_POSTS: u32 = 4;

/// A server of ComfyUI that runs workflows.
#[derive(Debug)]
pub struct ComfyProvider {
    pub(super) core: RemoteProvider,
    pub(super) settings: ComfySettings,
}

/// What an attempt makes.
#[derive(Debug)]
pub(super) enum Work {
    Image(Box<ImageRequest>),
    Video(Box<VideoRequest>),
}

impl Work {
    /// Returns the name of the service.
    pub const fn service(&self) -> &'static str {
        match self {
            Self::Image(_) => "image",
            Self::Video(_) => "video",
        }
    }
}

/// The state of one attempt, besides the provider.
pub(super) struct Call {
    pub work: Work,
    pub permit: Option<Permit>,
    pub cancel: CancelSignal,
    pub progress: ProgressSink,
    pub jobs: JobSink,
    /// The largest fraction that was reported.
    pub fraction: Cell<f64>,
    /// The server's complaint about nodes that it leaves out of an otherwise accepted workflow.
    pub left_out: RefCell<Option<String>>,
}

impl Call {
    /// Reports progress, which never goes back.
    pub fn report(&self, fraction: f64, message: impl Into<String>) {
        self.fraction.set(self.fraction.get().max(fraction));
        self.progress.report(self.fraction.get(), message);
    }
}

/// A job that the server has, or may have.
#[derive(Debug, Clone)]
pub(super) struct Ticket {
    /// The id of the job at the server. It is the one that was chosen here, unless an old server has chosen another one.
    pub id: String,
    /// The id that was chosen here. It is part of the names of the job's files, and names the websocket to which the server sends its progress.
    pub own_id: String,
    pub submitted_at: Timestamp,
    /// Whether a person has allowed another submission if the server does not have this job.
    pub ask_if_gone: bool,
}

/// A job with what is needed to follow it.
pub(super) struct Job {
    pub ticket: Ticket,
    /// The nodes, by which its progress is counted.
    pub graph: Map<String, Value>,
    /// The websocket, if it was opened before the job was submitted.
    pub socket: Option<Socket>,
}

impl Ticket {
    /// Returns the prefix of all files of the job.
    pub fn prefix(&self) -> String {
        format!("reel/{}", self.own_id)
    }

    /// Returns the job in the form of the journal.
    pub fn journaled(&self, provider: &str) -> RemoteJob {
        let mut fields = JobFields::from([(ID.to_owned(), self.id.clone())]);
        if self.own_id != self.id {
            fields.insert(OWN_ID.to_owned(), self.own_id.clone());
        }
        RemoteJob::submitted(provider, fields, self.submitted_at)
    }

    fn of_journal(job: &RemoteJob) -> Option<Self> {
        let RemoteJob::Submitted { fields, submitted_at, ask_if_gone, .. } = job else { return None };
        let id = fields.get(ID)?.clone();
        let own_id = fields.get(OWN_ID).unwrap_or(&id).clone();
        Some(Self { id, own_id, submitted_at: *submitted_at, ask_if_gone: *ask_if_gone })
    }
}

impl ComfyProvider {
    /// Makes an instance without sending a request. None if the configuration has no base URL.
    pub fn new(config: &ProviderConfig, equipment: &Equipment) -> Option<Self> {
        let settings = config.own.settings.get::<ComfySettings>().cloned().unwrap_or_default();
        Some(Self { core: RemoteProvider::new(config, equipment, Arc::new(ComfyWire))?, settings })
    }

    async fn attempt(&self, call: Generate) -> Result<Generated, GenerateError> {
        let Generate { request, job, permit, cancel, progress, jobs, .. } = call;
        let (work, count) = match request {
            ServiceRequest::Image(request) => {
                let count = request.params.n;
                (Work::Image(Box::new(request)), count)
            }
            ServiceRequest::Video(request) => (Work::Video(Box::new(request)), 1),
            ServiceRequest::Speech(_) | ServiceRequest::Chat(_) | ServiceRequest::Render(_) => {
                let message = format!("{} makes pictures and videos only", self.core.config.name);
                let hint = "reel providers shows what each one serves";
                return Err(GenerateError::Failed(Failure::new(Class::Invalid, message, hint)));
            }
        };
        let mut share =
            self.core.ready(count, ANSWER_BYTES as u64 + MEMORY_BYTES).map_err(GenerateError::Failed)?;
        let (fraction, left_out) = (Cell::new(0.0), RefCell::new(None));
        let call = Call { work, permit, cancel, progress, jobs, fraction, left_out };
        self.run(&call, job.as_deref().and_then(Ticket::of_journal), &mut share).await
    }

    async fn run(
        &self,
        call: &Call,
        earlier: Option<Ticket>,
        share: &mut Reservation,
    ) -> Result<Generated, GenerateError> {
        let mut next = earlier;
        let (mut posts, mut was_cached_away) = (0, false);
        loop {
            let job = match next.take() {
                Some(ticket) => Job { ticket, graph: self.expected_graph(call), socket: None },
                None if posts == MOST_POSTS => return Err(GenerateError::Failed(self.lost_too_often())),
                None => {
                    posts += 1;
                    self.submit(call).await?
                }
            };
            let ticket = job.ticket.clone();
            let files = match self.follow(call, job).await? {
                Followed::Made(files) => files,
                Followed::Nowhere => {
                    // After a restart the server knows no former job, and may still have its files.
                    if let Some(generated) = self.recover(call, &ticket, share).await {
                        return Ok(generated);
                    }
                    self.allow_again(call, &ticket).await?;
                    continue;
                }
            };
            match self.deliver(call, &files, share).await? {
                Delivery::Made(generated) => return Ok(*generated),
                Delivery::Gone(name) if was_cached_away => {
                    let _ = call.jobs.remember(None).await;
                    return Err(GenerateError::Failed(self.gone(&name)));
                }
                // The server took the result from its cache, whose file somebody has deleted. A new job has names of its own.
                Delivery::Gone(_) => {
                    was_cached_away = true;
                    self.allow_again(call, &ticket).await?;
                }
            }
        }
    }

    /// Journals that the server does not have the job, so that another one may be submitted. Returns a failure if that job may have been paid and no
    /// person has allowed another one.
    async fn allow_again(&self, call: &Call, ticket: &Ticket) -> Result<(), GenerateError> {
        let name = &self.core.config.name;
        if self.core.config.is_paid && !ticket.ask_if_gone {
            let message = format!(
                "{name} does not have the job of {}: it may have been restarted",
                ticket.submitted_at
            );
            return Err(GenerateError::Failed(Failure::new(
                Class::Ambiguous,
                message,
                "it may have been paid",
            )));
        }
        if call.jobs.remember(None).await {
            return Ok(());
        }
        Err(GenerateError::Failed(Self::unjournaled("that the former job is gone")))
    }

    /// Returns the workflow of a job that an earlier attempt has submitted, as far as its progress depends on it.
    fn expected_graph(&self, call: &Call) -> Map<String, Value> {
        let inputs = match &call.work {
            Work::Image(request) => request.inputs.len(),
            Work::Video(request) => request.inputs.len(),
        };
        let names = vec![String::new(); inputs];
        let model = self.model(call);
        self.filled(call, model.as_deref(), &names, "reel").unwrap_or_default()
    }

    pub(super) fn unjournaled(what: &str) -> Failure {
        let message = format!("{what} could not be journaled, so nothing was submitted");
        Failure::new(
            Class::Transient(None),
            message,
            "reel daemon logs shows the cause; the task is tried again",
        )
    }

    fn lost_too_often(&self) -> Failure {
        let message = format!("{} has lost the job {MOST_POSTS} times", self.core.config.name);
        Failure::new(
            Class::Transient(None),
            message,
            "look at the output of the server; the task is tried again",
        )
    }

    fn gone(&self, file: &str) -> Failure {
        let name = &self.core.config.name;
        let message =
            format!("{name} has run the workflow, and does not have its file {}", shown(file, None));
        let hint = "the server answers from its cache: give the node that saves an input filename_prefix, or the sampler the title reel:seed";
        Failure::new(Class::Unknown, message, hint)
    }
}

impl Provider for ComfyProvider {
    fn generate(
        self: Arc<Self>,
        call: Generate,
    ) -> LocalBoxFuture<'static, Result<Generated, GenerateError>> {
        Box::pin(async move { self.attempt(call).await })
    }

    fn check(self: Arc<Self>) -> LocalBoxFuture<'static, Result<String, TaskError>> {
        Box::pin(async move { self.check_server().await })
    }

    fn models(self: Arc<Self>) -> LocalBoxFuture<'static, Result<Option<Vec<String>>, Failure>> {
        Box::pin(async move { self.list_checkpoints().await })
    }

    fn free_memory(self: Arc<Self>) -> LocalBoxFuture<'static, ()> {
        Box::pin(async move { self.unload().await })
    }

    fn requests(&self, request: &ServiceRequest) -> Vec<PlannedRequest> {
        self.core.planned_requests(request)
    }
}
