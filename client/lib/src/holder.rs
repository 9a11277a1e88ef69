//! Finds the daemon process that holds a home's lock, and ends it. This does not need the socket, which may be deleted or unanswered.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use reel_protocol::endpoint::{Locations, LockText};

pub use self::process::Process;

/// The daemon that holds a home's lock.
#[derive(Debug)]
pub struct Holder {
    /// The process that holds the lock.
    pub process: Process,
    /// The path of its socket, as its lock file names it.
    pub socket: PathBuf,
}

impl Holder {
    /// Finds the daemon of this home; None if none runs.
    ///
    /// The text of the lock file is no proof. A killed daemon leaves it behind, and its pid may have been reused, also in another container. So the
    /// process is opened first, which protects against reuse of the pid. It must belong to this user and hold a lock, and the home's lock must be
    /// held while the text stays the same.
    pub fn find(locations: &Locations) -> Option<Self> {
        let file = locations.lock_file();
        let text = read(&file)?;
        let process = Process::open(text.pid).filter(Process::holds_a_lock)?;
        (is_locked(&file) && read(&file).as_ref() == Some(&text))
            .then_some(Self { process, socket: text.socket })
    }

    /// Returns the process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }
}

fn read(file: &Path) -> Option<LockText> {
    fs::read_to_string(file).ok().and_then(|text| LockText::decode(&text))
}

/// Tests the lock by trying to take it shared for a moment. A daemon that starts in this moment tries again.
fn is_locked(file: &Path) -> bool {
    File::open(file).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

#[cfg(target_os = "linux")]
mod process {
    use std::os::fd::OwnedFd;

    use rustix::{
        event::{PollFd, PollFlags, Timespec, poll},
        process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
    };

    use super::{fs, io};

    /// A process of this user. It is referred to by a pidfd, so that a signal never reaches another process that reuses the pid.
    #[derive(Debug)]
    pub struct Process {
        pid: u32,
        handle: OwnedFd,
    }

    impl Process {
        /// Opens the running process with this id; None if there is none, or if it belongs to another user.
        pub fn open(pid: u32) -> Option<Self> {
            let raw = i32::try_from(pid).ok().and_then(Pid::from_raw)?;
            let handle = pidfd_open(raw, PidfdFlags::empty()).ok()?;
            let process = Self { pid, handle };
            (!process.is_over() && uid(pid)? == rustix::process::geteuid().as_raw()).then_some(process)
        }

        /// Returns the process id, as `kill` takes it.
        pub fn pid(&self) -> u32 {
            self.pid
        }

        /// Whether the process has ended. A zombie counts as ended.
        pub fn is_over(&self) -> bool {
            let now = Timespec { tv_sec: 0, tv_nsec: 0 };
            poll(&mut [PollFd::new(&self.handle, PollFlags::IN)], Some(&now)).is_ok_and(|ready| ready > 0)
        }

        /// Whether the process holds a lock of the kind that a daemon takes (`flock`). True if the system does not tell. The inode of the lock is not
        /// compared, because some file systems report another number in `/proc/locks`.
        pub fn holds_a_lock(&self) -> bool {
            let Ok(locks) = fs::read_to_string("/proc/locks") else { return true };
            let pid = self.pid.to_string();
            // `1: FLOCK  ADVISORY  WRITE 4711 fe:00:1234 0 EOF` (proc(5)).
            locks.lines().any(|line| {
                let mut words = line.split_whitespace().skip(1);
                words.next() == Some("FLOCK") && words.nth(2) == Some(pid.as_str())
            })
        }

        /// Whether the process is stopped by a signal or a debugger, so that it does nothing until it is continued.
        pub fn is_suspended(&self) -> bool {
            let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
            // The state follows the process name, which is in parentheses and may itself contain some (proc(5)).
            stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['T', 't']))
        }

        /// Sends SIGTERM, which makes the daemon shut down cleanly.
        pub fn terminate(&self) -> io::Result<()> {
            Ok(pidfd_send_signal(&self.handle, Signal::TERM)?)
        }

        /// Sends SIGKILL, which the process cannot handle.
        pub fn kill(&self) -> io::Result<()> {
            Ok(pidfd_send_signal(&self.handle, Signal::KILL)?)
        }
    }

    /// Returns the effective user id of a process. The owner of its directory in `/proc` is no substitute: root owns it if the process has core dumps
    /// disabled.
    fn uid(pid: u32) -> Option<u32> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let uids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
        uids.split_whitespace().nth(1)?.parse().ok()
    }
}

