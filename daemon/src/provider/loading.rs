//! Remembers since when a server of the user's own answers that it cannot work yet, so that it is not waited for without end. The words of such answers
//! are read here too.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// The longest time between two such answers that belong to one time of loading. While a task waits, the server is asked at least once a minute.
const SAME: Duration = Duration::from_mins(3);
/// The same after the server was given up: the tasks that wait for it now fail within a moment, and a later one waits anew.
const SAME_AFTER: Duration = Duration::from_secs(10);

/// The servers that do not work yet, by their address. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct LoadingServers(Arc<Mutex<BTreeMap<String, Loading>>>);

#[derive(Debug)]
struct Loading {
    since: Instant,
    last: Instant,
    is_given_up: bool,
}

impl LoadingServers {
    /// Records such an answer at `now`, and returns whether the server has given them for longer than `patience`.
    pub fn is_too_long(&self, address: &str, patience: Duration, now: Instant) -> bool {
        let mut servers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        servers.retain(|_, loading| {
            now.duration_since(loading.last) < if loading.is_given_up { SAME_AFTER } else { SAME }
        });
        let loading = servers.entry(address.to_owned()).or_insert(Loading {
            since: now,
            last: now,
            is_given_up: false,
        });
        loading.last = now;
        loading.is_given_up |= now.duration_since(loading.since) >= patience;
        loading.is_given_up
    }

    /// Records that the server works.
    pub fn works(&self, address: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(address);
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
        let (servers, start) = (LoadingServers::default(), Instant::now());
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
            let now = start + Duration::from_secs(at);
            assert_eq!(servers.is_too_long("http://a", patience, now), expected, "{at}");
        }
        let now = start + Duration::from_secs(1_301);
        assert!(!servers.is_too_long("http://b", patience, now));
        servers.works("http://a");
        assert!(!servers.is_too_long("http://a", patience, now));
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
