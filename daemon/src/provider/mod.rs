//! Providers: who makes pictures, with which permits, and how an attempt ends.

mod class;
mod draft_provider;
mod gate;
mod gateway;
mod http;
mod inspect;
mod job;
mod media;
mod messages;
mod notes;
mod openai;
mod permits;
mod remote;
mod wire;
mod words;

pub use self::{
    class::{Class, Failure},
    draft_provider::DraftProvider,
    gate::{GateLimits, Shut},
    gateway::{Instance, ProviderGateway},
    http::{Http, HttpLimits},
    inspect::Inspector,
    job::RemoteJob,
    messages::{
        CheckNamed, CheckProvider, Generate, GenerateError, Generated, GetProviders, Picture, PictureRequest,
        SetInstances,
    },
    openai::Openai,
    permits::{Permit, Permits, Target},
    remote::{RemoteParts, RemoteProvider},
    wire::Wire,
};
