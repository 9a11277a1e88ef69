//! Carries out what the states of the servers demand: runs the commands, tries to connect, and asks the tracker whether a server is wanted.

use std::{path::PathBuf, rc::Rc, sync::Arc, time::Duration};

use actix::Recipient;
use futures_util::future::join_all;
use tokio::{
    net::TcpStream,
    sync::{Mutex, oneshot},
    task::spawn_blocking,
    time::timeout,
};

use super::{
    Machines,
    command::{Spawned, spawn},
    log,
    machines::{Job, Watched},
    record::RecordFile,
    state::{Event, Order},
};
use crate::provider::{IsWanted, Permits};

/// How often servers are looked at that reel is starting or has started.
const LOOK: Duration = Duration::from_millis(500);
/// Longest time for a connection to a server that is being started.
const CONNECT: Duration = Duration::from_secs(2);
/// Longest time that a stop command may take.
const STOP: Duration = Duration::from_mins(2);

/// The task that carries out orders.
#[derive(Debug)]
pub struct Keeper {
    machines: Machines,
    permits: Permits,
    wanted: Recipient<IsWanted>,
    /// The file of the records. It is locked while it is written, so that a newer content is never replaced with an older one.
    file: Mutex<RecordFile>,
    logs: PathBuf,
}

impl Keeper {
    /// Returns the keeper of these servers. It writes below `home`.
    pub fn new(
        machines: Machines,
        permits: Permits,
        wanted: Recipient<IsWanted>,
        home: &std::path::Path,
    ) -> Self {
        let file = Mutex::new(RecordFile::of_home(home));
        Self { machines, permits, wanted, file, logs: home.join("logs") }
    }

    /// Carries out orders until the daemon ends.
    pub async fn run(self) {
        let keeper = Rc::new(self);
        loop {
            let watched = keeper.machines.watched();
            if watched.is_empty() {
                keeper.machines.changed().await;
            } else if timeout(LOOK, keeper.machines.changed()).await.is_err() {
                keeper.look(watched).await;
            }
            // The file is written before a server is started, so that a daemon that dies meanwhile leaves none that nobody stops.
            let jobs = keeper.machines.take_orders();
            keeper.save().await;
            for job in jobs {
                let keeper = Rc::clone(&keeper);
                actix::spawn(async move { keeper.carry_out(job).await });
            }
        }
    }

    /// Tries to connect to servers that are being started, reports the time that has passed for all, and keeps their logs small.
    async fn look(&self, watched: Vec<Watched>) {
        let logs: Vec<_> = watched.iter().map(|server| self.log_of(&server.name)).collect();
        let cutting = spawn_blocking(move || {
            for log in logs {
                if let Err(error) = log::cut(&log) {
                    tracing::warn!(log = %log.display(), %error, "the log of a server is too large, and cannot be cut");
                }
            }
        });
        join_all(watched.into_iter().map(|server| self.probe(server))).await;
        // It ends by itself, and its failures are logged.
        let _ = cutting.await;
    }

    /// Finds out about one server what no event tells.
    async fn probe(&self, server: Watched) {
        let Watched { name, members, address: (host, port), is_probed, adopted } = server;
        if is_probed && let Ok(Ok(_)) = timeout(CONNECT, TcpStream::connect((host.as_str(), port))).await {
            self.machines.handle(&name, Event::Reached);
        }
        if let Some(command) = adopted
            && let Ok(false) = spawn_blocking(move || command.is_running()).await
        {
            self.machines.adopted_ended(&name);
        }
        self.machines.handle(&name, Event::Tick { is_used: self.is_used(&members) });
    }

    fn log_of(&self, name: &str) -> PathBuf {
        self.logs.join(format!("machine-{name}.log"))
    }

    /// Writes what a later daemon must know about the servers, if that has changed.
    async fn save(&self) {
        let file = self.file.lock().await;
        let Some(records) = self.machines.unsaved() else { return };
        let target = file.clone();
        let written = spawn_blocking(move || target.write(records)).await;
        if let Ok(Err(error)) = written {
            tracing::warn!(%error, "a later daemon will not know which servers were started, and will not stop them");
        }
    }

    async fn carry_out(&self, job: Job) {
        let Job { name, members, order, config, start, run_name } = job;
        match order {
            // A check or a list of a person made no connection.
            Order::Start if !self.is_wanted(&members).await => {
                self.machines.handle(&name, Event::Wanted(false));
            }
            Order::Start => {
                let Spawned { identity, outcome } = self.spawn(&name, config.start, Some(run_name)).await;
                self.machines.spawned(&name, start, identity);
                self.save().await;
                self.machines.start_ended(&name, start, ended(outcome).await);
                self.save().await;
            }
            Order::Ask | Order::AskUsed => {
                self.set_closed(&members, true);
                let is_wanted = match order {
                    Order::AskUsed => self.is_used(&members),
                    _ => self.is_wanted(&members).await,
                };
                if order == Order::AskUsed && !is_wanted {
                    tracing::info!(provider = %name, "memory is critically short, so the idle server is stopped");
                }
                if !self.machines.handle(&name, Event::Wanted(is_wanted)) {
                    self.set_closed(&members, false);
                }
            }
            Order::Stop => {
                let command = config.stop.map(|stop| stop.command).unwrap_or_default();
                let running = self.spawn(&name, command, None).await;
                let outcome = timeout(STOP, ended(running.outcome)).await;
                let outcome =
                    outcome.unwrap_or_else(|_| Err(format!("it has not ended within {} s", STOP.as_secs())));
                if let Err(reason) = &outcome {
                    tracing::warn!(provider = %name, reason, "the stop command failed");
                }
                self.machines.handle(&name, Event::StopEnded(outcome));
                self.set_closed(&members, false);
            }
            Order::Open => {
                for member in &members {
                    self.permits.reopen(member);
                }
            }
        }
    }

    /// Whether an attempt of one of these providers is in flight.
    fn is_used(&self, members: &[String]) -> bool {
        members.iter().any(|member| self.permits.usage(member).0 > 0)
    }

    fn set_closed(&self, members: &[String], is_closed: bool) {
        for member in members {
            self.permits.set_closed(member, is_closed);
        }
    }

    /// Whether a task runs at one of these providers or waits for it.
    async fn is_wanted(&self, members: &[String]) -> bool {
        for member in members {
            // If the tracker is gone, the process is ending.
            if self.wanted.send(IsWanted(Arc::from(member.as_str()))).await.unwrap_or(true) {
                return true;
            }
        }
        self.is_used(members)
    }

    /// Runs a command. `run_name` is the value of a variable that its processes get.
    async fn spawn(&self, name: &str, command: Vec<String>, run_name: Option<String>) -> Spawned {
        let log = self.log_of(name);
        // The process is ending if the thread cannot run.
        let lost = || Spawned { identity: None, outcome: oneshot::channel().1 };
        spawn_blocking(move || spawn(&command, log, run_name)).await.unwrap_or_else(|_| lost())
    }
}

/// Waits for the end of a command. The error says how it failed. Without a thread that waits for the command, how it ended is not known, and a connection
/// shows whether the server is up.
async fn ended(outcome: oneshot::Receiver<Result<(), String>>) -> Result<(), String> {
    outcome.await.unwrap_or(Ok(()))
}
