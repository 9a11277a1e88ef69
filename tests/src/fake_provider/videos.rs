//! The videos API, whose jobs are submitted, polled, fetched, listed and deleted, with the faults of real services.
//!
//! A job is done after a number of polls rather than a time, so that no test depends on speed.

use std::{
    collections::{HashMap, HashSet},
    io,
    net::TcpStream,
    ops::ControlFlow,
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};

use super::http::{Request, Response};

/// The film that every job makes.
pub const FILM: &[u8] = include_bytes!("../../../daemon/src/media/samples/film.mp4");

/// What happens to the jobs of a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoPlan {
    /// Number of polls that are answered with `in_progress`.
    pub polls_until_done: usize,
    /// Whether the job is accepted, but the connection ends without a response.
    pub loses_answer: bool,
    /// The status code with which submissions are refused.
    pub refuses: Option<u16>,
    /// Number of first polls that are answered with 404. Some services do that until all of their servers know the job.
    pub unknown_polls: usize,
    /// Number of polls that are answered with 500, after the unknown ones.
    pub failing_polls: usize,
    /// The code and the message with which the job fails.
    pub fails_with: Option<(&'static str, &'static str)>,
    /// Whether every poll and fetch is answered with 404.
    pub is_gone: bool,
    /// Number of first fetches of the file that are answered with 500.
    pub failing_fetches: usize,
    /// Whether the job can be deleted.
    pub is_cancellable: bool,
    /// The URL of the file in the response to a poll, if the file is not fetched below the job's path.
    pub url: Option<String>,
    /// The value of `openai-poll-after-ms` in responses to polls: when to poll again, in milliseconds.
    pub hint_ms: Option<u64>,
}

impl Default for VideoPlan {
    fn default() -> Self {
        Self {
            polls_until_done: 1,
            loses_answer: false,
            refuses: None,
            unknown_polls: 0,
            failing_polls: 0,
            fails_with: None,
            is_gone: false,
            failing_fetches: 0,
            is_cancellable: true,
            url: None,
            hint_ms: None,
        }
    }
}

/// A job as the service knows it.
#[derive(Debug, Clone)]
pub struct VideoJob {
    /// The job's id.
    pub id: String,
    /// The text fields of the submitted form.
    pub fields: HashMap<String, String>,
    /// Number of times that it was polled.
    pub polls: usize,
    /// Number of times that its file was fetched.
    pub fetches: usize,
    /// Whether it was deleted.
    pub is_deleted: bool,
    /// The shortest time between two polls.
    pub shortest_pause: Option<Duration>,
    polled: Option<Instant>,
    created_s: u64,
}

impl VideoJob {
    /// Returns the prompt.
    pub fn prompt(&self) -> &str {
        self.fields.get("prompt").map_or("", String::as_str)
    }
}

/// The jobs of one server.
#[derive(Debug, Default)]
pub struct Videos(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    jobs: Vec<VideoJob>,
    plans: HashMap<String, VideoPlan>,
    otherwise: VideoPlan,
    is_held: bool,
    lists_nothing: bool,
    foreign: HashSet<String>,
    /// The start picture of each job, by job id.
    pictures: HashMap<String, Vec<u8>>,
    most_at_once: usize,
}

impl Videos {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Sets what happens to the jobs of this prompt, also to existing ones.
    pub fn on_prompt(&self, prompt: &str, plan: VideoPlan) {
        self.state().plans.insert(prompt.to_owned(), plan);
    }

    /// Sets what happens to the jobs of all other prompts.
    pub fn always(&self, plan: VideoPlan) {
        self.state().otherwise = plan;
    }

    /// Keeps every job unfinished until [`Self::release`].
    pub fn hold(&self) {
        self.state().is_held = true;
    }

    /// Ends the effect of [`Self::hold`].
    pub fn release(&self) {
        self.state().is_held = false;
    }

    /// Makes the server refuse to list jobs, with 404.
    pub fn list_nothing(&self) {
        self.state().lists_nothing = true;
    }

    /// Adds a job that another program with the same account has submitted.
    pub fn submit_elsewhere(&self, prompt: &str) {
        let fields = HashMap::from([("prompt".to_owned(), prompt.to_owned())]);
        let id = self.state().add(fields);
        self.state().foreign.insert(id);
    }

