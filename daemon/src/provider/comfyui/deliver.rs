//! Fetches the files of a job that is done, checks them and turns them into artifacts.

use std::time::Duration;

use reel_protocol::TaskNote;
use tokio::time::sleep;

use super::{
    ComfyProvider,
    answers::OutFile,
    attempt::{Call, Ticket, Work},
};
use crate::{
    cache::Spooled,
    domain::{Class, Failure, ImageRequest},
    memory::Reservation,
    provider::{
        GenerateError, Generated,
        notes::{Beside, notes},
        remote::shown,
    },
};

/// The extensions of pictures that nodes save.
const PICTURES: [&str; 8] = ["png", "jpg", "jpeg", "webp", "gif", "bmp", "tif", "tiff"];
/// The extensions of videos that nodes save.
const VIDEOS: [&str; 5] = ["mp4", "webm", "mov", "mkv", "avi"];
/// Most files of one job that are fetched.
const MAX_FILES: usize = 64;
/// How often one file is asked for.
const TRIES: u32 = 4;
/// The pause before the second request for a file; it doubles each time.
const PAUSE: Duration = Duration::from_millis(500);

/// The outcome of fetching the files of a job.
pub(super) enum Delivery {
    /// All files are here.
    Made(Box<Generated>),
    /// The server does not have this file any more.
    Gone(String),
}

/// Why a file was not fetched.
enum Missed {
    /// The server does not have it.
    Gone,
    /// It could not be fetched, for this reason.
    Unfetched(String),
}

impl ComfyProvider {
    /// Fetches the files that a job has made.
    pub(super) async fn deliver(
        &self,
        call: &Call,
        files: &[OutFile],
        share: &mut Reservation,
    ) -> Result<Delivery, GenerateError> {
        let chosen = self.chosen(call, files).map_err(|failure| self.useless(call, failure));
        let chosen = match chosen {
            Ok(chosen) => chosen,
            Err(failing) => return Err(failing.await),
        };
        call.report(1.0, format!("fetching what {} has made", self.core.config.name));
        let mut spooled = Vec::new();
        for (number, file) in chosen.iter().enumerate() {
            match self.fetch(file, number).await {
                Ok(file) => spooled.push(file),
                Err(Missed::Gone) => return Ok(Delivery::Gone(file.filename.clone())),
                Err(Missed::Unfetched(reason)) => {
                    let name = &self.core.config.name;
                    let file = shown(&file.filename, None);
                    let message = format!("{name} has made {file}, and it could not be fetched: {reason}");
                    let hint = "the task is tried again, and fetches it";
                    return Err(GenerateError::Failed(Failure::new(Class::Transient(None), message, hint)));
                }
            }
        }
        match self.artifacts(call, spooled, share).await {
            Ok(mut generated) => {
                if chosen.len() < files.len() && matches!(call.work, Work::Video(_)) {
                    generated.notes.extend(more_videos(files));
                }
                Ok(Delivery::Made(Box::new(generated)))
            }
            Err(failure) => Err(self.useless(call, failure).await),
        }
    }

    /// Journals that the job has no result that can be used, so that a later attempt does not fetch it again. A lack of memory may pass.
    async fn useless(&self, call: &Call, failure: Failure) -> GenerateError {
        if failure.class == Class::Unknown {
            let _ = call.jobs.remember(None).await;
        }
        GenerateError::Failed(failure)
    }

    /// Returns the files of a job that the server has forgotten, if they are on its disk: their names follow from the id of the job.
    pub(super) async fn recover(
        &self,
        call: &Call,
        ticket: &Ticket,
        share: &mut Reservation,
    ) -> Option<Generated> {
        let file = |number: usize, extension: &str| OutFile {
            node: String::new(),
            filename: format!("{}_{number:05}_.{extension}", ticket.own_id),
            subfolder: "reel".to_owned(),
            kind: "output".to_owned(),
        };
        // All nodes that save files have the same prefix, so with several of them the names do not tell which file is the result.
        let workflow = self.workflow_of(&call.work)?;
        if workflow.saving_nodes() != 1 {
            return None;
        }
        let mut spooled = Vec::new();
        match &call.work {
            Work::Image(request) => {
                let wanted = if workflow.takes("n") { request.params.n as usize } else { 1 };
                for number in 1..=wanted.min(MAX_FILES) {
                    spooled.push(self.fetch(&file(number, "png"), number - 1).await.ok()?);
                }
            }
            Work::Video(_) => {
                for extension in ["mp4", "webm"] {
                    if let Ok(found) = self.fetch(&file(1, extension), 0).await {
                        spooled.push(found);
                        break;
                    }
                }
                if spooled.is_empty() {
                    return None;
                }
            }
        }
        // A server that died while it wrote a file has left a part of it.
        let generated = self.artifacts(call, spooled, share).await.ok()?;
        tracing::info!(provider = %self.core.config.name, "the files of a job were found that the server had forgotten");
        Some(generated)
    }

