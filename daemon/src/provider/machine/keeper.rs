//! Carries out what the states of the servers demand: runs the commands, tries to connect, and asks the tracker whether a server is wanted.

use std::{path::PathBuf, rc::Rc, sync::Arc, time::Duration};

use actix::Recipient;
use futures_util::future::join_all;
use tokio::{net::TcpStream, task::spawn_blocking, time::timeout};

use super::{
    Machines,
    command::spawn,
    log,
    machines::{Job, Watched},
    ours::OursFile,
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
    ours: OursFile,
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
        Self { machines, permits, wanted, ours: OursFile::of_home(home), logs: home.join("logs") }
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
        let probes = watched.into_iter().map(
            |Watched { name, members, address: (host, port), is_probed }| async move {
                if is_probed
                    && let Ok(Ok(_)) = timeout(CONNECT, TcpStream::connect((host.as_str(), port))).await
                {
                    self.machines.handle(&name, Event::Reached);
                }
                let is_used = self.is_used(&members);
                self.machines.handle(&name, Event::Tick { is_used });
            },
        );
        join_all(probes).await;
        // It ends by itself, and its failures are logged.
        let _ = cutting.await;
    }

    fn log_of(&self, name: &str) -> PathBuf {
        self.logs.join(format!("machine-{name}.log"))
    }

    /// Writes which servers reel has started, if that has changed.
    async fn save(&self) {
        let Some(names) = self.machines.unsaved() else { return };
        let ours = self.ours.clone();
        let written = spawn_blocking(move || ours.write(names)).await;
        if let Ok(Err(error)) = written {
            tracing::warn!(%error, "a later daemon will not know which servers were started, and will not stop them");
        }
    }

    async fn carry_out(&self, job: Job) {
        let Job { name, members, order, config, start } = job;
        match order {
            // A check or a list of a person made no connection.
            Order::Start if !self.is_wanted(&members).await => {
                self.machines.handle(&name, Event::Wanted(false));
            }
            Order::Start => {
                let outcome = self.run_command(&name, config.start).await;
                self.machines.start_ended(&name, start, outcome);
            }
            Order::Ask => {
                self.set_closed(&members, true);
                let is_wanted = self.is_wanted(&members).await;
                if !self.machines.handle(&name, Event::Wanted(is_wanted)) {
                    self.set_closed(&members, false);
                }
            }
            Order::Stop => {
                let command = config.stop.map(|stop| stop.command).unwrap_or_default();
                let outcome = timeout(STOP, self.run_command(&name, command)).await;
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

    /// Runs a command to its end. The error says how it failed.
    async fn run_command(&self, name: &str, command: Vec<String>) -> Result<(), String> {
        let log = self.log_of(name);
        let spawned = spawn_blocking(move || spawn(&command, log)).await;
        let Ok(outcome) = spawned else { return Err("it could not be run".to_owned()) };
        // Without a thread that waits for the command, how it ended is not known, and a connection shows whether the server is up.
        outcome.await.unwrap_or(Ok(()))
    }
}
