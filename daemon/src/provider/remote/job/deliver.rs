//! Delivers the results of a job that is done: takes them from the answer or fetches them, inspects them and turns them into artifacts.

use std::time::Duration;

use reel_protocol::TaskNote;
use reqwest::Url;

use super::{Call, Followed, Taken, Ticket, ask::Inside};
use crate::{
    cache::{Body, NewArtifact, Spooled},
    domain::{Class, Failure, ImageRequest},
    media::{Condition, InspectError, Inspection, Limits, MEMORY_BYTES, inspect},
    memory::Reservation,
    provider::{
        GenerateError, Generated,
        jobs::JobWork,
        notes::{Beside, notes},
        remote::RemoteProvider,
    },
};

/// What is known of a job that is done.
pub(super) struct Done {
    /// The URLs of the results, if the answer names any.
    pub urls: Vec<String>,
    /// The results that the answer contains. None if they must be fetched.
    pub inside: Option<Inside>,
    /// The time since the job was submitted.
    pub age: Duration,
    pub cost_microusd: Option<u64>,
}

/// The files of a job.
struct Got {
    files: Vec<Spooled>,
    /// Why a file is missing, if one is.
    missing: Option<String>,
    /// The memory that is reserved for the files and their inspection.
    share: Reservation,
}

/// Why no file of a job is at hand.
enum Unhad {
    /// The files may come later, so the service is asked again.
    Later(String),
    /// The service does not have them any more.
    Gone(String),
    /// They are useless.
    Useless(Failure),
}

impl RemoteProvider {
    /// Delivers the files of a job that is done. If they cannot be had yet, returns [`Taken::Untold`], so that the caller tries again until the job's
    /// timeout.
    pub(super) async fn deliver(
        &self,
        call: &Call<'_>,
        ticket: &Ticket,
        done: Done,
    ) -> Result<Taken, GenerateError> {
        let Done { urls, inside, age, cost_microusd } = done;
        let got = match inside {
            Some(inside) => self.take_from_answer(inside),
            None => self.fetch_results(call, ticket, &urls, age).await,
        };
        let made = match (got, &call.work) {
            (Ok(got), JobWork::Image(request)) => self.pictures(request, got).await,
            (Ok(got), JobWork::Video(_)) => self.video(got).await,
            (Err(unhad), _) => Err(unhad),
        };
        match made {
            Ok((pictures, notes)) => {
                let generated = Generated { artifacts: pictures, notes, cost_microusd };
                Ok(Taken::Over(Followed::Delivered(Box::new(generated))))
            }
            Err(Unhad::Later(reason)) => Ok(Taken::Untold { reason, wait: None, is_refusal: false }),
            Err(Unhad::Gone(reason)) => self.gone(ticket, &reason).map(Taken::Over),
            Err(Unhad::Useless(failure)) => {
                // A later attempt must not ask for the same useless files again.
                let _ = call.jobs.remember(None).await;
                Err(GenerateError::Failed(failure))
            }
        }
    }

    /// Takes the files that the answer to a poll contained.
    fn take_from_answer(&self, inside: Inside) -> Result<Got, Unhad> {
        let Inside { files: read, share } = inside;
        let (mut files, mut failures) = (Vec::new(), Vec::new());
        for file in read {
            match self.read(Some(file)) {
                Ok(file) => files.push(file),
                Err(failure) => failures.push(failure),
            }
        }
        match failures.pop() {
            None if files.is_empty() => {
                Err(Unhad::Useless(self.bad_answer("the job is done, and its answer has no result")))
            }
            // The disk of this machine may have room again before the service forgets the job.
            Some(failure) if failure.class == Class::Ambiguous => Err(Unhad::Later(failure.error.message)),
            Some(failure) if files.is_empty() => Err(Unhad::Useless(failure)),
            failure => Ok(Got { files, missing: failure.map(|failure| failure.error.message), share }),
        }
    }

