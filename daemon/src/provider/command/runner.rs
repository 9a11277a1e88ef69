//! Runs a definition's program for one request, and returns the file that it wrote or its output.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use super::{
    definition::{CommandDefinition, VoiceList},
    failure::Failures,
    placeholder::{Placeholder, Values},
    program::find_program,
    voices::Voice,
};
use crate::{
    budget::{Budget, Holder, Reservation},
    domain::{Class, Failure},
    process::{self, Ended, Finished, Launcher, Limits, ProcessSpec, RunDirectory},
};

/// Variables that every program gets: paths, the user, the time zone, and the language of its messages.
const ENVIRONMENT: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
];
/// Largest part of standard output that is kept, in bytes. Messages quote it where standard error is empty.
const STDOUT_TAIL_BYTES: usize = 4 * 1024;
/// Largest list of voices, in bytes. The list of edge-tts has 40 KiB.
const MAX_VOICE_LIST_BYTES: usize = 512 * 1024;
/// How long a program may take to list its voices.
const VOICE_LIST_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a run waits for room in the memory budget.
const MEMORY_TIMEOUT: Duration = Duration::from_mins(1);
/// The time between two attempts to reserve memory.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// Runs the programs of providers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct CommandRunner {
    launcher: Launcher,
    runs: Arc<Path>,
    budget: Budget,
}

/// A file that a program made. Dropping this value removes the file.
#[derive(Debug)]
pub struct Made {
    /// The path of the file that the program wrote.
    pub path: PathBuf,
    /// The size of the file, in bytes.
    pub size_bytes: u64,
    /// The directory of the run, which holds the file and is removed when this is dropped.
    _directory: Arc<RunDirectory>,
}

/// The arguments of a program, and its standard input.
type Filled = (Vec<String>, Option<Vec<u8>>);

/// How a program is started, besides its arguments and its standard input.
struct Start {
    program: PathBuf,
    stdout_tail_bytes: usize,
    limits: Limits,
}

/// A program that has ended.
struct Run {
    finished: Finished,
    /// The path of the file that it should have written.
    output: PathBuf,
    /// The directory in which it ran, which holds that file and is removed when this is dropped.
    directory: Arc<RunDirectory>,
}

/// Why a run made no file.
#[derive(Debug, Clone)]
pub enum CommandError {
    /// The caller cancelled the run.
    Stopped,
    /// The program failed, or could not be run.
    Failed(Failure),
}

impl From<Failure> for CommandError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl CommandRunner {
    /// Creates a runner. Each program runs in a new directory below `runs`, and the budget counts its memory.
    pub fn new(launcher: Launcher, runs: &Path, budget: Budget) -> Self {
        Self { launcher, runs: Arc::from(runs), budget }
    }

    /// Runs the program of a provider for a request. Returns the end of its standard output, `most_bytes` bytes at most. The values of
    /// `{text_file}` and `{directory}` are set here.
    pub async fn standard_output(
        &self,
        provider: &str,
        definition: &CommandDefinition,
        values: Values,
        most_bytes: usize,
        cancel: watch::Receiver<bool>,
    ) -> Result<Vec<u8>, CommandError> {
        let failures = Failures { provider, definition };
        let run = self.finish(failures, from_values(failures, values), most_bytes, cancel).await?;
        Ok(run.finished.stdout)
    }

    /// Runs the program of a provider for a request, and returns the file that it wrote. The values of `{output}`, `{text_file}` and
    /// `{directory}` are set here.
    pub async fn make(
        &self,
        provider: &str,
        definition: &CommandDefinition,
        values: Values,
        cancel: watch::Receiver<bool>,
    ) -> Result<Made, CommandError> {
        let failures = Failures { provider, definition };
        self.run(failures, from_values(failures, values), cancel).await
    }

    /// Runs a program with this standard input. `arguments` gets the path of the file that the program must write, and returns the arguments.
    pub async fn make_from(
        &self,
        provider: &str,
        definition: &CommandDefinition,
        arguments: impl FnOnce(&Path) -> Vec<String>,
        stdin: Vec<u8>,
        cancel: watch::Receiver<bool>,
    ) -> Result<Made, CommandError> {
        let fill = async |_: &Arc<RunDirectory>, output: &Path| Ok((arguments(output), Some(stdin)));
        self.run(Failures { provider, definition }, fill, cancel).await
    }

    /// Runs a program with the arguments that `prepare` returns. `prepare` gets the directory in which the program runs, where it may make files
    /// for the program, and the path of the file that the program must write. It may block.
    pub async fn make_in(
        &self,
        provider: &str,
        definition: &CommandDefinition,
        prepare: impl FnOnce(&Path, &Path) -> io::Result<Vec<String>> + Send + 'static,
        cancel: watch::Receiver<bool>,
    ) -> Result<Made, CommandError> {
        let failures = Failures { provider, definition };
        let fill = async |directory: &Arc<RunDirectory>, output: &Path| {
            let (directory, output) = (directory.work(), output.to_owned());
            let preparing = tokio::task::spawn_blocking(move || prepare(&directory, &output)).await;
            let prepared = preparing.unwrap_or_else(|panic| Err(io::Error::other(panic)));
            let not_started = |error| failures.not_started(&process::StartError::Launcher(error));
            Ok((prepared.map_err(not_started)?, None))
        };
        self.run(failures, fill, cancel).await
    }

