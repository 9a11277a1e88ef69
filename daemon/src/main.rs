//! The binary `reeld`: reads the arguments, starts the daemon, runs it, and ends it with an exit code.

use std::{cell::OnceCell, path::PathBuf, process::ExitCode, rc::Rc, time::Duration};

use reel_protocol::{
    Digest,
    endpoint::{self, EndpointError, Locations},
};
use reeld::{
    chain::chain,
    config::{Config, Reading},
    config_watch::ConfigWatch,
    control::{self, Control},
    exit::Exit,
    home_watch, idle,
    ipc::{self, HomeLock, Listener, LockError},
    logging::{self, LogHandle, StandardError},
    memory,
    notices::Notices,
    process, provider,
    reload::{Reload, ReloadParts},
    shutdown::{self, Inputs},
    signals::{Signal, Signals},
    store::{self, Opened, Store},
    systemd::{self, Notifier, PassedSocket},
    tasks::{Drain, GetTaskCounts},
    wiring::{self, RoomParts},
};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

/// The interval at which a removed socket file is restored. A client that finds none waits some seconds for the daemon that holds the home.
const SOCKET_CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// Time that a former daemon gets to end, in addition to that of a paid call. It is for stopping its tasks and closing its journal.
const TAKE_OVER_MARGIN: Duration = Duration::from_mins(1);

/// How long the journal's last writes and its last checkpoint may take at the end.
const CLOSING: Duration = Duration::from_secs(10);

/// Least number of files that may be open at once. With fewer, paid pictures could not be stored.
const LEAST_OPEN_FILES: u64 = 64;

const HELP: &str = "\
reeld: the reel daemon. It runs in the foreground; `reel daemon start` starts it in the background.

Usage: reeld [--auto-started]
       reeld --check-config [FILE]

  --auto-started         a client started it: detach from its terminal, end after 30 idle minutes
  --check-config [FILE]  read the configuration, say what is wrong with it, and end
  --version, --help

REEL_HOME, REEL_SOCKET and REEL_CONFIG say where its state, socket and configuration are; REEL_LOG what it logs.
";

enum Command {
    Run {
        is_auto_started: bool,
    },
    CheckConfig(Option<PathBuf>),
    /// Replaces this process by a program. Another daemon writes the specification of the program to standard input.
    Launch,
    Print(String),
    Misused(String),
}

fn main() -> ExitCode {
    ipc::umask::set_umask_0077();
    match command() {
        Command::Print(text) => {
            say(&mut std::io::stdout(), &text);
            Exit::Done.into()
        }
        Command::Misused(what) => fail(Exit::Usage, &format!("{what}\n\n{HELP}")),
        Command::CheckConfig(file) => check_config(file),
        Command::Launch => process::launch(),
        Command::Run { is_auto_started } => run(is_auto_started),
    }
}

fn command() -> Command {
    let mut arguments = std::env::args_os().skip(1);
    let Some(first) = arguments.next() else { return Command::Run { is_auto_started: false } };
    let second = arguments.next();
    match (first.to_str(), second) {
        (Some("--auto-started"), None) => Command::Run { is_auto_started: true },
        (Some("--check-config"), file) => Command::CheckConfig(file.map(PathBuf::from)),
        (Some("--launch"), None) => Command::Launch,
        (Some("--version" | "-V"), None) => Command::Print(format!("reeld {}\n", env!("CARGO_PKG_VERSION"))),
        (Some("--help" | "-h"), None) => Command::Print(HELP.to_owned()),
        _ => Command::Misused(format!("unknown argument {}", first.to_string_lossy())),
    }
}

fn check_config(file: Option<PathBuf>) -> ExitCode {
    let file = match (file, from_environment()) {
        (Some(file), _) => file,
        (None, Ok(locations)) => locations.config,
        (None, Err(error)) => return fail(Exit::Config, &error.to_string()),
    };
    match Config::load(&file, &provider::kind_sections()) {
        Ok(config) => {
            for warning in config.warnings() {
                say(&mut std::io::stderr(), &format!("reeld: {warning}\n"));
            }
            Exit::Done.into()
        }
        Err(error) => fail(Exit::Config, &error.to_string()),
    }
}

