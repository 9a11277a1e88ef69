//! The daemon's socket. Its path is accessible only to the user of the daemon, and only connections of that user are accepted.

use std::{
    cell::Cell,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

/// A connection. Its `shutdown` does nothing: the peer sees the end of the stream when this is dropped.
pub use interprocess::local_socket::tokio::Stream;
use interprocess::local_socket::{
    GenericFilePath, ListenerOptions, ToFsName, tokio::Listener as Socket, traits::tokio::Listener as _,
};
use reel_protocol::{
    endpoint::{EndpointError, Locations},
    is_unprintable,
};
use tracing::{debug, error, info, warn};

use super::{
    lock::HomeLock,
    os::{self, FileIdentity, SocketPlace},
};
use crate::systemd::PassedSocket;

/// The pause after an accept that failed for lack of file descriptors. Descriptors become free as connections end, and a retry without a pause would
/// only use CPU time.
const SHORTAGE_PAUSE: Duration = Duration::from_millis(200);

/// The reason why the daemon cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The path is longer than the system allows.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The directory of the socket cannot be created, or other users may change it.
    #[error("cannot use {} for the socket", path.display())]
    Directory {
        /// The path of the directory.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// The path exists and is not a socket that this daemon may remove.
    #[error("{} is in the way: {reason}", path.display())]
    Taken {
        /// The path of the socket.
        path: PathBuf,
        /// What is wrong with the file at the path.
        reason: &'static str,
    },
    /// The system refused to listen.
    #[error("cannot listen on {}", path.display())]
    Socket {
        /// The path of the socket.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
}

/// The process at the other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The user id. It is always that of the daemon.
    pub uid: u32,
    /// The process that connected. None if it is in another pid namespace.
    pub pid: Option<u32>,
    /// The name of that process. It identifies a client that sends no `hello`.
    pub name: String,
}

/// The listening socket. When it is dropped, it removes the file of a socket that it bound, unless another socket has replaced the file.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    /// The file to remove. None if a service manager owns the socket.
    file: Option<(PathBuf, FileIdentity)>,
    /// Whether the last accept failed for lack of file descriptors, so that each shortage is logged once.
    is_short: Cell<bool>,
    /// Whether the file is gone and could not be bound again, so that this is logged once.
    is_lost: bool,
}

impl Listener {
    /// Binds the socket, and removes the file of a daemon that has died. The lock proves that no living daemon listens on it.
    ///
    /// Must be called inside a tokio runtime.
    pub fn bind(locations: &Locations, _lock: &HomeLock) -> Result<Self, BindError> {
        locations.check_socket()?;
        let path = locations.socket.clone();
        let (socket, identity) = listen(&path)?;
        Ok(Self { socket, file: Some((path, identity)), is_short: Cell::new(false), is_lost: false })
    }

    /// Uses a listening socket of a service manager, which goes on listening when the daemon ends.
    ///
    /// Must be called inside a tokio runtime.
    pub fn adopt(passed: PassedSocket, _lock: &HomeLock) -> Result<Self, BindError> {
        let failed = |source| BindError::Socket { path: passed.path.clone(), source };
        let socket = os::adopt_socket(passed.listener).map_err(failed)?;
        Ok(Self { socket, file: None, is_short: Cell::new(false), is_lost: false })
    }

    /// Binds the socket again if its file was removed; otherwise no new client could reach the daemon. A logout removes the runtime directory, and a
    /// cleaner may remove files in `/tmp`. Open connections stay open. If another file is at the path, it is not touched.
    ///
    /// Must be called every few seconds, inside a tokio runtime.
    pub fn restore(&mut self) {
        let Some((path, own)) = &self.file else { return };
        let restored = match FileIdentity::of(path) {
            Ok(identity) if identity == *own => return self.is_lost = false,
            Ok(_) => Err(BindError::Taken { path: path.clone(), reason: "it is not this daemon's socket" }),
            Err(_) => listen(path),
        };
        match restored {
            Ok((socket, identity)) => {
                info!(socket = %path.display(), "the socket's file was removed, and is bound again");
                (self.socket, self.file) = (socket, Some((path.clone(), identity)));
                self.is_lost = false;
            }
            Err(error) => {
                if !self.is_lost {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    error!(%error, cause, "no client can reach the daemon by its socket");
                }
                self.is_lost = true;
            }
        }
    }