    /// Fetches the files of a job from the URLs that the answer names, or from where the kind says.
    async fn fetch_results(
        &self,
        call: &Call<'_>,
        ticket: &Ticket,
        urls: &[String],
        age: Duration,
    ) -> Result<Got, Unhad> {
        // A lack of memory or disk space is temporary, and must not lose a finished result.
        let share = self
            .ready(call.work.count(), MEMORY_BYTES)
            .map_err(|failure| Unhad::Later(failure.error.message))?;
        let own = || call.wire.result(&ticket.fields).map(|own| self.job_url(&own.path, &own.query));
        let urls: Vec<Url> = if urls.is_empty() {
            own().into_iter().collect()
        } else {
            let joined: Result<_, _> = urls.iter().map(|url| self.remote.base_url.join(url)).collect();
            joined.map_err(|error| {
                Unhad::Later(format!("its result has no address that can be read: {error}"))
            })?
        };
        let key = self.key().await.unwrap_or_default();
        let (mut files, mut missed) = (Vec::new(), Vec::new());
        for fetched in self.fetch_all(&urls, key.as_ref(), &call.progress).await {
            match fetched {
                Ok(file) => files.push(file),
                Err(unfetched) => missed.push(unfetched),
            }
        }
        if let Some(unfetched) = missed.iter().find(|unfetched| !unfetched.is_gone(age)) {
            return Err(Unhad::Later(format!("its result cannot be fetched yet: {}", unfetched.reason)));
        }
        match missed.pop() {
            None if files.is_empty() => Err(Unhad::Later("its result was not fetched".to_owned())),
            Some(unfetched) if files.is_empty() => {
                Err(Unhad::Gone(format!("its result cannot be fetched: {}", unfetched.reason)))
            }
            unfetched => Ok(Got { files, missing: unfetched.map(|unfetched| unfetched.reason), share }),
        }
    }

    /// Turns the files of a job into pictures with their notes.
    async fn pictures(
        &self,
        request: &ImageRequest,
        got: Got,
    ) -> Result<(Vec<NewArtifact>, Vec<TaskNote>), Unhad> {
        let Got { files, missing, mut share } = got;
        // Release the rest of the reservation first: the inspection may itself wait for memory.
        let held_bytes = files.iter().map(Spooled::memory_bytes).sum();
        let mut share = share.split(held_bytes);
        let inspected = self.inspect(files.into_iter().map(|file| (file, None)).collect()).await;
        let (mut pictures, seen, left_out) = inspected.map_err(|failure| match failure.class {
            Class::Ambiguous => Unhad::Later(failure.error.message),
            _ => Unhad::Useless(failure),
        })?;
        for picture in &mut pictures {
            picture.reservation = Some(share.split(picture.body.memory_bytes()));
        }
        let beside = Beside { missing: missing.or(left_out), ..Beside::default() };
        let notes = notes(&self.config.name, &request.params, &seen, &beside);
        Ok((pictures, notes))
    }

    /// Turns the file of a job into a video with its notes.
    async fn video(&self, got: Got) -> Result<(Vec<NewArtifact>, Vec<TaskNote>), Unhad> {
        let Got { mut files, mut share, .. } = got;
        files.truncate(1);
        let Some(file) = files.pop() else { return Err(Unhad::Later("it has no file".to_owned())) };
        let (mut artifact, notes) = self.inspect_video(file).await.map_err(|reason| {
            let message = format!("{}: {reason}", self.config.name);
            Unhad::Useless(Failure::new(Class::Unknown, message, self.resubmit_hint()))
        })?;
        artifact.reservation = Some(share.split(artifact.body.memory_bytes()));
        Ok((vec![artifact], notes))
    }

    /// Inspects a file, and turns it into an artifact with its notes. Returns the reason if the file is not a complete video.
    pub(in crate::provider) async fn inspect_video(
        &self,
        file: Spooled,
    ) -> Result<(NewArtifact, Vec<TaskNote>), String> {
        let (file, inspection) = look(file).await?;
        self.checked_video(file, inspection)
    }

    /// Turns a file into an artifact with its notes. Returns the reason if the file is not a complete video.
    fn checked_video(
        &self,
        file: Spooled,
        inspection: Inspection,
    ) -> Result<(NewArtifact, Vec<TaskNote>), String> {
        let Inspection { facts, condition } = inspection;
        if !facts.media_type.starts_with("video/") {
            return Err(format!("the answer is not a video: {}", facts.media_type));
        }
        let notes = match condition {
            Condition::Whole => Vec::new(),
            Condition::Cut(reason) => return Err(format!("the video is not whole: {reason}")),
            Condition::Damaged(reason) | Condition::Unchecked(reason) => {
                tracing::warn!(provider = %self.config.name, reason, "a video is kept that could not be checked");
                let message = format!("the video is kept as it came: {reason}");
                vec![TaskNote::new(TaskNote::NOT_DECODED, message)]
            }
        };
        Ok((NewArtifact { body: Body::Spooled(file), reservation: None, facts }, notes))
    }
}

/// Inspects a file on a thread that may block.
async fn look(file: Spooled) -> Result<(Spooled, Inspection), String> {
    let looking = tokio::task::spawn_blocking(move || {
        let mut source = file.open().map_err(InspectError::Read)?;
        let inspection = inspect(&mut source, Limits::default())?;
        drop(source);
        Ok::<_, InspectError>((file, inspection))
    });
    match looking.await {
        Ok(Ok(looked)) => Ok(looked),
        Ok(Err(error)) => Err(crate::chain::chain(&error)),
        Err(_) => Err("looking at the file failed".to_owned()),
    }
}
