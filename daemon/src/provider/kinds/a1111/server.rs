//! A server with this API as a provider: attempts with their progress and their end, and what is known about the server.

use std::{
    cell::RefCell,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use futures_util::future::{LocalBoxFuture, ready};
use reel_protocol::{TaskError, methods::PlannedRequest};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::{
    ADDRESS, MODELS, RunWire,
    answer::MEMORY_WORDS,
    models,
    settings::WebUiSettings,
    watch::{Sight, Watch},
};
use crate::{
    config::ProviderConfig,
    domain::{Class, Failure, ProgressSink, ServiceRequest},
    provider::{Equipment, Generate, GenerateError, Generated, Provider, remote::RemoteProvider},
};

/// The state of the server, without the picture that it is making.
const PROGRESS: &str = "sdapi/v1/progress?skip_current_image=true";
/// The time between two looks at the progress.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a cancelled run is waited for that has not begun, so that it can be interrupted.
const MAX_QUEUED: Duration = Duration::from_mins(10);

/// How long the server may say nothing about a run that is to be interrupted: it learns of a request a moment after it was sent.
const MAX_UNKNOWN: Duration = Duration::from_secs(10);
/// How long an attempt waits for the interruption of its run. A stopping daemon waits for its attempts, and so the interruption is mostly sent.
const INTERRUPT_WAIT: Duration = Duration::from_secs(2);

/// A configured server.
#[derive(Debug)]
pub(super) struct WebUi {
    config: ProviderConfig,
    equipment: Equipment,
}

impl Provider for WebUi {
    fn generate(
        self: Arc<Self>,
        call: Generate,
    ) -> LocalBoxFuture<'static, Result<Generated, GenerateError>> {
        Box::pin(async move { self.attempt(call).await })
    }

    fn check(self: Arc<Self>) -> LocalBoxFuture<'static, Result<String, TaskError>> {
        Box::pin(async move { self.state().await.map_err(|failure| failure.error) })
    }

    fn models(self: Arc<Self>) -> LocalBoxFuture<'static, Result<Option<Vec<String>>, Failure>> {
        Box::pin(async move {
            let remote = self.remote(RunWire::default())?;
            let list = remote.ask_beside(Method::GET, MODELS, None).await;
            list.map(|list| Some(models::names(&list))).map_err(|failure| self.explain(failure))
        })
    }

    fn free_memory(self: Arc<Self>) -> LocalBoxFuture<'static, ()> {
        // Its request to unload a checkpoint moves the model from the graphics card into the memory that is short.
        if let Ok(remote) = self.remote(RunWire::default()) {
            remote.stop_for_memory();
        }
        Box::pin(ready(()))
    }

    fn requests(&self, request: &ServiceRequest) -> Vec<PlannedRequest> {
        self.remote(RunWire::default()).map(|remote| remote.planned_requests(request)).unwrap_or_default()
    }
}

/// One run and the server that carries it out.
struct Run {
    remote: RemoteProvider,
    wire: Arc<RunWire>,
    watch: RefCell<Watch>,
    /// The body of a request for the progress of this run.
    question: Value,
}

impl WebUi {
    pub(super) fn new(config: &ProviderConfig, equipment: &Equipment) -> Self {
        Self { config: config.clone(), equipment: equipment.clone() }
    }

    fn remote(&self, wire: impl Into<Arc<RunWire>>) -> Result<RemoteProvider, Failure> {
        let wire: Arc<RunWire> = wire.into();
        RemoteProvider::new(&self.config, &self.equipment, wire)
            .ok_or_else(|| Failure::new(Class::Invalid, "the provider has no address", "set its base_url"))
    }

