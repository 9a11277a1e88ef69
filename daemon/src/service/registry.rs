//! The service registry: knows what can be asked for, and sees an attempt through to its end.
//!
//! It promises one shape of call and one shape of error for all services. The tracker asks it for runs; it asks the provider gateway to make
//! and the cache to keep. How a task would run is the planner's to say.

use std::collections::BTreeMap;

use actix::{
    Actor, ActorFutureExt, Context, Handler, MessageResult, Recipient, ResponseActFuture, WrapFuture,
};
use reel_protocol::{
    CacheMode, ErrorCode, ImageParams, MAX_ID, TaskError,
    methods::{ServiceInfo, ServiceStatusResult},
};

use super::{
    Lost, RunEnd, RunTask, debug,
    messages::{GetServiceStatus, SetImageProviders},
    styles,
};
use crate::{
    cache::{CacheError, FindRoom, Fresh, KeepMade, Shelver},
    domain::{Again, ImageRequest, ProviderProfile, ServiceRequest},
    provider::{Generate, GenerateError, Generated},
};

/// Runs that may wait; the tracker runs far fewer at once.
const MAILBOX: usize = 4_096;

/// What the registry works with.
#[derive(Debug, Clone)]
pub struct RegistryParts {
    /// Those that can make pictures, in the order of selection.
    pub image_providers: Vec<ProviderProfile>,
    /// Makes.
    pub generate: Recipient<Generate>,
    /// Keeps.
    pub keep: Recipient<KeepMade>,
    /// Says whether it could, and makes room where it is asked to.
    pub find_room: Recipient<FindRoom>,
    /// Knows whether it could without that.
    pub shelver: Shelver,
}

/// Room that the store must have for each picture before one is paid for: what is made must not be lost for want of it.
const ROOM_BYTES: u64 = 8 * 1024 * 1024;

#[derive(Debug, Default)]
struct Counts {
    successes: u64,
    errors: u64,
    last_error: Option<String>,
}

/// The actor.
#[derive(Debug)]
pub struct ServiceRegistry {
    parts: RegistryParts,
    counts: BTreeMap<&'static str, Counts>,
}

/// The services and their methods.
pub(super) const SERVICES: &[(&str, &[&str])] = &[("image", &["generate"]), ("debug", debug::METHODS)];

impl ServiceRegistry {
    /// A registry over these providers.
    pub fn new(parts: RegistryParts) -> Self {
        Self { parts, counts: BTreeMap::new() }
    }

    fn count(&mut self, service: &'static str, end: &RunEnd) {
        let counts = self.counts.entry(service).or_default();
        match end {
            RunEnd::Done | RunEnd::Made { .. } => counts.successes += 1,
            RunEnd::Failed(error, _) => {
                counts.errors += 1;
                counts.last_error = Some(format!("{}: {}", error.code, error.message));
            }
            RunEnd::Stopped => {}
        }
    }
}

impl Actor for ServiceRegistry {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
    }
}

impl Handler<SetImageProviders> for ServiceRegistry {
    type Result = ();

    fn handle(&mut self, SetImageProviders(providers): SetImageProviders, _: &mut Self::Context) {
        self.parts.image_providers = providers;
    }
}

impl Handler<RunTask> for ServiceRegistry {
    type Result = ResponseActFuture<Self, RunEnd>;

    fn handle(&mut self, task: RunTask, _: &mut Self::Context) -> Self::Result {
        let service = if task.kind.starts_with("image.") { "image" } else { "debug" };
        let parts = self.parts.clone();
        let run = async move {
            match task.kind.split_once('.') {
                Some(("image", _)) => run_image(parts, task).await,
                Some(("debug", method)) => match debug::check(method, &task.params) {
                    Some(Ok(call)) => debug::run(call, task.cancel, task.progress).await,
                    _ => RunEnd::failed(internal("the params were accepted and do not hold")),
                },
                _ => RunEnd::failed(internal("the kind was accepted and is not served")),
            }
        };
        Box::pin(run.into_actor(self).map(move |end, registry, _| {
            registry.count(service, &end);
            end
        }))
    }
}

