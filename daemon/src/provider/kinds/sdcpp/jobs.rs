//! The jobs of `sd-server`: submitted, polled, and cancelled. The answer to the last poll has the result. Pure.
//!
//! The server keeps jobs in memory. It forgets them when it ends, and a finished one after ten minutes.

use std::time::Duration;

use reqwest::{Method, header::HeaderMap};

use super::{Sdcpp, SdcppSettings, requests};
use crate::{
    config::Settings,
    domain::{Class, JobFields},
    provider::{
        http::{Document, Node},
        jobs::{JobRequest, JobState, JobWire, JobWork, Sought},
        wire::{InputPicture, Refusal},
        words::words,
    },
};

/// The path segments before those of each request.
const API: [&str; 2] = ["sdcpp", "v1"];
/// The field that names a job.
const ID: &str = "id";
/// Largest id that is accepted, in bytes. The server uses about 20.
const MAX_ID_BYTES: usize = 256;

impl JobWire for Sdcpp {
    fn submit(
        &self,
        work: &JobWork,
        _: Option<&str>,
        settings: &Settings,
        inputs: Vec<InputPicture>,
    ) -> Option<JobRequest> {
        let (path, body) = match work {
            JobWork::Image(request) => {
                ("img_gen", requests::image(request, SdcppSettings::of(settings).input_use, inputs))
            }
            JobWork::Video(request) => ("vid_gen", requests::video(request, inputs)),
        };
        let body = Some(("application/json".to_owned(), body));
        Some(JobRequest { body, ..request(Method::POST, &[path]) })
    }

    fn accepted(&self, document: &Document) -> Option<JobFields> {
        let id = document.roots.iter().flat_map(|root| root.all(ID)).find_map(Node::text)?;
        // `.` and `..` as a path segment would lead to another URL.
        let is_name = !matches!(id, "." | "..") && id.len() <= MAX_ID_BYTES;
        (is_name && !id.chars().any(char::is_control))
            .then(|| JobFields::from([(ID.to_owned(), id.to_owned())]))
    }

    fn poll(&self, job: &JobFields) -> JobRequest {
        request(Method::GET, &["jobs", id(job)])
    }

    fn state(&self, _: &HeaderMap, document: &Document) -> JobState {
        let all = |name: &'static str| document.roots.iter().flat_map(move |root| root.all(name));
        match all("status").find_map(Node::text) {
            Some("completed") => JobState::Done { urls: Vec::new() },
            Some(status @ ("failed" | "cancelled")) => {
                let reason = words(document).unwrap_or_else(|| "the server gave no reason".to_owned());
                JobState::Failed(Refusal {
                    class: Class::Unknown,
                    message: format!("the job is {status}: {reason}"),
                })
            }
            Some(status) => {
                let position = all("queue_position").find_map(Node::number).filter(|place| *place >= 1.0);
                let place = position.map_or_else(String::new, |place| format!(", place {place:.0}"));
                JobState::Running { fraction: None, doing: format!("{status}{place}") }
            }
            None => JobState::Unreadable,
        }
    }

    fn poll_hint(&self, _: &HeaderMap) -> Option<Duration> {
        None
    }

    /// The answer to the last poll has the result.
    fn result(&self, _: &JobFields) -> Option<JobRequest> {
        None
    }

    /// One process knows all jobs, so a job that it does not know is gone.
    fn unknown_at_first(&self) -> Duration {
        Duration::ZERO
    }

    fn cancel(&self, job: &JobFields) -> Option<JobRequest> {
        Some(request(Method::POST, &["jobs", id(job), "cancel"]))
    }

    fn search(&self) -> Option<JobRequest> {
        None
    }

    fn found(&self, _: &Document, _: Sought<'_>) -> Vec<JobFields> {
        Vec::new()
    }
}

fn request(method: Method, path: &[&str]) -> JobRequest {
    JobRequest::new(method, API.iter().chain(path).copied())
}

fn id(job: &JobFields) -> &str {
    job.get(ID).map_or("", String::as_str)
}
