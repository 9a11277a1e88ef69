//! API keys: a text that prints as `***` wherever it is formatted, and the places that it is read from.

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

/// Longest key that is read, in bytes: real ones have fewer than 3,000, the longest being tokens of cloud accounts.
const MAX_KEY_BYTES: u64 = 16 * 1024;

/// A file that was changed this short a time ago may change again without showing it, as clocks of file systems tick every few milliseconds.
const SETTLED: Duration = Duration::from_secs(1);

/// A key. Only [`Secret::expose`] gives its text, for the one header that carries it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The key without the white space around it, which files end with; None where nothing remains.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty()).then(|| Self(text.to_owned()))
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// A text of somebody else's without this key: services repeat in an error what they were sent.
    pub fn redact(&self, text: &str) -> String {
        text.replace(&self.0, "***")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Where a key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// A variable of the daemon's environment.
    Env(String),
    /// A file; `~/` is the user's home.
    File(PathBuf),
    /// A credential that systemd hands to the unit, by name.
    Credential(String),
    /// The text stands in the configuration itself.
    Plain(Secret),
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The variable is not there, or empty.
    #[error("{0} is not set in the daemon's environment")]
    NotSet(String),
    /// The file cannot be read.
    #[error("the key file {} cannot be read", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is empty, or no key could be that long.
    #[error("the key file {} holds no key", .0.display())]
    NoKey(PathBuf),
    /// The daemon was not started by systemd with credentials.
    #[error("the credential {0} was not passed: the daemon's unit has no LoadCredential= for it")]
    NoCredential(String),
}

impl SecretSource {
    /// Reads the key.
    pub fn read(&self) -> Result<Secret, SecretError> {
        match self {
            Self::Plain(secret) => Ok(secret.clone()),
            Self::Env(name) => std::env::var(name)
                .ok()
                .and_then(|text| Secret::new(&text))
                .ok_or_else(|| SecretError::NotSet(name.clone())),
            Self::File(path) => read_file(&expand_home(path)),
            Self::Credential(name) => {
                read_file(&self.path().ok_or_else(|| SecretError::NoCredential(name.clone()))?)
            }
        }
    }

    /// The file that holds it, if one does.
    fn path(&self) -> Option<PathBuf> {
        match self {
            Self::Plain(_) | Self::Env(_) => None,
            Self::File(path) => Some(expand_home(path)),
            Self::Credential(name) => Some(Path::new(&std::env::var_os("CREDENTIALS_DIRECTORY")?).join(name)),
        }
    }
}

/// A key that is asked for with each call. Its file is looked at each time, so that one that was changed counts from the next call on, and
/// read again when it was.
#[derive(Debug)]
pub struct Key {
    source: SecretSource,
    read: Mutex<Option<(FileStamp, Secret)>>,
}

/// What tells a file from a changed one.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FileStamp {
    modified: Option<SystemTime>,
    size_bytes: u64,
    #[cfg(unix)]
    inode: (u64, i64, i64),
}

impl FileStamp {
    fn of(path: &Path) -> Option<Self> {
        let metadata = path.metadata().ok()?;
        Some(Self {
            modified: metadata.modified().ok(),
            size_bytes: metadata.len(),
            #[cfg(unix)]
            inode: {
                use std::os::unix::fs::MetadataExt as _;
                (metadata.ino(), metadata.ctime(), metadata.ctime_nsec())
            },
        })
    }

    /// Whether the file was left alone for a moment. Copies keep the time of modification, so that one alone says little.
    fn is_settled(&self) -> bool {
        let is_old = |at: SystemTime| at.elapsed().is_ok_and(|age| age > SETTLED);
        #[cfg(unix)]
        let is_changed_long_ago =
            is_old(SystemTime::UNIX_EPOCH + Duration::from_secs(self.inode.1.max(0) as u64));
        #[cfg(not(unix))]
        let is_changed_long_ago = true;
        self.modified.is_some_and(is_old) && is_changed_long_ago
    }
}

impl Key {
    /// Of this source, which is not looked at yet.
    pub fn new(source: SecretSource) -> Self {
        Self { source, read: Mutex::default() }
    }