impl Handler<GetServiceStatus> for ServiceRegistry {
    type Result = MessageResult<GetServiceStatus>;

    fn handle(&mut self, _: GetServiceStatus, _: &mut Self::Context) -> Self::Result {
        let providers: Vec<_> =
            self.parts.image_providers.iter().map(|provider| provider.name.clone()).collect();
        let info = |(service, methods): &(&'static str, &[&str])| {
            let counts = self.counts.get(service);
            let (successes, errors) = counts.map_or((0, 0), |counts| (counts.successes, counts.errors));
            let is_image = *service == "image";
            let info = ServiceInfo {
                methods: methods.iter().map(|method| (*method).to_owned()).collect(),
                providers: if is_image { providers.clone() } else { Vec::new() },
                styles: if is_image { styles::infos() } else { Vec::new() },
                requests: successes + errors,
                successes,
                errors,
                last_error: counts.and_then(|counts| counts.last_error.clone()),
            };
            ((*service).to_owned(), info)
        };
        MessageResult(ServiceStatusResult { services: SERVICES.iter().map(info).collect() })
    }
}

async fn run_image(parts: RegistryParts, task: RunTask) -> RunEnd {
    let Some(provider) = task.provider else {
        return RunEnd::failed(internal("an image task has no provider"));
    };
    let Ok(params) = task.params.decode::<ImageParams>() else {
        return RunEnd::failed(internal("the params were accepted and do not hold"));
    };
    let room_bytes = ROOM_BYTES * u64::from(params.n);
    if provider.is_paid && !parts.shelver.has_room(room_bytes) {
        let find = FindRoom { bytes: room_bytes, make_room: Some(task.make_room.clone()) };
        match parts.find_room.send(find).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return failed(no_room(&error)),
            Err(_) => return RunEnd::failed(internal("the cache is gone")),
        }
    }
    let style_suffix = params.style.as_deref().and_then(styles::find).map(|style| style.prompt_suffix);
    let request = ImageRequest { seed: seed(&params, task.cache, &provider.key), style_suffix, params };
    let generate = Generate {
        provider: provider.provider.to_string(),
        request: ServiceRequest::Image(request),
        job: task.job,
        permit: task.permit,
        cancel: task.cancel,
        progress: task.progress.clone(),
        jobs: task.jobs,
    };
    let Generated { pictures, notes, cost_microusd } = match parts.generate.send(generate).await {
        Ok(Ok(generated)) => generated,
        Ok(Err(GenerateError::Failed(failure))) => {
            return RunEnd::Failed(failure.error, failure.class.again(provider.is_paid));
        }
        Ok(Err(GenerateError::Stopped)) => return RunEnd::Stopped,
        Err(_) => return RunEnd::failed(internal("the provider gateway is gone")),
    };
    if matches!(pictures, Fresh::Pictures(_)) {
        task.progress.report(1.0, "keeping");
    }
    let keep = KeepMade {
        key: (task.cache != CacheMode::Off).then_some(provider.key),
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
    match parts.keep.send(keep).await {
        Ok(Ok(kept)) => RunEnd::Made { kept: Box::new(kept), cost_microusd, lost },
        Ok(Err(error)) => failed(not_kept(&error, provider.is_paid)),
        Err(_) => RunEnd::failed(internal("the cache is gone")),
    }
}

fn failed((error, again): (TaskError, Again)) -> RunEnd {
    RunEnd::Failed(error, again)
}

/// The seed where the request names none: the same for an equal request, and another one where it is asked anew.
fn seed(params: &ImageParams, cache: CacheMode, key: &[u8; 32]) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(key);
    if cache == CacheMode::Fresh {
        hasher.update(&reel_protocol::Timestamp::now().unix_ms().to_le_bytes());
        hasher.update(&std::process::id().to_le_bytes());
    }
    let mut low = [0; 8];
    hasher.finalize_xof().fill(&mut low);
    params.seed.unwrap_or(u64::from_le_bytes(low) & MAX_ID)
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

/// What follows from a picture that is made and could not be kept.
fn not_kept(error: &CacheError, is_paid: bool) -> (TaskError, Again) {
    without_room("the picture was made but could not be kept", error, is_paid)
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
