//! An Ollama server as a provider: attempts with the models that it has, and what is known about it.

use std::sync::Arc;

use futures_util::future::LocalBoxFuture;
use reel_protocol::{ErrorCode, TaskError, methods::PlannedRequest};
use reqwest::Method;
use serde_json::{Value, json};

use super::{pull::pull, settings::OllamaSettings};
use crate::{
    domain::{CancelSignal, Class, Failure, ProgressSink, ServiceRequest},
    nearest::nearest,
    provider::{
        Generate, GenerateError, Generated, Permit, Provider, condition::fault, remote::RemoteProvider,
    },
};

/// Most models that a message names.
const SHOWN_MODELS: usize = 12;
/// Most models that one shortage of memory unloads. A server has few in its memory at once.
const MOST_UNLOADED: usize = 16;

/// A configured server.
#[derive(Debug)]
pub(super) struct OllamaServer {
    remote: RemoteProvider,
    settings: OllamaSettings,
}

impl Provider for OllamaServer {
    fn generate(
        self: Arc<Self>,
        call: Generate,
    ) -> LocalBoxFuture<'static, Result<Generated, GenerateError>> {
        Box::pin(async move { self.attempt(call).await })
    }

    fn check(self: Arc<Self>) -> LocalBoxFuture<'static, Result<String, TaskError>> {
        Box::pin(async move { self.state().await })
    }

    fn models(self: Arc<Self>) -> LocalBoxFuture<'static, Result<Option<Vec<String>>, Failure>> {
        Box::pin(async move { self.tags().await.map(Some).map_err(|failure| self.unreached(failure)) })
    }

    fn free_memory(self: Arc<Self>) -> LocalBoxFuture<'static, ()> {
        Box::pin(async move { self.unload().await })
    }

    fn requests(&self, request: &ServiceRequest) -> Vec<PlannedRequest> {
        self.remote.planned_requests(request)
    }
}

impl OllamaServer {
    pub(super) const fn new(remote: RemoteProvider, settings: OllamaSettings) -> Self {
        Self { remote, settings }
    }

    async fn attempt(&self, call: Generate) -> Result<Generated, GenerateError> {
        if let Some(message) = self.wrong_address() {
            let hint = format!("change providers.{}.base_url", self.remote.config.name);
            return Err(GenerateError::Failed(Failure::new(Class::Invalid, message, hint)));
        }
        let model = match &call.request {
            ServiceRequest::Chat(params) => params.model.as_deref().or(self.remote.config.model_for("text")),
            _ => None,
        };
        let model = model.map(str::to_owned);
        if model.is_none() && matches!(call.request, ServiceRequest::Chat(_)) {
            return Err(GenerateError::Failed(self.no_model(call.permit.as_ref()).await));
        }
        if let Some(model) = model.as_deref().filter(|_| self.settings.is_pulled) {
            self.ensure(model, call.cancel.clone(), &call.progress).await.inspect_err(|error| {
                if let (GenerateError::Failed(failure), Some(permit)) = (error, &call.permit) {
                    permit.judge(failure.class.into());
                }
            })?;
        }
        match self.remote.attempt(call).await {
            Err(GenerateError::Failed(failure)) => {
                Err(GenerateError::Failed(self.explain(failure, model.as_deref()).await))
            }
            ended => ended,
        }
    }

    /// Returns the failure of a request that names no model although none is configured. It lists the models that the server has.
    async fn no_model(&self, permit: Option<&Permit>) -> Failure {
        let tags = match self.tags().await {
            Ok(tags) => tags,
            Err(failure) => {
                if let Some(permit) = permit {
                    permit.judge(failure.class.into());
                }
                return self.unreached(failure);
            }
        };
        let name = &self.remote.config.name;
        let message =
            format!("{name} is asked without a model, and none is configured; {}", self.models_there(&tags));
        let hint = match tags.first() {
            Some(first) => format!(
                "name one with --model {first}; or set it for all requests: reel config edit, and write model = \"{first}\" below [providers.{name}]"
            ),
            None => "ollama pull llama3.2 downloads one; then name it with --model llama3.2".to_owned(),
        };
        Failure::new(Class::Invalid, message, hint)
    }

