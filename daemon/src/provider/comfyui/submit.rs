//! Submits a job: uploads its pictures, fills the workflow, journals the id that names the job, and sends the workflow.

use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher as _,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use reel_protocol::Timestamp;
use reqwest::{Method, StatusCode};
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use super::{
    ComfyProvider, ComfySettings,
    attempt::{Call, Job, Ticket, Work},
    refusal,
    server::{Ask, Unanswered},
    values::{of_image, of_video},
    workflow::Workflow,
};
use crate::{
    domain::{Class, Failure},
    provider::{
        GenerateError,
        form::Form,
        gate::Verdict,
        remote::{shown, stopped},
        wire::{InputPicture, Refusal},
    },
};

/// How long the websocket is waited for before a job is submitted without it.
const SOCKET: Duration = Duration::from_secs(2);
/// The folder of the server's inputs into which pictures are uploaded.
const FOLDER: &str = "reel";

/// What the answer to a submission says. A refused one is a failure.
enum Posted {
    /// The server has the job, with the id that was chosen here.
    Accepted,
    /// The server has the job, and chose this id: it is too old for ids of its clients.
    Renamed(String),
    /// The answer is lost, or is of a proxy, so the server may have the job.
    Unknown,
}

impl ComfyProvider {
    /// Submits a job. Returns it with the workflow that was sent. If the answer is lost, the job is returned too, as the server may have it.
    pub(super) async fn submit(&self, call: &Call) -> Result<Job, GenerateError> {
        let prepared = tokio::select! {
            biased;
            () = stopped(call.cancel.clone(), || false) => return Err(GenerateError::Stopped),
            prepared = self.prepare(call) => prepared,
        };
        let (model, names) = prepared.map_err(|failure| match failure.class {
            Class::Unreached | Class::Loading => Self::judged(call, failure),
            // Any other failure before the workflow is sent says nothing about the server.
            _ => GenerateError::Failed(failure),
        })?;
        let id = new_id();
        let ticket =
            Ticket { id: id.clone(), own_id: id, submitted_at: Timestamp::now(), ask_if_gone: false };
        let graph = self
            .filled(call, model.as_deref(), &names, &ticket.prefix())
            .map_err(|why| GenerateError::Failed(self.no_place(&why)))?;
        // The id is journaled before it is sent, so that a restarted daemon finds the job.
        if !call.jobs.remember(Some(ticket.journaled(&self.core.config.name))).await {
            return Err(GenerateError::Failed(Self::unjournaled("the id of the job")));
        }
        if *call.cancel.borrow() {
            let _ = call.jobs.remember(None).await;
            return Err(GenerateError::Stopped);
        }
        call.report(0.0, format!("submitting to {}", self.core.config.name));
        // A job of few steps may be over before a later websocket is open.
        let socket = timeout(SOCKET, self.connect(&ticket.id)).await.ok().and_then(Result::ok);
        let ticket = match self.post(call, &ticket, &graph).await {
            Ok(Posted::Accepted | Posted::Unknown) => ticket,
            Ok(Posted::Renamed(id)) => {
                // The id is journaled before anything else: after a crash before that, the job is found by the name of its file, or submitted again.
                let ticket = Ticket { id, ..ticket };
                let _ = call.jobs.remember(Some(ticket.journaled(&self.core.config.name))).await;
                ticket
            }
            Err(failure) => {
                // If this write fails, the next attempt looks for the job and does not find it.
                let _ = call.jobs.remember(None).await;
                return Err(Self::judged(call, failure));
            }
        };
        self.core.works();
        if let Some(permit) = &call.permit {
            permit.judge(Verdict::Answered);
        }
        Ok(Job { ticket, graph, socket })
    }

    /// Chooses the model and uploads the pictures. Returns the model and the names of the pictures at the server, with which the workflow can be filled.
    async fn prepare(&self, call: &Call) -> Result<(Option<String>, Vec<String>), Failure> {
        let model = match self.model(call) {
            Some(model) => Some(model),
            None if self.needs_checkpoint(call) => Some(self.default_checkpoint().await?),
            None => None,
        };
        let names = self.upload(call).await?;
        self.can_fill(call, model.as_deref(), &names)?;
        Ok((model, names))
    }

    /// Checks that the workflow has a place for everything that the request asks for.
    fn can_fill(&self, call: &Call, model: Option<&str>, names: &[String]) -> Result<(), Failure> {
        self.filled(call, model, names, "").map(drop).map_err(|why| self.no_place(&why))
    }

