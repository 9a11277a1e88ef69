//! The states of all servers that reel starts and stops. Calls and the gateway share them with the keeper.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use reel_protocol::{Timestamp, methods::MachineInfo};
use tokio::{sync::Notify, time::Instant};

use super::{
    ours::OursFile,
    shared::servers,
    state::{Event, Order, State, Times},
};
use crate::config::{MachineConfig, ProviderConfig};

/// The servers of all providers with `start` in their sections. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Machines(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    table: Mutex<Table>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Table {
    /// The servers, each by the name of one of its providers.
    machines: BTreeMap<String, Machine>,
    /// For each provider the name of its server in `machines`. Providers with the same start command and address have the same server.
    leaders: BTreeMap<String, String>,
    /// The names of the servers that reel has started and not stopped. It keeps those that are not configured any more, as they may come back.
    ours: BTreeSet<String>,
    /// Whether `ours` differs from the file.
    is_unsaved: bool,
    /// How long a server is waited for whose start command was run.
    patience: Duration,
}

#[derive(Debug)]
struct Machine {
    config: MachineConfig,
    address: (String, u16),
    /// The providers that use the server.
    members: Vec<String>,
    state: State,
    since: Timestamp,
    /// How often the start command was run. The end of an earlier one says nothing about the newest.
    starts: u64,
    /// Whether the newest start command has not ended yet.
    is_running: bool,
    /// Why the last stop failed.
    unstopped: Option<String>,
    orders: VecDeque<Order>,
}

/// An order with what the keeper needs to carry it out.
#[derive(Debug)]
pub(super) struct Job {
    pub name: String,
    /// The providers that use the server.
    pub members: Vec<String>,
    pub order: Order,
    pub config: MachineConfig,
    /// The number of the start to which [`Machines::start_ended`] refers.
    pub start: u64,
}

/// A server that was started and does not answer, so that tasks do not wait for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silent {
    /// What was seen, as the end of a sentence.
    pub what: String,
    /// What a person can do.
    pub hint: String,
}

/// A server that the keeper looks at regularly.
#[derive(Debug, Clone)]
pub(super) struct Watched {
    pub name: String,
    /// The providers that use the server.
    pub members: Vec<String>,
    pub address: (String, u16),
    pub is_probed: bool,
}

impl Machines {
    /// Returns the servers of this home, of which none is configured yet. Reads a file.
    pub fn of_home(home: &Path) -> Self {
        let ours = OursFile::of_home(home).read();
        let table = Table { ours, ..Table::default() };
        Self(Arc::new(Shared { table: Mutex::new(table), changed: Notify::new() }))
    }

    /// Replaces the configured servers. One whose commands and address are as before keeps its state. A server whose start command was run is waited
    /// for as long as `patience`.
    pub fn configure(&self, providers: &[ProviderConfig], patience: Duration) {
        let mut table = self.table();
        table.patience = patience;
        let mut former = std::mem::take(&mut table.machines);
        table.leaders.clear();
        for (config, address, members) in servers(providers) {
            let same = former
                .iter()
                .find(|(_, machine)| machine.config == config && machine.address == address)
                .map(|(name, _)| name.clone());
            let machine = same.as_ref().and_then(|name| former.remove(name));
            // It keeps its name, and so its log, as long as a provider has this name.
            let leader = same.filter(|name| members.contains(name)).or_else(|| members.first().cloned());
            let Some(leader) = leader else { continue };
            let is_ours = members.iter().any(|member| table.ours.contains(member));
            let mut machine = machine.unwrap_or_else(|| Machine {
                config,
                address,
                members: Vec::new(),
                state: if is_ours { State::restored(Instant::now()) } else { State::Left },
                since: Timestamp::now(),
                starts: 0,
                is_running: false,
                unstopped: None,
                orders: VecDeque::new(),
            });
            for member in &members {
                table.leaders.insert(member.clone(), leader.clone());
            }
            machine.members = members;
            table.machines.insert(leader, machine);
        }
        drop(table);
        self.0.changed.notify_one();
    }

    /// Reports that a call made no connection to the server. If a task wants the server, it is then started, once for each time that it is down.
    pub fn unreached(&self, name: &str) {
        self.handle(name, Event::Unreached);
    }

    /// Reports that the server has answered.
    pub fn reached(&self, name: &str) {
        self.handle(name, Event::Reached);
    }

    /// Returns what reel does about a server that cannot be reached, as the end of a sentence. None if reel does nothing.
    pub fn remedy(&self, name: &str) -> Option<String> {
        let table = self.table();
        let (_, machine) = table.machine(name)?;
        match &machine.state {
            State::Left | State::Up(_) | State::Stopped => None,
            State::Starting(_) => Some("reel is starting it".to_owned()),
            State::Silent(_) => Some(machine.silence(table.patience)),
            State::StartFailed(reason) => Some(format!("its start command failed: {reason}")),
            State::Restored(_) => Some("an earlier daemon has started it".to_owned()),
            State::Idle | State::Stopping => Some("reel is stopping it, because it was idle".to_owned()),
        }
    }

