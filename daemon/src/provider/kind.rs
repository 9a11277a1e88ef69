//! Defines a kind of provider, an instance of one, and the shared parts that instances are made with.

use std::{fmt, sync::Arc, time::Duration};

use futures_util::future::{LocalBoxFuture, ready};
use reel_protocol::{
    TaskError,
    methods::{PlannedRequest, VoiceInfo},
};

use super::{
    Generate, GenerateError, Generated, Http, Inspector, chosen_models::ChosenModels, command::CommandRunner,
    kinds::KINDS, known_jobs::KnownJobs, loading::LoadingServers, machine::Machines,
};
use crate::{
    cache::Spools,
    config::{KindSection, ProviderConfig},
    domain::{
        ChatCapabilities, Failure, ImageCapabilities, ServiceRequest, SpeechCapabilities, VideoCapabilities,
    },
    memory::Budget,
};

/// A kind of provider, such as an API or a local program. Each kind is a file of `kinds` and a row of [`KINDS`]. [`KindSection`] reads its keys of
/// the configuration.
pub trait Kind: KindSection {
    /// Returns a version that is part of cache keys. Change it whenever instances would make something else of the same request.
    fn adapter_version(&self) -> &'static str;

    /// Returns what an instance with this configuration supports for pictures.
    fn image(&self, _: &ProviderConfig) -> ImageCapabilities {
        ImageCapabilities::default()
    }

    /// Returns what an instance with this configuration supports for speech.
    fn speech(&self, _: &ProviderConfig) -> SpeechCapabilities {
        SpeechCapabilities::default()
    }

    /// Returns which params of chats an instance with this configuration supports.
    fn chat(&self, _: &ProviderConfig) -> ChatCapabilities {
        ChatCapabilities::default()
    }

    /// Returns what an instance with this configuration supports for videos.
    fn video(&self, _: &ProviderConfig) -> VideoCapabilities {
        VideoCapabilities::default()
    }

    /// Returns the address of the instance, which is part of cache keys. By default it is the base URL, or empty if there is none.
    fn address(&self, config: &ProviderConfig) -> String {
        config.own.remote.as_ref().map(|remote| remote.base_url.to_string()).unwrap_or_default()
    }

    /// Makes an instance without sending a request. None if a setting is missing that [`KindSection::read`] requires.
    fn build(&self, config: &ProviderConfig, equipment: &Equipment) -> Option<Arc<dyn Provider>>;
}

/// A provider instance that runs calls. The gateway starts calls without waiting for earlier ones to end.
pub trait Provider: fmt::Debug + Send + Sync {
    /// Runs one attempt and returns what it made.
    fn generate(self: Arc<Self>, call: Generate)
    -> LocalBoxFuture<'static, Result<Generated, GenerateError>>;

    /// Checks whether the instance is usable, without cost.
    /// Returns what was tested, or what is wrong.
    fn check(self: Arc<Self>) -> LocalBoxFuture<'static, Result<String, TaskError>>;

    /// Lists the models of the service, without cost. None if the service has no list.
    fn models(self: Arc<Self>) -> LocalBoxFuture<'static, Result<Option<Vec<String>>, Failure>> {
        Box::pin(ready(Ok(None)))
    }

    /// Lists the voices that a request may name, without cost.
    fn voices(self: Arc<Self>) -> LocalBoxFuture<'static, Result<VoiceList, Failure>> {
        Box::pin(ready(Ok(VoiceList::none("it has no voices to choose from"))))
    }

    /// Asks a server on this machine to free memory that it does not need now, such as that of a loaded model, or has it stopped. The gateway calls this when the memory
    /// of this machine is critically short and no call of the provider runs. Failures are logged only.
    fn free_memory(self: Arc<Self>) -> LocalBoxFuture<'static, ()> {
        Box::pin(ready(()))
    }

    /// Returns the requests that would be sent for this work, with secrets masked. Empty for providers that send none over the network.
    fn requests(&self, _: &ServiceRequest) -> Vec<PlannedRequest> {
        Vec::new()
    }
}

/// The voices of an instance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VoiceList {
    /// The voices that a request may name.
    pub voices: Vec<VoiceInfo>,
    /// A remark for people about the list, or why it is empty.
    pub note: Option<String>,
}

impl VoiceList {
    /// Returns an empty list with its reason.
    pub fn none(why: impl Into<String>) -> Self {
        Self { voices: Vec::new(), note: Some(why.into()) }
    }
}

/// The parts of the daemon that all instances share.
#[derive(Debug, Clone)]
pub struct Equipment {
    /// The HTTP client.
    pub http: Http,
    /// How long fetching a result is retried, if an answer names its address only.
    pub patience: Duration,
    /// Makes the temporary files into which bodies are written while they arrive.
    pub spools: Spools,
    /// Decodes pictures to check them.
    pub inspector: Inspector,
    /// The remote jobs that this daemon process has submitted or found.
    pub known_jobs: KnownJobs,
    /// The models that were chosen for servers whose sections name none.
    pub chosen_models: ChosenModels,
    /// Since when servers say that they cannot work yet.
    pub loading: LoadingServers,
    /// How long a server is waited for that says so.
    pub loading_patience: Duration,
    /// The servers that reel starts and stops, to which calls report.
    pub machines: Machines,
    /// Runs the programs of the kind `command`.
    pub commands: CommandRunner,
    /// The memory budget in which attempts reserve all that they hold.
    pub budget: Budget,
}

/// Returns the kind with this name.
pub(super) fn find(name: &str) -> Option<&'static dyn Kind> {
    KINDS.iter().copied().find(|kind| kind.name() == name)
}

/// Returns all kinds in the form in which the configuration is read with them.
pub fn kind_sections() -> Vec<&'static dyn KindSection> {
    KINDS.iter().map(|kind| *kind as &dyn KindSection).collect()
}