    /// Returns the files that are the result.
    fn chosen<'a>(&self, call: &Call, files: &'a [OutFile]) -> Result<Vec<&'a OutFile>, Failure> {
        let (workflow, extensions, what) = match &call.work {
            Work::Image(_) => (self.workflow_of(&call.work), &PICTURES[..], "picture"),
            Work::Video(_) => (self.workflow_of(&call.work), &VIDEOS[..], "video"),
        };
        let fits = |file: &&OutFile| {
            let is_output = workflow.is_none_or(|workflow| workflow.is_output(&file.node));
            is_output && extensions.contains(&file.extension().as_str())
        };
        let mut chosen: Vec<_> = files.iter().filter(fits).take(MAX_FILES).collect();
        // A node that only shows a picture keeps it in a folder that the server empties. It counts if nothing was saved.
        if chosen.iter().any(|file| file.kind == "output") {
            chosen.retain(|file| file.kind == "output");
        }
        if matches!(call.work, Work::Video(_)) {
            chosen.truncate(1);
        }
        if chosen.is_empty() {
            let names: Vec<_> = files.iter().map(|file| file.filename.as_str()).take(4).collect();
            let made = if names.is_empty() { "nothing".to_owned() } else { shown(&names.join(", "), None) };
            let message = format!(
                "{} has run the workflow, which saved no {what} (it saved: {made})",
                self.core.config.name
            );
            let hint =
                format!("the workflow needs a node that saves a {what}; reel:output as its title chooses it");
            return Err(Failure::new(Class::Unknown, message, hint));
        }
        Ok(chosen)
    }

    async fn fetch(&self, file: &OutFile, number: usize) -> Result<Spooled, Missed> {
        let url = self.core.job_url(&["view".to_owned()], &file.query());
        let mut pause = PAUSE;
        for tried in 1.. {
            let key = self.core.key().await.map_err(|failure| Missed::Unfetched(failure.error.message))?;
            // The first files may stay in memory while they are small.
            let missed = match self.core.fetch_once(url.clone(), usize::from(number <= 4), key.as_ref()).await
            {
                Ok(spooled) => return Ok(spooled),
                Err(missed) => missed,
            };
            if missed.status == Some(reqwest::StatusCode::NOT_FOUND) {
                return Err(Missed::Gone);
            }
            // A file that is too large is so the next time, too.
            if tried >= TRIES || missed.is_gone(Duration::ZERO) {
                return Err(Missed::Unfetched(missed.reason));
            }
            sleep(pause).await;
            pause *= 2;
        }
        Err(Missed::Unfetched("it was not asked for".to_owned()))
    }

    async fn artifacts(
        &self,
        call: &Call,
        files: Vec<Spooled>,
        share: &mut Reservation,
    ) -> Result<Generated, Failure> {
        match &call.work {
            Work::Image(request) => self.pictures(call, request, files, share).await,
            Work::Video(_) => self.one_video(files, share).await,
        }
    }

    async fn pictures(
        &self,
        call: &Call,
        request: &ImageRequest,
        files: Vec<Spooled>,
        share: &mut Reservation,
    ) -> Result<Generated, Failure> {
        let files = files.into_iter().map(|file| (file, None)).collect();
        let (mut pictures, seen, missing) = self.core.inspect(files).await?;
        for picture in &mut pictures {
            picture.reservation = Some(share.split(picture.body.memory_bytes()));
        }
        let words = call.left_out.borrow().clone();
        let beside = Beside { words, missing, ..Beside::default() };
        let notes = notes(&self.core.config.name, &request.params, &seen, &beside);
        Ok(Generated { artifacts: pictures, notes, cost_microusd: None })
    }

    async fn one_video(
        &self,
        mut files: Vec<Spooled>,
        share: &mut Reservation,
    ) -> Result<Generated, Failure> {
        let file = files.pop().ok_or_else(|| self.core.bad_answer("there is no video"))?;
        let (mut artifact, notes) =
            self.core.inspect_video(file).await.map_err(|reason| self.core.bad_answer(&reason))?;
        artifact.reservation = Some(share.split(artifact.body.memory_bytes()));
        Ok(Generated { artifacts: vec![artifact], notes, cost_microusd: None })
    }
}

/// Returns the note that the workflow saved several videos.
fn more_videos(files: &[OutFile]) -> Option<TaskNote> {
    let count = files.iter().filter(|file| VIDEOS.contains(&file.extension().as_str())).count();
    let message = format!(
        "the workflow saved {count} videos, and the first is kept; reel:output as the title of a node chooses it"
    );
    (count > 1).then(|| TaskNote::new(TaskNote::MORE_OUTPUTS, message))
}
