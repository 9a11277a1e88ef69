//! Remote jobs: what a kind of service says about work that it accepts, carries out by itself and is polled for. Pure.
//!
//! A kind describes its requests and reads its answers. Everything else is the same for all of them and lives in `remote/job`: what is
//! journaled and when, the pace of the polls, what a failed poll means, cancelling, and the results.

mod pace;

use std::{fmt, time::Duration};

use reel_protocol::Timestamp;
use reqwest::{Method, header::HeaderMap};

pub use self::pace::Pace;
use super::{
    http::Document,
    wire::{InputPicture, Refusal},
};
use crate::domain::{JobFields, VideoRequest};

/// A request at the provider's own address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRequest {
    /// The method of HTTP.
    pub method: Method,
    /// The segments behind the provider's address, not yet encoded.
    pub path: Vec<String>,
    /// The query, not yet encoded.
    pub query: Vec<(&'static str, String)>,
    /// The content type and the body, where there is one.
    pub body: Option<(String, Vec<u8>)>,
}

impl JobRequest {
    /// A request without a body.
    pub fn new(method: Method, path: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { method, path: path.into_iter().map(Into::into).collect(), query: Vec::new(), body: None }
    }
}

/// What the service says about a job.
#[derive(Debug, Clone, PartialEq)]
pub enum JobState {
    /// It waits for its turn, or is being carried out.
    Running {
        /// From 0 to 1, where the service says so.
        fraction: Option<f64>,
        /// What the service does now, such as `queued`.
        doing: String,
    },
    /// The job is done, and its result can be fetched.
    Done {
        /// Where the file is, where the answer says so; else [`JobWire::result`] is asked for it.
        url: Option<String>,
    },
    /// It is over without results.
    Failed(Refusal),
    /// The answer does not say how it stands.
    Unreadable,
}

/// A job that was submitted, and of which nobody knows whether the service has it.
#[derive(Debug, Clone, Copy)]
pub struct Sought<'a> {
    /// The request that the lost submission carried.
    pub request: &'a VideoRequest,
    /// The model that was sent.
    pub model: Option<&'a str>,
    /// When the submission began, by our clock.
    pub since: Timestamp,
}

/// How one kind of service takes jobs.
pub trait JobWire: Send + Sync + fmt::Debug {
    /// The request that submits a job which starts from these pictures.
    fn submit(&self, request: &VideoRequest, model: Option<&str>, inputs: Vec<InputPicture>) -> JobRequest;

    /// What names the job that this answer accepts; None where it accepts none.
    fn accepted(&self, document: &Document) -> Option<JobFields>;

    /// The request that asks how a job stands.
    fn poll(&self, job: &JobFields) -> JobRequest;

    /// How the job stands, as an answer with a status of success says.
    fn state(&self, headers: &HeaderMap, document: &Document) -> JobState;

    /// When to ask again, where an answer says so.
    fn poll_hint(&self, headers: &HeaderMap) -> Option<Duration>;

    /// The request that is answered with the result's file.
    fn result(&self, job: &JobFields) -> JobRequest;

    /// The request that has the service stop a job. None where it stops none.
    fn cancel(&self, job: &JobFields) -> Option<JobRequest>;

    /// The request that lists the newest jobs. None where the service lists none.
    fn search(&self) -> Option<JobRequest>;

    /// Those jobs of a list that can be the sought one.
    fn found(&self, document: &Document, sought: Sought<'_>) -> Vec<JobFields>;
}