    /// Names the models that the server has.
    fn models_there(&self, tags: &[String]) -> String {
        let name = &self.remote.config.name;
        if tags.is_empty() {
            return format!("{name} has no models");
        }
        let shown: Vec<_> = tags.iter().take(SHOWN_MODELS).map(String::as_str).collect();
        let more = tags.len() - shown.len();
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        format!("{name} has {}{more}", shown.join(", "))
    }

    /// Pulls the model if the server does not have it. Any other answer is left to the attempt, which reports it.
    async fn ensure(
        &self,
        model: &str,
        mut cancel: CancelSignal,
        progress: &ProgressSink,
    ) -> Result<(), GenerateError> {
        let pulling = async {
            let shown =
                self.remote.ask_beside(Method::POST, "api/show", Some(&json!({ "model": model }))).await;
            if shown.is_err_and(|failure| failure.error.provider_status == Some(404)) {
                pull(&self.remote, model, progress).await?;
            }
            Ok(())
        };
        tokio::select! {
            biased;
            // Closing the connection ends the download. The server keeps what it has.
            Ok(_) = cancel.wait_for(|is_cancelled| *is_cancelled) => Err(GenerateError::Stopped),
            pulled = pulling => pulled.map_err(GenerateError::Failed),
        }
    }

    /// Asks a server on this machine to unload the models that are in its memory. It unloads a model that answers another program when it is done.
    async fn unload(&self) {
        if !self.remote.may_unload() {
            return;
        }
        let quiet = self.remote.without_machine();
        let unloading = async {
            let loaded = quiet.ask_beside(Method::GET, "api/ps", None).await?;
            let models = loaded.get("models").and_then(Value::as_array).into_iter().flatten();
            for name in models.filter_map(|model| model.get("name")?.as_str()).take(MOST_UNLOADED) {
                let body = json!({ "model": name, "keep_alive": 0, "stream": false });
                quiet.ask_beside(Method::POST, "api/generate", Some(&body)).await?;
            }
            Ok(())
        };
        let outcome: Result<(), Failure> = unloading.await;
        self.remote.report_unloaded(outcome.map_err(|failure| failure.error.message));
    }

    /// Adds to a failure what a person needs to know about this server.
    async fn explain(&self, failure: Failure, model: Option<&str>) -> Failure {
        if failure.class == Class::Unknown && failure.error.message.contains("memory") {
            return failure
                .hint("use a smaller model or a smaller options.num_ctx, or free memory; then reel retry");
        }
        if failure.error.provider_status != Some(404) {
            return self.unreached(failure);
        }
        let Some(model) = model else { return failure };
        match self.tags().await {
            Ok(tags) if has(&tags, model) => failure,
            Ok(tags) => {
                let message = format!("{}; {}", failure.error.message, self.those_there(&tags, model));
                let mut failure = failure.hint(self.remedy(model));
                failure.error.message = message;
                failure
            }
            Err(_) => failure,
        }
    }

    /// Says how the server is started, if nothing listens at its address.
    fn unreached(&self, failure: Failure) -> Failure {
        if failure.class != Class::Unreached || !failure.error.message.contains("refused") {
            return failure;
        }
        let place = if self.remote.remote.is_here() { "" } else { " on that machine" };
        failure.hint(format!(
            "is Ollama running? ollama serve starts it{place}; the task waits until it can be reached"
        ))
    }

    fn remedy(&self, model: &str) -> String {
        let name = &self.remote.config.name;
        let place = if self.remote.remote.is_here() { "" } else { " on that machine" };
        format!(
            "ollama pull {model}{place} downloads it; with pull = true in [providers.{name}] reel asks for that itself"
        )
    }

