//! The states of all servers that reel starts and stops. Calls and the gateway share them with the keeper.

use std::{
    collections::{BTreeMap, VecDeque},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use reel_protocol::{Timestamp, methods::MachineInfo};
use tokio::{sync::Notify, time::Instant};

use super::{
    Outlook,
    record::{Command, Record, RecordFile, Records, Stage},
    shared::servers,
    state::{Event, Order, Start, State, Times},
};
use crate::{
    config::{MachineConfig, ProviderConfig},
    process::GroupIdentity,
};

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
    /// What a later daemon must know. It keeps servers that are not configured any more, as they may come back.
    records: Records,
    /// Whether `records` differs from the file.
    is_unsaved: bool,
    /// How long a server is waited for whose start command was run.
    patience: Duration,
}

/// A server and its state.
#[derive(Debug)]
pub(super) struct Machine {
    pub config: MachineConfig,
    address: (String, u16),
    /// The providers that use the server.
    members: Vec<String>,
    pub state: State,
    /// When the server came into this state.
    pub since: Timestamp,
    /// When the start command was first run since the server was down.
    began_at: Timestamp,
    /// How often this daemon has run the start command. The end of an earlier run says nothing about the newest.
    starts: u64,
    /// The newest run of the start command.
    pub command: Command,
    /// Whether an earlier daemon has run it, so that nothing tells this one when it ends.
    is_adopted: bool,
    /// Why the last stop failed.
    pub unstopped: Option<String>,
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
    /// The value of the variable that all processes of the start command get.
    pub run_name: String,
}

/// A server that the keeper looks at regularly.
#[derive(Debug, Clone)]
pub(super) struct Watched {
    pub name: String,
    /// The providers that use the server.
    pub members: Vec<String>,
    pub address: (String, u16),
    pub is_probed: bool,
    /// The start command that an earlier daemon has run, and whose end is not known. None if there is none.
    pub adopted: Option<GroupIdentity>,
}

impl Machines {
    /// Returns the servers of this home, of which none is configured yet. Reads a file.
    pub fn of_home(home: &Path) -> Self {
        let records = RecordFile::of_home(home).read();
        let table = Table { records, ..Table::default() };
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
            let mut machine = machine.unwrap_or_else(|| {
                let found = members.iter().find_map(|member| table.records.remove_entry(member));
                let found =
                    found.filter(|(_, record)| (&record.start, &record.address) == (&config.start, &address));
                Machine::new(config, address, found)
            });
            for member in &members {
                table.leaders.insert(member.clone(), leader.clone());
            }
            for member in members.iter().filter(|member| **member != leader) {
                table.records.remove(member);
            }
            machine.members = members;
            table.machines.insert(leader.clone(), machine);
            table.note(&leader);
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

    /// Reports that the memory of this machine is critically short. A server that reel has started and can stop is then stopped if no attempt is in
    /// flight.
    pub fn memory_is_short(&self, name: &str) {
        self.handle(name, Event::MemoryShort);
    }

    /// Returns what a task can expect of a server that it cannot reach. None if reel does nothing about it.
    pub fn outlook(&self, name: &str) -> Option<Outlook> {
        let table = self.table();
        let (name, machine) = table.machine(name)?;
        machine.outlook(name, table.patience)
    }

    /// Returns what `provider.list` shows about the server. None if reel has not started it.
    pub fn info(&self, name: &str) -> Option<MachineInfo> {
        let table = self.table();
        table.machine(name)?.1.info(table.patience)
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
                let run_name = Record::run_name(name, machine.began_at);
                jobs.push(Job { name: name.clone(), members, order, config, start, run_name });
            }
        }
        jobs
    }

    /// Returns what the file must contain, if that has changed since the last call.
    pub(super) fn unsaved(&self) -> Option<Records> {
        let mut table = self.table();
        std::mem::take(&mut table.is_unsaved).then(|| table.records.clone())
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
                adopted: match &machine.command {
                    Command::Running(identity) if machine.is_adopted => identity.clone(),
                    _ => None,
                },
            })
        });
        watched.collect()
    }

    /// Reports that a start command runs. Its identity is None if it could not be run, or where the system does not tell.
    pub(super) fn spawned(&self, name: &str, start: u64, identity: Option<GroupIdentity>) {
        let mut table = self.table();
        if let Some(machine) = table.machines.get_mut(name).filter(|machine| machine.starts == start) {
            machine.command = Command::Running(identity);
            table.note(name);
        }
    }

    /// Reports the end of a start command. One that a newer start has replaced is ignored.
    pub(super) fn start_ended(&self, name: &str, start: u64, outcome: Result<(), String>) {
        {
            let mut table = self.table();
            let Some(machine) = table.machines.get_mut(name).filter(|machine| machine.starts == start) else {
                return;
            };
            machine.command = Command::Ended;
        }
        self.handle(name, Event::StartEnded(outcome));
    }

    /// Reports that the start command of an earlier daemon has ended. Whether it has failed is not known.
    pub(super) fn adopted_ended(&self, name: &str) {
        self.start_ended(name, 0, Ok(()));
    }

    /// Reports an event, and returns whether the server is to be stopped now.
    pub(super) fn handle(&self, name: &str, event: Event) -> bool {
        let mut table = self.table();
        let Some(name) = table.leaders.get(name).cloned() else { return false };
        let patience = table.patience;
        let Some(machine) = table.machines.get_mut(&name) else { return false };
        let (order, is_new) = machine.handle(&name, event, patience);
        table.note(&name);
        drop(table);
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

    /// Brings the record of a server up to date with its state.
    fn note(&mut self, name: &str) {
        let record = self.machines.get(name).and_then(Machine::record);
        if self.records.get(name) == record.as_ref() {
            return;
        }
        self.is_unsaved = true;
        match record {
            Some(record) => self.records.insert(name.to_owned(), record),
            None => self.records.remove(name),
        };
    }
}

