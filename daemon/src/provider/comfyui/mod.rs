//! ComfyUI: a server on the user's machine that runs workflows, which are graphs of nodes.
//!
//! A job has an id that is chosen here and journaled before the workflow is submitted. So a restarted daemon finds the job in the server's history or
//! queue, and submits it again only if neither has it. The history decides how a job ended; the websocket only shows progress and previews.

mod answers;
mod attempt;
mod cancel;
mod check;
mod deliver;
mod follow;
mod free;
mod progress;
mod refusal;
mod server;
mod settings;
mod socket;
mod submit;
mod values;
mod wire;
mod workflow;

pub use self::{attempt::ComfyProvider, settings::ComfySettings, workflow::names};
