//! An attempt's way through the services: to the provider that makes the result, and to the cache that keeps it.
//!
//! It promises one shape of call and one shape of error for all services. How a task would run is the planner's to say.

use std::{sync::Arc, time::Instant};

use actix::Recipient;
use futures_util::future::LocalBoxFuture;
use reel_protocol::{CacheMode, Digest, ErrorCode, MAX_ID, Output, TaskError};

use super::{Lost, ProviderWork, RunEnd, RunTask, RunTasks, ServiceStats, Work, find};
use crate::{
    cache::{CacheError, FindInput, FindRoom, Fresh, KeepMade, Shelver},
    domain::{Again, CacheKey, Cost, InputFile, Inputs, Quantity},
    provider::{Generate, GenerateError, Generated},
};

/// What the services work with.
#[derive(Debug)]
pub struct ServiceParts {
    /// Has a provider make something.
    pub generate: Recipient<Generate>,
    /// The cache, which keeps what was made.
    pub keep: Recipient<KeepMade>,
    /// Finds what a task starts from.
    pub find_input: Recipient<FindInput>,
    /// Says whether something could be kept, and makes room for it where it is asked to.
    pub find_room: Recipient<FindRoom>,
    /// Knows whether something could be kept without making room.
    pub shelver: Shelver,
    /// Where the end of each attempt is counted.
    pub stats: ServiceStats,
}

/// Runs the attempts of all services; cheap to clone.
#[derive(Debug, Clone)]
pub struct Services(Arc<ServiceParts>);

impl Services {
    /// Services that have run nothing yet.
    pub fn new(parts: ServiceParts) -> Self {
        Self(Arc::new(parts))
    }
}

impl RunTasks for Services {
    fn run(&self, task: RunTask) -> LocalBoxFuture<'static, RunEnd> {
        let parts = Arc::clone(&self.0);
        let is_paid = task.provider.as_ref().is_some_and(|provider| provider.is_paid);
        // As a task of its own: an actor looks at all of its futures whenever it does anything.
        let run = actix::spawn(async move { parts.run(task).await });
        Box::pin(async move {
            run.await.unwrap_or_else(|error| {
                // It panicked, and the process ends with it; until then nobody may pay again.
                let again = if is_paid { Again::OutcomeUnknown } else { Again::Later(None) };
                RunEnd::Failed(internal(&format!("the attempt was lost: {error}")), again)
            })
        })
    }
}

impl ServiceParts {
    async fn run(&self, task: RunTask) -> RunEnd {
        let Some((service, method)) = find(&task.kind) else {
            return RunEnd::failed(internal("the kind was accepted and is not served"));
        };
        let (began, provider) = (Instant::now(), task.provider.as_ref().map(|one| Arc::clone(&one.provider)));
        let end = match service.check(method, &task.params) {
            Ok(Work::AtProvider(work)) => self.run_at_provider(task, work).await,
            Ok(Work::Here(work)) => work.run(task.cancel, task.progress).await,
            Ok(Work::Workflow(_)) => RunEnd::failed(internal("a workflow was run as if it had no steps")),
            Err(bad) => {
                let message = format!("the params were accepted and do not hold: {}", bad.message);
                RunEnd::failed(internal(&message))
            }
        };
        self.stats.count(service.name(), provider.as_deref(), began.elapsed(), &end);
        end
    }

