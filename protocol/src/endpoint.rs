//! Finds the daemon: its home, its socket, its configuration, and the lock file that names a running one.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

/// Longest path of a Unix socket, in bytes. `sun_path` has 108 bytes on Linux (unix(7)) and 104 on macOS, its final zero included.
pub const SOCKET_PATH_BYTES: usize = if cfg!(target_os = "macos") { 103 } else { 107 };

/// The paths of one user's daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locations {
    /// The home directory. It has the database, the artifacts, the logs and the lock file.
    pub home: PathBuf,
    /// The path of the socket.
    pub socket: PathBuf,
    /// Whether `$REEL_SOCKET` or a flag named the socket. No other socket may be tried then.
    pub is_socket_given: bool,
    /// The configuration file, whether or not it exists.
    pub config: PathBuf,
}

/// Why the paths are unknown.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// No variable is set that leads to a home.
    #[error("neither REEL_HOME, XDG_DATA_HOME nor HOME is set")]
    NoHome,
    /// The path of the socket is longer than the system allows.
    #[error("the socket path is {bytes} bytes long, the system allows {SOCKET_PATH_BYTES}: {}", path.display())]
    SocketPathTooLong {
        /// The path of the socket.
        path: PathBuf,
        /// Its length in bytes.
        bytes: usize,
    },
    /// A relative path could not be made absolute.
    #[error("cannot tell the current directory")]
    NoCurrentDirectory(#[source] std::io::Error),
}

impl Locations {
    /// Finds the paths by the variables of the specification, which it reads through `get` (normally [`variable`]). Empty ones count as unset.
    ///
    /// Home: `REEL_HOME`, else `XDG_DATA_HOME/reel`, else `HOME/.local/share/reel`. Socket: `REEL_SOCKET`, else `XDG_RUNTIME_DIR/reel/reeld.sock`
    /// unless `REEL_HOME` is set, else `reeld.sock` in the home. Configuration: `REEL_CONFIG`, else `XDG_CONFIG_HOME/reel/config.toml`, else
    /// `HOME/.config/reel/config.toml`, else `config.toml` in the home.
    pub fn from_env(get: impl Fn(&str) -> Option<OsString>) -> Result<Self, EndpointError> {
        let path = |name: &str| get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        // The XDG base directory specification says that relative values are to be ignored.
        let xdg = |name: &str| path(name).filter(|path| path.is_absolute());
        let user_home = xdg("HOME");
        let given_home = path("REEL_HOME");
        let home = given_home
            .clone()
            .or_else(|| xdg("XDG_DATA_HOME").map(|dir| dir.join("reel")))
            .or_else(|| user_home.as_ref().map(|dir| dir.join(".local/share/reel")))
            .ok_or(EndpointError::NoHome)?;
        let home = absolute(&home)?;
        let given_socket = path("REEL_SOCKET");
        let is_socket_given = given_socket.is_some();
        let runtime =
            || xdg("XDG_RUNTIME_DIR").filter(|_| given_home.is_none()).map(|dir| dir.join("reel/reeld.sock"));
        let socket = given_socket.or_else(runtime).unwrap_or_else(|| home.join("reeld.sock"));
        let config = path("REEL_CONFIG")
            .or_else(|| xdg("XDG_CONFIG_HOME").map(|dir| dir.join("reel/config.toml")))
            .or_else(|| user_home.map(|dir| dir.join(".config/reel/config.toml")))
            .unwrap_or_else(|| home.join("config.toml"));
        Ok(Self { socket: absolute(&socket)?, is_socket_given, config: absolute(&config)?, home })
    }

    /// Returns an error if the path of the socket is longer than the system allows.
    pub fn check_socket(&self) -> Result<(), EndpointError> {
        let bytes = self.socket.as_os_str().len();
        if bytes > SOCKET_PATH_BYTES {
            return Err(EndpointError::SocketPathTooLong { path: self.socket.clone(), bytes });
        }
        Ok(())
    }

    /// Returns the path of the lock file. A daemon that runs on this home holds a `flock` on it, and its text is a [`LockText`].
    pub fn lock_file(&self) -> PathBuf {
        self.home.join("reeld.lock")
    }

    /// Returns the directory of the daemon's logs.
    pub fn logs(&self) -> PathBuf {
        self.home.join("logs")
    }
}

