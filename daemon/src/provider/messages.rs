//! The messages to the gateway, and the results of a call.

use std::sync::Arc;

use actix::Message;
use reel_protocol::{
    TaskError, TaskNote,
    methods::{
        PlannedRequest, ProviderCheckResult, ProviderInfo, ProviderModelsResult, ProviderVoicesResult,
    },
};

use super::{Instance, Permit};
use crate::{
    cache::NewArtifact,
    domain::{CancelSignal, Failure, JobSink, ProgressSink, RemoteJob, ServiceRequest},
};

/// Runs one attempt at one provider.
#[derive(Debug, Message)]
#[rtype(result = "Result<Generated, GenerateError>")]
pub struct Generate {
    /// The name of the provider's instance.
    pub provider: String,
    /// What the provider shall make.
    pub request: ServiceRequest,
    /// The remote job of an earlier attempt, if any. The provider continues it instead of sending a new request.
    pub job: Option<Arc<RemoteJob>>,
    /// The permit of the attempt, which is given back once the service has nothing more to do for the call. None if the call needs none.
    pub permit: Option<Permit>,
    /// Tells the attempt to stop.
    pub cancel: CancelSignal,
    /// Receives the progress of the attempt.
    pub progress: ProgressSink,
    /// Journals the remote job that the provider holds for this attempt.
    pub jobs: JobSink,
}

/// The result of a call.
#[derive(Debug)]
pub struct Generated {
    /// The files that were made, of any media type.
    pub artifacts: Vec<NewArtifact>,
    /// Notes for the user about the files, such as that there are fewer than requested.
    pub notes: Vec<TaskNote>,
    /// The cost that the provider reports, or that its reported tokens have at the configured price, in millionths of a US dollar.
    pub cost_microusd: Option<u64>,
}

impl From<Vec<NewArtifact>> for Generated {
    fn from(artifacts: Vec<NewArtifact>) -> Self {
        Self { artifacts, notes: Vec::new(), cost_microusd: None }
    }
}

/// Why a call did not make what was requested.
#[derive(Debug)]
pub enum GenerateError {
    /// The attempt was told to stop.
    Stopped,
    /// The attempt failed, and nothing was made.
    Failed(Failure),
    /// The result is not what was requested. It may have been paid, so it is kept with the task, which fails.
    Flawed(Box<Generated>, TaskError),
}

/// Checks whether the instance with that name is usable, without cost. None if there is no such instance.
#[derive(Debug, Message)]
#[rtype(result = "Option<ProviderCheckResult>")]
pub struct CheckProvider(pub String);

/// Lists the models of the instance with that name: those of its service, else those of the configuration. None if there is no such instance.
#[derive(Debug, Message)]
#[rtype(result = "Option<Result<ProviderModelsResult, Failure>>")]
pub struct ListModels(pub String);

/// Lists the voices of the instance with that name, or of all instances that serve voices. None if there is no such instance.
#[derive(Debug, Message)]
#[rtype(result = "Option<Result<ProviderVoicesResult, Failure>>")]
pub struct ListVoices(pub Option<String>);

/// Returns the requests that the instance with that name would send, with secrets masked. Nothing is sent. Empty if there is no such instance.
#[derive(Debug, Message)]
#[rtype(result = "Vec<PlannedRequest>")]
pub struct PreviewRequests {
    /// The name of the provider's instance.
    pub provider: String,
    /// The work for which the requests are shown.
    pub request: ServiceRequest,
}

/// Asks the tracker whether an unfinished task runs at this provider or waits for it.
#[derive(Debug, Message)]
#[rtype(result = "bool")]
pub struct IsWanted(pub Arc<str>);

/// Replaces all instances. They are in the order of selection.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SetInstances(pub Vec<Instance>);

/// Lists all providers in the order of selection.
#[derive(Debug, Message)]
#[rtype(result = "Vec<ProviderInfo>")]
pub struct GetProviders {
    /// Whether the list has their conditions. For these, keys are read, and programs are looked for.
    pub with_conditions: bool,
}
