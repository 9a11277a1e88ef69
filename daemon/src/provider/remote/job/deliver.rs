//! Delivers the file of a job that is done: fetches it, inspects it and turns it into an artifact.

use std::time::Duration;

use reel_protocol::TaskNote;

use super::{Call, Followed, Taken, Ticket};
use crate::{
    cache::{Body, NewArtifact, Spooled},
    domain::{Class, Failure},
    media::{Condition, InspectError, Inspection, Limits, MEMORY_BYTES, inspect},
    provider::{GenerateError, Generated, remote::RemoteProvider},
};

impl RemoteProvider {
    /// Fetches the file of a job that is done. If it cannot be fetched yet, returns [`Taken::Untold`], so that the caller tries again until the
    /// job's timeout.
    pub(super) async fn deliver(
        &self,
        call: &Call<'_>,
        ticket: &Ticket,
        url: Option<&str>,
        (age, cost_microusd): (Duration, Option<u64>),
    ) -> Result<Taken, GenerateError> {
        let untold = |reason: String| Taken::Untold { reason, wait: None, is_refusal: false };
        // A lack of memory or disk space is temporary, and must not lose a finished result.
        let mut share = match self.ready(1, MEMORY_BYTES) {
            Ok(share) => share,
            Err(failure) => return Ok(untold(failure.error.message)),
        };
        let url = match url.map(|url| self.remote.base_url.join(url)) {
            Some(Ok(url)) => url,
            Some(Err(error)) => {
                return Ok(untold(format!("its result has no address that can be read: {error}")));
            }
            None => {
                let request = call.wire.result(&ticket.fields);
                self.job_url(&request.path, &request.query)
            }
        };
        let key = self.key().await.unwrap_or_default();
        let file = match self.fetch_all(&[url], key.as_ref(), &call.progress).await.pop() {
            Some(Ok(file)) => file,
            Some(Err(unfetched)) if unfetched.is_gone(age) => {
                let reason = format!("its result cannot be fetched: {}", unfetched.reason);
                return self.gone(ticket, &reason).map(Taken::Over);
            }
            Some(Err(unfetched)) => {
                return Ok(untold(format!("its result cannot be fetched yet: {}", unfetched.reason)));
            }
            None => return Ok(untold("its result was not fetched".to_owned())),
        };
        match self.inspect_video(file).await {
            Ok((mut artifact, notes)) => {
                artifact.reservation = Some(share.split(artifact.body.memory_bytes()));
                let generated = Generated { pictures: vec![artifact].into(), notes, cost_microusd };
                Ok(Taken::Over(Followed::Delivered(Box::new(generated))))
            }
            Err(reason) => {
                // The fetched file is no video, so a later attempt must not fetch it again.
                let _ = call.jobs.remember(None).await;
                let message = format!("{}: {reason}", self.config.name);
                let hint = "reel retry submits it again, and may pay again";
                Err(GenerateError::Failed(Failure::new(Class::Unknown, message, hint)))
            }
        }
    }

    /// Inspects a file, and turns it into an artifact with its notes. Returns the reason if the file is not a complete video.
    pub(in crate::provider) async fn inspect_video(
        &self,
        file: Spooled,
    ) -> Result<(NewArtifact, Vec<TaskNote>), String> {
        let (file, inspection) = look(file).await?;
        self.video(file, inspection)
    }

    /// Turns a file into an artifact with its notes. Returns the reason if the file is not a complete video.
    fn video(&self, file: Spooled, inspection: Inspection) -> Result<(NewArtifact, Vec<TaskNote>), String> {
        let Inspection { facts, condition } = inspection;
        if !facts.media_type.starts_with("video/") {
            return Err(format!("what came is no video: {}", facts.media_type));
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
