//! Providers: who makes pictures, with which permits, and how an attempt ends.

pub mod draft;
mod draft_provider;
mod easels;
mod gateway;
mod messages;
mod permits;

pub use self::{
    draft_provider::DraftProvider,
    gateway::{Instance, ProviderGateway},
    messages::{Generate, GenerateError, GetProviders, Picture, PictureRequest},
    permits::{Permit, Permits},
};
