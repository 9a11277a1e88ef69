//! Providers: who makes pictures, with which permits, and how an attempt ends.

mod draft_provider;
mod gate;
mod gateway;
mod http;
mod inspect;
mod media;
mod messages;
mod notes;
mod openai;
mod permits;
mod remote;
mod wire;
mod words;

pub use self::{
    draft_provider::DraftProvider,
    gate::{GateLimits, Shut},
    gateway::{Instance, ProviderGateway},
    http::{Http, HttpLimits},
    inspect::Inspector,
    messages::{
        CheckNamed, CheckProvider, Generate, GenerateError, Generated, GetProviders, PictureRequest,
        SetInstances,
    },
    openai::Openai,
    permits::{Permit, Permits},
    remote::{RemoteParts, RemoteProvider},
    wire::Wire,
};
