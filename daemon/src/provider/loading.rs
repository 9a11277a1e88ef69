//! Remembers since when a server of the user's own answers that it cannot work yet, so that it is not waited for without end. The words of such answers
//! are read here too.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use reel_protocol::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

use crate::disk::{read_small, replace};

/// The longest time between two such answers that belong to one time of loading. While a task waits, the server is asked at least once a minute.
const SAME: Duration = Duration::from_mins(3);
/// The same after the server was given up: the tasks that wait for it now fail within a moment, and a later one waits anew.
const SAME_AFTER: Duration = Duration::from_secs(10);
/// Most bytes of the file that are read.
const MAX_BYTES: u64 = 64 * 1024;

/// The servers that do not work yet. They are kept in a file of the home, so that a daemon that is restarted again and again does not wait for ever. Cheap
/// to clone.
#[derive(Debug, Clone, Default)]
pub struct LoadingServers(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    servers: Mutex<Servers>,
    /// The file. It is locked while it is written. None in tests.
    file: Option<Mutex<PathBuf>>,
}

/// The servers by their address.
type Servers = BTreeMap<String, Loading>;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Loading {
    since: Timestamp,
    last: Timestamp,
    is_given_up: bool,
}

impl LoadingServers {
    /// Returns the servers of this home. Reads a file. One that is damaged is ignored: then the servers are waited for anew.
    pub fn of_home(home: &Path) -> Self {
        let path = home.join("loading.json");
        let text = read_small(&path, MAX_BYTES).ok().flatten();
        let servers = text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        Self(Arc::new(Shared { servers: Mutex::new(servers), file: Some(Mutex::new(path)) }))
    }

    /// Records such an answer at `now`, and returns whether the server has given them for longer than `patience`.
    pub fn is_too_long(&self, address: &str, patience: Duration, now: Timestamp) -> bool {
        let is_given_up = {
            let mut servers = self.0.servers.lock().unwrap_or_else(PoisonError::into_inner);
            servers.retain(|_, loading| {
                now.since(loading.last) < if loading.is_given_up { SAME_AFTER } else { SAME }
            });
            let first = Loading { since: now, last: now, is_given_up: false };
            let loading = servers.entry(address.to_owned()).or_insert(first);
            // If the clock was set back, the time of loading begins anew.
            loading.since = loading.since.min(now);
            loading.last = now;
            loading.is_given_up |= now.since(loading.since) >= patience;
            loading.is_given_up
        };
        self.save();
        is_given_up
    }

    /// Records that the server works.
    pub fn works(&self, address: &str) {
        let former = self.0.servers.lock().unwrap_or_else(PoisonError::into_inner).remove(address);
        if former.is_some() {
            self.save();
        }
    }

    /// Writes the file on another thread. If that fails, a later daemon waits anew.
    fn save(&self) {
        let shared = Arc::clone(&self.0);
        if shared.file.is_none() {
            return;
        }
        spawn_blocking(move || {
            let Some(file) = &shared.file else { return };
            let path = file.lock().unwrap_or_else(PoisonError::into_inner);
            // The newest state, so that the last write is never an older one.
            let servers = shared.servers.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let written =
                serde_json::to_vec(&servers).map_err(Into::into).and_then(|text| replace(&path, &text));
            if let Err(error) = written {
                tracing::warn!(path = %path.display(), %error, "since when servers load could not be written");
            }
        });
    }
}

/// Whether a server says that loading its model has failed, which waiting does not change.
pub fn has_failed(words: &str) -> bool {
    const PHRASES: [&str; 9] = [
        "error loading",
        "error while loading",
        "failed to load",
        "failed loading",
        "loading failed",
        "unable to load",
        "could not load",
        "cannot load",
        "load failed",
    ];
    let words = words.to_ascii_lowercase();
    PHRASES.iter().any(|phrase| words.contains(phrase))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_given_up_after_the_patience_and_waited_for_anew_later() {
        let (servers, start) = (LoadingServers::default(), Timestamp::now());
        let after = |seconds: u64| Timestamp::from_unix_ms(start.unix_ms() + seconds * 1_000);
        let patience = Duration::from_mins(5);
        for (at, expected) in [
            (0, false),
            (150, false),
            (299, false),
            (300, true),
            // The other tasks that wait.
            (301, true),
            (309, true),
            // A person has tried it again.
            (330, false),
            (450, false),
            // Nobody has asked for a long time.
            (1_000, false),
            (1_170, false),
            (1_299, false),
            (1_300, true),
        ] {
            let now = after(at);
            assert_eq!(servers.is_too_long("http://a", patience, now), expected, "{at}");
        }
        // The clock is set back.
        let now = after(0);
        assert!(servers.is_too_long("http://a", patience, now), "it was given up");
        assert!(!servers.is_too_long("http://b", patience, now));
        servers.works("http://a");
        assert!(!servers.is_too_long("http://a", patience, now));
    }

    #[tokio::test]
    async fn a_restarted_daemon_knows_since_when_a_server_loads() {
        let home = tempfile::tempdir().unwrap();
        let patience = Duration::from_mins(5);
        let start = Timestamp::now();
        let path = home.path().join("loading.json");
        let written = async |is_there: bool| {
            while std::fs::read_to_string(&path).is_ok_and(|text| text.contains("http://a")) != is_there {
                tokio::task::yield_now().await;
            }
        };
        let first = LoadingServers::of_home(home.path());
        assert!(!first.is_too_long("http://a", patience, start));
        written(true).await;
        let later = Timestamp::from_unix_ms(start.unix_ms() + 170_000);
        let second = LoadingServers::of_home(home.path());
        assert!(!second.is_too_long("http://a", patience, later));
        assert!(second.is_too_long("http://a", patience, Timestamp::from_unix_ms(start.unix_ms() + 300_000)));
        second.works("http://a");
        written(false).await;
        std::fs::write(&path, "[").unwrap();
        assert!(!LoadingServers::of_home(home.path()).is_too_long("http://a", patience, later));
    }

    #[test]
    fn words_about_a_failure_are_told_from_words_about_loading() {
        for (words, expected) in [
            ("Loading model", false),
            ("model is loading, please wait", false),
            ("error loading model: unknown architecture", true),
            ("Failed to load model from file", true),
            ("llama_load_model_from_file: loading failed", true),
            ("Model could not load", true),
            ("", false),
        ] {
            assert_eq!(has_failed(words), expected, "{words}");
        }
    }
}
