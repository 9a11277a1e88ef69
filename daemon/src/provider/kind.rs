//! What a kind of provider is, and what its instances are made with.

use std::{fmt, sync::Arc, time::Duration};

use futures_util::future::{LocalBoxFuture, ready};
use reel_protocol::methods::{PlannedRequest, ProviderCheckResult, VoiceInfo};

use super::{
    Generate, GenerateError, Generated, Http, Inspector, command::CommandRunner, kinds::KINDS,
    known_jobs::KnownJobs,
};
use crate::{
    cache::{Shelver, Spools},
    config::{KindSection, ProviderConfig},
    domain::{
        ChatCapabilities, Failure, ImageCapabilities, ServiceRequest, SpeechCapabilities, VideoCapabilities,
    },
    memory::Budget,
};

/// A way to speak to services. Each kind is a file of `kinds` and a row of [`KINDS`]; what it reads of the configuration is its
/// [`KindSection`].
pub trait Kind: KindSection {
    /// Changes when an instance makes something else of the same request: it is part of cache keys.
    fn adapter_version(&self) -> &'static str;

    /// What an instance with this configuration makes of pictures.
    fn image(&self, _: &ProviderConfig) -> ImageCapabilities {
        ImageCapabilities::default()
    }

    /// What an instance with this configuration makes of speech.
    fn speech(&self, _: &ProviderConfig) -> SpeechCapabilities {
        SpeechCapabilities::default()
    }

    /// What an instance with this configuration makes of the params of chats.
    fn chat(&self, _: &ProviderConfig) -> ChatCapabilities {
        ChatCapabilities::default()
    }

    /// What an instance with this configuration makes of videos.
    fn video(&self, _: &ProviderConfig) -> VideoCapabilities {
        VideoCapabilities::default()
    }

    /// Where the instance is reached, for people and cache keys.
    fn address(&self, config: &ProviderConfig) -> String {
        config.own.remote.as_ref().map(|remote| remote.base_url.to_string()).unwrap_or_default()
    }

    /// An instance, which has asked nobody yet. None where the configuration lacks what [`KindSection::read`] makes sure of.
    fn build(&self, config: &ProviderConfig, equipment: &Equipment) -> Option<Arc<dyn Provider>>;
}

/// A configured instance at work. The gateway hands it one call after the other without waiting for their ends.
pub trait Provider: fmt::Debug + Send + Sync {
    /// Carries out one attempt, from its permit to its result.
    fn generate(self: Arc<Self>, call: Generate)
    -> LocalBoxFuture<'static, Result<Generated, GenerateError>>;

    /// Finds out whether the instance is usable; costs nothing.
    fn check(self: Arc<Self>) -> LocalBoxFuture<'static, ProviderCheckResult>;

    /// The models that the service lists; None where it has no list. Costs nothing.
    fn models(self: Arc<Self>) -> LocalBoxFuture<'static, Result<Option<Vec<String>>, Failure>> {
        Box::pin(ready(Ok(None)))
    }

    /// The voices that a request may name, with what a person should know about the list. Costs nothing.
    fn voices(self: Arc<Self>) -> LocalBoxFuture<'static, Result<VoiceList, Failure>> {
        Box::pin(ready(Ok(VoiceList::none("it has no voices to choose from"))))
    }

    /// What would be sent for this request, with secrets masked; nothing where no service on the network is asked.
    fn requests(&self, _: &ServiceRequest) -> Vec<PlannedRequest> {
        Vec::new()
    }
}

/// The voices of an instance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VoiceList {
    /// The voices that a request may name.
    pub voices: Vec<VoiceInfo>,
    /// What a person should know about the list, or why it is empty.
    pub note: Option<String>,
}

impl VoiceList {
    /// No voices, for this reason.
    pub fn none(why: impl Into<String>) -> Self {
        Self { voices: Vec::new(), note: Some(why.into()) }
    }
}

/// What the daemon lends to all instances.
#[derive(Debug, Clone)]
pub struct Equipment {
    /// The way to the network.
    pub http: Http,
    /// How long a result that an answer only names is tried to be fetched.
    pub patience: Duration,
    /// Where the bodies of answers are written while they arrive.
    pub spools: Spools,
    /// Writes artifacts on the thread that made them.
    pub shelver: Shelver,
    /// Decodes pictures to check them.
    pub inspector: Inspector,
    /// The remote jobs that tasks of ours know.
    pub known_jobs: KnownJobs,
    /// Runs the programs of the kind `command`.
    pub commands: CommandRunner,
    /// The memory budget in which everything that an attempt holds is reserved.
    pub budget: Budget,
}

/// The kind of this name.
pub(super) fn find(name: &str) -> Option<&'static dyn Kind> {
    KINDS.iter().copied().find(|kind| kind.name() == name)
}

/// The kinds as the configuration is read with them.
pub fn kind_sections() -> Vec<&'static dyn KindSection> {
    KINDS.iter().map(|kind| *kind as &dyn KindSection).collect()
}
