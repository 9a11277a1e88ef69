//! Runs an attempt: asks the provider that makes the result, and then the cache that keeps it.
//!
//! All services have the same form of call and of error. The planner decides how a task would run.

use std::{sync::Arc, time::Instant};

use actix::Recipient;
use futures_util::future::LocalBoxFuture;
use reel_protocol::{CacheMode, Digest, ErrorCode, MAX_ID, Output, TaskError};

use super::{JournalFailure, ProviderWork, RunEnd, RunTask, RunTasks, ServiceStats, Work, find};
use crate::{
    cache::{CacheError, FindInput, FindRoom, KeepMade},
    domain::{Again, CacheKey, Cost, InputFile, Inputs, Quantity},
    provider::{Generate, GenerateError, Generated},
};

/// The recipients and values that the services need.
#[derive(Debug)]
pub struct ServiceParts {
    /// The provider gateway, which has a provider make a result.
    pub generate: Recipient<Generate>,
    /// The cache, which keeps the results.
    pub keep: Recipient<KeepMade>,
    /// The cache, which finds the artifacts that a task starts from.
    pub find_input: Recipient<FindInput>,
    /// The cache, which says whether a result could be kept, and makes room for it if it is asked to.
    pub find_room: Recipient<FindRoom>,
    /// Counts the end of each attempt.
    pub stats: ServiceStats,
}

/// Runs the attempts of all services; cheap to clone.
#[derive(Debug, Clone)]
pub struct Services(Arc<ServiceParts>);

impl Services {
    /// Services that use these recipients and values.
    pub fn new(parts: ServiceParts) -> Self {
        Self(Arc::new(parts))
    }
}

impl RunTasks for Services {
    fn run(&self, task: RunTask) -> LocalBoxFuture<'static, RunEnd> {
        let parts = Arc::clone(&self.0);
        let is_paid = task.provider.as_ref().is_some_and(|provider| provider.is_paid);
        // Spawned as a task of its own, because an actor polls all of its futures whenever it does anything.
        let run = actix::spawn(async move { parts.run(task).await });
        Box::pin(async move {
            run.await.unwrap_or_else(|error| {
                // The attempt panicked, which ends the process. Until then, nobody may pay for the same result again.
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
            Ok(Work::InDaemon(work)) => work.run(task.cancel, task.progress).await,
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
        if provider.is_paid {
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
        let Generated { artifacts, notes, cost_microusd } = generated;
        task.progress.report(1.0, "keeping");
        let keep = KeepMade {
            key: (task.cache != CacheMode::Off && flaw.is_none()).then_some(provider.key),
            provider: provider.provider.to_string(),
            model: provider.model.as_deref().map(str::to_owned),
            artifacts,
            notes,
            make_room: Some(task.make_room),
        };
        let on_journal_failure: JournalFailure = if provider.is_paid {
            |error| not_kept(&error.into(), true)
        } else {
            |error| not_kept(&error.into(), false)
        };
        match self.keep.send(keep).await {
            Ok(Ok(mut kept)) => {
                kept.made.flaw = flaw;
                let cost = provider.cost(cost_microusd, &quantity_made(asked, &kept.made.outputs));
                RunEnd::Made { kept: Box::new(kept), cost, on_journal_failure }
            }
            Ok(Err(error)) => failed(not_kept(&error, provider.is_paid)),
            Err(_) => RunEnd::failed(internal("the cache is gone")),
        }
    }
}

impl ServiceParts {
    /// Finds the files of the artifacts that a task starts from. When this fails, no provider has been asked yet.
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
                Ok(Err(error)) => {
                    return Err(failed(without_room(
                        "a file that it starts from cannot be read",
                        &error,
                        false,
                    )));
                }
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

/// The quantity that was asked for, with the pictures, pixels and duration of the outputs that were made.
fn quantity_made(asked: Quantity, made: &[Output]) -> Quantity {
    let pixels = |output: &Output| Some(u64::from(output.width?) * u64::from(output.height?));
    let pixels: Option<u64> = made.iter().map(pixels).sum();
    let seconds: Option<f64> = made.iter().map(|output| output.duration_s).sum();
    Quantity {
        images: asked.images.map(|_| made.len() as u64),
        pixels: asked.pixels.map(|asked| pixels.unwrap_or(asked)),
        // Pictures and texts have no duration.
        milliseconds: seconds.map(|seconds| (seconds * 1e3).round() as u64).or(asked.milliseconds),
        ..asked
    }
}

fn failed((error, again): (TaskError, Again)) -> RunEnd {
    RunEnd::Failed(error, again)
}

/// The seed of a request that names none. Equal requests get the same seed, except that each [`CacheMode::Fresh`] request gets a new one.
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
        hint: Some("reel daemon logs shows the cause".to_owned()),
        retryable: false,
        provider_status: None,
    }
}

/// The error, and what may follow, if the store has no room for the result. No provider has been asked yet.
fn no_room(error: &CacheError) -> (TaskError, Again) {
    without_room("nothing was asked for, as it could not be kept", error, false)
}

/// The error, and what may follow, if a result was made but could not be kept.
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
        _ => (ErrorCode::StorageFailed, "reel daemon logs shows the cause"),
    };
    let (again, what_follows) = if is_paid {
        // The result was made: asking again would pay again.
        (
            Again::OutcomeUnknown,
            "it was paid: reel release asks, and pays, again; reel cancel cancels the task",
        )
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
