//! Finds the daemon's socket: the place of the variables, else the one that the lock file names, else a new daemon's.

use std::{
    fs::{File, TryLockError},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use interprocess::local_socket::{
    GenericFilePath, ToFsName as _,
    tokio::{Stream, prelude::*},
};
use reel_protocol::endpoint::{EndpointError, Locations, LockText};

use crate::{ClientError, Encoding, start, user_units};

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
}

impl ConnectOptions {
    /// The places of the environment; starts a daemon if needed. Speaks bincode unless `REEL_ENCODING` is `json`.
    pub fn from_env(client_name: impl Into<String>) -> Result<Self, EndpointError> {
        let locations = Locations::from_env(|name| std::env::var_os(name))?;
        Ok(Self::new(locations, client_name))
    }

    /// The same with other places.
    pub fn new(locations: Locations, client_name: impl Into<String>) -> Self {
        let (client_name, encoding) = (client_name.into(), Encoding::from_env());
        Self { locations, client_name, start: Start::IfNeeded, daemon: None, encoding }
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
        None => Err(ClientError::NoDaemon),
    }
}

/// A connected stream, or None where no daemon listens.
pub(crate) async fn dial(locations: &Locations) -> Result<Option<Stream>, ClientError> {
    if let Some(stream) = dial_path(&locations.socket).await? {
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
    if lock.socket == locations.socket { Ok(None) } else { dial_path(&lock.socket).await }
}

async fn dial_path(socket: &Path) -> Result<Option<Stream>, ClientError> {
    let failed = |source| ClientError::io(format!("cannot connect to {}", socket.display()), source);
    let name = socket.to_fs_name::<GenericFilePath>().map_err(failed)?;
    match Stream::connect(name).await {
        Ok(stream) => check_peer(&stream, socket).map(|()| Some(stream)),
        Err(error) if is_absence(&error) => Ok(None),
        Err(error) => Err(failed(error)),
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

/// Whether a daemon still holds the home. It asks by taking the lock for an instant, so ask only while a daemon stops.
pub fn is_home_locked(locations: &Locations) -> bool {
    File::open(locations.lock_file())
        .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}
