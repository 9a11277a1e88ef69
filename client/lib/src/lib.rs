//! The library with which Rust programs talk to `reeld`, the local daemon that makes AI pictures, voices, texts and videos. It finds the daemon or
//! starts it, sends requests, follows them, and fetches what was made.
//!
//! [`Reel`] has one call for each thing to make. Without tokio, [`blocking::Reel`] has the same calls:
//!
//! ```no_run
//! use reel_client::blocking::Reel;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! Reel::connect()?.image("a pier")?.save("pier.png")?;
//! # Ok(()) }
//! ```
//!
//! With options, speech, an answer, several pictures at once, and live progress:
//!
//! ```no_run
//! use reel_client::{ChatRequest, ImageRequest, SpeechRequest, blocking::Reel};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let reel = Reel::connect()?.on_progress(|update| eprintln!("{update}"));
//! let pier = reel.image(ImageRequest::new("a pier").size(1280, 720).style("watercolor"))?;
//! println!("{} bytes of {}", pier.bytes()?.len(), pier.media_type());
//! reel.image(ImageRequest::new("the same at night").input_image(pier.digest()))?.save("night.png")?;
//! reel.speak(SpeechRequest::new("The lamp went out.").speed(0.9))?.save("line.wav")?;
//! println!("{}", reel.ask(ChatRequest::new("Why is the sea salt?").system("Be short."))?.text()?);
//! for (number, shot) in reel.images(["dawn", "noon", "dusk"])?.into_iter().enumerate() {
//!     shot?.save(format!("shot-{number}.png"))?;
//! }
//! # Ok(()) }
//! ```
//!
//! # What a tool need not do
//!
//! - Start the daemon: the library starts it as the command line does. [`ConnectOptions::start`] changes that.
//! - Reconnect: when the daemon dies or is restarted, the library starts it again if needed, and goes on. All callers of one [`Reel`] or [`Session`]
//!   share one reconnection. A daemon that dies more than five times a minute is an error.
//! - Care for what is paid: only requests that are [`Repeatable`] are sent again by themselves, which the compiler checks. A submit always has a
//!   request id, so sending it again is the same task.
//! - Limit its calls: the daemon queues, limits and retries the calls of all programs.
//!
//! # Other requests
//!
//! [`Reel::session`] is a [`Session`], which submits any task and sends any request; their types are in [`protocol`]. [`Follow`] returns how tasks
//! stand and then each change, without a gap:
//!
//! ```no_run
//! use reel_client::{Follow, Followed, ImageRequest, Session};
//!
//! # async fn example(session: Session) -> Result<(), Box<dyn std::error::Error>> {
//! let task = session.submit(&ImageRequest::new("a lighthouse at dusk").into_spec()?).await?;
//! let mut follow = Follow::tasks(&session, vec![task.id]);
//! while !follow.is_settled() {
//!     if let Followed::Event(event) = follow.next().await?
//!         && let Some(changed) = event.task
//!     {
//!         println!("{:3.0} % {}", changed.progress.fraction * 100.0, changed.progress.message);
//!     }
//! }
//! let finished = session.wait(&[task.id], None).await?.tasks;
//! # Ok(()) }
//! ```
//!
//! [`Client`] is one connection and [`EventStream`] one subscription on it, for tools that reconnect by themselves. Such a tool subscribes first and
//! then submits or reads, so that it misses no event.

mod artifact;
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
mod read_tasks;
mod reel;
mod repeatable;
mod request;
mod resume;
mod returned_states;
mod route;
mod start;
pub mod user_units;

pub use reel_protocol as protocol;

pub use self::{
    artifact::Artifact,
    connection::Client,
    discover::{ConnectOptions, Start, variable},
    encoding::Encoding,
    error::ClientError,
    events::EventStream,
    follow::{Follow, Followed},
    holder::{Holder, Process},
    read_tasks::FoundTasks,
    reel::{Reel, Update},
    repeatable::{Repeatable, new_request_id},
    request::{ChatRequest, ImageRequest, Request, SpeechRequest},
    resume::{DRAFT, Session},
    start::{START_LOG, daemon_program},
};
