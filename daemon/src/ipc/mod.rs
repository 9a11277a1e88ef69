//! How the outside reaches the daemon: the lock that makes it the only one of its home, and the socket that only its own user may use.

pub mod listener;
pub mod lock;
mod os;
pub mod umask;

pub use listener::{BindError, Listener, Peer, Stream};
pub use lock::{HomeLock, LockError};