    /// Runs a program, and returns the file that it wrote. `fill` makes the arguments and the standard input.
    async fn run(
        &self,
        failures: Failures<'_>,
        fill: impl AsyncFnOnce(&Arc<RunDirectory>, &Path) -> Result<Filled, Failure>,
        cancel: watch::Receiver<bool>,
    ) -> Result<Made, CommandError> {
        let file_bytes = self.limits(failures.definition).file_bytes;
        let Run { finished, output, directory } =
            self.finish(failures, fill, STDOUT_TAIL_BYTES, cancel).await?;
        let size_bytes = written_bytes(&output, file_bytes, &failures, &finished)?;
        Ok(Made { path: output, size_bytes, _directory: directory })
    }

    /// Runs a program until it exits with 0. Its memory is reserved in the budget until then.
    async fn finish(
        &self,
        failures: Failures<'_>,
        fill: impl AsyncFnOnce(&Arc<RunDirectory>, &Path) -> Result<Filled, Failure>,
        stdout_tail_bytes: usize,
        cancel: watch::Receiver<bool>,
    ) -> Result<Run, CommandError> {
        let Failures { provider, definition } = failures;
        let start = Start { program: program(failures)?, stdout_tail_bytes, limits: self.limits(definition) };
        let limits = start.limits;
        let _reservation = self.reserve(limits.memory_bytes, &failures, cancel.clone()).await?;
        let run = self.execute(failures, start, fill, cancel).await?;
        let (finished, output) = (&run.finished, &run.output);
        if finished.ended == Ended::Cancelled {
            return Err(CommandError::Stopped);
        }
        if let Some(mut failure) = failures.of_end(finished) {
            // A program that ignores SIGXFSZ gets an error from the write instead, and exits with a code of its own.
            if fs::symlink_metadata(output).is_ok_and(|file| file.len() >= limits.file_bytes) {
                failure = failures.large_file(finished);
            }
            tracing::warn!(
                provider,
                program = definition.program,
                error = failure.error.message,
                "a program failed"
            );
            return Err(failure.into());
        }
        Ok(run)
    }

    /// Starts a program in a new directory, and waits until it ends.
    async fn execute(
        &self,
        failures: Failures<'_>,
        start: Start,
        fill: impl AsyncFnOnce(&Arc<RunDirectory>, &Path) -> Result<Filled, Failure>,
        cancel: watch::Receiver<bool>,
    ) -> Result<Run, Failure> {
        let directory = self.directory(&failures).await?;
        let output = directory.work().join(format!("output.{}", failures.definition.extension));
        let (arguments, stdin) = fill(&directory, &output).await?;
        let Start { program, stdout_tail_bytes, limits } = start;
        let environment = environment(failures.definition, &directory);
        let spec = ProcessSpec { program, arguments, environment, stdin, stdout_tail_bytes, limits };
        let finished = process::run(&self.launcher, spec, &directory, cancel).await;
        let finished = finished.map_err(|error| failures.not_started(&error))?;
        Ok(Run { finished, output, directory })
    }

    /// Runs the program of a provider to list its voices. A list takes little memory, so none is reserved.
    pub async fn voices(
        &self,
        provider: &str,
        definition: &CommandDefinition,
        list: &VoiceList,
    ) -> Result<Vec<Voice>, Failure> {
        let failures = Failures { provider, definition };
        let mut limits = self.limits(definition);
        limits.timeout = VOICE_LIST_TIMEOUT.min(limits.timeout);
        let stdout_tail_bytes = MAX_VOICE_LIST_BYTES;
        let start = Start { program: program(failures)?, stdout_tail_bytes, limits };
        let fill = async |_: &Arc<RunDirectory>, _: &Path| Ok((list.arguments.clone(), None));
        let (_listing, cancel) = watch::channel(false);
        let Run { finished, .. } = self.execute(failures, start, fill, cancel).await?;
        if finished.ended == Ended::TimedOut {
            return Err(failures.no_voice_list(limits.timeout));
        }
        if let Some(failure) = failures.of_end(&finished) {
            return Err(failure);
        }
        let voices = list.format.parse(&String::from_utf8_lossy(&finished.stdout));
        if voices.is_empty() {
            return Err(failures.bad_file("listed no voice", &finished));
        }
        Ok(voices)
    }

    /// Returns the limits of a run. The default memory limit is lowered to half of the memory budget, so that a run fits into a small budget.
    fn limits(&self, definition: &CommandDefinition) -> Limits {
        let mut limits = definition.limits;
        if !definition.is_memory_set {
            limits.memory_bytes = limits.memory_bytes.min(self.budget.limit_bytes() / 2);
        }
        limits
    }