fn run(is_auto_started: bool) -> ExitCode {
    if is_auto_started {
        // The daemon must survive the end of the client's terminal. The call fails only if the process is detached already.
        let _ = rustix::process::setsid();
    }
    memory::os::tune_allocator();
    if let Some(limit) = ipc::umask::raise_file_limit().filter(|limit| *limit < LEAST_OPEN_FILES) {
        return fail(Exit::Config, &too_few_files(limit));
    }
    ipc::umask::disable_core_dumps();
    // A daemon that a client starts inherits the variables of that client's service. The socket in them is not meant for the daemon.
    let passed = match (is_auto_started, systemd::passed_socket()) {
        (true, _) => None,
        (false, Ok(passed)) => passed,
        (false, Err(error)) => return fail(Exit::Config, &chain(&error)),
    };
    let locations = match locations(passed.as_ref()) {
        Ok(locations) => locations,
        Err(error) => {
            return fail(
                Exit::Config,
                &format!("{error}; set REEL_HOME or REEL_SOCKET to a shorter or existing path"),
            );
        }
    };
    let Reading { digest, outcome } = Config::read(&locations.config, &provider::kind_sections());
    let config = match outcome {
        Ok(config) => config,
        Err(error) => return fail(Exit::Config, &error.to_string()),
    };
    let notifier = if is_auto_started { Notifier::silent() } else { Notifier::from_env() };
    let lock = if passed.is_some() {
        let limit = shutdown::longest_drain(&config) + TAKE_OVER_MARGIN;
        HomeLock::take_over(&locations, limit, |pid| notifier.waiting_for(pid))
    } else {
        HomeLock::acquire(&locations)
    };
    let lock = match lock {
        Ok(lock) => Rc::new(lock),
        Err(error) => return refused(&error),
    };
    let log = match logging::start(
        &locations.logs(),
        &config.log.filter,
        config.log.max_mb * 1024 * 1024,
        stderr(is_auto_started),
    ) {
        Ok(log) => log,
        Err(error) => return unloggable(&error),
    };
    end_on_panics_of_rooms();
    // This comes before any task runs again, because a program of a former daemon would run beside the next attempt.
    if let Err(error) = process::end_leftovers(&locations.home.join("runs")) {
        tracing::warn!(%error, "the directory of former runs could not be read");
    }
    let start = Start {
        locations,
        config,
        config_digest: digest,
        passed,
        notifier,
        is_auto_started,
        journal: Rc::default(),
    };
    let ended = run_rooms(start, &lock, log);
    drop(lock);
    if let Err((_, error)) = &ended {
        tracing::error!(error = format!("{error:#}"), "ended");
    }
    logging::flush();
    match ended {
        Ok(()) => Exit::Done.into(),
        Err((exit, error)) => fail(exit, &format!("{error:#}")),
    }
}

/// Runs the daemon to its end. Closes the journal after the runtime and the rooms are dropped, because rooms write to the journal last of all.
fn run_rooms(start: Start, lock: &Rc<HomeLock>, log: LogHandle) -> Result<(), (Exit, anyhow::Error)> {
    let journal = Rc::clone(&start.journal);
    // Serving is a task of its own because the future of `block_on` is polled whenever any task is woken.
    let serving = serve(start, Rc::clone(lock), log);
    let ended = actix::System::new().block_on(async {
        let ended = actix::spawn(serving).await;
        let exit = match &ended {
            Ok(Ok(())) => Exit::Done,
            Ok(Err((exit, _))) => *exit,
            Err(_) => Exit::Internal,
        };
        shutdown::exit_though_blocked(exit);
        ended
    });
    if let Some(store) = journal.get() {
        store.close(CLOSING);
    }
    ended.unwrap_or_else(|error| Err((Exit::Internal, error.into())))
}