/// Reads a variable of the process, for [`Locations::from_env`].
///
/// `XDG_RUNTIME_DIR` counts as unset unless it names a directory that exists and belongs to `own_uid`: after `su`, and in cron jobs and containers,
/// it names another user's directory or none, and no socket could be made there.
#[cfg(unix)]
pub fn variable(name: &str, own_uid: u32) -> Option<OsString> {
    use std::os::unix::fs::MetadataExt as _;
    let value = std::env::var_os(name)?;
    let is_usable = name != "XDG_RUNTIME_DIR"
        || std::fs::metadata(&value).is_ok_and(|directory| directory.is_dir() && directory.uid() == own_uid);
    is_usable.then_some(value)
}

/// Reads a variable of the process, for [`Locations::from_env`].
#[cfg(not(unix))]
pub fn variable(name: &str, _own_uid: u32) -> Option<OsString> {
    std::env::var_os(name)
}

fn absolute(path: &Path) -> Result<PathBuf, EndpointError> {
    std::path::absolute(path).map_err(EndpointError::NoCurrentDirectory)
}

/// The text of the lock file: the process id of the daemon that holds it on one line, and the path of its socket on the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockText {
    /// The daemon's process id.
    pub pid: u32,
    /// The path of the socket on which the daemon listens.
    pub socket: PathBuf,
}

impl LockText {
    /// Returns the text of the file.
    pub fn encode(&self) -> String {
        format!("{}\n{}\n", self.pid, self.socket.display())
    }

    /// Parses the text of the file. None if it is not complete, because a daemon is just writing it.
    pub fn decode(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let pid = lines.next()?.parse().ok()?;
        let socket = lines.next().filter(|line| !line.is_empty())?;
        text.ends_with('\n').then(|| Self { pid, socket: PathBuf::from(socket) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locations(variables: &[(&str, &str)]) -> Locations {
        Locations::from_env(|name| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into())
        })
        .unwrap()
    }

    #[test]
    fn places_follow_the_variables_in_their_order() {
        let all =
            [("HOME", "/h"), ("XDG_DATA_HOME", "/d"), ("XDG_RUNTIME_DIR", "/r"), ("XDG_CONFIG_HOME", "/c")];
        let found = locations(&all);
        assert_eq!(found.home, Path::new("/d/reel"));
        assert_eq!(found.socket, Path::new("/r/reel/reeld.sock"));
        assert_eq!(found.config, Path::new("/c/reel/config.toml"));
        let found = locations(&[("HOME", "/h"), ("XDG_RUNTIME_DIR", ""), ("XDG_DATA_HOME", "relative")]);
        assert_eq!(found.home, Path::new("/h/.local/share/reel"));
        assert_eq!(found.socket, Path::new("/h/.local/share/reel/reeld.sock"));
        let found = locations(&[
            ("HOME", "/h"),
            ("REEL_HOME", "/x"),
            ("REEL_SOCKET", "/s"),
            ("XDG_RUNTIME_DIR", "/r"),
        ]);
        assert_eq!((found.socket.as_path(), found.is_socket_given), (Path::new("/s"), true));
        assert_eq!(
            locations(&[("REEL_HOME", "/x"), ("XDG_RUNTIME_DIR", "/r")]).socket,
            Path::new("/x/reeld.sock")
        );
        assert!(Locations::from_env(|_| None).is_err());
    }

    #[test]
    fn a_socket_path_that_the_system_would_cut_is_refused() {
        let long = format!("/{}", "x".repeat(SOCKET_PATH_BYTES));
        assert!(locations(&[("HOME", "/h"), ("REEL_SOCKET", &long)]).check_socket().is_err());
        assert!(
            locations(&[("HOME", "/h"), ("REEL_SOCKET", &long[..SOCKET_PATH_BYTES])]).check_socket().is_ok()
        );
    }

    #[test]
    fn the_lock_file_reads_back_and_a_half_written_one_is_none() {
        let text = LockText { pid: 7, socket: "/a b/s".into() };
        assert_eq!(LockText::decode(&text.encode()), Some(text));
        for half in ["", "7", "7\n", "7\n/a", "x\n/a\n"] {
            assert_eq!(LockText::decode(half), None, "{half:?}");
        }
    }
}