    /// Sends the workflow. A failure means that the server does not have the job.
    async fn post(
        &self,
        call: &Call,
        ticket: &Ticket,
        graph: &Map<String, Value>,
    ) -> Result<Posted, Failure> {
        // The server sends the progress of a job only to the websocket with the same client id.
        let body = json!({ "prompt": graph, "prompt_id": ticket.id, "client_id": ticket.id, "extra_data": { "reel": { "job": ticket.id } } });
        let leaves = || {
            if let Some(permit) = &call.permit {
                permit.leaves();
            }
        };
        let reply = match self.ask(Ask::post(&["prompt"], &body), leaves).await {
            Ok(reply) => reply,
            Err(Unanswered::NotSent(failure)) => return Err(failure),
            Err(Unanswered::Lost(reason)) => {
                tracing::info!(provider = %self.core.config.name, reason, "the answer to a submission was lost, so the job is looked for");
                return Ok(Posted::Unknown);
            }
        };
        match reply.status {
            StatusCode::BAD_REQUEST => Err(self.refused(&reply.json(), graph)),
            status if status.is_success() => {
                let answer = reply.json();
                let errors = answer.get("node_errors").and_then(Value::as_object);
                if errors.is_some_and(|errors| !errors.is_empty()) {
                    call.left_out.replace(Some(refusal::words(&answer, graph)));
                }
                let id = answer.get("prompt_id").and_then(Value::as_str);
                let other_id = id.filter(|id| *id != ticket.id && !id.is_empty());
                Ok(other_id.map_or(Posted::Accepted, |id| Posted::Renamed(id.to_owned())))
            }
            // A proxy may have passed the workflow on.
            status if may_have_passed_it_on(status) => Ok(Posted::Unknown),
            status => {
                let key = self.core.key().await.unwrap_or_default();
                let refusal = Refusal { class: class(status), message: reply.beginning() };
                Err(self.core.refused(refusal, status, key.as_ref()))
            }
        }
    }

    fn refused(&self, answer: &Value, graph: &Map<String, Value>) -> Failure {
        let name = &self.core.config.name;
        let message = format!(
            "{name} refuses the workflow: {} (status 400)",
            shown(&refusal::words(answer, graph), None)
        );
        let hint = if refusal::may_lack_something(answer) {
            format!("reel providers check {name} names the nodes and models that the server lacks")
        } else {
            "change this in the request or in the workflow, and run the workflow once in ComfyUI before you export it again".to_owned()
        };
        Failure::new(Class::Invalid, message, hint).status(400)
    }

    /// Reports to the gate what a failure says about the server.
    fn judged(call: &Call, failure: Failure) -> GenerateError {
        if let Some(permit) = &call.permit {
            permit.judge(failure.class.into());
        }
        GenerateError::Failed(failure)
    }

    /// Returns the model that the request or the configuration names.
    pub(super) fn model(&self, call: &Call) -> Option<String> {
        let own = match &call.work {
            Work::Image(request) => request.params.model.as_deref(),
            Work::Video(request) => request.params.model.as_deref(),
        };
        own.or_else(|| self.core.config.model_for(call.work.service())).map(str::to_owned)
    }

    fn needs_checkpoint(&self, call: &Call) -> bool {
        self.workflow_of(&call.work).is_some_and(ComfySettings::is_shipped)
    }

    /// Returns the workflow that makes this. None if there is none, which is so only for videos.
    pub(super) fn workflow_of(&self, work: &Work) -> Option<&Workflow> {
        match work {
            Work::Image(request) => {
                let params = &request.params;
                Some(self.settings.for_image(!params.input_images.is_empty(), params.mask.is_some()))
            }
            Work::Video(_) => self.settings.video.as_ref(),
        }
    }

    /// Returns the checkpoint of a request that names none. It is always the one that was the first at the first such request: results are cached
    /// without its name, and another one would make other pictures.
    async fn default_checkpoint(&self) -> Result<String, Failure> {
        let name = &self.core.config.name;
        let names = self.checkpoints_for_attempt().await?;
        let first = names.first().ok_or_else(|| {
            let message = format!("{name} has no checkpoint for the default workflow");
            let hint =
                format!("put one into its folder models/checkpoints, or set providers.{name}.workflow");
            Failure::new(Class::Invalid, message, hint)
        })?;
        let address = self.core.remote.base_url.as_str();
        let chosen = self.core.equipment.chosen_models.choose(address, first).await.map_err(|error| {
            let message = format!("which checkpoint {name} uses cannot be read or written: {error}");
            Failure::new(Class::Transient(None), message, format!("set providers.{name}.model"))
        })?;
        if names.contains(&chosen) {
            return Ok(chosen);
        }
        Err(Failure::new(Class::Invalid, self.lost_checkpoint(&chosen, &names), self.choose_hint()))
    }

    /// Says that the server does not have the chosen checkpoint any more.
    pub(super) fn lost_checkpoint(&self, chosen: &str, names: &[String]) -> String {
        let name = &self.core.config.name;
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let there = shown(&refusal::allowed_words(&names), None);
        format!(
            "{name} does not have {chosen} any more, which was chosen because no model is configured; {there}"
        )
    }

