//! Talks to `reeld`, the local generation daemon: find or start it, ask, follow, fetch.
//!
//! The types of every request and answer are those of [`protocol`], re-exported here. Everything runs on tokio; a current-thread
//! runtime is enough.
//!
//! ```no_run
//! use reel_client::{
//!     Client, ConnectOptions,
//!     protocol::{
//!         ImageParams, JsonText, TaskSpec,
//!         methods::{SubscribeParams, Topic},
//!     },
//! };
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! // Starts `reeld` where none runs.
//! let client = Client::connect(&ConnectOptions::from_env("my-tool")?).await?;
//!
//! let task = client
//!     .submit(&TaskSpec {
//!         kind: "image.generate".into(),
//!         params: JsonText::from_value(&ImageParams::new("a lighthouse at dusk"))?,
//!         request_id: Some("shot-12".into()),
//!         ..TaskSpec::default()
//!     })
//!     .await?;
//!
//! // Live progress, until the task is over or held.
//! let mut events = client
//!     .subscribe(&SubscribeParams { topics: vec![Topic::Task], task_ids: Some(vec![task.id]), batch: None })
//!     .await?;
//! while let Some(seen) = events.next().await?.task {
//!     println!("{:3.0} % {}", seen.progress.fraction * 100.0, seen.progress.message);
//!     if seen.state.is_settled() {
//!         break;
//!     }
//! }
//!
//! // What came of it, and the bytes, checked against their digest.
//! for finished in client.wait(&[task.id], None).await?.tasks {
//!     for output in &finished.outputs {
//!         client.fetch(output, std::fs::File::create("lighthouse.png")?).await?;
//!     }
//! }
//! # Ok(()) }
//! ```
//!
//! A tool whose work must outlive the daemon's death uses [`Session`]: it reconnects, starts the daemon again and repeats what is safe
//! to repeat.

mod connection;
mod discover;
mod error;
mod events;
mod fetch;
mod resume;
mod route;
mod start;
pub mod user_units;

pub use reel_protocol as protocol;

pub use self::{
    connection::Client,
    discover::{ConnectOptions, Start, is_home_locked},
    error::ClientError,
    events::EventStream,
    resume::Session,
    start::{START_LOG, daemon_program},
};