    /// Returns all jobs except those of [`Self::submit_elsewhere`], oldest first.
    pub fn jobs(&self) -> Vec<VideoJob> {
        let state = self.state();
        state.jobs.iter().filter(|job| !state.foreign.contains(&job.id)).cloned().collect()
    }

    /// Returns the jobs of this prompt, oldest first.
    pub fn jobs_of(&self, prompt: &str) -> Vec<VideoJob> {
        self.jobs().into_iter().filter(|job| job.prompt() == prompt).collect()
    }

    /// Returns the largest number of jobs that were in flight at once. A job is in flight from its submission to the first fetch of its file.
    pub fn most_at_once(&self) -> usize {
        self.state().most_at_once
    }

    /// Returns the start picture of a job.
    pub fn picture_of(&self, id: &str) -> Option<Vec<u8>> {
        self.state().pictures.get(id).cloned()
    }

    /// Marks all jobs as deleted, like a service that forgets them in a restart.
    pub fn delete_all(&self) {
        self.state().jobs.iter_mut().for_each(|job| job.is_deleted = true);
    }

    /// Serves one request below `/v1/videos`.
    pub(super) fn serve(&self, request: &Request, mut stream: &TcpStream) -> io::Result<ControlFlow<()>> {
        let path = request.path.split('?').next().unwrap_or_default();
        let segments: Vec<_> = path.trim_start_matches("/v1/videos").split('/').skip(1).collect();
        let response = match (request.method.as_str(), segments.as_slice()) {
            ("POST", []) => match self.submit(request) {
                Some(response) => response,
                None => return Ok(ControlFlow::Break(())),
            },
            ("GET", []) => self.list(),
            ("GET", [id]) => self.poll(id),
            ("GET", [id, "content"]) => self.content(id),
            ("DELETE", [id]) => self.delete(id),
            _ => refusal(404, "not_found", "no such path"),
        };
        response.write(&mut stream, || ())?;
        Ok(ControlFlow::Continue(()))
    }

    fn submit(&self, request: &Request) -> Option<Response> {
        let (fields, picture) = (form(request), picture(request));
        let Some(prompt) = fields.get("prompt").filter(|prompt| !prompt.is_empty()).cloned() else {
            return Some(refusal(400, "missing_parameter", "Missing required parameter: 'prompt'."));
        };
        let mut state = self.state();
        let plan = state.plan(&prompt);
        if let Some(status) = plan.refuses {
            return Some(refusal(status, "server_error", "not now"));
        }
        let id = state.add(fields);
        let under_way = state.jobs.iter().filter(|job| job.fetches == 0 && !job.is_deleted).count();
        state.most_at_once = state.most_at_once.max(under_way);
        if let Some(picture) = picture {
            state.pictures.insert(id.clone(), picture);
        }
        if plan.loses_answer {
            return None;
        }
        let job = state.jobs.iter().find(|job| job.id == id)?;
        Some(Response::json(200, &shown(job, "queued", Some(0), None)))
    }

    fn list(&self) -> Response {
        let state = self.state();
        if state.lists_nothing {
            return refusal(404, "not_found", "Not Found");
        }
        let jobs = state.jobs.iter().rev().take(50).filter(|job| !job.is_deleted);
        let data: Vec<_> = jobs.map(|job| shown(job, "in_progress", None, None)).collect();
        Response::json(200, &json!({ "object": "list", "data": data, "has_more": false }))
    }

    fn poll(&self, id: &str) -> Response {
        let mut state = self.state();
        let is_held = state.is_held;
        let Some((job, plan)) = state.find(id) else { return gone() };
        let before = job.polls;
        job.polls += 1;
        let now = Instant::now();
        let pause = job.polled.replace(now).map(|polled| now.duration_since(polled));
        job.shortest_pause = job.shortest_pause.into_iter().chain(pause).min();
        let answered = before.saturating_sub(plan.unknown_polls + plan.failing_polls);
        if plan.is_gone || before < plan.unknown_polls {
            return gone();
        }
        if before < plan.unknown_polls + plan.failing_polls {
            return refusal(500, "server_error", "The server had an error.");
        }
        let is_over = answered >= plan.polls_until_done && !is_held;
        let mut value = match plan.fails_with {
            Some(error) if is_over => shown(job, "failed", None, Some(error)),
            _ if is_over => shown(job, "completed", Some(100), None),
            _ => {
                let all = plan.polls_until_done.max(1);
                shown(job, "in_progress", Some(100 * answered.min(all) / (all + 1)), None)
            }
        };
        if is_over && let Some(url) = plan.url {
            value["url"] = json!(url);
        }
        let response = Response::json(200, &value);
        match plan.hint_ms {
            Some(hint) => response.header("openai-poll-after-ms", hint.to_string()),
            None => response,
        }
    }