fn too_few_files(limit: u64) -> String {
    format!(
        "only {limit} files may be open at once, and reeld needs {LEAST_OPEN_FILES}: raise the limit (ulimit -n)"
    )
}

/// Reports why the home's lock could not be acquired.
fn refused(error: &LockError) -> ExitCode {
    let exit = if matches!(error, LockError::Held { .. }) { Exit::Running } else { Exit::CannotCreate };
    let hint = error.hint().map_or_else(String::new, |hint| format!("; {hint}"));
    fail(exit, &format!("{}{hint}", chain(error)))
}

fn from_environment() -> Result<Locations, EndpointError> {
    let own_uid = rustix::process::geteuid().as_raw();
    Locations::from_env(|name| endpoint::variable(name, own_uid))
}

/// Returns the locations that the environment names. A passed socket takes precedence over the variables.
fn locations(passed: Option<&PassedSocket>) -> Result<Locations, EndpointError> {
    let mut locations = from_environment()?;
    if let Some(passed) = passed {
        locations.socket.clone_from(&passed.path);
    }
    locations.check_socket().map(|()| locations)
}

fn stderr(is_auto_started: bool) -> StandardError {
    match is_auto_started {
        true => StandardError::Silent,
        false if systemd::is_stderr_journal() => StandardError::Journal,
        false => StandardError::Dated,
    }
}

/// Ends the process when an actor or a store thread panics. Such a thread never recovers, and a daemon that answers in part is worse than none. The
/// journal restores the work.
fn end_on_panics_of_rooms() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        let thread = std::thread::current();
        if thread.name().is_some_and(|name| name == "main" || name.starts_with("store-")) {
            std::process::exit(Exit::Internal as i32);
        }
    }));
}

/// The values from which a daemon is started.
struct Start {
    locations: Locations,
    config: Config,
    config_digest: Option<Digest>,
    passed: Option<PassedSocket>,
    notifier: Notifier,
    is_auto_started: bool,
    /// Set once the journal is open.
    journal: Rc<OnceCell<Store>>,
}

