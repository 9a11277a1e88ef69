//! The Unix functions that protect the home and the socket: owners, modes, inodes and peer credentials.
#![cfg(unix)]

use std::{
    fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions},
    io,
    os::fd::OwnedFd,
    os::unix::{
        fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt},
        net::UnixListener,
    },
    path::Path,
};

use interprocess::{
    local_socket::{
        ListenerOptions,
        tokio::{Listener, Stream},
    },
    os::unix::{local_socket::ListenerOptionsExt, uds_local_socket},
};

/// The mode bits that give anyone but the owner access.
const OTHERS: u32 = 0o077;
/// The mode bits that let anyone but the owner change the entries of a directory.
const OTHERS_WRITE: u32 = 0o022;
/// In a sticky directory such as `/tmp`, a file can be renamed or removed only by its owner, the owner of the directory and root.
const STICKY: u32 = 0o1000;

/// Returns the effective user id of this process.
pub fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Sends SIGTERM to a process. Nothing happens if the process does not exist.
pub fn terminate(pid: u32) {
    use rustix::process::{Pid, Signal, kill_process};
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::TERM);
    }
}

/// Creates a directory that only its owner may enter, with the missing directories above it.
pub fn create_private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Creates the home. If it exists, belongs to this user and is accessible to others, it is closed to them.
pub fn secure_home(path: &Path) -> io::Result<()> {
    create_private_dir(path)?;
    let metadata = fs::metadata(path)?;
    if metadata.uid() != own_uid() {
        return Err(refused(format!("it belongs to uid {}", metadata.uid())));
    }
    if metadata.mode() & STICKY != 0 {
        // Changing the mode of `/tmp` because somebody named it as the home would break the whole machine.
        return Err(refused("it is a directory that users share".to_owned()));
    }
    if metadata.mode() & OTHERS != 0 {
        fs::set_permissions(path, Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// Creates the socket's directory if it is missing. Refuses a directory in which another user could replace the socket.
pub fn secure_socket_dir(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(metadata) => judge_socket_dir(metadata.uid(), metadata.mode(), own_uid()).map_err(refused),
        Err(error) if error.kind() == io::ErrorKind::NotFound => create_private_dir(path),
        Err(error) => Err(error),
    }
}

fn judge_socket_dir(uid: u32, mode: u32, own_uid: u32) -> Result<(), String> {
    // In a sticky directory only the owners of a file and of the directory, and root, may replace the file.
    if mode & STICKY != 0 && (uid == 0 || uid == own_uid) {
        return Ok(());
    }
    if uid != own_uid {
        return Err(format!("the directory belongs to uid {uid}"));
    }
    if mode & OTHERS_WRITE != 0 {
        return Err(format!("others may write to the directory (mode {:o})", mode & 0o7777));
    }
    Ok(())
}

fn refused(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, reason)
}

/// Opens a file for reading and writing, and closes it to other users. Creates it if it is missing. Follows no symbolic link.
pub fn open_private(path: &Path) -> io::Result<File> {
    let no_follow = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or(0);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(no_follow)
        .open(path)?;
    if file.metadata()?.mode() & OTHERS != 0 {
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    Ok(file)
}

/// Sets the socket's mode before the socket has a name, so that other users can never connect.
///
/// macOS cannot set the mode in advance. There the umask of the process has the same effect (untested).
pub fn private_socket(options: ListenerOptions<'_>) -> ListenerOptions<'_> {
    if cfg!(target_os = "macos") { options } else { options.mode(0o600) }
}

/// Converts a listening socket to an asynchronous one. Must be called inside a tokio runtime.
pub fn adopt_socket(socket: UnixListener) -> io::Result<Listener> {
    uds_local_socket::tokio::Listener::try_from(OwnedFd::from(socket)).map(Listener::UdSocket)
}

/// Whether the error means that the file system cannot lock files.
pub fn is_without_locks(error: &io::Error) -> bool {
    let code = rustix::io::Errno::from_io_error(error);
    code.is_some_and(|code| {
        [rustix::io::Errno::NOLCK, rustix::io::Errno::NOSYS, rustix::io::Errno::OPNOTSUPP].contains(&code)
    })
}

/// The identity of a file. No two files that exist at the same time have the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileIdentity {
    device: u64,
    inode: u64,
}

impl FileIdentity {
    /// Returns the identity of the file at `path`. A symbolic link is not followed.
    pub fn of(path: &Path) -> io::Result<Self> {
        fs::symlink_metadata(path).map(|metadata| Self { device: metadata.dev(), inode: metadata.ino() })
    }
}

/// What is at the path of the socket.
pub enum SocketPlace {
    /// Nothing is there.
    Free,
    /// A socket of this user. Nobody listens on it, because the caller holds the lock.
    Stale,
    /// A file that this daemon may not remove. The field says why.
    Taken(&'static str),
}

/// Checks what is at the path of the socket.
pub fn socket_place(path: &Path) -> io::Result<SocketPlace> {
    let place = |metadata: Metadata| match metadata.file_type().is_socket() {
        false => SocketPlace::Taken("it is not a socket"),
        true if metadata.uid() != own_uid() => SocketPlace::Taken("it is another user's socket"),
        true => SocketPlace::Stale,
    };
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(place(metadata)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(SocketPlace::Free),
        Err(error) => Err(error),
    }
}

/// Returns the user id of the peer and, if it is known, its process id.
///
/// The credentials come from tokio's stream, because interprocess treats the pid 0 of a peer in another pid namespace as an error.
pub fn peer_ids(stream: &Stream) -> io::Result<(u32, Option<u32>)> {
    let Stream::UdSocket(socket) = stream;
    let credentials = socket.inner().peer_cred()?;
    let pid = credentials.pid().and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid != 0);
    Ok((credentials.uid(), pid))
}

/// Whether an accept failed for lack of file descriptors or memory. Both become free as connections end.
pub fn is_shortage(error: &io::Error) -> bool {
    const SHORTAGES: [i32; 4] = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM];
    error.raw_os_error().is_some_and(|code| SHORTAGES.contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_directory_is_ours_alone_or_sticky() {
        let cases = [
            (7, 0o40_700, true),
            (7, 0o40_755, true),
            (7, 0o40_775, false),
            (7, 0o40_757, false),
            (8, 0o40_700, false),
            (0, 0o40_755, false),
            (0, 0o41_777, true),
            (7, 0o41_777, true),
            (8, 0o41_777, false),
        ];
        for (uid, mode, is_fine) in cases {
            assert_eq!(judge_socket_dir(uid, mode, 7).is_ok(), is_fine, "uid {uid} mode {mode:o}");
        }
    }

    #[test]
    fn a_loose_home_is_closed_and_a_shared_one_refused() {
        let root = tempfile::tempdir().unwrap();
        let home = root.path().join("a/home");
        secure_home(&home).unwrap();
        fs::set_permissions(&home, Permissions::from_mode(0o755)).unwrap();
        secure_home(&home).unwrap();
        assert_eq!(fs::metadata(&home).unwrap().mode() & 0o7777, 0o700);
        fs::set_permissions(&home, Permissions::from_mode(0o1777)).unwrap();
        assert!(secure_home(&home).unwrap_err().to_string().contains("share"));
        assert_eq!(fs::metadata(&home).unwrap().mode() & 0o7777, 0o1777);
    }

    #[test]
    fn a_link_in_place_of_the_lock_file_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let victim = root.path().join("victim");
        fs::write(&victim, "text").unwrap();
        std::os::unix::fs::symlink(&victim, root.path().join("lock")).unwrap();
        assert!(open_private(&root.path().join("lock")).is_err());
    }
}
