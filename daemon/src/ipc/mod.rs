//! How the outside reaches the daemon: the lock that makes it the only one of its home, the socket that only its own user may use, and the
//! sessions that speak the protocol on it.
//!
//! A session cuts messages out of the stream (`inbox`), has them read (`encoding`), leads each request through the router's table to a
//! handler (`call`, `router`, `methods`), and writes the answers (`outbox`) and events (`subscriptions`). Types of the wire end here: handlers ask the rooms with the rooms' own messages, and
//! `errors` is the one place that turns their refusals into errors of the wire.

mod call;
mod connection;
mod cursor;
mod encoding;
mod errors;
#[cfg(test)]
mod fakes;
mod fields;
#[cfg(test)]
mod frame_tests;
mod inbox;
pub mod listener;
pub mod lock;
mod methods;
mod open_connections;
mod os;
mod outbox;
mod router;
mod session;
#[cfg(test)]
mod session_tests;
#[cfg(test)]
mod subscription_tests;
mod subscriptions;
#[cfg(test)]
mod test_client;
pub mod umask;
mod validate;

pub use listener::{BindError, Listener, Peer, Stream};
pub use lock::{HomeLock, LockError};
pub use router::{Recipients, Router, RouterParts};
pub use session::serve;