    async fn run_at_provider(&self, task: RunTask, work: Box<dyn ProviderWork>) -> RunEnd {
        let Some(provider) = task.provider else {
            return RunEnd::failed(internal("the task needs a provider and has none"));
        };
        let (room_bytes, asked) = (work.room_bytes(), work.quantity());
        if provider.is_paid && !self.shelver.has_room(room_bytes) {
            let find = FindRoom { bytes: room_bytes, make_room: Some(task.make_room.clone()) };
            match self.find_room.send(find).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return failed(no_room(&error)),
                Err(_) => return RunEnd::failed(internal("the cache is gone")),
            }
        }
        let inputs = match self.inputs(&work.inputs()).await {
            Ok(inputs) => inputs,
            Err(end) => return end,
        };
        let generate = Generate {
            provider: provider.provider.to_string(),
            request: work.into_request(seed(task.cache, &provider.key)).with_inputs(inputs),
            job: task.job,
            permit: task.permit,
            cancel: task.cancel,
            progress: task.progress.clone(),
            jobs: task.jobs,
        };
        let (generated, flaw) = match self.generate.send(generate).await {
            Ok(Ok(generated)) => (generated, None),
            Ok(Err(GenerateError::Flawed(generated, flaw))) => (*generated, Some(flaw)),
            Ok(Err(GenerateError::Failed(failure))) => {
                let again = failure.class.again(provider.is_paid);
                return match failure.cost_microusd {
                    Some(microusd) => {
                        RunEnd::FailedAtCost(failure.error, again, Cost { microusd, is_estimate: false })
                    }
                    None => RunEnd::Failed(failure.error, again),
                };
            }
            Ok(Err(GenerateError::Stopped)) => return RunEnd::Stopped,
            Err(_) => return RunEnd::failed(internal("the provider gateway is gone")),
        };
        let Generated { pictures, notes, cost_microusd } = generated;
        if matches!(pictures, Fresh::Pictures(_)) {
            task.progress.report(1.0, "keeping");
        }
        let keep = KeepMade {
            key: (task.cache != CacheMode::Off && flaw.is_none()).then_some(provider.key),
            provider: provider.provider.to_string(),
            model: provider.model.as_deref().map(str::to_owned),
            pictures,
            notes,
            make_room: Some(task.make_room),
        };
        let lost: Lost = if provider.is_paid {
            |error| not_kept(&error.into(), true)
        } else {
            |error| not_kept(&error.into(), false)
        };
        match self.keep.send(keep).await {
            Ok(Ok(mut kept)) => {
                kept.made.flaw = flaw;
                let cost = provider.cost(cost_microusd, &quantity_made(asked, &kept.made.outputs));
                RunEnd::Made { kept: Box::new(kept), cost, lost }
            }
            Ok(Err(error)) => failed(not_kept(&error, provider.is_paid)),
            Err(_) => RunEnd::failed(internal("the cache is gone")),
        }
    }
}

impl ServiceParts {
    /// The files of the artifacts that a task starts from; nothing was asked for yet.
    async fn inputs(&self, inputs: &Inputs) -> Result<Vec<InputFile>, RunEnd> {
        let mut files = Vec::new();
        let pictures = inputs.must_be_pictures().count();
        for (index, digest) in inputs.iter().enumerate() {
            match self.find_input.send(FindInput(digest)).await {
                Ok(Ok(input)) if index < pictures && !input.media_type.starts_with("image/") => {
                    return Err(no_picture(digest, &input.media_type));
                }
                Ok(Ok(input)) => files.push(input),
                Ok(Err(CacheError::NotFound(digest))) => return Err(lost_input(digest)),
                Ok(Err(error)) => return Err(failed(no_room(&error))),
                Err(_) => return Err(RunEnd::failed(internal("the cache is gone"))),
            }
        }
        Ok(files)
    }
}

fn no_picture(digest: Digest, media_type: &str) -> RunEnd {
    RunEnd::failed(TaskError {
        code: ErrorCode::InvalidParams.name().to_owned(),
        message: format!("what it starts from is no picture: artifact {digest} is {media_type}"),
        hint: Some("submit it anew, to start from a picture".to_owned()),
        retryable: false,
        provider_status: None,
    })
}

fn lost_input(digest: Digest) -> RunEnd {
    RunEnd::failed(TaskError {
        code: ErrorCode::ArtifactNotFound.name().to_owned(),
        message: format!("the file that it starts from is gone: artifact {digest}"),
        hint: Some("put the file again (artifact.put), then reel retry".to_owned()),
        retryable: false,
        provider_status: None,
    })
}

