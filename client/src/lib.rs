//! Talks to `reeld`, the local generation daemon: find or start it, ask, follow, fetch.
//!
//! The types of every request and answer are those of [`protocol`], re-exported here. Everything runs on tokio; a current-thread
//! runtime is enough.
//!
//! ```no_run
//! use reel_client::{
//!     ConnectOptions, Follow, Followed, Session,
//!     protocol::{ImageParams, JsonText, TaskSpec, methods::TaskSubmit},
//! };
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! // Starts `reeld` where none runs, and again should it die.
//! let session = Session::connect(ConnectOptions::from_env("my-tool")?).await?;
//!
//! // With a request id it is the same task when it is sent twice.
//! let task = session
//!     .call::<TaskSubmit>(&TaskSpec {
//!         kind: "image.generate".into(),
//!         params: JsonText::from_value(&ImageParams::new("a lighthouse at dusk"))?,
//!         request_id: Some("shot-12".into()),
//!         ..TaskSpec::default()
//!     })
//!     .await?;
//!
//! // How the task stands, then live progress, until it is over or held.
//! let mut follow = Follow::tasks(&session, vec![task.id]);
//! while !follow.is_settled() {
//!     if let Followed::Event(event) = follow.next().await?
//!         && let Some(seen) = event.task
//!     {
//!         println!("{:3.0} % {}", seen.progress.fraction * 100.0, seen.progress.message);
//!     }
//! }
//!
//! // What came of it, and the bytes, checked against their digest.
//! let client = session.client();
//! for finished in client.wait(&[task.id], None).await?.tasks {
//!     for output in &finished.outputs {
//!         client.fetch(output, std::fs::File::create("lighthouse.png")?).await?;
//!     }
//! }
//! # Ok(()) }
//! ```
//!
//! [`Session`] outlives the daemon: it reconnects, starts the daemon again and repeats what is safe to repeat; [`Follow`] stands on it.
//! [`Client`] is one connection and [`EventStream`] one subscription on it, for tools that decide that themselves: subscribe first, then
//! submit or read, so that nothing falls between the two.

mod connection;
mod discover;
mod encoding;
mod error;
mod events;
mod fetch;
mod follow;
mod holder;
mod outgoing;
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
    resume::Session,
    start::{START_LOG, daemon_program},
};
