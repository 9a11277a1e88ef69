//! The keys `start`, `stop` and `stop_after_idle_s`: the commands that start and stop the server of a provider.

use std::time::Duration;

use super::Section;

/// The keys that this file reads.
pub(super) const KEYS: [&str; 3] = ["start", "stop", "stop_after_idle_s"];
/// Longest time after which an idle server is stopped, in seconds: a week.
const LONGEST_IDLE_S: u32 = 604_800;

/// How the server of a provider is started and stopped. The commands run without a shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineConfig {
    /// The program that starts the server, with its arguments. It has at least one element.
    pub start: Vec<String>,
    /// How the server is stopped. None if it is never stopped.
    pub stop: Option<StopConfig>,
}

/// How and when a server that was started is stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopConfig {
    /// The program that stops the server, with its arguments. It has at least one element.
    pub command: Vec<String>,
    /// How long no task must have used the server.
    pub after_idle: Duration,
}

/// Reads these keys. None if the section has none of them, or if something is wrong with them. `is_remote` says whether the kind uses the network.
pub(super) fn machine(section: &mut Section<'_>, is_remote: bool) -> Option<MachineConfig> {
    let given = KEYS.into_iter().find(|key| section.has(key))?;
    if !is_remote {
        section.complain(given, "is for kinds that use a server; this kind has none");
        return None;
    }
    let start = command(section, "start");
    let stop = command(section, "stop");
    let idle_s = section.whole("stop_after_idle_s", 1..=LONGEST_IDLE_S);
    for (key, other) in [("stop", "stop_after_idle_s"), ("stop_after_idle_s", "stop"), ("stop", "start")] {
        if section.has(key) && !section.has(other) {
            let why = match other {
                "start" => "reel stops only a server that it has started",
                "stop" => "it is the command that stops the server",
                _ => "it says after how many idle seconds the server is stopped",
            };
            section.complain(key, &format!("needs {other}: {why}"));
            return None;
        }
    }
    let stop = stop
        .zip(idle_s)
        .map(|(command, idle_s)| StopConfig { command, after_idle: Duration::from_secs(idle_s.into()) });
    Some(MachineConfig { start: start?, stop })
}

fn command(section: &mut Section<'_>, key: &str) -> Option<Vec<String>> {
    let command = section.texts(key)?;
    if command.is_empty() {
        let wanted =
            "a program and its arguments, such as [\"systemctl\", \"--user\", \"start\", \"comfyui\"]";
        return section.wrong(key, wanted);
    }
    Some(command)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, tests::Openai};

    fn read(keys: &str) -> Result<Option<MachineConfig>, String> {
        let text = format!("[providers.x]\nkind='openai'\n{keys}\n");
        let config = Config::parse(&text, &[&Openai]).map_err(|error| error.to_string())?;
        Ok(config.providers[0].machine.clone())
    }

    #[test]
    fn a_server_is_started_and_perhaps_stopped() {
        assert_eq!(read(""), Ok(None));
        let start = vec!["up".to_owned(), "now".to_owned()];
        let never = MachineConfig { start: start.clone(), stop: None };
        assert_eq!(read("start=['up','now']"), Ok(Some(never)));
        let stop = StopConfig { command: vec!["down".to_owned()], after_idle: Duration::from_mins(10) };
        let both = MachineConfig { start, stop: Some(stop) };
        assert_eq!(read("start=['up','now']\nstop=['down']\nstop_after_idle_s=600"), Ok(Some(both)));
    }

    #[test]
    fn keys_that_make_no_sense_alone_are_refused() {
        for (keys, part) in [
            ("start=[]", "start must be a program and its arguments"),
            ("start='up'", "start must be a list of texts"),
            ("start=['up']\nstop=['down']", "stop needs stop_after_idle_s"),
            ("start=['up']\nstop_after_idle_s=5", "stop_after_idle_s needs stop"),
            ("stop=['down']\nstop_after_idle_s=5", "stop needs start"),
            ("start=['up']\nstop=['down']\nstop_after_idle_s=0", "stop_after_idle_s must be a whole number"),
        ] {
            let error = read(keys).unwrap_err();
            assert!(error.contains(part), "{keys}: {error}");
        }
    }
}
