//! The videos API: a job is submitted as a form and polled, then its file is fetched. Pure.
//!
//! Sources: openai-python `resources/videos.py` and `types/video.py` (also for the header with the polling delay). `OpenAI` itself ended this API
//! on 2026-09-24; vLLM-Omni, `LiteLLM` and others serve the same shape.

use std::time::Duration;

use reel_protocol::Timestamp;
use reqwest::{Method, header::HeaderMap};
use serde_json::{Map, Value};

use super::{
    Openai,
    refusals::{Reason, limited},
};
use crate::{
    config::Settings,
    domain::{Class, JobFields, VideoRequest},
    provider::{
        form::Form,
        http::{Document, Node, retry_after},
        jobs::{JobRequest, JobState, JobWire, JobWork, Sought},
        wire::{InputPicture, Refusal},
    },
};

/// The path of all jobs.
const VIDEOS: &str = "videos";
/// The field that names a job.
const ID: &str = "id";
/// Largest id that is accepted, in bytes. Services use up to 200 characters, as `LiteLLM` encodes its route in them.
const MAX_ID_BYTES: usize = 1_024;
/// Header with the delay until the next poll, in milliseconds.
const POLL_AFTER: &str = "openai-poll-after-ms";
/// How many jobs are listed, newest first, to search for a lost one.
const LISTED: u32 = 50;
/// How far the service's clock may be behind ours when a job in the list is compared with the time of a lost submission.
const CLOCK_SKEW: Duration = Duration::from_mins(2);

impl JobWire for Openai {
    fn submit(
        &self,
        work: &JobWork,
        model: Option<&str>,
        _: &Settings,
        inputs: Vec<InputPicture>,
    ) -> Option<JobRequest> {
        let JobWork::Video(VideoRequest { params, .. }) = work else { return None };
        let mut form = Form::default();
        if let Some(model) = model {
            form.text("model", model);
        }
        form.text("prompt", &params.prompt);
        if let Some(seconds) = params.duration_s {
            form.text("seconds", &seconds.to_string());
        }
        if let Some((width, height)) = params.size() {
            form.text("size", &format!("{width}x{height}"));
        }
        let extra = params.extra.as_ref().and_then(|extra| extra.decode::<Map<String, Value>>().ok());
        for (name, value) in extra.unwrap_or_default() {
            match value {
                Value::String(text) => form.text(&name, &text),
                other => form.text(&name, &other.to_string()),
            }
        }
        for InputPicture { media_type, extension, bytes } in inputs {
            form.file("input_reference", &format!("picture.{extension}"), &media_type, bytes);
        }
        Some(JobRequest { body: Some(form.finish()), ..JobRequest::new(Method::POST, [VIDEOS]) })
    }

    fn accepted(&self, document: &Document) -> Option<JobFields> {
        document.roots.iter().find_map(id_of).map(fields)
    }

    fn poll(&self, job: &JobFields) -> JobRequest {
        JobRequest::new(Method::GET, [VIDEOS, id(job)])
    }

    fn state(&self, headers: &HeaderMap, document: &Document) -> JobState {
        let text = |name: &str| document.roots.iter().flat_map(|root| root.all(name)).find_map(Node::text);
        let Some(state) = text("status").map(str::to_ascii_lowercase) else { return JobState::Unreadable };
        match state.as_str() {
            // The API serves the file itself; some servers name another URL for it.
            "completed" | "succeeded" => {
                JobState::Done { urls: text("url").map(str::to_owned).into_iter().collect() }
            }
            "failed" | "cancelled" | "canceled" | "expired" | "deleted" => {
                JobState::Failed(why_failed(&state, headers, document))
            }
            _ => {
                let progress =
                    document.roots.iter().flat_map(|root| root.all("progress")).find_map(Node::number);
                let fraction = progress.map(|percent| (percent / 100.0).clamp(0.0, 1.0));
                JobState::Running { fraction, doing: state.replace('_', " ") }
            }
        }
    }

    fn poll_hint(&self, headers: &HeaderMap) -> Option<Duration> {
        headers.get(POLL_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_millis)
    }

    fn result(&self, job: &JobFields) -> Option<JobRequest> {
        Some(JobRequest::new(Method::GET, [VIDEOS, id(job), "content"]))
    }

    fn cancel(&self, job: &JobFields) -> Option<JobRequest> {
        Some(JobRequest::new(Method::DELETE, [VIDEOS, id(job)]))
    }

    fn search(&self) -> Option<JobRequest> {
        let query = vec![("limit", LISTED.to_string()), ("order", "desc".to_owned())];
        Some(JobRequest { query, ..JobRequest::new(Method::GET, [VIDEOS]) })
    }

