//! What is said about a server that reel starts and stops: to tasks that cannot reach it, and in the list of providers.

use std::time::Duration;

use reel_protocol::methods::MachineInfo;

use super::{machines::Machine, record::Command, state::State};

/// What a task can expect of a server that it cannot reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlook {
    /// What reel does or has seen, as the end of a sentence.
    pub what: String,
    /// What a person can do. None if a failed connection says it better.
    pub hint: Option<String>,
    /// What becomes of the task.
    pub prospect: Prospect,
}

/// What becomes of a task that cannot reach the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prospect {
    /// The server is being started, and the task waits.
    Starting,
    /// The task waits until the server can be reached.
    Waits,
    /// The server could not be started, so the task fails.
    Fails,
}

impl Machine {
    /// Returns what a task can expect that cannot reach the server. None if reel does nothing about it.
    pub(super) fn outlook(&self, name: &str, patience: Duration) -> Option<Outlook> {
        let outlook = |what: &str, hint, prospect| Some(Outlook { what: what.to_owned(), hint, prospect });
        match &self.state {
            State::Left | State::Up(_) | State::Stopped => None,
            State::Starting(_) => outlook("reel is starting it", None, Prospect::Starting),
            State::Idle | State::Stopping => {
                outlook("reel is stopping it, because it was idle", None, Prospect::Waits)
            }
            State::Failed { reason, .. } => {
                let hint = format!("{}; reel runs the command again by itself", self.by_hand(name));
                outlook(&format!("its start command failed: {reason}"), Some(hint), Prospect::Waits)
            }
            State::GivenUp { reason, .. } => {
                let longer =
                    if reason.is_some() { "" } else { "; raise http.loading_s if the server takes longer" };
                let hint = format!("{}{longer}; then reel retry", self.by_hand(name));
                outlook(&self.why_given_up(patience), Some(hint), Prospect::Fails)
            }
        }
    }

    /// Returns what `provider.list` shows about the server. None if reel has not started it.
    pub(super) fn info(&self, patience: Duration) -> Option<MachineInfo> {
        let (state, detail) = match &self.state {
            State::Left => return None,
            State::Starting(_) => ("starting", None),
            State::Failed { reason, .. } => ("start_failed", Some(reason.clone())),
            State::GivenUp { .. } => ("start_failed", Some(self.why_given_up(patience))),
            State::Up(_) | State::Idle => {
                let reason = self.unstopped.as_ref();
                ("started", reason.map(|reason| format!("its stop command failed: {reason}")))
            }
            State::Stopping => ("stopping", None),
            State::Stopped => ("stopped", None),
        };
        Some(MachineInfo { state: state.to_owned(), since: self.since, detail })
    }

    /// Says why the server was given up, as the end of a sentence.
    fn why_given_up(&self, patience: Duration) -> String {
        if let State::GivenUp { reason: Some(reason), .. } = &self.state {
            return format!("its start command failed each time, at last with {reason}");
        }
        let command = if matches!(self.command, Command::Running(_)) { "still runs" } else { "has ended" };
        let seconds = patience.as_secs();
        format!("its start command was run and {command}, and no connection could be made for {seconds} s")
    }

    fn by_hand(&self, name: &str) -> String {
        let command = self.config.start.iter().map(|part| shell_word(part)).collect::<Vec<_>>().join(" ");
        format!(
            "look at logs/machine-{name}.log in the daemon's home, and run the command by hand: {command}"
        )
    }
}

/// Returns an argument as a word that a shell reads as that argument.
fn shell_word(argument: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "_-./:=@%+,".contains(c);
    if !argument.is_empty() && argument.chars().all(is_plain) {
        return argument.to_owned();
    }
    format!("'{}'", argument.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_can_be_copied_into_a_shell() {
        for (argument, expected) in [
            ("/usr/bin/sd-server", "/usr/bin/sd-server"),
            ("--port=7860", "--port=7860"),
            ("", "''"),
            ("echo a; exit 3", "'echo a; exit 3'"),
            ("it's", "'it'\\''s'"),
            ("$HOME", "'$HOME'"),
        ] {
            assert_eq!(shell_word(argument), expected);
        }
    }
}
