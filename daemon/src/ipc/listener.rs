//! The daemon's socket: bound where only our user can reach it, and handing out connections of our user alone.

use std::{
    cell::Cell,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

/// One connection. Its `shutdown` does nothing: the other side sees the end when this is dropped.
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

/// The pause after an accept that failed for want of descriptors: connections end all the time, and trying at once would only spin.
const SHORTAGE_PAUSE: Duration = Duration::from_millis(200);

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The system would cut its path.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// Its directory is missing and cannot be made, or others may change it.
    #[error("cannot use {} for the socket", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Something stands there that is not ours to remove.
    #[error("{} is in the way: {reason}", path.display())]
    Taken {
        /// The socket's path.
        path: PathBuf,
        /// What stands there.
        reason: &'static str,
    },
    /// The system refused.
    #[error("cannot listen on {}", path.display())]
    Socket {
        /// The socket's path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Always our own.
    pub uid: u32,
    /// The process that connected; None where it lives in another pid namespace.
    pub pid: Option<u32>,
    /// That process' name, which stands for a client that says no `hello`.
    pub name: String,
}

/// The listening socket. One that was bound here is removed with it, unless another one has taken its place.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    /// The file that is ours to remove; None where a service manager keeps the socket.
    file: Option<(PathBuf, FileIdentity)>,
    /// Whether accepting failed last for want of descriptors; logged once per shortage.
    is_short: Cell<bool>,
    /// Whether the file is gone and could not be made again; logged once.
    is_lost: bool,
}

impl Listener {
    /// Binds the socket, removing one that a dead daemon left. The lock proves that no living daemon listens on it.
    ///
    /// Must be called inside a tokio runtime.
    pub fn bind(locations: &Locations, _lock: &HomeLock) -> Result<Self, BindError> {
        locations.check_socket()?;
        let path = locations.socket.clone();
        let (socket, identity) = listen(&path)?;
        Ok(Self { socket, file: Some((path, identity)), is_short: Cell::new(false), is_lost: false })
    }

    /// Takes over a socket that listens already and belongs to a service manager, which goes on listening when the daemon ends.
    ///
    /// Must be called inside a tokio runtime.
    pub fn adopt(passed: PassedSocket, _lock: &HomeLock) -> Result<Self, BindError> {
        let failed = |source| BindError::Socket { path: passed.path.clone(), source };
        let socket = os::adopt_socket(passed.listener).map_err(failed)?;
        Ok(Self { socket, file: None, is_short: Cell::new(false), is_lost: false })
    }

    /// Binds the socket again if its file was removed, as a logout does with the runtime directory and a cleaner with `/tmp`: no new client
    /// could reach the daemon otherwise. Connections that are open stay open. A file of somebody else at the path is left alone.
    ///
    /// To be called every few seconds, inside a tokio runtime.
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

    /// The next connection of our own user; connections of others are closed and logged.
    ///
    /// May be dropped while it waits, as in a `select!`: no connection is lost. An error is lasting.
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
                    // Said once: a shortage of a minute would be three hundred lines.
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

/// Listens at `path`, in a directory that nobody else may write to and that is made where it is missing.
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

/// Errors of one connection rather than of the socket.
fn is_passing(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

/// Who the peer is, if it is of our own user. Root is no exception: the socket speaks for one user.
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

/// A process names itself as it likes; the name must not break a log line or a terminal.
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

    /// The child's part of the next test: descriptors belong to a whole process.
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