    /// Names the models that the server has, and the one that is probably meant.
    fn those_there(&self, tags: &[String], model: &str) -> String {
        let near = nearest(model, tags.iter().flat_map(|tag| [tag.as_str(), short(tag)]));
        let near = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        format!("{}{near}", self.models_there(tags))
    }

    /// Returns the names of the models that the server has, sorted.
    async fn tags(&self) -> Result<Vec<String>, Failure> {
        self.remote.list_models().await.map(Option::unwrap_or_default)
    }

    /// Says what is wrong with `base_url` if it has a path that belongs to another API, or that is added to it.
    fn wrong_address(&self) -> Option<String> {
        let path = self.remote.remote.base_url.path().trim_end_matches('/');
        let end = ["/v1", "/api"].into_iter().find(|end| path.ends_with(end))?;
        Some(format!(
            "providers.{}.base_url ends in {end}, and the kind ollama needs the address without it, such as {}",
            self.remote.config.name,
            super::ADDRESS
        ))
    }

    /// Returns what is known about a usable server, or why it cannot be used and what to do about it.
    async fn state(&self) -> Result<String, TaskError> {
        let config = &self.remote.config;
        let (name, base) = (&config.name, &self.remote.remote.base_url);
        if let Some(message) = self.wrong_address() {
            return Err(fault(ErrorCode::ConfigInvalid, message));
        }
        let said = |failure: Failure| self.unreached(failure).error;
        let version = self.remote.ask_beside(Method::GET, "api/version", None).await.map_err(said)?;
        let Some(version) = version.get("version").and_then(Value::as_str) else {
            let message = format!("what answers at {base} is not Ollama: it names no version");
            return Err(fault(ErrorCode::ProviderFailed, message));
        };
        let version: String = version.chars().filter(|c| !c.is_control()).take(40).collect();
        let tags = self.tags().await.map_err(said)?;
        let wanted = config.model.iter().chain(config.models.values());
        let mut missing: Vec<_> = wanted.clone().filter(|model| !has(&tags, model)).cloned().collect();
        missing.dedup();
        let host = base.host_str().unwrap_or(name);
        let Some(model) = missing.first() else {
            let there: Vec<_> = wanted.map(String::as_str).collect();
            let models = match there.as_slice() {
                [] if tags.is_empty() => {
                    "it has no models yet: ollama pull llama3.2 downloads one".to_owned()
                }
                [] => format!(
                    "{}, and none is configured: name one with --model, or write model = \"{}\" below [providers.{name}] (reel config edit)",
                    self.models_there(&tags),
                    tags.first().map_or("", String::as_str)
                ),
                [one] => format!("{one} is there"),
                several => format!("{} are there", several.join(", ")),
            };
            return Ok(format!("{host} answers: Ollama {version}; {models}"));
        };
        if self.settings.is_pulled {
            return Ok(format!(
                "{host} answers: Ollama {version}; {} is not there, and is pulled when it is first asked",
                missing.join(", ")
            ));
        }
        let there = self.those_there(&tags, model);
        let message = format!(
            "{host} answers: Ollama {version}; {model} is not there, and {there}; {}",
            self.remedy(model)
        );
        Err(fault(ErrorCode::ProviderRefused, message))
    }
}

/// Whether the server has this model. A name without a tag means the tag `latest`. Names differ not by the case of their letters.
fn has(tags: &[String], model: &str) -> bool {
    tags.iter().any(|tag| short(tag).eq_ignore_ascii_case(short(model)))
}

/// Returns a name without the tag that is assumed where none is given.
fn short(name: &str) -> &str {
    name.strip_suffix(":latest").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_tag_means_the_latest() {
        let tags = ["llama3.2:latest".to_owned(), "qwen3:8b".to_owned()];
        for (model, is_there) in [
            ("llama3.2", true),
            ("llama3.2:latest", true),
            ("Qwen3:8B", true),
            ("qwen3", false),
            ("llama3.2:1b", false),
        ] {
            assert_eq!(has(&tags, model), is_there, "{model}");
        }
    }
}