async fn serve(start: Start, lock: Rc<HomeLock>, log: LogHandle) -> Result<(), (Exit, anyhow::Error)> {
    let Start { locations, config, config_digest, passed, notifier, is_auto_started, journal } = start;
    let database = locations.home.join("reel.db");
    let opened = store::open(&database).map_err(|error| {
        (Exit::Io, anyhow::anyhow!("cannot open the journal {}: {}", database.display(), error.explained()))
    })?;
    let notices = Notices::of_journal(&database, &opened);
    let Opened { store, recovery, .. } = opened;
    let _ = journal.set(store.clone());
    // Signals are registered only after the journal is open, which waits for the disk. Until then a signal ends the process at once, which the
    // journal survives.
    let signals = Signals::register().map_err(|error| (Exit::Internal, error.into()))?;
    // The listener comes before the rooms because it may fail. An actor that is dropped before its first turn would take that turn without a runtime.
    let listener = listen(passed, &locations, &lock).map_err(|error| (Exit::CannotCreate, error.into()))?;
    let (control, requests) = control::channel();
    let (reload, config_in_force) = Reload::new(ReloadParts {
        file: locations.config.clone(),
        config: config.clone(),
        digest: config_digest,
        log: log.clone(),
        notifier: notifier.clone(),
    });
    let stopper = control.clone();
    let parts = RoomParts {
        locations: locations.clone(),
        config,
        store: store.clone(),
        recovery,
        notices: notices.clone(),
        control,
        is_auto_started,
        config_in_force,
    };
    let rooms = wiring::start(parts).map_err(|error| (Exit::Internal, error))?;
    // Accept connections only after the unfinished tasks are restored. If that fails, the client that started the daemon sees the reason, not a lost
    // connection.
    let _ = rooms.counts.send(GetTaskCounts).await;
    let (stop, stopping) = watch::channel(false);
    let accepting = actix::spawn(accept(listener, rooms.router.clone(), stopping, stopper));
    tracing::info!(version = env!("CARGO_PKG_VERSION"), pid = std::process::id(), home = %locations.home.display(), socket = %locations.socket.display(), "ready");
    notifier.begin(rooms.counts.clone());
    let config_watch = ConfigWatch::start(locations.config.clone());

    actix::spawn(home_watch::watch(lock, locations.home.join("artifacts"), notices.clone()));
    let mut idle = std::pin::pin!(idle::for_long(&rooms));
    let mut inputs = Inputs { signals, requests, reload, log };
    let drain = loop {
        tokio::select! {
            () = store.is_lost() => break Drain::within(Duration::ZERO),
            signal = inputs.signals.next() => match signal {
                Signal::Terminate | Signal::Interrupt => break inputs.drain(),
                Signal::Reload => drop(inputs.reload.apply(&rooms).await),
            },
            () = config_watch.changed() => inputs.reload.apply_if_new(&rooms).await,
            Some(request) = inputs.requests.recv() => if let Some(drain) = inputs.answer(request, &rooms).await {
                break drain.map_or_else(|| inputs.drain(), Drain::within);
            },
            () = &mut idle, if is_auto_started => {
                tracing::info!("no work and no connection for 30 minutes");
                break Drain::within(Duration::ZERO);
            }
        }
    };
    let _ = store.lost().inspect(|error| notices.add_lost(error));
    notifier.stopping(drain.limit.max(drain.paid));
    shutdown::run(&rooms, drain, &stop, accepting, &mut inputs).await;
    store.lost().map_or(Ok(()), |error| Err((Exit::Io, anyhow::anyhow!(error.explained()))))
}

fn listen(
    passed: Option<PassedSocket>,
    locations: &Locations,
    lock: &HomeLock,
) -> Result<Listener, ipc::BindError> {
    match passed {
        Some(passed) => Listener::adopt(passed, lock),
        None => Listener::bind(locations, lock),
    }
}

/// Reports why no log can be written.
fn unloggable(error: &logging::LoggingError) -> ExitCode {
    let is_filter = matches!(error, logging::LoggingError::Filter { .. });
    fail(if is_filter { Exit::Config } else { Exit::CannotCreate }, &chain(error))
}

/// Accepts connections until `stopping` is set. Then waits until the sessions have sent their last responses.
async fn accept(
    mut listener: Listener,
    router: ipc::Router,
    stopping: watch::Receiver<bool>,
    control: Control,
) {
    let mut stop = stopping.clone();
    let mut sessions = JoinSet::new();
    let mut ticks = interval(SOCKET_CHECK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => drop(sessions.spawn_local(ipc::serve(stream, peer, router.clone(), stopping.clone()))),
                Err(error) => {
                    tracing::error!(%error, "no connection can be accepted any more");
                    // A daemon that nobody can reach would keep its home from the next one. The request fails if the daemon stops already.
                    let _ = control.shutdown(None).await;
                    break;
                }
            },
            Some(_) = sessions.join_next() => {}
            _ = ticks.tick() => listener.restore(),
            _ = stop.wait_for(|is_stopping| *is_stopping) => break,
        }
    }
    // Dropping the listener removes the socket that was bound here, so that new clients start the next daemon.
    drop(listener);
    while sessions.join_next().await.is_some() {}
}

fn fail(exit: Exit, message: &str) -> ExitCode {
    say(&mut std::io::stderr(), &format!("reeld: {message}\n"));
    exit.into()
}

fn say(out: &mut dyn std::io::Write, text: &str) {
    // There is nowhere to report an error of this write.
    let _ = out.write_all(text.as_bytes());
}