    fn found(&self, document: &Document, sought: Sought<'_>) -> Vec<JobFields> {
        let jobs = document.roots.iter().flat_map(|root| root.all("data")).flat_map(Node::inside);
        jobs.filter(|job| is_sought(job, sought)).filter_map(id_of).map(fields).collect()
    }
}

/// Whether a job in the list asks for the same and was created after the lost submission. A job without a prompt or `created_at` does not match.
fn is_sought(job: &Node, sought: Sought<'_>) -> bool {
    let text = |name: &str| job.all(name).find_map(Node::text);
    let is_same = |name: &str, sent: Option<&str>| match (text(name), sent) {
        (Some(theirs), Some(ours)) => theirs == ours.trim(),
        // The request left the field to the service's default, or the service does not repeat the field.
        _ => true,
    };
    let created_s = job.all("created_at").find_map(Node::number);
    let JobWork::Video(VideoRequest { params, .. }) = sought.work else { return false };
    let size = params.size().map(|(width, height)| format!("{width}x{height}"));
    let seconds = params.duration_s.map(|seconds| seconds.to_string());
    text("prompt") == Some(params.prompt.trim())
        && created_s.is_some_and(|created_s| is_since(created_s, sought.since))
        && is_same("model", sought.model)
        && is_same("size", size.as_deref())
        && is_same("seconds", seconds.as_deref())
}

fn is_since(created_s: f64, since: Timestamp) -> bool {
    created_s * 1_000.0 + CLOCK_SKEW.as_millis() as f64 >= since.unix_ms() as f64
}

fn why_failed(state: &str, headers: &HeaderMap, document: &Document) -> Refusal {
    let reason = Reason::of(document);
    let class = match reason.class_of_words(false) {
        // The service accepted the job with our key, so an authentication error concerns the model behind the service.
        Some(Class::Auth) | None => Class::Unknown,
        Some(Class::RateLimited(_)) => limited(retry_after(headers, std::time::SystemTime::now())),
        Some(class) => class,
    };
    let words = reason.words.unwrap_or_else(|| "the service gave no reason".to_owned());
    Refusal { class, message: format!("the job is {state}: {words}") }
}

fn id_of(job: &Node) -> Option<String> {
    let id = job.all(ID).find_map(|id| match id {
        Node::Number(number) => Some(number.to_string()),
        other => other.text().map(str::to_owned),
    })?;
    // `.` and `..` as a path segment would lead to another URL.
    let is_name = !matches!(id.as_str(), "." | "..") && id.len() <= MAX_ID_BYTES;
    (is_name && !id.chars().any(char::is_control)).then_some(id)
}

fn fields(id: String) -> JobFields {
    JobFields::from([(ID.to_owned(), id)])
}

fn id(job: &JobFields) -> &str {
    job.get(ID).map_or("", String::as_str)
}

#[cfg(test)]
mod tests {
    use reel_protocol::{JsonText, VideoParams};
    use reqwest::header::HeaderValue;
    use serde_json::json;

    use super::*;

    fn document(value: &Value) -> Document {
        Document::of_error(value.to_string().as_bytes())
    }

    fn state(value: &Value) -> JobState {
        Openai.state(&HeaderMap::new(), &document(value))
    }

    fn video(params: VideoParams) -> JobWork {
        JobWork::Video(VideoRequest { params, seed: 0, inputs: Vec::new() })
    }

    fn submit(work: &JobWork, model: Option<&str>, inputs: Vec<InputPicture>) -> JobRequest {
        Openai.submit(work, model, &Settings::default(), inputs).unwrap()
    }