    /// Says what to do when the server does not have the chosen checkpoint any more.
    pub(super) fn choose_hint(&self) -> String {
        let name = &self.core.config.name;
        format!("set providers.{name}.model to one of them; reel providers models {name} lists all")
    }

    /// Returns the workflow with the values of the request. The error names what it has no place for.
    pub(super) fn filled(
        &self,
        call: &Call,
        model: Option<&str>,
        names: &[String],
        prefix: &str,
    ) -> Result<Map<String, Value>, String> {
        let workflow = self.workflow_of(&call.work).ok_or("it has no video_workflow")?;
        let values = match &call.work {
            Work::Image(request) => of_image(workflow, request, model, names)?,
            Work::Video(request) => of_video(workflow, request, model, names)?,
        };
        Ok(workflow.fill(&values, prefix))
    }

    fn no_place(&self, why: &str) -> Failure {
        let message = format!("{} cannot make this: {why}", self.core.config.name);
        let hint = "leave it out, or add the title to a node and export the workflow again; docs/providers/comfyui.md shows how";
        Failure::new(Class::Invalid, message, hint)
    }

    /// Uploads the input pictures and returns their names at the server. A name follows from the bytes, so no upload replaces another picture.
    async fn upload(&self, call: &Call) -> Result<Vec<String>, Failure> {
        let report = || call.report(0.0, format!("uploading to {}", self.core.config.name));
        let (pictures, _held) = match &call.work {
            Work::Image(request) if !request.inputs.is_empty() => {
                report();
                self.core.read_pictures(request).await?
            }
            Work::Video(request) if !request.inputs.is_empty() => {
                report();
                self.core.read_inputs(request.inputs.clone()).await?
            }
            Work::Image(_) | Work::Video(_) => return Ok(Vec::new()),
        };
        let mut names = Vec::new();
        for InputPicture { media_type, extension, bytes } in pictures {
            let file = format!("{}.{extension}", blake3::hash(&bytes).to_hex());
            let mut form = Form::default();
            form.file("image", &file, &media_type, bytes);
            form.text("overwrite", "true");
            form.text("subfolder", FOLDER);
            form.text("type", "input");
            let ask = Ask {
                method: Method::POST,
                path: &["upload", "image"],
                query: Vec::new(),
                body: Some(form.finish()),
            };
            let reply = self.ask(ask, || ()).await.map_err(|unanswered| self.unanswered(unanswered))?;
            let answer = reply.json();
            let text = |name: &str| answer.get(name).and_then(Value::as_str).unwrap_or_default();
            if !reply.status.is_success() || text("name").is_empty() {
                let (name, status) = (&self.core.config.name, reply.status.as_u16());
                let message = format!(
                    "{name} did not take a picture to start from: {} (status {status})",
                    shown(&reply.beginning(), None)
                );
                let class =
                    if reply.status.is_server_error() { Class::Transient(None) } else { Class::Invalid };
                return Err(Failure::new(class, message, "look at the output of the server").status(status));
            }
            let folder = text("subfolder");
            names.push(if folder.is_empty() {
                text("name").to_owned()
            } else {
                format!("{folder}/{}", text("name"))
            });
        }
        Ok(names)
    }
}

/// Returns a new id in the form of a UUID of version 4.
fn new_id() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut hasher = blake3::Hasher::new();
    // Each `RandomState` has keys from the system's random numbers.
    for part in [
        RandomState::new().hash_one(0_u8),
        RandomState::new().hash_one(1_u8),
        COUNT.fetch_add(1, Ordering::Relaxed),
        u64::from(std::process::id()),
    ] {
        hasher.update(&part.to_le_bytes());
    }
    hasher.update(Timestamp::now().to_string().as_bytes());
    let hex = hasher.finalize().to_hex();
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    format!("{}-{}-4{}-8{}-{}", part(0, 8), part(8, 12), part(12, 15), part(15, 18), part(18, 30))
}

/// Returns the class of a submission that was refused with this status.
fn class(status: StatusCode) -> Class {
    match status.as_u16() {
        401 | 403 => Class::Auth,
        429 => Class::RateLimited(None),
        503 => Class::Transient(None),
        400..=499 => Class::Invalid,
        _ => Class::Unknown,
    }
}

/// Whether an answer may be of a proxy that has passed the workflow on. ComfyUI itself answers 500 and 503 to what it did not take.
fn may_have_passed_it_on(status: StatusCode) -> bool {
    status == StatusCode::REQUEST_TIMEOUT
        || (status.is_server_error() && ![500, 503].contains(&status.as_u16()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_uuids_and_differ() {
        let (one, other) = (new_id(), new_id());
        assert_ne!(one, other);
        let lengths: Vec<_> = one.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12], "{one}");
    }
}