    /// Whether the server is being started, by this daemon or by an earlier one, and is waited for.
    pub fn is_starting(&self, name: &str) -> bool {
        let table = self.table();
        let state = table.machine(name).map(|(_, machine)| &machine.state);
        matches!(state, Some(State::Starting(_) | State::Restored(_)))
    }

    /// Returns what is known about a server that was started and does not answer. None if tasks wait for the server.
    pub fn silent(&self, name: &str) -> Option<Silent> {
        let table = self.table();
        let (name, machine) = table.machine(name)?;
        if !matches!(machine.state, State::Silent(_)) {
            return None;
        }
        let command = machine.config.start.join(" ");
        let hint = format!(
            "look at logs/machine-{name}.log in the daemon's home, and run the command by hand: {command}; raise http.loading_s if the server takes \
             longer; then reel retry"
        );
        Some(Silent { what: machine.silence(table.patience), hint })
    }

    /// Returns what `provider.list` shows about the server. None if reel has not started it.
    pub fn info(&self, name: &str) -> Option<MachineInfo> {
        let table = self.table();
        let (_, machine) = table.machine(name)?;
        let (state, detail) = match &machine.state {
            State::Left => return None,
            State::Starting(_) | State::Restored(_) => ("starting", None),
            State::Silent(_) => ("start_failed", Some(machine.silence(table.patience))),
            State::StartFailed(reason) => ("start_failed", Some(reason.clone())),
            State::Up(_) | State::Idle => {
                let reason = machine.unstopped.as_ref();
                ("started", reason.map(|reason| format!("its stop command failed: {reason}")))
            }
            State::Stopping => ("stopping", None),
            State::Stopped => ("stopped", None),
        };
        Some(MachineInfo { state: state.to_owned(), since: machine.since, detail })
    }

    /// Whether reel has started a server that it will stop. A daemon that is idle itself stays until then.
    pub fn will_stop_one(&self) -> bool {
        let table = self.table();
        table.machines.values().any(|machine| machine.state.is_ours() && machine.config.stop.is_some())
    }

    /// Waits until a server has an order, or until the servers or their states may have changed.
    pub(super) async fn changed(&self) {
        self.0.changed.notified().await;
    }

    /// Removes and returns all orders.
    pub(super) fn take_orders(&self) -> Vec<Job> {
        let mut table = self.table();
        let mut jobs = Vec::new();
        for (name, machine) in &mut table.machines {
            for order in std::mem::take(&mut machine.orders) {
                let (config, start) = (machine.config.clone(), machine.starts);
                let members = machine.members.clone();
                jobs.push(Job { name: name.clone(), members, order, config, start });
            }
        }
        jobs
    }

    /// Returns the names that the file must contain, if they have changed since the last call.
    pub(super) fn unsaved(&self) -> Option<BTreeSet<String>> {
        let mut table = self.table();
        std::mem::take(&mut table.is_unsaved).then(|| table.ours.clone())
    }

    /// Returns the servers whose state changes with time or with a connection that is made.
    pub(super) fn watched(&self) -> Vec<Watched> {
        let table = self.table();
        let watched = table.machines.iter().filter_map(|(name, machine)| {
            let is_probed = machine.state.is_probed();
            (is_probed || machine.state.is_ours()).then(|| Watched {
                name: name.clone(),
                members: machine.members.clone(),
                address: machine.address.clone(),
                is_probed,
            })
        });
        watched.collect()
    }

    /// Reports the end of a start command. One that a newer start has replaced is ignored.
    pub(super) fn start_ended(&self, name: &str, start: u64, outcome: Result<(), String>) {
        {
            let mut table = self.table();
            let Some(machine) = table.machines.get_mut(name).filter(|machine| machine.starts == start) else {
                return;
            };
            machine.is_running = false;
        }
        self.handle(name, Event::StartEnded(outcome));
    }

