//! API keys: a type that prints as `***` wherever it is formatted, and the sources from which a key is read.

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use tokio::task::spawn_blocking;

/// Longest key that is read, in bytes. Real keys have fewer than 3,000; the longest are tokens of cloud accounts.
const MAX_KEY_BYTES: u64 = 16 * 1024;
/// Shortest key that is removed from messages of services, in bytes. Shorter keys, such as `x`, are placeholders for servers that need no key, and
/// removing them would garble every message.
const MIN_REDACTED_BYTES: usize = 8;

/// A key. Only [`Secret::expose`] returns its text, for the one header that carries it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Creates a key. Removes the white space around it, because files end with some, and the byte order mark that some editors write. None if
    /// nothing remains.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim_start_matches('\u{feff}').trim();
        (!text.is_empty()).then(|| Self(text.to_owned()))
    }

    /// Returns why the text cannot be a key, for a person. The message contains at most one character of the text.
    fn fault(&self) -> Option<String> {
        if self.0.starts_with("Bearer ") {
            return Some("begins with the word Bearer, which reel adds itself".to_owned());
        }
        let (place, unfit) = self.0.chars().enumerate().find(|(_, c)| !matches!(c, ' '..='~'))?;
        let name = match unfit {
            '\n' | '\r' => "a line break".to_owned(),
            '\u{200b}' => "a zero-width space (U+200B)".to_owned(),
            '\u{a0}' => "a no-break space (U+00A0)".to_owned(),
            '\u{feff}' => "a byte order mark (U+FEFF)".to_owned(),
            '\u{2022}' | '\u{25cf}' => format!("a bullet {unfit} (U+{:04X})", u32::from(unfit)),
            c if c.is_control() || c.is_whitespace() => format!("the character U+{:04X}", u32::from(c)),
            c => format!("the character {c} (U+{:04X})", u32::from(c)),
        };
        Some(format!("holds {name} at place {}, which no key has", place + 1))
    }

    /// Returns the text of the key.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Removes this key from a text of a service. Services repeat in errors what they were sent.
    pub fn redact(&self, text: &str) -> String {
        if self.0.len() < MIN_REDACTED_BYTES { text.to_owned() } else { text.replace(&self.0, "***") }
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

/// Where a key is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// A variable of the daemon's environment.
    Env(String),
    /// A file. `~/` means the user's home.
    File(PathBuf),
    /// The name of a credential that systemd passes to the unit.
    Credential(String),
    /// The key itself, from the configuration.
    Plain(Secret),
}

/// The reason why a key could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The variable is missing or empty.
    #[error("{0} is not set in the daemon's environment")]
    NotSet(String),
    /// The file cannot be read.
    #[error("the key file {} cannot be read", path.display())]
    Unreadable {
        /// The key file.
        path: PathBuf,
        /// The error of the file system.
        #[source]
        source: io::Error,
    },
    /// The file is empty, is no regular file, or is too long to be a key.
    #[error("the key file {} holds no key", .0.display())]
    NoKey(PathBuf),
    /// The file is not UTF-8 text.
    #[error("the key file {} is not UTF-8 text", .0.display())]
    NotText(PathBuf),
    /// The text cannot be a key.
    #[error("{place} {fault}")]
    Unfit {
        /// The source of the text.
        place: String,
        /// The reason why it cannot be a key.
        fault: String,
    },
    /// The daemon was not started by systemd with credentials.
    #[error("the credential {0} was not passed: the daemon's unit has no LoadCredential= for it")]
    NoCredential(String),
}

impl SecretSource {
    /// Describes where the key is, for a person.
    pub fn place(&self) -> String {
        match self {
            Self::Env(name) => format!("the environment variable {name}"),
            Self::File(path) => path.display().to_string(),
            Self::Credential(name) => format!("the credential {name}"),
            Self::Plain(_) => "the configuration".to_owned(),
        }
    }

    /// Reads the key. A file is read each time, on a blocking thread, so that a changed key is used from the next call on.
    pub async fn load(&self) -> Result<Secret, SecretError> {
        match self {
            Self::Plain(_) | Self::Env(_) => self.read(),
            Self::File(_) | Self::Credential(_) => {
                let source = self.clone();
                let read = spawn_blocking(move || source.read()).await;
                read.unwrap_or_else(|error| {
                    Err(SecretError::Unreadable { path: PathBuf::new(), source: io::Error::other(error) })
                })
            }
        }
    }

