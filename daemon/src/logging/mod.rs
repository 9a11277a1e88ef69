//! The daemon's log: it writes to standard error and to `logs/reeld.log`. Its filter can change while the daemon runs. Panics are logged too.

mod capped_file;
mod filter;
mod line_writer;
mod priority;

pub use filter::{FilterError, parse_filter};

use std::{
    backtrace::Backtrace,
    env,
    ffi::OsString,
    io::{self, IsTerminal},
    panic,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use tracing::Subscriber;
use tracing_subscriber::{
    Registry, filter::Targets, fmt, layer::SubscriberExt, registry::LookupSpan, reload,
};

use self::{capped_file::CappedFile, line_writer::LineWriter, priority::Prioritised};

/// The name of the log file. The former file has the suffix `.1`.
const FILE_NAME: &str = "reeld.log";
/// The environment variable that overrides `log.filter` at the start, to find out why a start fails.
const FILTER_VARIABLE: &str = "REEL_LOG";

/// The reason why the log cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The filter is invalid.
    #[error("the log filter of {origin} is not valid")]
    Filter {
        /// The source of the filter: `REEL_LOG` or `log.filter`.
        origin: &'static str,
        /// The reason why it is invalid.
        #[source]
        source: FilterError,
    },
    /// The log file cannot be opened.
    #[error("cannot log to {}", path.display())]
    File {
        /// The log file.
        path: PathBuf,
        /// The error of the file system.
        #[source]
        source: io::Error,
    },
    /// The thread that writes to standard error could not be started.
    #[error("cannot start the log's thread")]
    Thread(#[source] io::Error),
    /// The log of this process was started before.
    #[error("logging was started before")]
    StartedBefore,
}

/// What is written to standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StandardError {
    /// Nothing. Standard error is a file beside the log, and no line should be on the disk twice.
    Silent,
    /// Each line with its time.
    Dated,
    /// Each line with its priority in front and without its time. The journal of systemd reads the priority and adds the time.
    Journal,
}

/// The handle of the running log.
#[derive(Debug, Clone)]
pub struct LogHandle {
    filter: reload::Handle<Targets, Registry>,
    writers: Vec<Arc<LineWriter>>,
}

/// The log of this process.
static LOG: OnceLock<LogHandle> = OnceLock::new();

/// Waits until all lines that were logged before are written, at most a second for each sink. Called before the process ends.
pub fn flush() {
    if let Some(log) = LOG.get() {
        log.flush();
    }
}

impl LogHandle {
    /// Changes the filter. An invalid filter leaves the old one in force.
    pub fn set_filter(&self, text: &str) -> Result<(), FilterError> {
        self.filter.reload(parse_filter(text)?).map_err(|_| FilterError::Closed)
    }

    fn flush(&self) {
        self.writers.iter().for_each(|writer| writer.flush());
    }
}

/// Starts the log of this process, and has panics logged.
///
/// `REEL_LOG` takes precedence over `filter`.
pub fn start(
    logs_dir: &Path,
    filter: &str,
    max_bytes: u64,
    stderr: StandardError,
) -> Result<LogHandle, LoggingError> {
    let targets = effective_filter(env::var_os(FILTER_VARIABLE), filter)?;
    let (subscriber, handle) = build(logs_dir, targets, max_bytes, stderr)?;
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LoggingError::StartedBefore)?;
    log_panics();
    Ok(LOG.get_or_init(|| handle).clone())
}

fn effective_filter(variable: Option<OsString>, configured: &str) -> Result<Targets, LoggingError> {
    let (origin, text) = match variable.filter(|value| !value.is_empty()) {
        Some(value) => (FILTER_VARIABLE, value.to_string_lossy().into_owned()),
        None => ("log.filter", configured.to_owned()),
    };
    parse_filter(&text).map_err(|source| LoggingError::Filter { origin, source })
}

fn build(
    logs_dir: &Path,
    targets: Targets,
    max_bytes: u64,
    stderr: StandardError,
) -> Result<(impl Subscriber + Send + Sync + use<>, LogHandle), LoggingError> {
    let path = logs_dir.join(FILE_NAME);
    let file = CappedFile::open(path.clone(), max_bytes).and_then(LineWriter::start).map(Arc::new);
    let file = file.map_err(|source| LoggingError::File { path, source })?;
    let error = match stderr {
        StandardError::Silent => None,
        StandardError::Dated | StandardError::Journal => {
            Some(Arc::new(LineWriter::start(io::stderr()).map_err(LoggingError::Thread)?))
        }
    };
    let (filter, filter_handle) = reload::Layer::new(targets);
    let is_terminal = io::stderr().is_terminal();
    let when = |wanted| error.clone().filter(|_| stderr == wanted);
    let subscriber = tracing_subscriber::registry()
        .with(filter)
        .with(lines(Arc::clone(&file), false))
        .with(when(StandardError::Dated).map(|error| lines(error, is_terminal)))
        .with(
            when(StandardError::Journal)
                .map(|error| lines(error, false).event_format(Prioritised::default())),
        );
    let writers = [Some(file), error].into_iter().flatten().collect();
    Ok((subscriber, LogHandle { filter: filter_handle, writers }))
}