impl Machine {
    /// Returns a server, with the state in which an earlier daemon has left it. `found` has the name under which that daemon has kept the record.
    fn new(config: MachineConfig, address: (String, u16), found: Option<(String, Record)>) -> Self {
        let (now, wall) = (Instant::now(), Timestamp::now());
        let (mut state, mut command, mut began_at) = (State::Left, Command::Pending, wall);
        if let Some((name, record)) = found {
            command = record.command_now(&name);
            began_at = record.began_at;
            state = record.state(&command, wall.since(began_at), now);
        }
        Self {
            config,
            address,
            members: Vec::new(),
            state,
            since: wall,
            began_at,
            starts: 0,
            command,
            is_adopted: true,
            unstopped: None,
            orders: VecDeque::new(),
        }
    }

    /// Handles an event. Returns the order that follows from it, and whether the kind of the state is new.
    fn handle(&mut self, name: &str, event: Event, patience: Duration) -> (Option<Order>, bool) {
        let stop_after = self.config.stop.as_ref().map(|stop| stop.after_idle);
        if let Event::StopEnded(outcome) = &event {
            self.unstopped = outcome.clone().err();
        }
        let former = std::mem::replace(&mut self.state, State::Left);
        let kind = std::mem::discriminant(&former);
        let was_given_up = matches!(former, State::GivenUp { .. });
        let (state, order) = former.handle(event, Times { stop_after, patience }, Instant::now());
        // A start command that still runs is waited for anew, and not run for a second time.
        let is_running = matches!(self.command, Command::Running(_));
        let order = order.filter(|order| !(was_given_up && is_running && *order == Order::Start));
        let is_new = std::mem::discriminant(&state) != kind;
        if is_new {
            self.since = Timestamp::now();
            report(name, &state);
        }
        if let State::Starting(Start { tries: 1, .. }) = state
            && is_new
        {
            self.began_at = self.since;
        }
        if order == Some(Order::Start) {
            self.starts += 1;
            (self.command, self.is_adopted) = (Command::Pending, false);
        }
        self.state = state;
        self.orders.extend(order);
        (order, is_new)
    }

    /// Returns what a later daemon must know. None if reel has not started the server.
    fn record(&self) -> Option<Record> {
        Some(Record {
            start: self.config.start.clone(),
            address: self.address.clone(),
            began_at: self.began_at,
            command: self.command.clone(),
            stage: Stage::of(&self.state)?,
        })
    }
}

