//! The requests to a server of ComfyUI, and what its history and its queue say about a job.

use std::time::Duration;

use reqwest::{
    Method, StatusCode,
    header::{CONTENT_TYPE, HeaderValue},
};
use serde_json::Value;
use tokio::time::timeout;

use super::{
    ComfyProvider,
    answers::{Ended, Place, choices, ended, place},
};
use crate::{
    domain::{Class, Failure},
    provider::{
        http::{Reach, SendError},
        wire::Refusal,
    },
};

/// The type of node whose choices are the checkpoints of the server.
const CHECKPOINT_LOADER: &str = "CheckpointLoaderSimple";

/// Longest duration of a request that is answered from what the server knows. The server checks a workflow before it answers, and may first have to
/// look through folders of models.
const REQUEST: Duration = Duration::from_mins(1);
/// Largest answer that is read, in bytes. A queue has the workflow of each job, with ten kilobytes or more.
pub(super) const ANSWER_BYTES: usize = 8 * 1024 * 1024;

/// An answer of the server.
pub(super) struct Reply {
    pub status: StatusCode,
    pub body: Vec<u8>,
}

impl Reply {
    /// Returns the body as JSON; null if it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Returns the server's words for messages: those of an error in JSON, else the beginning of the body.
    pub fn beginning(&self) -> String {
        let json = self.json();
        let said = ["/error/message", "/error", "/message", "/detail"]
            .into_iter()
            .find_map(|place| json.pointer(place)?.as_str().filter(|words| !words.trim().is_empty()));
        if let Some(words) = said {
            return words.trim().chars().take(300).collect();
        }
        let text = String::from_utf8_lossy(self.body.get(..300).unwrap_or(&self.body)).trim().to_owned();
        if text.is_empty() || text.starts_with('<') { "the server gave no reason".to_owned() } else { text }
    }
}

/// Why there is no answer.
pub(super) enum Unanswered {
    /// The request was not sent.
    NotSent(Failure),
    /// The request may have arrived.
    Lost(String),
}

impl Unanswered {
    pub fn reason(self) -> String {
        match self {
            Self::NotSent(failure) => failure.error.message,
            Self::Lost(reason) => reason,
        }
    }
}

/// A request below the base URL.
pub(super) struct Ask<'a> {
    pub method: Method,
    pub path: &'a [&'a str],
    pub query: Vec<(&'static str, String)>,
    /// The content type and the bytes of the body.
    pub body: Option<(String, Vec<u8>)>,
}

impl<'a> Ask<'a> {
    pub const fn get(path: &'a [&'a str]) -> Self {
        Self { method: Method::GET, path, query: Vec::new(), body: None }
    }

    pub fn post(path: &'a [&'a str], body: &Value) -> Self {
        let body = Some(("application/json".to_owned(), body.to_string().into_bytes()));
        Self { method: Method::POST, path, query: Vec::new(), body }
    }
}

/// What the server says about a job.
pub(super) enum Seen {
    /// The job is over.
    Ended(Ended),
    /// The job waits or runs, or the server does not have it.
    At(Place),
}

impl ComfyProvider {
    /// Sends a request and reads its answer. Calls `leaves` right before the request is sent.
    pub(super) async fn ask(&self, ask: Ask<'_>, leaves: impl FnOnce()) -> Result<Reply, Unanswered> {
        let core = &self.core;
        let key = core.key().await.map_err(Unanswered::NotSent)?;
        let path: Vec<_> = ask.path.iter().map(|part| (*part).to_owned()).collect();
        let mut request = core
            .request(ask.method, core.job_url(&path, &ask.query), key.as_ref())
            .map_err(Unanswered::NotSent)?;
        if let Some((content_type, bytes)) = ask.body {
            let content_type = HeaderValue::from_str(&content_type)
                .map_err(|_| Unanswered::NotSent(core.bad_answer("the form has no content type")))?;
            request.headers_mut().insert(CONTENT_TYPE, content_type);
            *request.body_mut() = Some(bytes.into());
        }
        let asking = async {
            let sent = core.equipment.http.send(request, Reach::Anywhere, leaves).await;
            let exchange = sent.map_err(|error| match error {
                SendError::Closed(_) | SendError::Late(_) => Unanswered::Lost(error.to_string()),
                other => Unanswered::NotSent(core.not_answered(other)),
            })?;
            let status = exchange.response.status();
            Ok(Reply { status, body: exchange.beginning(ANSWER_BYTES).await })
        };
        let late = || Err(Unanswered::Lost(format!("no answer within {} s", REQUEST.as_secs())));
        timeout(REQUEST, asking).await.unwrap_or_else(|_| late())
    }