    /// Returns the next connection of the daemon's own user. Connections of other users are closed and logged.
    ///
    /// The future is cancel-safe: no connection is lost if it is dropped, as in a `select!`. An error is permanent.
    pub async fn accept(&self) -> io::Result<(Stream, Peer)> {
        loop {
            match self.socket.accept().await {
                Ok(stream) => {
                    if self.is_short.replace(false) {
                        info!("connections are accepted again");
                    }
                    if let Some(peer) = admit(&stream, os::own_uid()) {
                        return Ok((stream, peer));
                    }
                }
                Err(error) if os::is_shortage(&error) => {
                    // This is logged once, because a shortage of a minute would otherwise cause three hundred lines.
                    if !self.is_short.replace(true) {
                        warn!(%error, "new connections wait");
                    }
                    tokio::time::sleep(SHORTAGE_PAUSE).await;
                }
                Err(error) if is_passing(error.kind()) => {
                    debug!(%error, "a connection ended before its start");
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some((path, own)) = &self.file
            && FileIdentity::of(path).is_ok_and(|identity| identity == *own)
            && let Err(error) = fs::remove_file(path)
        {
            warn!(%error, "the socket stays behind");
        }
    }
}

/// Listens at `path`. The directory is created if it is missing. Other users must not be able to write to it, unless it is sticky.
fn listen(path: &Path) -> Result<(Socket, FileIdentity), BindError> {
    let directory = path.parent().unwrap_or_else(|| Path::new("/"));
    os::secure_socket_dir(directory)
        .map_err(|source| BindError::Directory { path: directory.to_owned(), source })?;
    clear(path)?;
    let bound = || {
        let name = path.to_fs_name::<GenericFilePath>()?;
        let options = ListenerOptions::new().name(name).reclaim_name(false);
        let socket = os::private_socket(options).create_tokio()?;
        Ok((socket, FileIdentity::of(path)?))
    };
    bound().map_err(|source| BindError::Socket { path: path.to_owned(), source })
}

fn clear(path: &Path) -> Result<(), BindError> {
    let failed = |source| BindError::Socket { path: path.to_owned(), source };
    match os::socket_place(path).map_err(failed)? {
        SocketPlace::Free => Ok(()),
        SocketPlace::Stale => fs::remove_file(path).map_err(failed),
        SocketPlace::Taken(reason) => Err(BindError::Taken { path: path.to_owned(), reason }),
    }
}

/// Whether the error concerns one connection and not the socket.
fn is_passing(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

/// Returns the peer if it belongs to the daemon's own user. Root is refused too, because the socket acts for one user.
fn admit(stream: &Stream, own_uid: u32) -> Option<Peer> {
    let (uid, pid) = match os::peer_ids(stream) {
        Ok(ids) => ids,
        Err(error) => {
            warn!(%error, "a connection was refused: its user cannot be told");
            return None;
        }
    };
    if uid != own_uid {
        warn!(uid, pid, "a connection was refused: it is another user's");
        return None;
    }
    Some(Peer { uid, pid, name: peer_name(pid) })
}

fn peer_name(pid: Option<u32>) -> String {
    let Some(pid) = pid else { return "unknown".to_owned() };
    let comm = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    clean_name(&String::from_utf8_lossy(&comm)).unwrap_or_else(|| format!("pid {pid}"))
}

/// Replaces characters that could break a log line or a terminal, because a process can choose its name freely. None if the name is empty.
fn clean_name(comm: &str) -> Option<String> {
    let name: String = comm.trim().chars().map(|c| if is_unprintable(c) { '?' } else { c }).collect();
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::{
        fs::{MetadataExt, PermissionsExt, symlink},
        net::{UnixListener, UnixStream},
    };

    use super::*;

    struct Place {
        root: tempfile::TempDir,
        locations: Locations,
    }

    impl Place {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            let home = root.path().join("home");
            let socket = root.path().join("run/reeld.sock");
            let locations = Locations::from_env(|name| match name {
                "REEL_HOME" => Some(home.clone().into_os_string()),
                "REEL_SOCKET" => Some(socket.clone().into_os_string()),
                _ => None,
            });
            Self { root, locations: locations.unwrap() }
        }

        fn bind(&self) -> Result<(Listener, HomeLock), BindError> {
            let lock = HomeLock::acquire(&self.locations).unwrap();
            Ok((Listener::bind(&self.locations, &lock)?, lock))
        }
    }

    #[tokio::test]
    async fn a_connection_of_ours_is_named_after_its_process() {
        let place = Place::new();
        let (listener, _lock) = place.bind().unwrap();
        assert_eq!(fs::metadata(&place.locations.socket).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(fs::metadata(place.root.path().join("run")).unwrap().mode() & 0o7777, 0o700);
        let _client = UnixStream::connect(&place.locations.socket).unwrap();
        let (stream, peer) = listener.accept().await.unwrap();
        assert_eq!(peer.pid, Some(std::process::id()));
        assert_eq!(peer.uid, os::own_uid());
        assert!(!peer.name.is_empty() && !peer.name.contains('\n'));
        assert!(admit(&stream, os::own_uid() + 1).is_none());
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_anything_else_stays() {
        let place = Place::new();
        let socket = &place.locations.socket;
        os::create_private_dir(socket.parent().unwrap()).unwrap();
        drop(UnixListener::bind(socket).unwrap());
        drop(place.bind().unwrap());
        assert!(!socket.exists());
        fs::write(socket, "precious").unwrap();
        assert!(matches!(place.bind(), Err(BindError::Taken { .. })));
        assert_eq!(fs::read(socket).unwrap(), b"precious");
        fs::remove_file(socket).unwrap();
        symlink(place.root.path(), socket).unwrap();
        assert!(matches!(place.bind(), Err(BindError::Taken { .. })));
    }

    #[tokio::test]
    async fn a_leaving_daemon_does_not_remove_the_socket_of_the_next() {
        let place = Place::new();
        let (listener, _lock) = place.bind().unwrap();
        fs::remove_file(&place.locations.socket).unwrap();
        let _next = UnixListener::bind(&place.locations.socket).unwrap();
        drop(listener);
        assert!(place.locations.socket.exists());
    }

    #[tokio::test]
    async fn a_socket_that_was_removed_is_bound_again_and_one_of_somebody_else_stays() {
        let place = Place::new();
        let (mut listener, _lock) = place.bind().unwrap();
        let (socket, directory) = (&place.locations.socket, place.root.path().join("run"));
        fs::remove_dir_all(&directory).unwrap();
        listener.restore();
        assert_eq!(fs::metadata(&directory).unwrap().mode() & 0o7777, 0o700);
        let _client = UnixStream::connect(socket).unwrap();
        assert_eq!(listener.accept().await.unwrap().1.pid, Some(std::process::id()));

        fs::remove_file(socket).unwrap();
        let other = UnixListener::bind(socket).unwrap();
        let identity = FileIdentity::of(socket).unwrap();
        listener.restore();
        assert_eq!(FileIdentity::of(socket).unwrap(), identity);
        drop(other);
        fs::remove_file(socket).unwrap();
        listener.restore();
        assert!(UnixStream::connect(socket).is_ok());
        drop(listener);
        assert!(!socket.exists());
    }

    #[tokio::test]
    async fn a_socket_that_was_passed_is_used_and_stays() {
        let place = Place::new();
        let lock = HomeLock::acquire(&place.locations).unwrap();
        let path = place.root.path().join("passed");
        let passed = PassedSocket { listener: UnixListener::bind(&path).unwrap(), path: path.clone() };
        let listener = Listener::adopt(passed, &lock).unwrap();
        let _client = UnixStream::connect(&path).unwrap();
        assert_eq!(listener.accept().await.unwrap().1.pid, Some(std::process::id()));
        drop(listener);
        assert!(path.exists());
    }

    #[tokio::test]
    async fn a_directory_that_others_may_write_is_refused() {
        let place = Place::new();
        let directory = place.locations.socket.parent().unwrap();
        os::create_private_dir(directory).unwrap();
        fs::set_permissions(directory, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(place.bind(), Err(BindError::Directory { .. })));
        fs::set_permissions(directory, fs::Permissions::from_mode(0o1777)).unwrap();
        place.bind().unwrap();
    }

    #[test]
    fn a_name_cannot_break_a_line() {
        assert_eq!(clean_name("bash\n").as_deref(), Some("bash"));
        assert_eq!(clean_name("a\nb\u{1b}[2J\n").as_deref(), Some("a?b?[2J"));
        assert_eq!(clean_name("a\u{202e}b").as_deref(), Some("a?b"));
        assert_eq!(clean_name("\n"), None);
        assert_eq!(peer_name(Some(u32::MAX)), format!("pid {}", u32::MAX));
    }

    /// The child process of the next test. It is a process of its own because the limit of file descriptors applies to a whole process.
    #[tokio::test]
    async fn child_runs_out_of_descriptors() {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        if std::env::var_os("REEL_TEST_DESCRIPTORS").is_none() {
            return;
        }
        let place = Place::new();
        let (listener, _lock) = place.bind().unwrap();
        let _client = UnixStream::connect(&place.locations.socket).unwrap();
        let maximum = getrlimit(Resource::Nofile).maximum;
        setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum }).unwrap();
        let mut files = Vec::new();
        while let Ok(file) = fs::File::open("/dev/null") {
            files.push(file);
        }
        let accept = listener.accept();
        tokio::pin!(accept);
        assert!(tokio::time::timeout(SHORTAGE_PAUSE * 2, &mut accept).await.is_err());
        drop(files);
        accept.await.unwrap();
    }

    #[test]
    fn a_connection_waits_while_descriptors_are_short() {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "ipc::listener::tests::child_runs_out_of_descriptors"])
            .env("REEL_TEST_DESCRIPTORS", "1")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
    }
}
