//! Compares the configuration file with the configuration that the running daemon uses. Pure except for reading the file.

use std::{fs, io, path::Path};

use reel_protocol::{
    Digest,
    methods::{ConfigInForce, DaemonStatusResult},
};

/// Largest file that is read, in bytes. The daemon refuses larger ones without reading them.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// How the file differs from the configuration that the daemon uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigFileState {
    /// The daemon uses this file.
    InForce,
    /// The daemon uses this file, except for these keys, which need a restart.
    NeedsRestart(Vec<String>),
    /// The daemon read the file and refused it, for this reason.
    Refused(String),
    /// The file was changed after the daemon read it.
    Changed,
}

impl ConfigFileState {
    /// Compares the file that the daemon names. If the daemon does not say what it uses, or the file cannot be read, no difference is reported.
    pub fn of_file(status: &DaemonStatusResult) -> Self {
        let Some(in_force) = &status.config_in_force else { return Self::InForce };
        match digest(Path::new(&status.config)) {
            Ok(file) => Self::new(in_force, file),
            Err(_) => Self::new(in_force, in_force.digest),
        }
    }

    fn new(in_force: &ConfigInForce, file: Option<Digest>) -> Self {
        match &in_force.refused {
            _ if file == in_force.digest && in_force.needs_restart.is_empty() => Self::InForce,
            _ if file == in_force.digest => Self::NeedsRestart(in_force.needs_restart.clone()),
            Some(reason) => Self::Refused(reason.clone()),
            None => Self::Changed,
        }
    }

    /// Describes the difference; None if there is none.
    pub fn words(&self) -> Option<String> {
        match self {
            Self::InForce => None,
            Self::NeedsRestart(keys) => {
                Some(format!("used after a restart of the daemon (reel daemon restart): {}", keys.join(", ")))
            }
            Self::Refused(reason) => Some(format!(
                "refused by the daemon, which goes on with the former settings: {}",
                reason.lines().next().unwrap_or_default()
            )),
            Self::Changed => {
                Some("not read by the daemon yet: reel daemon reload has it read now".to_owned())
            }
        }
    }
}

/// Returns the digest of the file; None if it does not exist.
fn digest(path: &Path) -> io::Result<Option<Digest>> {
    let metadata = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        metadata => metadata?,
    };
    if !metadata.is_file() || metadata.len() > MAX_FILE_BYTES {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let bytes = fs::read(path)?;
    Ok(Some(Digest::from_bytes(*blake3::hash(&bytes).as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_compared_by_what_it_says() {
        let one = Some(Digest::from_bytes([1; 32]));
        let other = Some(Digest::from_bytes([2; 32]));
        let refused = || Some("config.toml:1:2: unknown key task\nconfig.toml:2:1: more".to_owned());
        let keys = || vec!["log.max_mb".to_owned()];
        for (digest, refused, needs_restart, file, expected) in [
            (one, None, vec![], one, ConfigFileState::InForce),
            (None, None, vec![], None, ConfigFileState::InForce),
            (one, None, keys(), one, ConfigFileState::NeedsRestart(keys())),
            (one, None, vec![], other, ConfigFileState::Changed),
            (one, None, keys(), None, ConfigFileState::Changed),
            (None, None, vec![], one, ConfigFileState::Changed),
            (one, refused(), vec![], other, ConfigFileState::Refused(refused().unwrap())),
            // The file was restored to its former content before the daemon noticed.
            (one, refused(), vec![], one, ConfigFileState::InForce),
        ] {
            let in_force = ConfigInForce { digest, refused, needs_restart };
            assert_eq!(ConfigFileState::new(&in_force, file), expected, "{in_force:?} {file:?}");
        }
        let words = ConfigFileState::Refused(refused().unwrap()).words().unwrap();
        assert_eq!(
            words,
            "refused by the daemon, which goes on with the former settings: config.toml:1:2: unknown key task"
        );
    }

    #[test]
    fn a_file_is_there_or_not_or_nobody_knows() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("config.toml");
        assert_eq!(digest(&file).unwrap(), None);
        fs::write(&file, "").unwrap();
        let empty = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262".parse().ok();
        assert_eq!(digest(&file).unwrap(), empty);
        assert!(digest(root.path()).is_err());
    }
}