fn lines<S, W>(
    writer: W,
    is_coloured: bool,
) -> fmt::Layer<S, fmt::format::DefaultFields, fmt::format::Format, W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> fmt::MakeWriter<'a> + 'static,
{
    // The library would report a failed write to standard error with a macro, which panics if standard error is closed.
    fmt::layer().with_writer(writer).with_ansi(is_coloured).log_internal_errors(false)
}

/// Logs each panic with its source location, and then calls the former hook, which prints it to standard error.
fn log_panics() {
    let former = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        let message = panic.payload_as_str().unwrap_or("not a text");
        // The backtrace is empty unless RUST_BACKTRACE is set.
        let backtrace = Backtrace::capture();
        tracing::error!(location, message, %backtrace, "panicked");
        // The process may end with this panic.
        flush();
        former(panic);
    }));
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_logged_changes_while_it_runs_and_stands_in_the_file() {
        let root = tempfile::tempdir().unwrap();
        let logs = root.path().join("logs");
        let (subscriber, handle) =
            build(&logs, parse_filter("info").unwrap(), 1 << 20, StandardError::Silent).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            tracing::debug!("hidden");
            handle.set_filter("debug").unwrap();
            tracing::debug!(digest = 7, "shown");
            assert!(handle.set_filter("loud").is_err());
            tracing::debug!("still shown");
        });
        handle.flush();
        let text = fs::read_to_string(logs.join(FILE_NAME)).unwrap();
        assert!(!text.contains("hidden") && text.contains("still shown"), "{text}");
        assert!(text.contains("DEBUG") && text.contains("digest=7") && !text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn the_variable_goes_before_the_configuration_and_is_named_where_it_is_wrong() {
        assert_eq!(effective_filter(None, "warn").unwrap(), parse_filter("warn").unwrap());
        assert_eq!(effective_filter(Some("".into()), "warn").unwrap(), parse_filter("warn").unwrap());
        assert_eq!(effective_filter(Some("debug".into()), "warn").unwrap(), parse_filter("debug").unwrap());
        let error = effective_filter(Some("loud".into()), "warn").unwrap_err();
        assert!(error.to_string().contains(FILTER_VARIABLE), "{error}");
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_named() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        fs::write(&file, "").unwrap();
        let error =
            build(&file, parse_filter("info").unwrap(), 1 << 20, StandardError::Silent).err().unwrap();
        assert!(matches!(&error, LoggingError::File { path, .. } if path.starts_with(&file)), "{error}");
    }

    /// Runs in a child process of the next test, because the log belongs to a whole process. The child's standard error is closed.
    #[test]
    fn child_logs_a_panic() {
        let Some(logs) = env::var_os("REEL_TEST_LOGS") else { return };
        start(Path::new(&logs), "info", 1 << 20, StandardError::Dated).unwrap();
        assert!(matches!(
            start(Path::new(&logs), "info", 1, StandardError::Dated),
            Err(LoggingError::StartedBefore)
        ));
        tracing::info!("before");
        let panicked = std::thread::spawn(|| panic!("the lamp fell over")).join();
        assert!(panicked.is_err());
        tracing::info!("after");
        flush();
    }

    #[test]
    fn a_panic_is_a_line_of_the_log_even_where_nobody_reads_standard_error() {
        let root = tempfile::tempdir().unwrap();
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let status = std::process::Command::new(env::current_exe().unwrap())
            .args(["--exact", "--nocapture", "logging::tests::child_logs_a_panic"])
            .env("REEL_TEST_LOGS", root.path())
            .env_remove(FILTER_VARIABLE)
            .stdout(std::process::Stdio::null())
            .stderr(writer)
            .status()
            .unwrap();
        let text = fs::read_to_string(root.path().join(FILE_NAME)).unwrap();
        assert!(status.success(), "{text}");
        assert!(text.contains("the lamp fell over") && text.contains("logging/mod.rs:"), "{text}");
        assert!(text.contains("before") && text.contains("after"), "{text}");
    }
}