    /// The key as it is now.
    pub fn get(&self) -> Result<Secret, SecretError> {
        // Before it is read: one that changes meanwhile has another stamp the next time.
        let Some(stamp) = self.source.path().and_then(|path| FileStamp::of(&path)) else {
            return self.source.read();
        };
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, secret)) = &*read
            && *of == stamp
        {
            return Ok(secret.clone());
        }
        let secret = self.source.read()?;
        *read = stamp.is_settled().then(|| (stamp, secret.clone()));
        Ok(secret)
    }
}

fn read_file(path: &Path) -> Result<Secret, SecretError> {
    let unreadable = |source| SecretError::Unreadable { path: path.to_owned(), source };
    // Opening a pipe would wait for somebody to write into it.
    if !path.metadata().map_err(unreadable)?.is_file() {
        return Err(SecretError::NoKey(path.to_owned()));
    }
    let mut text = String::new();
    let file = File::open(path).map_err(unreadable)?;
    let length = file.take(MAX_KEY_BYTES + 1).read_to_string(&mut text).map_err(unreadable)?;
    let key = Secret::new(&text).filter(|_| length as u64 <= MAX_KEY_BYTES);
    key.ok_or_else(|| SecretError::NoKey(path.to_owned()))
}

fn expand_home(path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), std::env::var_os("HOME")) {
        (Ok(rest), Some(home)) => Path::new(&home).join(rest),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_not_formatted_and_is_taken_out_of_foreign_texts() {
        let secret = Secret::new(" sk-1234\n").unwrap();
        let source = SecretSource::Plain(secret.clone());
        assert_eq!(format!("{secret} {secret:?} {source:?}"), "*** *** Plain(***)");
        assert_eq!(secret.redact("Incorrect API key: sk-1234."), "Incorrect API key: ***.");
        assert_eq!(secret.expose(), "sk-1234");
        assert!(Secret::new(" \n").is_none());
    }

    #[test]
    fn a_key_is_read_anew_when_its_file_changed() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("key");
        let key = Key::new(SecretSource::File(path.clone()));
        assert!(key.get().is_err());
        let write = |text: &str, age| {
            std::fs::write(&path, text).unwrap();
            File::options().write(true).open(&path).unwrap().set_modified(SystemTime::now() - age).unwrap();
        };
        write("sk-1", Duration::from_mins(1));
        assert_eq!(key.get().unwrap().expose(), "sk-1");
        write("sk-2", Duration::from_secs(30));
        assert_eq!(key.get().unwrap().expose(), "sk-2");
        write("sk-3", Duration::ZERO);
        assert_eq!(key.get().unwrap().expose(), "sk-3");
        assert!(key.read.lock().unwrap().is_none(), "it may change again within the same tick");
        // What was read of the file as it stands now is not read again.
        let seen = (FileStamp::of(&path).unwrap(), Secret::new("seen").unwrap());
        *key.read.lock().unwrap() = Some(seen.clone());
        assert_eq!(key.get().unwrap(), seen.1);
        std::fs::remove_file(&path).unwrap();
        assert!(key.get().is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_copy_with_an_old_time_has_not_settled() {
        let stamp = |changed_s| FileStamp {
            modified: Some(SystemTime::UNIX_EPOCH),
            size_bytes: 4,
            inode: (1, changed_s, 0),
        };
        let now_s = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() as i64;
        assert!(stamp(now_s - 60).is_settled() && !stamp(now_s).is_settled());
    }

    #[test]
    fn a_file_gives_its_key_and_says_why_it_does_not() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("key");
        let read = || SecretSource::File(path.clone()).read();
        assert!(matches!(read(), Err(SecretError::Unreadable { .. })));
        std::fs::write(&path, "\n").unwrap();
        assert!(matches!(read(), Err(SecretError::NoKey(_))));
        std::fs::write(&path, "sk-1\n").unwrap();
        assert_eq!(read().unwrap().expose(), "sk-1");
        std::fs::write(&path, "x".repeat(20_000)).unwrap();
        assert!(matches!(read(), Err(SecretError::NoKey(_))));
        let directory = SecretSource::File(root.path().to_owned()).read();
        assert!(matches!(directory, Err(SecretError::NoKey(_))));
        assert!(matches!(
            SecretSource::Env("REEL_TEST_NO_SUCH_VARIABLE".into()).read(),
            Err(SecretError::NotSet(_))
        ));
    }
}