    #[test]
    fn a_submission_is_a_form_with_what_was_asked_for_and_nothing_else() {
        let extra = JsonText::parse(r#"{"quality":"high","steps":7}"#.to_owned()).unwrap();
        let params = VideoParams { duration_s: Some(8.0), extra: Some(extra), ..VideoParams::new("waves") };
        let request = video(params);
        let sent = submit(&request, Some("sora-2"), Vec::new());
        assert_eq!((sent.method, sent.path.join("/")), (Method::POST, "videos".to_owned()));
        let (content_type, body) = sent.body.unwrap();
        assert!(content_type.starts_with("multipart/form-data; boundary="), "{content_type}");
        let body = String::from_utf8(body).unwrap();
        for (name, value) in
            [("model", "sora-2"), ("prompt", "waves"), ("seconds", "8"), ("quality", "high"), ("steps", "7")]
        {
            assert!(body.contains(&format!("name=\"{name}\"\r\n\r\n{value}\r\n")), "{name}: {body}");
        }
        assert!(!body.contains("\"size\"") && !body.contains("input_reference"), "{body}");
        let picture = InputPicture {
            media_type: "image/png".to_owned(),
            extension: "png".to_owned(),
            bytes: b"PNG".to_vec(),
        };
        let (_, body) = submit(&request, None, vec![picture]).body.unwrap();
        let body = String::from_utf8(body).unwrap();
        let part =
            "name=\"input_reference\"; filename=\"picture.png\"\r\nContent-Type: image/png\r\n\r\nPNG\r\n";
        assert!(body.contains(part), "{body}");
    }

    #[test]
    fn the_states_of_the_api_are_read_and_others_count_as_under_way() {
        for (value, expected) in [
            (json!({ "status": "queued", "progress": 0 }), Some((Some(0.0), "queued"))),
            (json!({ "status": "in_progress", "progress": 45.0 }), Some((Some(0.45), "in progress"))),
            (json!({ "status": "in_progress", "progress": "900" }), Some((Some(1.0), "in progress"))),
            (json!({ "status": "warming_up" }), Some((None, "warming up"))),
        ] {
            let expected = expected
                .map(|(fraction, doing)| JobState::Running { fraction, doing: doing.to_owned() })
                .unwrap();
            assert_eq!(state(&value), expected, "{value}");
        }
        assert_eq!(
            state(&json!({ "status": "completed", "url": null })),
            JobState::Done { urls: Vec::new() }
        );
        let urls = vec!["https://cdn.example/a.mp4".to_owned()];
        assert_eq!(state(&json!({ "status": "completed", "url": urls[0] })), JobState::Done { urls });
        for value in [json!({ "id": "video_1" }), json!([]), json!("completed")] {
            assert_eq!(state(&value), JobState::Unreadable, "{value}");
        }
        for (code, class) in [
            ("moderation_blocked", Class::Moderated),
            ("insufficient_quota", Class::Quota),
            ("rate_limit_exceeded", Class::RateLimited(None)),
            ("video_generation_failed", Class::Unknown),
        ] {
            let value = json!({ "status": "failed", "error": { "code": code, "message": "no" } });
            let JobState::Failed(refusal) = state(&value) else { panic!("{value}") };
            assert_eq!((refusal.class, refusal.message.as_str()), (class, "the job is failed: no"), "{code}");
        }
    }

    #[test]
    fn a_job_is_named_by_its_id_and_by_nothing_that_leads_elsewhere() {
        let id = |value: Value| Openai.accepted(&document(&value)).map(|job| id(&job).to_owned());
        assert_eq!(id(json!({ "id": "video_1", "status": "queued" })).as_deref(), Some("video_1"));
        assert_eq!(id(json!({ "id": 7 })).as_deref(), Some("7"));
        for value in [json!({}), json!({ "id": "" }), json!({ "id": ".." }), json!({ "id": "a\nb" })] {
            assert_eq!(id(value.clone()), None, "{value}");
        }
        let hint = |text: &'static str| {
            let headers = HeaderMap::from_iter([(
                reqwest::header::HeaderName::from_static(POLL_AFTER),
                HeaderValue::from_static(text),
            )]);
            Openai.poll_hint(&headers)
        };
        assert_eq!((hint("2500"), hint("soon")), (Some(Duration::from_millis(2_500)), None));
    }

    #[test]
    fn only_a_newer_job_that_asks_for_the_same_can_be_the_lost_one() {
        let since = Timestamp::from_unix_ms(1_800_000_000_000);
        let work = video(VideoParams { duration_s: Some(8.0), ..VideoParams::new("waves") });
        let sought = Sought { work: &work, model: Some("sora-2"), since };
        let job = |id: &str, change: Value| {
            let mut job = json!({
                "id": id, "prompt": "waves", "model": "sora-2", "seconds": "8", "created_at": 1_800_000_001,
            });
            job.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            job
        };
        let list = json!({ "data": [
            job("ours", json!({})),
            job("of a service that repeats less", json!({ "model": null, "seconds": null })),
            job("by a clock that is late", json!({ "created_at": 1_799_999_900 })),
            job("too old", json!({ "created_at": 1_799_999_800 })),
            job("of no time", json!({ "created_at": null })),
            job("another prompt", json!({ "prompt": "Waves" })),
            job("no prompt", json!({ "prompt": null })),
            job("another model", json!({ "model": "sora-2-pro" })),
            job("another length", json!({ "seconds": "4" })),
        ] });
        let found = Openai.found(&document(&list), sought);
        let found: Vec<_> = found.iter().map(id).collect();
        assert_eq!(found, ["ours", "of a service that repeats less", "by a clock that is late"]);
    }
}
