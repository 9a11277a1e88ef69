//! Providers: who makes pictures, with which permits, and how an attempt ends.

mod messages;
mod permits;

pub use self::{
    messages::{Generate, GenerateError, GetProviders, Picture, PictureRequest},
    permits::{Permit, Permits},
};
