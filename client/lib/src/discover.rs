//! Finds the daemon's socket: the place of the variables, else the one that the lock file names, else a new daemon's.

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

use crate::{ClientError, Encoding, Holder, route::Closed, start, user_units};

/// How long a daemon that holds the home may be without a socket: it looks for the socket's file every two seconds and binds it again, and
/// one that starts or ends takes less.
const SOCKET_LIMIT: Duration = Duration::from_secs(5);

/// Between two tries to connect meanwhile.
const PAUSE: Duration = Duration::from_millis(50);

/// Whether a daemon may be started where none runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Start `reeld` and wait until it answers.
    IfNeeded,
    /// Fail with [`ClientError::NoDaemon`].
    Never,
}

/// Whom to connect to, and as whom.
#[derive(Debug, Clone)]
pub struct ConnectOptions {
    /// The daemon's places.
    pub locations: Locations,
    /// The program's name: tasks are shown and shared out fairly by it.
    pub client_name: String,
    /// Whether a daemon may be started.
    pub start: Start,
    /// The daemon's program; `reeld` beside this program, else on PATH, if absent.
    pub daemon: Option<PathBuf>,
    /// How to speak.
    pub encoding: Encoding,
    /// Told in words why a [`crate::Session`] waits, where that may take minutes.
    pub on_wait: Option<fn(&str)>,
}

impl ConnectOptions {
    /// The places of the environment; starts a daemon if needed. Speaks bincode unless `REEL_ENCODING` is `json`.
    pub fn from_env(client_name: impl Into<String>) -> Result<Self, EndpointError> {
        Ok(Self::new(Locations::from_env(variable)?, client_name))
    }

    /// The same with other places.
    pub fn new(locations: Locations, client_name: impl Into<String>) -> Self {
        let (client_name, encoding) = (client_name.into(), Encoding::from_env());
        Self { locations, client_name, start: Start::IfNeeded, daemon: None, encoding, on_wait: None }
    }
}

/// A connected stream whose other end belongs to this user.
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

/// One variable of this process, as [`Locations::from_env`] asks for it.
pub fn variable(name: &str) -> Option<std::ffi::OsString> {
    endpoint::variable(name, user_units::own_uid())
}

/// A connection to the daemon that holds the home, as soon as it listens again.
async fn dial_holder(locations: &Locations) -> Result<Stream, ClientError> {
    let begun = Instant::now();
    loop {
        // Where the socket is given, a daemon of this home that listens elsewhere is not the one that is meant.
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

/// A connected stream, or None where no daemon listens.
pub(crate) async fn dial(locations: &Locations) -> Result<Option<Stream>, ClientError> {
    if let Some(stream) = dial_path(locations, &locations.socket).await? {
        return Ok(Some(stream));
    }
    if locations.is_socket_given {
        return Ok(None);
    }
    // A daemon that was started with another XDG_RUNTIME_DIR listens elsewhere, and its lock file says where.
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
        // As many connections wait as the system keeps for a process that takes none.
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            let holder = Holder::find(locations);
            let is_suspended = holder.as_ref().is_some_and(|holder| holder.process.is_suspended());
            let pid = holder.map(|holder| holder.pid());
            Err(ClientError::Unresponsive { pid, is_suspended, waited: Duration::ZERO })
        }
        Err(error) => Err(failed(error)),
    }
}

/// The process that listens at the other end; a service manager, where it made the socket.
pub(crate) fn server_pid(stream: &Stream) -> Option<u32> {
    #[cfg(unix)]
    return stream.peer_creds().ok().and_then(|creds| creds.pid()).and_then(|pid| u32::try_from(pid).ok());
    #[cfg(not(unix))]
    None
}

/// What it means that `server` took a connection and said nothing. A socket of a service manager takes connections while the daemon is still
/// starting, or waits for the end of the one before it.
pub(crate) fn silence(locations: &Locations, server: Option<u32>, waited: Duration) -> Closed {
    let holder = Holder::find(locations);
    let is_suspended = holder.as_ref().is_some_and(|holder| holder.process.is_suspended());
    let pid = holder.map(|holder| holder.pid());
    let is_its_own = server.is_none_or(|server| pid.is_none_or(|pid| pid == server));
    if is_suspended || (is_its_own && !user_units::serves(locations)) {
        Closed::Unresponsive { pid: pid.or(server), is_suspended, waited }
    } else {
        Closed::NotReady { pid, waited }
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