    /// Sends a GET request. The error is the reason why there is no answer with a status of success.
    pub(super) async fn get(&self, path: &[&str]) -> Result<Reply, String> {
        let reply = self.ask(Ask::get(path), || ()).await.map_err(Unanswered::reason)?;
        if reply.status.is_success() {
            return Ok(reply);
        }
        Err(format!(
            "/{} is answered with status {}: {}",
            path.join("/"),
            reply.status.as_u16(),
            reply.beginning()
        ))
    }

    /// Returns what the server says about a job. The error is the reason why it is unknown.
    pub(super) async fn look(&self, id: &str) -> Result<Seen, String> {
        if let Some(ended) = self.ended(id).await? {
            return Ok(Seen::Ended(ended));
        }
        let at = self.place(id).await?;
        if at == Place::Nowhere
            // The job may have left the queue for the history between the two answers.
            && let Some(ended) = self.ended(id).await?
        {
            return Ok(Seen::Ended(ended));
        }
        Ok(Seen::At(at))
    }

    /// Returns where the queue of the server has a job.
    pub(super) async fn place(&self, id: &str) -> Result<Place, String> {
        let queue = self.get(&["queue"]).await?;
        place(&queue.body, id).ok_or_else(|| "the answer is not a queue of ComfyUI".to_owned())
    }

    async fn ended(&self, id: &str) -> Result<Option<Ended>, String> {
        let history = self.get(&["history", id]).await?;
        let value: Value = serde_json::from_slice(&history.body)
            .map_err(|_| "the answer is not a history of ComfyUI".to_owned())?;
        Ok(ended(&value, id))
    }

    /// Returns what the server knows about a type of node. Null if it has no such type.
    pub(super) async fn node_type(&self, class: &str) -> Result<Value, String> {
        Ok(node_type(&self.get(&["object_info", class]).await?, class))
    }

    /// Returns the checkpoints of the server.
    pub(super) async fn checkpoints(&self) -> Result<Vec<String>, String> {
        checkpoints(&self.node_type(CHECKPOINT_LOADER).await?)
    }

    /// Returns the checkpoints of the server for an attempt. A server that is down or loading is waited for.
    pub(super) async fn checkpoints_for_attempt(&self) -> Result<Vec<String>, Failure> {
        let path = ["object_info", CHECKPOINT_LOADER];
        let reply =
            self.ask(Ask::get(&path), || ()).await.map_err(|unanswered| self.unanswered(unanswered))?;
        if !reply.status.is_success() {
            let (class, message) = (Class::Transient(None), reply.beginning());
            return Err(self.core.refused(Refusal { class, message }, reply.status, None));
        }
        checkpoints(&node_type(&reply, CHECKPOINT_LOADER)).map_err(|reason| {
            let name = &self.core.config.name;
            let message = format!("{name} does not list its checkpoints: {reason}");
            let hint = format!("reel providers check {name} looks again; or set providers.{name}.model");
            Failure::new(Class::Transient(None), message, hint)
        })
    }

    /// Returns the failure of a request that got no answer.
    pub(super) fn unanswered(&self, unanswered: Unanswered) -> Failure {
        match unanswered {
            Unanswered::NotSent(failure) => failure,
            Unanswered::Lost(reason) => {
                let message = format!("{} did not answer: {reason}", self.core.config.name);
                Failure::new(Class::Transient(None), message, "the task is tried again")
            }
        }
    }
}

/// Returns what an answer says about a type of node. Null if it says nothing.
fn node_type(reply: &Reply, class: &str) -> Value {
    let mut info = reply.json();
    info.get_mut(class).map(Value::take).unwrap_or_default()
}

/// Returns the checkpoints among which the type of node that loads them lets a workflow choose.
fn checkpoints(loader: &Value) -> Result<Vec<String>, String> {
    let names = choices(loader, "ckpt_name").ok_or_else(|| "the server lists no checkpoints".to_owned())?;
    Ok(names.into_iter().map(str::to_owned).collect())
}