    async fn attempt(&self, call: Generate) -> Result<Generated, GenerateError> {
        let run = Run::new(|wire| self.remote(wire)).map_err(GenerateError::Failed)?;
        let ServiceRequest::Image(mut request) = call.request.clone() else {
            return run.remote.attempt(call).await;
        };
        let model =
            request.params.model.clone().or_else(|| self.config.model_for("image").map(str::to_owned));
        let extra = request.params.extra.as_ref().and_then(|extra| extra.decode::<Value>().ok());
        let mut cancel = call.cancel.clone();
        tokio::select! {
            biased;
            Ok(_) = cancel.wait_for(|is_cancelled| *is_cancelled) => return Err(GenerateError::Stopped),
            prepared = self.prepare(&run, model.as_deref()) => {
                let title = prepared.map_err(GenerateError::Failed)?;
                request.params.model = title.or(model);
            }
        }
        // The progress of the run says more than that of its request.
        let progress = call.progress.clone();
        progress.report(0.0, format!("waiting for {}", self.config.name));
        let request = ServiceRequest::Image(request);
        let call = Generate { request, progress: ProgressSink::new(|_, _| ()), ..call };
        let ended = tokio::select! {
            biased;
            ended = Box::pin(run.remote.attempt(call)) => ended,
            () = run.report(&self.config.name, &progress) => Err(GenerateError::Stopped),
        };
        match ended {
            Err(GenerateError::Stopped) => {
                // The request has been dropped, and the server does not notice that by itself.
                run.end().await;
                Err(GenerateError::Stopped)
            }
            Err(GenerateError::Failed(failure)) => {
                let status = failure.error.provider_status.unwrap_or_default();
                if status == StatusCode::OK.as_u16() && run.was_interrupted().await {
                    return Err(GenerateError::Failed(self.interrupted()));
                }
                if failure.class == Class::Ambiguous && !self.config.is_paid {
                    // The run may still go on, and the next attempt would wait for it.
                    run.end().await;
                    return Err(GenerateError::Failed(failure));
                }
                let failure = self.explain(failure);
                Err(GenerateError::Failed(self.name_samplers(&run.remote, failure, extra.as_ref()).await))
            }
            Ok(_) if run.was_interrupted().await => Err(GenerateError::Failed(self.interrupted())),
            ended => ended,
        }
    }

    /// Looks for the model, and at what the server is doing before it is asked. Returns the title of the model.
    async fn prepare(&self, run: &Run, model: Option<&str>) -> Result<Option<String>, Failure> {
        let title = match model {
            Some(model) => self.title_of(&run.remote, model).await?,
            None => None,
        };
        let state = run.remote.ask_beside(Method::GET, PROGRESS, None).await;
        // The server of stable-diffusion.cpp, which knows no rounds, is the one that has no progress.
        if state.as_ref().is_err_and(|failure| failure.error.provider_status == Some(404)) {
            run.wire.avoid_rounds();
        }
        run.watch.replace(Watch::new(state.ok().as_ref()));
        Ok(title)
    }

    /// Returns the title of a model; None if the server has no list. It is a failure if the model is not in the list. The server itself would silently use
    /// another model.
    async fn title_of(&self, remote: &RemoteProvider, model: &str) -> Result<Option<String>, Failure> {
        let Ok(list) = remote.ask_beside(Method::GET, MODELS, None).await else { return Ok(None) };
        let title = models::title(&list, model);
        if title.is_some() || models::names(&list).is_empty() {
            return Ok(title);
        }
        // The server looks for new files only when it is told to.
        let _ = remote.ask_beside(Method::POST, "sdapi/v1/refresh-checkpoints", Some(&json!({}))).await;
        let list = remote.ask_beside(Method::GET, MODELS, None).await.unwrap_or(list);
        let title = models::title(&list, model);
        if title.is_some() {
            return Ok(title);
        }
        let name = &self.config.name;
        let there = models::those_there(&models::names(&list), model);
        let hint = format!(
            "reel providers models {name} lists the models; put the file into the server's folder of models"
        );
        Err(Failure::new(Class::Invalid, format!("{name} has no model {model}; it has {there}"), hint))
    }