fn report(name: &str, state: &State) {
    match state {
        State::Left => tracing::info!(provider = name, "the server is left to itself"),
        State::Starting(_) => tracing::info!(provider = name, "a task wants the server, so it is started"),
        State::Failed { reason, .. } => tracing::warn!(provider = name, reason, "the start command failed"),
        State::GivenUp { reason, .. } => {
            tracing::warn!(provider = name, reason, "the server could not be started, so its tasks fail");
        }
        State::Up(_) => tracing::debug!(provider = name, "the server is up"),
        State::Stopping => tracing::info!(provider = name, "the server is idle, so it is stopped"),
        State::Stopped => tracing::info!(provider = name, "the server was stopped"),
        State::Idle => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Config,
        provider::{kind_sections, machine::Prospect},
    };

    const PATIENCE: Duration = Duration::from_mins(15);

    fn providers(keys: &str) -> Vec<ProviderConfig> {
        let text = format!("[providers.machine]\nkind = \"sdcpp\"\nstart = [\"up\"]\n{keys}\n");
        Config::parse(&text, &kind_sections()).unwrap().providers
    }

    fn state(machines: &Machines) -> Option<String> {
        machines.info("machine").map(|info| info.state)
    }

    fn what(machines: &Machines) -> Option<String> {
        machines.outlook("machine").map(|outlook| outlook.what)
    }

    #[test]
    fn a_start_that_hangs_is_waited_for_and_given_up_over_a_restart_and_not_run_twice() {
        let home = tempfile::tempdir().unwrap();
        let file = RecordFile::of_home(home.path());
        let machines = Machines::of_home(home.path());
        machines.configure(&providers(""), PATIENCE);
        machines.unreached("machine");
        assert_eq!(machines.take_orders().len(), 1);
        machines.spawned("machine", 1, GroupIdentity::of_leader(std::process::id()));
        let mut records = machines.unsaved().unwrap();
        let record = records.get_mut("machine").unwrap();
        record.began_at = Timestamp::from_unix_ms(record.began_at.unix_ms() - 3_600_000);
        file.write(records).unwrap();
        let second = Machines::of_home(home.path());
        second.configure(&providers(""), PATIENCE);
        assert_eq!(state(&second).as_deref(), Some("starting"));
        second.handle("machine", Event::Tick { is_used: false });
        let given_up = second.outlook("machine").unwrap();
        assert_eq!((state(&second).as_deref(), given_up.prospect), (Some("start_failed"), Prospect::Fails));
        file.write(second.unsaved().unwrap()).unwrap();
        let third = Machines::of_home(home.path());
        third.configure(&providers(""), PATIENCE);
        assert_eq!(third.outlook("machine"), Some(given_up));
        third.unreached("machine");
        let orders: Vec<_> = third.take_orders().into_iter().map(|job| job.order).collect();
        // Only where the system tells that the command still runs.
        let expected = if cfg!(target_os = "linux") { vec![] } else { vec![Order::Start] };
        assert_eq!((state(&third).as_deref(), orders), (Some("starting"), expected));
        third.adopted_ended("machine");
        assert_eq!(state(&third).as_deref(), Some("starting"));
    }

    #[test]
    fn a_server_keeps_its_state_while_its_keys_are_the_same_and_is_known_after_a_restart() {
        let home = tempfile::tempdir().unwrap();
        let file = RecordFile::of_home(home.path());
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
        assert_eq!(what(&machines).as_deref(), Some("reel is starting it"));
        let identity = GroupIdentity::of_leader(std::process::id());
        machines.spawned("machine", 1, identity);
        file.write(machines.unsaved().unwrap()).unwrap();
        let later = Machines::of_home(home.path());
        later.configure(&providers(""), PATIENCE);
        later.unreached("machine");
        assert!(later.take_orders().is_empty(), "it was started already");
        later.reached("machine");
        assert_eq!(state(&later).as_deref(), Some("started"));
        machines.start_ended("machine", 1, Err("no unit".to_owned()));
        assert_eq!(what(&machines).as_deref(), Some("its start command failed: no unit"));
        machines.reached("machine");
        assert_eq!((state(&machines), machines.unsaved()), (None, Some(Records::new())));
        machines.configure(&providers("base_url = \"http://[::1]:9\""), PATIENCE);
        assert_eq!(state(&machines), None, "it is another server");
        machines.unreached("other");
    }
}
