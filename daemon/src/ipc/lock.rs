//! The lock that allows only one daemon for each home directory.
//!
//! It is an flock on `reeld.lock`, so the system releases it however the process ends. The file's text tells clients the pid and the socket. The file
//! is never removed: otherwise two daemons could each lock a different file of that name.

use std::{
    cell::RefCell,
    fs::{File, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    process,
    time::{Duration, Instant},
};

use reel_protocol::endpoint::{Locations, LockText};

use tracing::warn;

use super::os::{self, FileIdentity};

/// How often the lock is tried while another process holds it. That process may be a client, which takes the lock shared for a moment to see whether
/// a daemon runs, or a daemon that is about to write its text or to end.
const ATTEMPTS: u32 = 10;
/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(20);
/// The interval in which a take-over reports that it waits.
const TELL_EVERY: Duration = Duration::from_secs(5);
/// Longest text of the lock file that is read, in bytes. The file contains a pid and a path; a longer text is not from a daemon.
const MAX_TEXT_BYTES: u64 = 8 * 1024;

/// The reason why this process cannot be the daemon of the home.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another daemon holds the lock.
    #[error("a daemon is running already{}", describe(*pid, socket.as_deref()))]
    Held {
        /// The pid of that daemon. None if the lock file does not contain it.
        pid: Option<u32>,
        /// The socket of that daemon. None if the lock file does not contain it.
        socket: Option<PathBuf>,
    },
    /// The home cannot be created, belongs to another user, or is not writable.
    #[error("cannot use {}", path.display())]
    Home {
        /// The home, or the lock file in it.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
}

impl LockError {
    /// Returns the next step for the user, if the system's error message does not make it clear.
    pub fn hint(&self) -> Option<&'static str> {
        let Self::Home { source, .. } = self else { return None };
        os::is_without_locks(source).then_some(
            "the file system locks no files, as some network file systems do not: set REEL_HOME to a directory on a local disk",
        )
    }
}

fn describe(pid: Option<u32>, socket: Option<&Path>) -> String {
    let pid = pid.map_or_else(String::new, |pid| format!(" (pid {pid})"));
    let socket = socket.map_or_else(String::new, |socket| format!(" on {}", socket.display()));
    format!("{pid}{socket}")
}

/// The lock while it is held. Its drop first empties the text and then releases the lock.
#[derive(Debug)]
pub struct HomeLock {
    path: PathBuf,
    text: LockText,
    file: RefCell<(File, Option<FileIdentity>)>,
    /// The lock of the home's directory. It prevents a second daemon from starting after the lock file was deleted. None on a file system that cannot
    /// lock directories.
    _home: Option<File>,
}

impl HomeLock {
    /// Creates the home if it is missing, takes its lock, and writes this process and its socket to the lock file.
    ///
    /// Blocks for at most 400 ms if another process holds the lock. It must be called before any actor runs.
    pub fn acquire(locations: &Locations) -> Result<Self, LockError> {
        let path = locations.lock_file();
        let unusable = |path: &Path, source| LockError::Home { path: path.to_owned(), source };
        os::secure_home(&locations.home).map_err(|source| unusable(&locations.home, source))?;
        let mut file = os::open_private(&path).map_err(|source| unusable(&path, source))?;
        take(&mut file, ATTEMPTS).map_err(|refusal| match refusal {
            Refusal::Held(text) => LockError::Held {
                pid: text.as_ref().map(|text| text.pid),
                socket: text.map(|text| text.socket),
            },
            Refusal::Failed(source) => unusable(&path, source),
        })?;
        let home =
            lock_directory(&locations.home).map_err(|()| LockError::Held { pid: None, socket: None })?;
        let text = LockText { pid: process::id(), socket: locations.socket.clone() };
        write(&mut file, &text).map_err(|source| unusable(&path, source))?;
        let identity = FileIdentity::of(&path).ok();
        Ok(Self { path, text, file: RefCell::new((file, identity)), _home: home })
    }

    /// Creates the lock file again if it was deleted or replaced, because clients find the daemon by it. Must be called every few seconds.
    pub fn restore(&self) {
        let found = FileIdentity::of(&self.path).ok();
        if found.is_some() && found == self.file.borrow().1 {
            return;
        }
        let Ok(mut file) = os::open_private(&self.path) else { return };
        if file.try_lock().is_ok() && write(&mut file, &self.text).is_ok() {
            warn!(path = %self.path.display(), "the lock file was deleted, and is made anew");
            self.file.replace((file, FileIdentity::of(&self.path).ok()));
        }
    }

    /// Like [`Self::acquire`], but for a daemon that a service manager passed its socket. If another daemon listened at that path before, no client
    /// can reach it any more. That daemon is told to end, and its home is taken over; its unfinished tasks are in the journal.
    ///
    /// Blocks until that daemon has ended, at most for `limit`. `waiting` is called every few seconds with its pid.
    pub fn take_over(
        locations: &Locations,
        limit: Duration,
        mut waiting: impl FnMut(u32),
    ) -> Result<Self, LockError> {
        let begun = Instant::now();
        let mut terminated = None;
        let mut told: Option<Instant> = None;
        loop {
            match Self::acquire(locations) {
                Err(LockError::Held { pid: Some(pid), socket: Some(socket) })
                    if socket == locations.socket && begun.elapsed() < limit =>
                {
                    // The signal is sent once, because the daemon could take a second one for impatience.
                    if terminated.replace(pid) != Some(pid) {
                        os::terminate(pid);
                    }
                    if told.is_none_or(|at| at.elapsed() >= TELL_EVERY) {
                        waiting(pid);
                        told = Some(Instant::now());
                    }
                }
                // The other daemon has emptied the text and is about to release the lock.
                Err(LockError::Held { pid: None, .. }) if terminated.is_some() && begun.elapsed() < limit => {
                }
                taken => return taken,
            }
            pause();
        }
    }
}