    /// Adds the nearest sampler to a refusal of one.
    async fn name_samplers(
        &self,
        remote: &RemoteProvider,
        failure: Failure,
        extra: Option<&Value>,
    ) -> Failure {
        let words = failure.error.message.to_lowercase();
        if failure.class != Class::Invalid || !words.contains("sampler") {
            return failure;
        }
        let given = extra.and_then(|extra| extra.get("sampler_name")).and_then(Value::as_str);
        let settings = self.config.own.settings.get::<WebUiSettings>();
        let wanted = given.or_else(|| settings.and_then(|settings| settings.sampler.as_deref()));
        let list = remote.ask_beside(Method::GET, "sdapi/v1/samplers", None).await.unwrap_or_default();
        let name = |sampler: &Value| sampler.get("name").and_then(Value::as_str).map(str::to_owned);
        let names: Vec<_> = list.as_array().into_iter().flatten().filter_map(name).collect();
        let Some(wanted) = wanted.filter(|_| !names.is_empty()) else { return failure };
        let there = models::those_there(&names, wanted);
        let mut failure = failure.hint("change sampler in the provider's section, or sampler_name in extra");
        failure.error.message = format!("{}: {wanted}; there are {there}", failure.error.message);
        failure
    }

    fn interrupted(&self) -> Failure {
        let message =
            format!("the run was interrupted at {}, so its picture is not finished", self.config.name);
        let hint =
            "somebody pressed Interrupt or Skip there, or another program did; the task is tried again";
        // A rented server charges for the time of the run.
        if self.config.is_paid {
            return Failure::new(Class::Unknown, message, "reel retry asks again, which may cost again");
        }
        Failure::new(Class::Transient(None), message, hint)
    }

    /// Says what a person can do about a failure at this kind of server.
    fn explain(&self, failure: Failure) -> Failure {
        let name = &self.config.name;
        let words = failure.error.message.to_lowercase();
        let status = failure.error.provider_status;
        if failure.class == Class::Unreached && words.contains("refused") {
            return failure
                .hint("is the web UI running? Start it with --api; the task waits until it can be reached");
        }
        if failure.class == Class::Auth {
            return failure.hint(format!(
                "providers.{name}.api_key must be USER:PASSWORD, as in the server's option --api-auth"
            ));
        }
        if failure.class == Class::Unknown && MEMORY_WORDS.iter().any(|part| words.contains(part)) {
            return failure.hint(
                "ask for smaller or fewer pictures, or free memory of the graphics card; then reel retry",
            );
        }
        if status == Some(404) && words.ends_with(": not found (status 404)") {
            let address = "base_url must be the server's address alone";
            return failure.hint(format!("start the web UI with --api; {address}, such as {ADDRESS}"));
        }
        failure
    }

    /// Returns what is known about a usable server, or why it cannot be used.
    async fn state(&self) -> Result<String, Failure> {
        let (name, remote) = (&self.config.name, self.remote(RunWire::default())?);
        let path = remote.remote.base_url.path().trim_end_matches('/');
        if path.ends_with("/sdapi/v1") || path.ends_with("/sdapi") {
            let message = format!("providers.{name}.base_url ends in {path}, which reel adds itself");
            return Err(Failure::new(
                Class::Invalid,
                message,
                format!("write the address alone, such as {ADDRESS}"),
            ));
        }
        let list =
            remote.ask_beside(Method::GET, MODELS, None).await.map_err(|failure| self.explain(failure))?;
        let names = models::names(&list);
        let host = remote.remote.base_url.host_str().unwrap_or(name);
        let wanted = self.config.model_for("image");
        match wanted {
            Some(model) if models::title(&list, model).is_none() && !names.is_empty() => {
                let message = format!(
                    "{host} answers, and has no model {model}; it has {}",
                    models::those_there(&names, model)
                );
                Err(Failure::new(Class::Invalid, message, "change the provider's model"))
            }
            Some(model) => Ok(format!("{host} answers; the model {model} is there")),
            None => {
                let options =
                    remote.ask_beside(Method::GET, "sdapi/v1/options", None).await.unwrap_or_default();
                let loaded = options.get("sd_model_checkpoint").and_then(Value::as_str);
                let loaded: String =
                    loaded.unwrap_or("unknown").chars().filter(|c| !c.is_control()).take(200).collect();
                Ok(format!(
                    "{host} answers; it has {} models, and the one that is loaded is {loaded}",
                    names.len()
                ))
            }
        }
    }
}