    fn content(&self, id: &str) -> Response {
        let mut state = self.state();
        let Some((job, plan)) = state.find(id) else { return gone() };
        job.fetches += 1;
        if plan.is_gone {
            return gone();
        }
        if job.fetches <= plan.failing_fetches {
            return refusal(500, "server_error", "The server had an error.");
        }
        Response::new(200, "video/mp4", FILM.to_vec())
    }

    fn delete(&self, id: &str) -> Response {
        let mut state = self.state();
        let Some((job, plan)) = state.find(id) else { return gone() };
        if !plan.is_cancellable {
            return refusal(409, "conflict", "A job that is under way cannot be deleted.");
        }
        job.is_deleted = true;
        Response::json(200, &json!({ "id": id, "object": "video.deleted", "deleted": true }))
    }
}

impl State {
    fn plan(&self, prompt: &str) -> VideoPlan {
        self.plans.get(prompt).unwrap_or(&self.otherwise).clone()
    }

    fn add(&mut self, fields: HashMap<String, String>) -> String {
        let id = format!("video_{}", self.jobs.len() + 1);
        let created_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let job = VideoJob {
            id: id.clone(),
            fields,
            polls: 0,
            fetches: 0,
            is_deleted: false,
            shortest_pause: None,
            polled: None,
            created_s,
        };
        self.jobs.push(job);
        id
    }

    fn find(&mut self, id: &str) -> Option<(&mut VideoJob, VideoPlan)> {
        let place = self.jobs.iter().position(|job| job.id == id && !job.is_deleted)?;
        let plan = self.plan(self.jobs[place].prompt());
        Some((&mut self.jobs[place], plan))
    }
}

fn shown(
    job: &VideoJob,
    status: &str,
    progress: Option<usize>,
    error: Option<(&'static str, &'static str)>,
) -> Value {
    json!({
        "id": job.id,
        "object": "video",
        "created_at": job.created_s,
        "status": status,
        "model": job.fields.get("model"),
        "prompt": job.prompt(),
        "seconds": job.fields.get("seconds"),
        "size": job.fields.get("size"),
        "progress": progress,
        "error": error.map(|(code, message)| json!({ "code": code, "message": message })),
    })
}

fn refusal(status: u16, code: &str, message: &str) -> Response {
    let error = json!({ "message": message, "type": "invalid_request_error", "param": null, "code": code });
    Response::json(status, &json!({ "error": error }))
}

fn gone() -> Response {
    refusal(404, "not_found", "No such video.")
}

/// Returns the text fields of a form.
fn form(request: &Request) -> HashMap<String, String> {
    let content_type = request.header("content-type").unwrap_or_default();
    let Some(boundary) = content_type.split_once("boundary=").map(|(_, boundary)| format!("--{boundary}"))
    else {
        return HashMap::new();
    };
    let body = String::from_utf8_lossy(&request.body);
    let part = |part: &str| {
        let (head, value) = part.split_once("\r\n\r\n")?;
        let name = head.split_once("name=\"")?.1.split('"').next()?;
        Some((name.to_owned(), value.strip_suffix("\r\n")?.to_owned()))
    };
    body.split(boundary.as_str()).filter_map(part).collect()
}

/// Returns the bytes of the file in a form.
fn picture(request: &Request) -> Option<Vec<u8>> {
    let find = |from: usize, part: &[u8]| {
        let rest = request.body.get(from..)?;
        rest.windows(part.len()).position(|window| window == part).map(|at| from + at)
    };
    let head = find(0, b"name=\"input_reference\"; filename=")?;
    let begin = find(head, b"\r\n\r\n")? + 4;
    let boundary = request.header("content-type")?.split_once("boundary=")?.1;
    let end = find(begin, format!("\r\n--{boundary}").as_bytes())?;
    Some(request.body[begin..end].to_vec())
}
