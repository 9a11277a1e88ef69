//! Pulls a model: asks the server to download it, and shows the progress.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    domain::{Class, Failure, ProgressSink},
    provider::{http::Chunks, remote::RemoteProvider},
};

/// Largest line of the progress, in bytes.
const MAX_LINE_BYTES: usize = 64 * 1024;
/// Shortest time between two reports.
const TOLD_EVERY: Duration = Duration::from_millis(100);
/// How often a download is continued that made no progress since the last time.
const MAX_FRUITLESS: u32 = 3;

/// The state of a download.
#[derive(Debug, Default, PartialEq)]
pub(super) struct PullState {
    /// The completed and the total bytes of each layer, by its digest.
    layers: BTreeMap<String, (u64, u64)>,
    /// What the server does at the moment.
    status: String,
    /// Whether the model is complete.
    is_done: bool,
    /// The error that the server reported.
    error: Option<String>,
}

impl PullState {
    /// Adds a line. A line that is no JSON is ignored.
    pub(super) fn push(&mut self, line: &[u8]) {
        let Ok(value) = serde_json::from_slice::<Value>(line) else { return };
        if let Some(error) = value.get("error").and_then(Value::as_str) {
            self.error = Some(error.to_owned());
        }
        if let Some(status) = value.get("status").and_then(Value::as_str) {
            self.is_done |= status == "success";
            status.clone_into(&mut self.status);
        }
        let count = |name: &str| value.get(name).and_then(Value::as_u64);
        if let Some((digest, total)) = value.get("digest").and_then(Value::as_str).zip(count("total")) {
            let completed = count("completed").unwrap_or_default();
            self.layers.insert(digest.to_owned(), (completed.min(total), total));
        }
    }

    /// The completed bytes and the known total.
    fn bytes(&self) -> (u64, u64) {
        self.layers
            .values()
            .fold((0, 0), |(completed, total), layer| (completed + layer.0, total.saturating_add(layer.1)))
    }

    fn report(&self, model: &str, progress: &ProgressSink) {
        let (completed, total) = self.bytes();
        let fraction = if total == 0 { 0.0 } else { completed as f64 / total as f64 };
        let what = match total {
            0 => self.status.clone(),
            _ => format!("{:.1} of {:.1} GB", completed as f64 / 1e9, total as f64 / 1e9),
        };
        progress.report(fraction * 0.9, format!("pulling {model}: {what}"));
    }
}

/// Downloads a model to the server. The server keeps what it has when the connection breaks, so the download is continued as long as it advances.
pub(super) async fn pull(
    remote: &RemoteProvider,
    model: &str,
    progress: &ProgressSink,
) -> Result<(), Failure> {
    let name = &remote.config.name;
    let (mut had, mut fruitless) = (0, 0);
    loop {
        progress.report(0.0, format!("pulling {model}"));
        let body = json!({ "model": model, "stream": true });
        let exchange = remote.send_beside(Method::POST, "api/pull", Some(&body)).await;
        let exchange = exchange.map_err(|failure| refused(name, model, failure))?;
        let (sink, what) = (progress.clone(), model.to_owned());
        let read = exchange.read_with(|_| (), move |chunks| read(chunks, &what, &sink)).await;
        let Some((state, cut)) = read else {
            return Err(Failure::new(
                Class::Unknown,
                "reading the progress failed",
                "reel daemon logs shows the cause",
            ));
        };
        if let Some(error) = state.error {
            return Err(failed(name, model, &error));
        }
        if state.is_done {
            return Ok(());
        }
        let (completed, _) = state.bytes();
        fruitless = if completed > had { 0 } else { fruitless + 1 };
        had = had.max(completed);
        if fruitless == MAX_FRUITLESS {
            let why = cut.unwrap_or_else(|| "the progress ended before its end".to_owned());
            let message = format!("{name} did not finish pulling {model}: {why}");
            return Err(Failure::new(Class::Transient(None), message, "it is tried again, and continues"));
        }
    }
}

/// Reads the progress to its end. Returns the last state, and why the answer was cut if it was. Blocks on the body.
fn read(chunks: Chunks, model: &str, progress: &ProgressSink) -> (PullState, Option<String>) {
    let (mut state, mut line) = (PullState::default(), Vec::new());
    let mut told_at: Option<Instant> = None;
    for chunk in chunks {
        let bytes = match chunk {
            Ok(bytes) => bytes,
            Err(reason) => return (state, Some(reason)),
        };
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            line.extend_from_slice(piece);
            if line.len() > MAX_LINE_BYTES {
                return (state, Some("a line of the progress is too long".to_owned()));
            }
            if piece.ends_with(b"\n") {
                state.push(&line);
                line.clear();
            }
        }
        if told_at.is_none_or(|at| at.elapsed() >= TOLD_EVERY) {
            state.report(model, progress);
            told_at = Some(Instant::now());
        }
    }
    state.push(&line);
    (state, None)
}

/// A failure to begin the download, in which the status of the server's answer says what follows.
fn refused(name: &str, model: &str, mut failure: Failure) -> Failure {
    failure.error.message = format!("pulling {model} failed: {}", failure.error.message);
    if failure.class == Class::Invalid {
        failure = failure.hint(no_such_model(name));
    }
    failure
}

/// A failure that the server reports in the middle of the progress.
fn failed(name: &str, model: &str, error: &str) -> Failure {
    let message = format!("{name} cannot pull {model}: {error}");
    let says = |words: &str| error.to_lowercase().contains(words);
    if says("file does not exist") || says("invalid model name") || says("not found") {
        return Failure::new(Class::Invalid, message, no_such_model(name));
    }
    if says("no space left") {
        return Failure::new(Class::Unknown, message, "free some room on the server's disk, then reel retry");
    }
    if says("newer version") {
        return Failure::new(Class::Unknown, message, "update Ollama, then reel retry");
    }
    Failure::new(Class::Transient(None), message, "it is tried again, and continues where it ended")
}

fn no_such_model(name: &str) -> String {
    format!(
        "ollama.com/library lists the models that exist; reel providers models {name} lists those that are there"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_counted_over_all_layers() {
        let mut state = PullState::default();
        for line in [
            r#"{"status":"pulling manifest"}"#,
            r#"{"status":"pulling a","digest":"sha256:a","total":100}"#,
            r#"{"status":"pulling a","digest":"sha256:a","total":100,"completed":60}"#,
            r#"{"status":"pulling b","digest":"sha256:b","total":20,"completed":20}"#,
            "no JSON",
        ] {
            state.push(line.as_bytes());
        }
        assert_eq!((state.bytes(), state.is_done), ((80, 120), false));
        state.push(br#"{"status":"success"}"#);
        assert!(state.is_done);
    }

    #[test]
    fn an_error_says_whether_another_try_may_help() {
        for (error, class) in [
            ("pull model manifest: file does not exist", Class::Invalid),
            ("write /blobs/x: no space left on device", Class::Unknown),
            ("dial tcp: lookup registry.ollama.ai: no such host", Class::Transient(None)),
        ] {
            assert_eq!(failed("local", "m", error).class, class, "{error}");
        }
    }
}
