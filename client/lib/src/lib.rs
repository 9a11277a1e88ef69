//! The client library of `reeld`, the local generation daemon. It finds or starts the daemon, sends requests, follows tasks and fetches artifacts.
//!
//! The types of all requests and responses are in [`protocol`], which is re-exported here. The library needs a tokio runtime; a current-thread
//! runtime is enough.
//!
//! ```no_run
//! use std::fs::File;
//!
//! use reel_client::{ConnectOptions, Session, protocol::ImageParams};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! // Starts `reeld` if it does not run, and restarts it if it dies.
//! let session = Session::connect(ConnectOptions::from_env("my-tool")?).await?;
//! let task = session.generate(&ImageParams::new("a lighthouse at dusk")).await?;
//! for (output, name) in task.outputs.iter().zip(["lighthouse.png"]) {
//!     // Writes the bytes into the file and checks them against their digest.
//!     session.fetch(output, File::create(name)?).await?;
//! }
//! # Ok(()) }
//! ```
//!
//! This example shows live progress. It works for any service:
//!
//! ```no_run
//! use reel_client::{
//!     Follow, Followed, Session,
//!     protocol::{ImageParams, JsonText, TaskSpec},
//! };
//!
//! # async fn example(session: Session) -> Result<(), Box<dyn std::error::Error>> {
//! let spec = TaskSpec {
//!     kind: "image.generate".into(),
//!     params: JsonText::from_value(&ImageParams::new("a lighthouse at dusk"))?,
//!     ..TaskSpec::default()
//! };
//! let task = session.submit(&spec).await?;
//! // Yields the task's state, then each change, until the task is finished or held.
//! let mut follow = Follow::tasks(&session, vec![task.id]);
//! while !follow.is_settled() {
//!     if let Followed::Event(event) = follow.next().await?
//!         && let Some(seen) = event.task
//!     {
//!         println!("{:3.0} % {}", seen.progress.fraction * 100.0, seen.progress.message);
//!     }
//! }
//! let finished = session.wait(&[task.id], None).await?.tasks;
//! # Ok(()) }
//! ```
//!
//! Programs without tokio use [`blocking::Session`].
//!
//! A [`Session`] survives the death of the daemon: it reconnects, starts the daemon again and repeats requests that are [`Repeatable`]. [`Follow`] is
//! built on it. [`Client`] is one connection and [`EventStream`] one subscription on it, for tools that reconnect by themselves. Such a tool
//! subscribes first and then submits or reads, so that it misses no event.

pub mod blocking;
mod connection;
mod discover;
mod encoding;
mod error;
mod events;
mod fetch;
mod follow;
mod holder;
mod outgoing;
mod repeatable;
mod resume;
mod route;
mod start;
pub mod user_units;

pub use reel_protocol as protocol;

pub use self::{
    connection::Client,
    discover::{ConnectOptions, Start, variable},
    encoding::Encoding,
    error::ClientError,
    events::EventStream,
    follow::{Follow, Followed},
    holder::{Holder, Process},
    repeatable::{Repeatable, new_request_id},
    resume::Session,
    start::{START_LOG, daemon_program},
};