/// Untested. Without a pidfd, a signal reaches another process if the daemon ends and its pid is reused during one command.
#[cfg(all(unix, not(target_os = "linux")))]
mod process {
    use rustix::process::{Pid, Signal, kill_process, test_kill_process};

    use super::io;

    /// A process of this user.
    #[derive(Debug)]
    pub struct Process(Pid);

    impl Process {
        /// Opens the running process with this id; None if there is none, or if it belongs to another user.
        pub fn open(pid: u32) -> Option<Self> {
            let pid = i32::try_from(pid).ok().and_then(Pid::from_raw)?;
            test_kill_process(pid).is_ok().then_some(Self(pid))
        }

        /// Returns the process id, as `kill` takes it.
        pub fn pid(&self) -> u32 {
            self.0.as_raw_nonzero().get().unsigned_abs()
        }

        /// Whether the process has ended.
        pub fn is_over(&self) -> bool {
            test_kill_process(self.0).is_err()
        }

        /// Always true: this system is not asked.
        pub fn holds_a_lock(&self) -> bool {
            true
        }

        /// Always false: this system is not asked.
        pub fn is_suspended(&self) -> bool {
            false
        }

        /// Sends SIGTERM, which makes the daemon shut down cleanly.
        pub fn terminate(&self) -> io::Result<()> {
            Ok(kill_process(self.0, Signal::TERM)?)
        }

        /// Sends SIGKILL, which the process cannot handle.
        pub fn kill(&self) -> io::Result<()> {
            Ok(kill_process(self.0, Signal::KILL)?)
        }
    }
}

#[cfg(not(unix))]
mod process {
    use super::io;

    /// A process id without any operation on it.
    #[derive(Debug)]
    pub struct Process(u32);

    impl Process {
        /// Always `None`: no process is opened on this system.
        pub fn open(_pid: u32) -> Option<Self> {
            None
        }

        /// Returns the process id, as `kill` takes it.
        pub fn pid(&self) -> u32 {
            self.0
        }

        /// Always true, so that nobody waits for the process.
        pub fn is_over(&self) -> bool {
            true
        }

        /// Always false: this system is not asked.
        pub fn holds_a_lock(&self) -> bool {
            false
        }

        /// Always false: this system is not asked.
        pub fn is_suspended(&self) -> bool {
            false
        }

        /// Always fails: no process is ended on this system.
        pub fn terminate(&self) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }

        /// Always fails: no process is ended on this system.
        pub fn kill(&self) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn only_a_living_process_that_holds_the_lock_is_the_daemon() {
        let root = tempfile::tempdir().unwrap();
        let home = root.path().to_owned();
        let locations =
            Locations::from_env(|name| (name == "REEL_HOME").then(|| home.clone().into())).unwrap();
        assert!(Holder::find(&locations).is_none());
        let write = |pid: u32| fs::write(locations.lock_file(), format!("{pid}\n/s\n")).unwrap();
        let mut other = Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap();
        // This is the text that a killed daemon leaves, with a pid that was reused by this process or another one.
        write(std::process::id());
        assert!(Holder::find(&locations).is_none());
        let file = File::open(locations.lock_file()).unwrap();
        file.lock().unwrap();
        let holder = Holder::find(&locations).unwrap();
        assert_eq!((holder.pid(), holder.socket.as_path()), (std::process::id(), Path::new("/s")));
        assert!(!holder.process.is_over() && !holder.process.is_suspended());
        write(other.id());
        assert!(Holder::find(&locations).is_none(), "this process holds no lock");
        let process = Process::open(other.id()).unwrap();
        process.terminate().unwrap();
        other.wait().unwrap();
        assert!(process.is_over() && Process::open(other.id()).is_none());
    }
}
