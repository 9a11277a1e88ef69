//! What providers are asked, and what they answer.

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
    cache::Fresh,
    domain::{CancelSignal, Failure, JobSink, ProgressSink, RemoteJob, ServiceRequest},
};

/// Make what a task asks for at one provider.
#[derive(Debug, Message)]
#[rtype(result = "Result<Generated, GenerateError>")]
pub struct Generate {
    /// The name of the provider's instance.
    pub provider: String,
    /// What the provider shall make.
    pub request: ServiceRequest,
    /// What the provider holds of an earlier attempt, to be asked for first.
    pub job: Option<Arc<RemoteJob>>,
    /// Given back when the call is really over.
    pub permit: Option<Permit>,
    /// Says when the attempt shall stop.
    pub cancel: CancelSignal,
    /// Where the attempt reports how far it is.
    pub progress: ProgressSink,
    /// Where to say what the provider holds.
    pub jobs: JobSink,
}

/// What a call has made.
#[derive(Debug)]
pub struct Generated {
    /// The files that were made, of any media type.
    pub pictures: Fresh,
    /// What is to be said about them.
    pub notes: Vec<TaskNote>,
    /// What the provider says that they cost, in millionths of a US dollar.
    pub cost_microusd: Option<u64>,
}

impl From<Fresh> for Generated {
    fn from(pictures: Fresh) -> Self {
        Self { pictures, notes: Vec::new(), cost_microusd: None }
    }
}

/// Why nothing was made that was asked for.
#[derive(Debug)]
pub enum GenerateError {
    /// It was told to stop.
    Stopped,
    /// The attempt failed, and nothing was made.
    Failed(Failure),
    /// It made something that is not what was asked for. It may have been paid, so it is kept with the task, which fails.
    Flawed(Box<Generated>, TaskError),
}

/// Find out whether the instance with that name is usable, which costs nothing; None if there is none.
#[derive(Debug, Message)]
#[rtype(result = "Option<ProviderCheckResult>")]
pub struct CheckProvider(pub String);

/// The models that the instance with that name lists, or those of its configuration; None if there is no such instance.
#[derive(Debug, Message)]
#[rtype(result = "Option<Result<ProviderModelsResult, Failure>>")]
pub struct ListModels(pub String);

/// The voices of the instance with that name, or of all that speak; None if there is no such instance.
#[derive(Debug, Message)]
#[rtype(result = "Option<Result<ProviderVoicesResult, Failure>>")]
pub struct ListVoices(pub Option<String>);

/// What the instance with that name would send for a request, with secrets masked. Asks nobody.
#[derive(Debug, Message)]
#[rtype(result = "Vec<PlannedRequest>")]
pub struct PreviewRequests {
    /// The name of the provider's instance.
    pub provider: String,
    /// What it would be asked.
    pub request: ServiceRequest,
}

/// Take other instances, in the order of selection.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SetInstances(pub Vec<Instance>);

/// Answer all providers in the order of selection.
#[derive(Debug, Message)]
#[rtype(result = "Vec<ProviderInfo>")]
pub struct GetProviders;
