//! The interface of the daemon to other processes: the lock that allows one daemon for each home, the socket that only its own user may use, and the
//! sessions that speak the protocol on it.
//!
//! A session splits the stream into messages (`inbox`), decodes them (`encoding`), dispatches each request to its handler (`call`, `router`,
//! `methods`), and writes responses (`outbox`) and events (`subscriptions`). No other room knows the types of the protocol's methods: handlers ask
//! the rooms with the rooms' own messages, and `errors` is the one file that converts their refusals to protocol errors.

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
