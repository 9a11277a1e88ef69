//! Providers: the services and programs that carry out tasks, the permits that limit requests to them, and the outcome of each attempt.

mod chat;
mod chosen_models;
mod comfyui;
pub mod command;
mod condition;
mod film;
mod form;
mod gate;
mod gateway;
mod http;
mod inspect;
mod instances;
mod jobs;
mod key;
mod kind;
mod kinds;
mod known_jobs;
mod listings;
mod loading;
mod machine;
mod messages;
mod notes;
mod permits;
mod remote;
mod shortage;
mod wire;
mod words;

pub use self::{
    comfyui::names as comfyui_params,
    gate::{GateLimits, WhyNot},
    gateway::ProviderGateway,
    http::{Http, HttpLimits},
    inspect::{InspectError, Inspector, outline as picture_outline},
    instances::{Instance, InstanceFactory},
    kind::{Equipment, Kind, Provider, VoiceList, kind_sections},
    kinds::KINDS,
    machine::{Keeper, Machines},
    messages::{
        CheckProvider, Generate, GenerateError, Generated, GetProviders, IsWanted, ListModels, ListVoices,
        PreviewRequests, SetInstances,
    },
    permits::{Permit, Permits},
};
