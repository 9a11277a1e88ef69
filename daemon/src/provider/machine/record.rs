//! The file that says which servers reel is starting or has started and not stopped. A later daemon reads it, so that it starts none for the second time,
//! waits for none longer than one daemon would, and stops them when they are idle.

use std::{collections::BTreeMap, io, path::PathBuf, time::Duration};

use reel_protocol::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::state::{Start, State};
use crate::{
    disk::{read_small, replace},
    process::{GroupIdentity, boot_id},
};

/// Most bytes of the file that are read. A record has a few hundred bytes, and the words of a failed command.
const MAX_BYTES: u64 = 256 * 1024;

/// The records by the names of providers, one for each server.
pub(super) type Records = BTreeMap<String, Record>;

/// What a later daemon must know about a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// The start command.
    pub start: Vec<String>,
    /// The host and the port of the server.
    pub address: (String, u16),
    /// When the start command was first run since the server was down.
    pub began_at: Timestamp,
    /// The newest run of the start command.
    pub command: Command,
    /// The part of the state that outlasts the daemon.
    pub stage: Stage,
}

/// The newest run of a start command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Command {
    /// It is about to be run.
    Pending,
    /// It runs. Its process is unknown where the system does not tell its identity.
    Running(Option<GroupIdentity>),
    /// It has ended.
    Ended,
}

/// The part of a server's state that outlasts the daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stage {
    /// The start command was run so often, and the server was not reached yet.
    Starting { tries: u32 },
    /// The start command has failed, and is run again.
    Failed { tries: u32, reason: String },
    /// The server could not be started.
    GivenUp { reason: Option<String> },
    /// reel has started the server, and it was reached.
    Up,
}

impl Stage {
    /// Returns the part of a state that outlasts the daemon. None if reel has not started the server.
    pub fn of(state: &State) -> Option<Self> {
        match state {
            State::Left | State::Stopped => None,
            State::Starting(start) => Some(Self::Starting { tries: start.tries }),
            State::Failed { start, reason, .. } => {
                Some(Self::Failed { tries: start.tries, reason: reason.clone() })
            }
            State::GivenUp { reason, .. } => Some(Self::GivenUp { reason: reason.clone() }),
            State::Up(_) | State::Idle | State::Stopping => Some(Self::Up),
        }
    }
}

impl Record {
    /// Returns the value of the variable that all processes of the start command have, by which a later daemon finds them.
    pub fn run_name(name: &str, began_at: Timestamp) -> String {
        format!("start-{name}-{}", began_at.unix_ms())
    }

    /// Returns what the start command does now. It may have been run although the record does not say so. Reads files of `/proc`.
    pub fn command_now(&self, name: &str) -> Command {
        match &self.command {
            Command::Pending => {
                let found = GroupIdentity::find(&Self::run_name(name, self.began_at));
                found.map_or(Command::Pending, |found| Command::Running(Some(found)))
            }
            Command::Running(Some(identity)) if identity.is_running() => self.command.clone(),
            // Where the system does not tell, it may run nevertheless. Then it is run for a second time, at worst.
            Command::Running(_) | Command::Ended => Command::Ended,
        }
    }

    /// Returns the state of the server for a daemon that reads the record now, and finds that the start command does this. `age` is the time since it
    /// was first run.
    pub fn state(&self, command: &Command, age: Duration, now: Instant) -> State {
        let since = now.checked_sub(age).unwrap_or(now);
        match self.stage.clone() {
            // The earlier daemon died before it ran the command.
            Stage::Starting { .. } if *command == Command::Pending => State::Left,
            Stage::Starting { tries } => State::Starting(Start { since, tries }),
            Stage::Failed { tries, reason } => {
                State::Failed { start: Start { since, tries }, reason, again: now }
            }
            // The next task that wants the server has it started anew.
            Stage::GivenUp { reason } => State::GivenUp { last: since, reason },
            Stage::Up => State::Up(now),
        }
    }
}

/// The file `started.json` of a home.
#[derive(Debug, Clone)]
pub(super) struct RecordFile(PathBuf);

#[derive(Default, Serialize, Deserialize)]
struct Content {
    /// The boot of the system in which the file was written. None where the system does not tell. No server outlasts it.
    boot_id: Option<String>,
    servers: Records,
}

impl RecordFile {
    pub fn of_home(home: &std::path::Path) -> Self {
        Self(home.join("started.json"))
    }

    /// Reads the records. A file that is missing or damaged, or of an earlier boot, has none: then the servers are not stopped. Blocks.
    pub fn read(&self) -> Records {
        let text = read_small(&self.0, MAX_BYTES).ok().flatten();
        let content: Option<Content> = text.and_then(|text| serde_json::from_slice(&text).ok());
        content.filter(|content| content.boot_id == boot_id()).unwrap_or_default().servers
    }

    /// Replaces the file. Blocks.
    pub fn write(&self, servers: Records) -> io::Result<()> {
        replace(&self.0, &serde_json::to_vec(&Content { boot_id: boot_id(), servers })?)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn record(stage: Stage, command: Command) -> Record {
        let address = ("127.0.0.1".to_owned(), 9);
        Record { start: vec!["up".to_owned()], address, began_at: Timestamp::now(), command, stage }
    }

    #[test]
    fn what_was_written_is_read_and_a_file_that_is_damaged_or_of_an_earlier_boot_names_none() {
        let home = tempfile::tempdir().unwrap();
        let file = RecordFile::of_home(home.path());
        assert!(file.read().is_empty());
        let reason = Some("no unit".to_owned());
        let records = Records::from([
            ("a".to_owned(), record(Stage::GivenUp { reason }, Command::Ended)),
            ("b".to_owned(), record(Stage::Starting { tries: 2 }, Command::Running(None))),
        ]);
        file.write(records.clone()).unwrap();
        assert_eq!(file.read(), records);
        let text = fs::read_to_string(&file.0).unwrap();
        let rebooted = boot_id().map(|boot| text.replace(&boot, "another")).unwrap_or_default();
        for text in ["", "[", "{\"servers\":7}", "{}", "{\"started\":[\"a\"]}", &rebooted] {
            fs::write(&file.0, text).unwrap();
            assert!(file.read().is_empty(), "{text}");
        }
    }

    #[test]
    fn a_daemon_goes_on_where_the_earlier_one_has_ended() {
        let now = Instant::now();
        let age = Duration::from_mins(1);
        let since = now.checked_sub(age).unwrap();
        let reason = || "no unit".to_owned();
        let start = |tries| Start { since, tries };
        for (stage, command, expected) in [
            (Stage::Starting { tries: 1 }, Command::Pending, State::Left),
            (Stage::Starting { tries: 2 }, Command::Running(None), State::Starting(start(2))),
            (Stage::Starting { tries: 1 }, Command::Ended, State::Starting(start(1))),
            (
                Stage::Failed { tries: 2, reason: reason() },
                Command::Ended,
                State::Failed { start: start(2), reason: reason(), again: now },
            ),
            (
                Stage::GivenUp { reason: None },
                Command::Running(None),
                State::GivenUp { last: since, reason: None },
            ),
            (Stage::Up, Command::Ended, State::Up(now)),
        ] {
            let record = record(stage, command.clone());
            let state = record.state(&command, age, now);
            assert_eq!(state, expected, "{record:?}");
            assert_eq!(Stage::of(&state).is_some(), state != State::Left, "{record:?}");
        }
        assert_eq!((Stage::of(&State::Left), Stage::of(&State::Stopped)), (None, None));
    }
}
