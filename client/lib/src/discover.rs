//! Finds the daemon's socket: the path from the environment, else the one that the lock file names, else that of a daemon that is started.

use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    time::Duration,
};

use interprocess::local_socket::{
    GenericFilePath, ToFsName as _,
    tokio::{Stream, prelude::*},
};
use reel_protocol::endpoint::{self, EndpointError, Locations, LockText};
use tokio::time::{Instant, sleep};

use crate::{ClientError, Encoding, Holder, route::CloseReason, start, user_units};

/// How long a daemon that holds the home's lock may be without a socket. It checks the socket's file every two seconds and binds it again if it is
/// gone. Starting and stopping take less.
const SOCKET_LIMIT: Duration = Duration::from_secs(5);

/// Pause between two attempts to connect during [`SOCKET_LIMIT`].
const PAUSE: Duration = Duration::from_millis(50);

/// Whether a daemon may be started if none runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Start `reeld` and wait until it answers.
    IfNeeded,
    /// Fail with [`ClientError::NoDaemon`].
    Never,
}

/// Which daemon to connect to, and how.
#[derive(Debug, Clone)]
pub struct ConnectOptions {
    /// The daemon's paths.
    pub locations: Locations,
    /// The program's name. Tasks are listed with it and scheduled fairly between names.
    pub client_name: String,
    /// Whether a daemon may be started.
    pub start: Start,
    /// The daemon's program. None for `reeld` beside this executable, else on PATH.
    pub daemon: Option<PathBuf>,
    /// The encoding of messages.
    pub encoding: Encoding,
    /// Called with a text for a person when a [`crate::Session`] begins a wait that may take minutes.
    pub on_wait: Option<fn(&str)>,
}

impl ConnectOptions {
    /// Returns options with the paths from the environment. A daemon is started if needed. The encoding is bincode unless `REEL_ENCODING` is `json`.
    pub fn from_env(client_name: impl Into<String>) -> Result<Self, EndpointError> {
        Ok(Self::new(Locations::from_env(variable)?, client_name))
    }

    /// Like [`Self::from_env`], with the given paths.
    pub fn new(locations: Locations, client_name: impl Into<String>) -> Self {
        let (client_name, encoding) = (client_name.into(), Encoding::from_env());
        Self { locations, client_name, start: Start::IfNeeded, daemon: None, encoding, on_wait: None }
    }
}

/// Connects to the daemon, or starts it if the options allow it. The process at the other end belongs to this user.
pub(crate) async fn open(options: &ConnectOptions) -> Result<Stream, ClientError> {
    options.locations.check_socket()?;
    if options.start == Start::Never && user_units::would_start(&options.locations) {
        return Err(ClientError::NoDaemon);
    }
    match dial(&options.locations).await? {
        Some(stream) => Ok(stream),
        None if options.start == Start::IfNeeded => start::start_and_dial(options).await,
        None => dial_holder(&options.locations).await,
    }
}

/// Returns an environment variable of this process, in the form that [`Locations::from_env`] takes.
pub fn variable(name: &str) -> Option<std::ffi::OsString> {
    endpoint::variable(name, user_units::own_uid())
}

/// Connects to the daemon that holds the home's lock, as soon as it listens again.
async fn dial_holder(locations: &Locations) -> Result<Stream, ClientError> {
    let begun = Instant::now();
    loop {
        // If the caller named a socket, a daemon of this home with another socket is not the wanted one.
        let holder = Holder::find(locations)
            .filter(|holder| !locations.is_socket_given || holder.socket == locations.socket)
            .ok_or(ClientError::NoDaemon)?;
        if let Some(stream) = dial(locations).await? {
            return Ok(stream);
        }
        if begun.elapsed() > SOCKET_LIMIT {
            return Err(ClientError::NotReady { pid: Some(holder.pid()), waited: SOCKET_LIMIT });
        }
        sleep(PAUSE).await;
    }
}

/// Connects to the daemon; None if no daemon listens.
pub(crate) async fn dial(locations: &Locations) -> Result<Option<Stream>, ClientError> {
    if let Some(stream) = dial_path(locations, &locations.socket).await? {
        return Ok(Some(stream));
    }
    if locations.is_socket_given {
        return Ok(None);
    }
    // A daemon that was started with another XDG_RUNTIME_DIR has another socket, which its lock file names.
    let Some(lock) =
        std::fs::read_to_string(locations.lock_file()).ok().and_then(|text| LockText::decode(&text))
    else {
        return Ok(None);
    };
    if lock.socket == locations.socket { Ok(None) } else { dial_path(locations, &lock.socket).await }
}

async fn dial_path(locations: &Locations, socket: &Path) -> Result<Option<Stream>, ClientError> {
    let failed = |source| ClientError::io(format!("cannot connect to {}", socket.display()), source);
    let name = socket.to_fs_name::<GenericFilePath>().map_err(failed)?;
    match Stream::connect(name).await {
        Ok(stream) => check_peer(&stream, socket).map(|()| Some(stream)),
        Err(error) if is_absence(&error) => Ok(None),
        // The listen backlog is full, because the process accepts no connections.
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            let holder = Holder::find(locations);
            let is_suspended = holder.as_ref().is_some_and(|holder| holder.process.is_suspended());
            let pid = holder.map(|holder| holder.pid());
            Err(ClientError::Unresponsive { pid, is_suspended, waited: Duration::ZERO })
        }
        Err(error) => Err(failed(error)),
    }
}

/// Returns the process id of the listener. That is the service manager if it created the socket.
pub(crate) fn server_pid(stream: &Stream) -> Option<u32> {
    #[cfg(unix)]
    return stream.peer_creds().ok().and_then(|creds| creds.pid()).and_then(|pid| u32::try_from(pid).ok());
    #[cfg(not(unix))]
    None
}

/// Returns the reason for closing a connection that `server` accepted without sending anything. A service manager's socket accepts connections while
/// the daemon is still starting, or waits for the end of the previous daemon.
pub(crate) fn silence(locations: &Locations, server: Option<u32>, waited: Duration) -> CloseReason {
    let holder = Holder::find(locations);
    let is_suspended = holder.as_ref().is_some_and(|holder| holder.process.is_suspended());
    let pid = holder.map(|holder| holder.pid());
    let is_its_own = server.is_none_or(|server| pid.is_none_or(|pid| pid == server));
    if is_suspended || (is_its_own && !user_units::serves(locations)) {
        CloseReason::Unresponsive { pid: pid.or(server), is_suspended, waited }
    } else {
        CloseReason::NotReady { pid, waited }
    }
}

fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset)
}

#[cfg(unix)]
fn check_peer(stream: &Stream, socket: &Path) -> Result<(), ClientError> {
    let peer = stream.peer_creds().ok().and_then(|creds| creds.euid());
    if peer.is_some_and(|uid| uid != rustix::process::geteuid().as_raw()) {
        return Err(ClientError::ForeignDaemon { socket: socket.display().to_string() });
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_peer(_stream: &Stream, _socket: &Path) -> Result<(), ClientError> {
    Ok(())
}