impl Drop for HomeLock {
    fn drop(&mut self) {
        // If this fails, clients find the text of a lock that nobody holds, as after a crash.
        let _ = self.file.borrow().0.set_len(0);
    }
}

/// Locks the directory. None if the file system cannot lock directories. It is an error if another process still holds the lock after all attempts.
fn lock_directory(path: &Path) -> Result<Option<File>, ()> {
    let Ok(directory) = File::open(path) else { return Ok(None) };
    for _ in 0..ATTEMPTS {
        match directory.try_lock() {
            Ok(()) => return Ok(Some(directory)),
            Err(TryLockError::WouldBlock) => pause(),
            Err(TryLockError::Error(_)) => return Ok(None),
        }
    }
    Err(())
}

enum Refusal {
    Held(Option<LockText>),
    Failed(io::Error),
}

/// Takes the lock. After that many failed attempts, it returns the text of the process that holds it.
fn take(file: &mut File, attempts: u32) -> Result<(), Refusal> {
    for _ in 0..attempts {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(source)) => return Err(Refusal::Failed(source)),
            Err(TryLockError::WouldBlock) => pause(),
        }
    }
    Err(read(file).map_or_else(Refusal::Failed, Refusal::Held))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the lock is taken before the first actor starts, so none waits"
)]
fn pause() {
    std::thread::sleep(PAUSE);
}

fn read(file: &mut File) -> io::Result<Option<LockText>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(MAX_TEXT_BYTES).read_to_end(&mut bytes)?;
    Ok(std::str::from_utf8(&bytes).ok().and_then(LockText::decode))
}

fn write(file: &mut File, text: &LockText) -> io::Result<()> {
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(text.encode().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locations(home: &Path) -> Locations {
        let given = home.to_owned();
        Locations::from_env(|name| (name == "REEL_HOME").then(|| given.clone().into_os_string())).unwrap()
    }

    #[test]
    fn the_second_daemon_of_a_home_is_told_of_the_first() {
        let root = tempfile::tempdir().unwrap();
        let locations = locations(&root.path().join("home"));
        let first = HomeLock::acquire(&locations).unwrap();
        let error = HomeLock::acquire(&locations).unwrap_err();
        assert!(
            matches!(&error, LockError::Held { pid: Some(pid), socket: Some(socket) }
                if *pid == process::id() && *socket == locations.socket),
            "{error}"
        );
        drop(first);
        assert_eq!(std::fs::read_to_string(locations.lock_file()).unwrap(), "");
        HomeLock::acquire(&locations).unwrap();
    }

    #[test]
    fn what_a_killed_daemon_left_is_overwritten_whole() {
        let root = tempfile::tempdir().unwrap();
        let locations = locations(root.path());
        std::fs::write(locations.lock_file(), format!("1\n/{}\n", "long".repeat(100))).unwrap();
        let _lock = HomeLock::acquire(&locations).unwrap();
        let text = std::fs::read_to_string(locations.lock_file()).unwrap();
        assert_eq!(LockText::decode(&text).unwrap().pid, process::id());
    }

    #[test]
    fn a_client_that_asks_whether_the_lock_is_held_refuses_no_start() {
        let root = tempfile::tempdir().unwrap();
        let locations = locations(root.path());
        os::create_private_dir(&locations.home).unwrap();
        let mut file = os::open_private(&locations.lock_file()).unwrap();
        // A killed daemon leaves its text in the file, so the client has a pid to check.
        write(&mut file, &LockText { pid: process::id(), socket: "/s".into() }).unwrap();
        let asking = os::open_private(&locations.lock_file()).unwrap();
        asking.lock_shared().unwrap();
        let starting = std::thread::spawn(move || take(&mut file, u32::MAX).is_ok());
        pause();
        drop(asking);
        assert!(starting.join().unwrap());
    }

    #[test]
    fn a_holder_that_wrote_no_text_is_nobody_known() {
        let root = tempfile::tempdir().unwrap();
        let locations = locations(root.path());
        let holder = os::open_private(&locations.lock_file()).unwrap();
        holder.lock().unwrap();
        let mut file = os::open_private(&locations.lock_file()).unwrap();
        assert!(matches!(take(&mut file, 2), Err(Refusal::Held(None))));
        drop(holder);
        assert!(take(&mut file, 1).is_ok());
    }

    #[test]
    fn a_home_that_cannot_be_made_says_which_one() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = HomeLock::acquire(&locations(&file.join("home"))).unwrap_err();
        assert!(matches!(&error, LockError::Home { path, .. } if path.starts_with(&file)), "{error}");
    }
}
