//! Talks to `reeld`, the local generation daemon: find or start it, ask, follow, fetch.
//!
//! The types of every request and answer are those of [`protocol`], re-exported here. Everything runs on tokio; a current-thread
//! runtime is enough.
//!
//! ```no_run
//! use std::fs::File;
//!
//! use reel_client::{ConnectOptions, Session, protocol::ImageParams};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! // Starts `reeld` where none runs, and again should it die.
//! let session = Session::connect(ConnectOptions::from_env("my-tool")?).await?;
//! let task = session.generate(&ImageParams::new("a lighthouse at dusk")).await?;
//! for (output, name) in task.outputs.iter().zip(["lighthouse.png"]) {
//!     // The bytes, checked against their digest.
//!     session.fetch(output, File::create(name)?).await?;
//! }
//! # Ok(()) }
//! ```
//!
//! The same with live progress, for any service:
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
//! // How the task stands, then each change, until it is over or held.
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
//! Programs without tokio have [`blocking::Session`].
//!
//! [`Session`] outlives the daemon: it reconnects, starts the daemon again and repeats what is [`Repeatable`]; [`Follow`] stands on it.
//! [`Client`] is one connection and [`EventStream`] one subscription on it, for tools that decide that themselves: subscribe first, then
//! submit or read, so that nothing falls between the two.

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