    /// Reserves the memory that the program may hold. Waits up to [`MEMORY_TIMEOUT`] while other holders have it.
    async fn reserve(
        &self,
        bytes: u64,
        failures: &Failures<'_>,
        cancel: watch::Receiver<bool>,
    ) -> Result<Reservation, CommandError> {
        let deadline = Instant::now() + MEMORY_TIMEOUT;
        loop {
            match self.budget.reserve(Holder::Command, bytes) {
                Ok(reservation) => return Ok(reservation),
                Err(_) if *cancel.borrow() => return Err(CommandError::Stopped),
                Err(over) if over.may_fit_later() && Instant::now() < deadline => sleep(RETRY_INTERVAL).await,
                Err(over) => return Err(failures.over_budget(&over).into()),
            }
        }
    }

    async fn directory(&self, failures: &Failures<'_>) -> Result<Arc<RunDirectory>, Failure> {
        let runs = Arc::clone(&self.runs);
        let creating = tokio::task::spawn_blocking(move || RunDirectory::create(&runs)).await;
        let created = creating.map_err(|_| process::StartError::Thread);
        let created = created.and_then(|created| created.map_err(process::StartError::Launcher));
        created.map(Arc::new).map_err(|error| failures.not_started(&error))
    }
}

/// Finds the program of a definition on this machine.
fn program(failures: Failures<'_>) -> Result<PathBuf, Failure> {
    let CommandDefinition { program, install, .. } = failures.definition;
    find_program(program, install.as_deref()).map_err(|error| failures.not_installed(&error))
}

/// Returns a function that fills the definition's arguments and standard input with these values and the paths of a run.
fn from_values(
    failures: Failures<'_>,
    values: Values,
) -> impl AsyncFnOnce(&Arc<RunDirectory>, &Path) -> Result<Filled, Failure> {
    async move |directory: &Arc<RunDirectory>, output: &Path| {
        let values = with_files(failures.definition, values, directory, output).await;
        let values = values.map_err(|error| failures.not_started(&process::StartError::Launcher(error)))?;
        failures.definition.fill(&values).map_err(|error| failures.unfilled(&error))
    }
}

/// Adds the paths of this run to the values. Writes the text to a file if the program reads it from one.
async fn with_files(
    definition: &CommandDefinition,
    values: Values,
    directory: &Arc<RunDirectory>,
    output: &Path,
) -> io::Result<Values> {
    let work = directory.work();
    let mut values = values
        .with(Placeholder::Output, output.display().to_string())
        .with(Placeholder::Directory, work.display().to_string());
    let text = values.get(Placeholder::Text).or_else(|| values.get(Placeholder::Prompt)).map(str::to_owned);
    if let Some(text) = text.filter(|_| definition.honours(Placeholder::TextFile)) {
        let file = work.join("text.txt");
        values.set(Placeholder::TextFile, file.display().to_string());
        let writing = tokio::task::spawn_blocking(move || fs::write(file, text));
        writing.await.map_err(io::Error::other)??;
    }
    Ok(values)
}

/// Returns the whole environment of a program: the variables of `ENVIRONMENT`, none of which holds a key, and those that the definition names.
fn environment(definition: &CommandDefinition, directory: &RunDirectory) -> Vec<(String, String)> {
    let names = ENVIRONMENT.iter().copied().chain(definition.environment.iter().map(String::as_str));
    let mut variables: Vec<_> =
        names.filter_map(|name| Some((name.to_owned(), env::var(name).ok()?))).collect();
    if !variables.iter().any(|(name, _)| matches!(name.as_str(), "LANG" | "LC_ALL" | "LC_CTYPE")) {
        // Without one of these, many programs read a text as ASCII.
        variables.push(("LANG".to_owned(), "C.UTF-8".to_owned()));
    }
    variables.push(("TMPDIR".to_owned(), directory.work().display().to_string()));
    variables
}

/// Returns the size of the file that the program wrote, in bytes. The directory is new for each run, so the file is of this run.
fn written_bytes(
    output: &Path,
    most_bytes: u64,
    failures: &Failures<'_>,
    finished: &Finished,
) -> Result<u64, Failure> {
    let metadata = match fs::symlink_metadata(output) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(failures.bad_file("wrote no file", finished));
        }
        Err(error) => {
            return Err(Failure::new(
                Class::Transient(None),
                format!("the file that {} wrote cannot be read: {error}", failures.definition.program),
                "reel daemon logs shows the cause",
            ));
        }
    };
    if !metadata.is_file() {
        return Err(failures.bad_file("wrote something that is not a plain file", finished));
    }
    match metadata.len() {
        0 => Err(failures.bad_file("wrote an empty file", finished)),
        size_bytes if size_bytes > most_bytes => Err(failures.large_file(finished)),
        size_bytes => Ok(size_bytes),
    }
}