impl Run {
    fn new(remote: impl FnOnce(Arc<RunWire>) -> Result<RemoteProvider, Failure>) -> Result<Self, Failure> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        // The id only has to differ from those of other runs that the server still knows.
        let nanos = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
        let id = format!("task(reel-{}-{nanos:x}-{number:x})", std::process::id());
        let question = json!({ "id_task": id, "id_live_preview": -1, "live_preview": false });
        let wire = Arc::new(RunWire::new(id));
        let remote = remote(Arc::clone(&wire))?;
        Ok(Self { remote, wire, watch: RefCell::default(), question })
    }

    /// Looks at what the server is doing.
    async fn look(&self) -> Sight {
        let answer = self.remote.ask_beside(Method::POST, "internal/progress", Some(&self.question)).await;
        let known = answer.ok().as_ref().and_then(Watch::by_id);
        match self.remote.ask_beside(Method::GET, PROGRESS, None).await {
            Ok(state) => self.watch.borrow_mut().by_state(&state, known),
            Err(_) => known.unwrap_or(Sight::Unknown),
        }
    }

    /// Reports the progress of this run, and only of this run. Never returns.
    async fn report(&self, name: &str, progress: &ProgressSink) {
        loop {
            sleep(LOOK_EVERY).await;
            match self.look().await {
                Sight::Ours(fraction) => {
                    progress.report(fraction * 0.95, format!("{name} draws: {:.0} %", fraction * 100.0));
                }
                Sight::Queued => progress.report(0.0, format!("{name} is busy with another run")),
                Sight::Unknown => {}
            }
        }
    }

    /// Whether somebody interrupted this run, so that its last picture is not finished.
    async fn was_interrupted(&self) -> bool {
        let state = self.remote.ask_beside(Method::GET, PROGRESS, None).await.ok();
        let began = self.wire.info().and_then(|info| info.job_timestamp);
        self.watch.borrow().was_interrupted(state.as_ref(), began.as_deref())
    }

    /// Interrupts this run, whose answer nobody waits for any more. Returns after [`INTERRUPT_WAIT`] at the latest; the interruption of a run that
    /// has not begun goes on without the caller.
    async fn end(self) {
        self.watch.borrow_mut().settle();
        let _ = timeout(INTERRUPT_WAIT, actix::spawn(self.interrupt())).await;
    }

    /// Ends this run at the server after its task was cancelled, if the server carries it out. If it waits for another run, it is interrupted once it
    /// begins, within some minutes. A run of somebody else is never interrupted.
    async fn interrupt(self) {
        let (mut waited, mut unknown) = (Duration::ZERO, Duration::ZERO);
        loop {
            match self.look().await {
                Sight::Ours(_) => {
                    let _ =
                        self.remote.ask_beside(Method::POST, "sdapi/v1/interrupt", Some(&json!({}))).await;
                    return;
                }
                Sight::Queued if waited < MAX_QUEUED => {
                    sleep(LOOK_EVERY).await;
                    waited += LOOK_EVERY;
                }
                Sight::Unknown if unknown < MAX_UNKNOWN => {
                    sleep(LOOK_EVERY).await;
                    unknown += LOOK_EVERY;
                }
                Sight::Queued | Sight::Unknown => return,
            }
        }
    }
}