    /// Reports an event, and returns whether the server is to be stopped now.
    pub(super) fn handle(&self, name: &str, event: Event) -> bool {
        let mut guard = self.table();
        let Table { machines, leaders, ours, is_unsaved, patience } = &mut *guard;
        let Some(name) = leaders.get(name) else { return false };
        let Some(machine) = machines.get_mut(name) else { return false };
        let stop_after = machine.config.stop.as_ref().map(|stop| stop.after_idle);
        let times = Times { stop_after, patience: *patience };
        if let Event::StopEnded(outcome) = &event {
            machine.unstopped = outcome.clone().err();
        }
        let former = std::mem::replace(&mut machine.state, State::Left);
        let kind = std::mem::discriminant(&former);
        let was_silent = matches!(former, State::Silent(_));
        let (state, order) = former.handle(event, times, Instant::now());
        // A start command that still runs is waited for anew, and not run for a second time.
        let order = order.filter(|order| !(was_silent && machine.is_running && *order == Order::Start));
        let is_new = std::mem::discriminant(&state) != kind;
        if is_new {
            machine.since = Timestamp::now();
            report(name, &state);
        }
        if order == Some(Order::Start) {
            machine.starts += 1;
            machine.is_running = true;
        } else if state == State::Left {
            machine.is_running = false;
        }
        let is_changed = if state.is_ours() {
            ours.insert(name.clone())
        } else {
            let known = ours.len();
            ours.retain(|one| !is_new || !machine.members.contains(one));
            ours.len() != known
        };
        *is_unsaved |= is_changed;
        machine.state = state;
        machine.orders.extend(order);
        drop(guard);
        if is_new {
            self.0.changed.notify_one();
        }
        order == Some(Order::Stop)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Nothing that runs under the lock can leave the table half changed, so a poisoned lock may be used.
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Returns the server of a provider with its name.
    fn machine(&self, provider: &str) -> Option<(&String, &Machine)> {
        self.machines.get_key_value(self.leaders.get(provider)?)
    }
}

impl Machine {
    /// Describes that the server does not answer, as the end of a sentence.
    fn silence(&self, patience: Duration) -> String {
        let command = if self.is_running { "still runs" } else { "has ended without an error" };
        let seconds = patience.as_secs();
        format!("its start command was run and {command}, and no connection could be made for {seconds} s")
    }
}

fn report(name: &str, state: &State) {
    match state {
        State::Left => tracing::info!(provider = name, "the server is left to itself"),
        State::Starting(_) => tracing::info!(provider = name, "a task wants the server, so it is started"),
        State::Silent(_) => tracing::warn!(provider = name, "the server was started, and cannot be reached"),
        State::StartFailed(reason) => tracing::warn!(provider = name, reason, "the start command failed"),
        State::Up(_) => tracing::debug!(provider = name, "the server is up"),
        State::Stopping => tracing::info!(provider = name, "the server was idle, so it is stopped"),
        State::Stopped => tracing::info!(provider = name, "the server was stopped"),
        State::Restored(_) | State::Idle => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Config, provider::kind_sections};

    const PATIENCE: Duration = Duration::from_mins(15);

    fn providers(keys: &str) -> Vec<ProviderConfig> {
        let text = format!("[providers.machine]\nkind = \"sdcpp\"\nstart = [\"up\"]\n{keys}\n");
        Config::parse(&text, &kind_sections()).unwrap().providers
    }

    fn state(machines: &Machines) -> Option<String> {
        machines.info("machine").map(|info| info.state)
    }

    #[test]
    fn a_server_keeps_its_state_while_its_keys_are_the_same_and_is_known_after_a_restart() {
        let home = tempfile::tempdir().unwrap();
        let file = OursFile::of_home(home.path());
        let machines = Machines::of_home(home.path());
        machines.configure(&providers(""), PATIENCE);
        assert_eq!(state(&machines), None);
        machines.unreached("machine");
        machines.unreached("machine");
        let orders: Vec<_> = machines.take_orders().into_iter().map(|job| (job.order, job.start)).collect();
        assert_eq!(orders, [(Order::Start, 1)]);
        file.write(machines.unsaved().unwrap()).unwrap();
        assert_eq!(machines.unsaved(), None);
        machines.configure(&providers("rank = 2"), PATIENCE);
        assert_eq!(state(&machines).as_deref(), Some("starting"));
        machines.start_ended("machine", 0, Err("stale".to_owned()));
        assert_eq!(machines.remedy("machine").as_deref(), Some("reel is starting it"));
        let later = Machines::of_home(home.path());
        later.configure(&providers(""), PATIENCE);
        later.unreached("machine");
        assert!(later.take_orders().is_empty(), "it was started already");
        later.reached("machine");
        assert_eq!(state(&later).as_deref(), Some("started"));
        machines.start_ended("machine", 1, Err("no unit".to_owned()));
        assert_eq!(machines.remedy("machine").as_deref(), Some("its start command failed: no unit"));
        assert_eq!(machines.unsaved(), Some(BTreeSet::new()));
        machines.configure(&providers("base_url = \"http://[::1]:9\""), PATIENCE);
        assert_eq!(state(&machines), None, "it is another server");
        machines.unreached("other");
    }
}