/// What was asked for, with what is known of it now that it is made.
fn quantity_made(asked: Quantity, made: &[Output]) -> Quantity {
    let pixels = |output: &Output| Some(u64::from(output.width?) * u64::from(output.height?));
    let pixels: Option<u64> = made.iter().map(pixels).sum();
    let seconds: Option<f64> = made.iter().map(|output| output.duration_s).sum();
    Quantity {
        images: asked.images.map(|_| made.len() as u64),
        pixels: asked.pixels.map(|asked| pixels.unwrap_or(asked)),
        // Pictures and texts last no time.
        milliseconds: seconds.map(|seconds| (seconds * 1e3).round() as u64).or(asked.milliseconds),
        ..asked
    }
}

fn failed((error, again): (TaskError, Again)) -> RunEnd {
    RunEnd::Failed(error, again)
}

/// The seed of a request that names none: the same for an equal request, and another one where it is asked anew.
pub(super) fn seed(cache: CacheMode, key: &CacheKey) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(key);
    if cache == CacheMode::Fresh {
        hasher.update(&reel_protocol::Timestamp::now().unix_ms().to_le_bytes());
        hasher.update(&std::process::id().to_le_bytes());
    }
    let mut low = [0; 8];
    hasher.finalize_xof().fill(&mut low);
    u64::from_le_bytes(low) & MAX_ID
}

fn internal(message: &str) -> TaskError {
    TaskError {
        code: ErrorCode::Internal.name().to_owned(),
        message: message.to_owned(),
        hint: Some("reel daemon logs says more".to_owned()),
        retryable: false,
        provider_status: None,
    }
}

/// What follows from a store without room, found out before anything was asked for.
fn no_room(error: &CacheError) -> (TaskError, Again) {
    without_room("nothing was asked for, as it could not be kept", error, false)
}

/// What follows from a result that is made and could not be kept.
fn not_kept(error: &CacheError, is_paid: bool) -> (TaskError, Again) {
    without_room("the result was made but could not be kept", error, is_paid)
}

fn without_room(what: &str, error: &CacheError, is_paid: bool) -> (TaskError, Again) {
    let (code, remedy) = match error {
        CacheError::Full { .. } => {
            (ErrorCode::StorageFull, "raise cache.disk_mb, or remove tasks from the history with reel rm")
        }
        CacheError::DiskFull { .. } => (ErrorCode::StorageFull, "free some room on the disk"),
        CacheError::OverMemory => (ErrorCode::OverMemory, "reel memory shows who holds what"),
        _ => (ErrorCode::StorageFailed, "reel daemon logs says more"),
    };
    let (again, what_follows) = if is_paid {
        // It is made: asking again would pay again.
        (Again::OutcomeUnknown, "it was paid: reel release asks, and pays, again; reel cancel gives up")
    } else {
        (Again::Later(None), "the task is tried again")
    };
    let cause = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
    let error = TaskError {
        code: code.name().to_owned(),
        message: format!("{what}: {error}{cause}"),
        hint: Some(format!("{remedy}; {what_follows}")),
        retryable: true,
        provider_status: None,
    };
    (error, again)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_that_was_paid_and_not_kept_is_not_said_to_be_tried_again() {
        let path = std::path::PathBuf::from("/artifacts/x");
        for error in [CacheError::DiskFull { path }, CacheError::OverMemory] {
            for (is_paid, wanted, words) in
                [(true, Again::OutcomeUnknown, "reel release"), (false, Again::Later(None), "tried again")]
            {
                let (error, again) = not_kept(&error, is_paid);
                let hint = error.hint.unwrap();
                assert!(again == wanted && hint.contains(words), "{is_paid}: {again:?} {hint}");
                assert_eq!(hint.contains("tried again"), !is_paid, "{hint}");
            }
        }
    }
}
