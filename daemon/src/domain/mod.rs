//! The values that the rooms of the daemon exchange. They depend on no room, so that no two rooms have to import each other.
//!
//! Nothing here does I/O. A type belongs here when at least two rooms use it and neither of them owns it.

mod artifact;
mod attempt;
mod failure;
mod fingerprint;
mod input;
mod money;
mod plan;
mod provider;
mod reference;
mod remote_job;
mod request;

pub use self::{
    artifact::{Facts, Pixels},
    attempt::{CancelSignal, JobSink, Piece, ProgressSink},
    failure::{Again, Class, Failure, LONGEST_WAIT},
    fingerprint::Fingerprint,
    input::{InputFile, Inputs},
    money::{Cost, PicturePrice, Price, Quantity, UnitPrice},
    plan::{CacheKey, Candidate, Plan, PlanRefusal, PlanSpec, PlanTasks, Refused, StepOf},
    provider::{
        ChatCapabilities, ImageCapabilities, Model, ProviderProfile, SpeechCapabilities, Target,
        VideoCapabilities,
    },
    reference::{BadReference, Reference, references, resolve},
    remote_job::{JobFields, RemoteJob},
    request::{ImageRequest, RenderRequest, RenderWork, ServiceRequest, VideoRequest},
};