    fn read(&self) -> Result<Secret, SecretError> {
        let (place, secret) = match self {
            Self::Plain(secret) => ("the key in the configuration".to_owned(), secret.clone()),
            Self::Env(name) => {
                let text = std::env::var_os(name).unwrap_or_default();
                let secret = Secret::new(&text.to_string_lossy());
                (name.clone(), secret.ok_or_else(|| SecretError::NotSet(name.clone()))?)
            }
            Self::File(path) => read_file(&expand_home(path))?,
            Self::Credential(name) => {
                let directory = std::env::var_os("CREDENTIALS_DIRECTORY");
                let directory = directory.ok_or_else(|| SecretError::NoCredential(name.clone()))?;
                read_file(&Path::new(&directory).join(name))?
            }
        };
        match secret.fault() {
            None => Ok(secret),
            Some(fault) => Err(SecretError::Unfit { place, fault }),
        }
    }
}

/// Returns the key in a file, and the name of the file for messages.
fn read_file(path: &Path) -> Result<(String, Secret), SecretError> {
    let unreadable = |source| SecretError::Unreadable { path: path.to_owned(), source };
    // Opening a pipe would block until somebody writes into it.
    if !path.metadata().map_err(unreadable)?.is_file() {
        return Err(SecretError::NoKey(path.to_owned()));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(MAX_KEY_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_KEY_BYTES {
        return Err(SecretError::NoKey(path.to_owned()));
    }
    let text = String::from_utf8(bytes).map_err(|_| SecretError::NotText(path.to_owned()))?;
    let secret = Secret::new(&text).ok_or_else(|| SecretError::NoKey(path.to_owned()))?;
    Ok((format!("the key file {}", path.display()), secret))
}

/// Returns the path with the home directory of the user in place of a leading `~`.
pub fn expand_home(path: &Path) -> PathBuf {
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
        let secret = Secret::new(" sk-12345\n").unwrap();
        let source = SecretSource::Plain(secret.clone());
        assert_eq!(format!("{secret} {secret:?} {source:?}"), "*** *** Plain(***)");
        assert_eq!(secret.redact("Incorrect API key: sk-12345."), "Incorrect API key: ***.");
        assert_eq!(secret.expose(), "sk-12345");
        assert!(Secret::new(" \n").is_none());
    }

    #[tokio::test]
    async fn a_key_is_read_anew_with_each_call() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("key");
        let source = SecretSource::File(path.clone());
        assert!(source.load().await.is_err());
        for text in ["sk-1", "sk-2"] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(source.load().await.unwrap().expose(), text);
        }
        std::fs::remove_file(&path).unwrap();
        assert!(source.load().await.is_err());
    }

    #[test]
    fn a_text_that_is_no_key_is_refused_by_the_name_of_what_is_wrong() {
        let read = |text: &str| {
            let secret = Secret::new(text).unwrap();
            SecretSource::Plain(secret).read().map_err(|error| error.to_string())
        };
        for (text, part) in [
            ("sk-1\u{200b}\n", "a zero-width space (U+200B) at place 5"),
            ("sk-\u{2022}\u{2022}", "a bullet • (U+2022)"),
            ("sk\u{2013}1", "the character – (U+2013) at place 3"),
            ("sk-1\nsk-2", "a line break"),
            ("sk\u{feff}-1", "a byte order mark"),
            ("sk-\u{7}", "U+0007"),
            ("Bearer sk-1", "the word Bearer"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(part) && !error.contains("sk-"), "{text}: {error}");
        }
        for (text, key) in
            [("\u{feff}sk-1\r\n", "sk-1"), ("\u{a0}sk-1 ", "sk-1"), ("not needed", "not needed")]
        {
            assert_eq!(read(text).unwrap().expose(), key);
        }
    }

    #[test]
    fn a_dummy_key_garbles_no_message() {
        assert_eq!(Secret::new("x").unwrap().redact("next example"), "next example");
        assert_eq!(Secret::new("sk-12345").unwrap().redact("no sk-12345"), "no ***");
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
        std::fs::write(&path, b"\xff\xfes\0k\0").unwrap();
        assert!(matches!(read(), Err(SecretError::NotText(_))));
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
