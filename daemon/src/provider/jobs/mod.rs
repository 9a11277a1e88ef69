//! Remote jobs: the requests and answers of a kind of service that accepts work, carries it out by itself and is polled for the result. Pure.
//!
//! A kind describes its requests and reads its answers. The rest is the same for all kinds and is in `remote/job`: what is journaled and when, the
//! pace of the polls, what a failed poll means, cancelling, and fetching results.

mod pace;
mod work;

use std::{fmt, time::Duration};

use reel_protocol::Timestamp;
use reqwest::{Method, header::HeaderMap};

pub use self::{pace::Pace, work::JobWork};
use super::{
    http::Document,
    wire::{InputPicture, Refusal},
};
use crate::{config::Settings, domain::JobFields};

/// The default of [`JobWire::unknown_at_first`].
const UNKNOWN_AT_FIRST: Duration = Duration::from_secs(30);

/// A request below the provider's base URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRequest {
    /// The HTTP method.
    pub method: Method,
    /// The path segments that are appended to the base URL, not percent-encoded yet.
    pub path: Vec<String>,
    /// The names and values of the query, not percent-encoded yet.
    pub query: Vec<(&'static str, String)>,
    /// The content type and the bytes of the body; None for a request without one.
    pub body: Option<(String, Vec<u8>)>,
}

impl JobRequest {
    /// Returns a request without a query and without a body.
    pub fn new(method: Method, path: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { method, path: path.into_iter().map(Into::into).collect(), query: Vec::new(), body: None }
    }
}

/// The state of a job, as the service reports it.
#[derive(Debug, Clone, PartialEq)]
pub enum JobState {
    /// The job is queued or running.
    Running {
        /// The progress from 0 to 1; None if the service reports none.
        fraction: Option<f64>,
        /// What the service does at the moment, such as `queued`.
        doing: String,
    },
    /// The job is done, and its result can be fetched.
    Done {
        /// The URLs of the files. If there are none, the result is where [`JobWire::result`] says.
        urls: Vec<String>,
    },
    /// The job ended without a result.
    Failed(Refusal),
    /// The answer does not name the state of the job.
    Unreadable,
}

/// A submission whose answer was lost, so that it is unknown whether the service has the job.
#[derive(Debug, Clone, Copy)]
pub struct Sought<'a> {
    /// The work of the lost submission.
    pub work: &'a JobWork,
    /// The model that the submission named.
    pub model: Option<&'a str>,
    /// When the submission began, by the clock of this machine.
    pub since: Timestamp,
}

/// The requests and answers of one kind of service that takes jobs.
pub trait JobWire: Send + Sync + fmt::Debug {
    /// Returns the request that submits a job. `inputs` are the pictures that the work starts from. None if the service takes no jobs for this work.
    fn submit(
        &self,
        work: &JobWork,
        model: Option<&str>,
        settings: &Settings,
        inputs: Vec<InputPicture>,
    ) -> Option<JobRequest>;

    /// Returns the fields that identify the job, from the answer to the submission. None if the answer accepts no job.
    fn accepted(&self, document: &Document) -> Option<JobFields>;

    /// Returns the request for the state of a job.
    fn poll(&self, job: &JobFields) -> JobRequest;

    /// Reads the state of a job from an answer with a status of success.
    fn state(&self, headers: &HeaderMap, document: &Document) -> JobState;

    /// Returns the wait before the next poll, if the headers name one.
    fn poll_hint(&self, headers: &HeaderMap) -> Option<Duration>;

    /// Returns the request whose answer is the result file. None if the answer to the last poll contains the results, as base64 in the fields that
    /// the kind names as its picture field.
    fn result(&self, job: &JobFields) -> Option<JobRequest>;

    /// Returns how long after the submission a 404 or 410 for the job is ignored: at some services it takes a while until all servers know a new job.
    fn unknown_at_first(&self) -> Duration {
        UNKNOWN_AT_FIRST
    }

    /// Returns the request that cancels a job. None if the service cannot cancel one.
    fn cancel(&self, job: &JobFields) -> Option<JobRequest>;

    /// Returns the request that lists the newest jobs. None if the service lists none.
    fn search(&self) -> Option<JobRequest>;

    /// Returns the jobs of a list that may be the one whose submission was lost.
    fn found(&self, document: &Document, sought: Sought<'_>) -> Vec<JobFields>;
}
