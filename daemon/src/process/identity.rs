//! Determines whether a process group of a former daemon still runs. Process ids are reused, so a group is identified by the leader's process id and
//! start time, and by the boot of the system.
//!
//! Linux only: other systems have no `/proc`, so no group is found there.

use std::fs;

use serde::{Deserialize, Serialize};

/// The environment variable that every process of a run inherits. Its value is the name of the run directory, or names the start of a server.
pub const RUN_VARIABLE: &str = "REEL_RUN";

/// The identity of a process group, as it is written to the run directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupIdentity {
    /// The boot of the system in which the group was started. Clock ticks are counted from the boot.
    pub boot_id: String,
    /// The process id of the leader, which is also the id of the group and of its session.
    pub leader: u32,
    /// The start time of the leader, in clock ticks since the boot.
    pub start_ticks: u64,
}

impl GroupIdentity {
    /// Returns the identity of the group that a running process leads, or is about to lead. `None` if the system does not say.
    pub fn of_leader(leader: u32) -> Option<Self> {
        Some(Self { boot_id: boot_id()?, leader, start_ticks: ProcessStat::read(leader)?.start_ticks })
    }

    /// Finds the first process that has this value of [`RUN_VARIABLE`]. It is identified like the leader of a group. Reads files of `/proc`.
    pub fn find(run: &str) -> Option<Self> {
        processes().filter(|process| has_variable(*process, run)).min().and_then(Self::of_leader)
    }

    /// Whether the leader itself still runs.
    pub fn is_running(&self) -> bool {
        boot_id().as_deref() == Some(&self.boot_id)
            && ProcessStat::read(self.leader)
                .is_some_and(|leader| leader.start_ticks == self.start_ticks && leader.is_running())
    }

    /// Returns the processes of the group that still run. `run_directory` is the value of their [`RUN_VARIABLE`].
    ///
    /// If the leader has ended, the group is recognised by the variable, because another group may have reused the leader's number.
    pub(super) fn running(&self, run_directory: &str) -> Vec<u32> {
        if boot_id().as_deref() != Some(&self.boot_id) {
            return Vec::new();
        }
        let members = members(self.leader);
        let is_ours = match ProcessStat::read(self.leader) {
            Some(leader) => leader.start_ticks == self.start_ticks,
            None => members.iter().any(|process| has_variable(*process, run_directory)),
        };
        if is_ours { members } else { Vec::new() }
    }
}

/// Fields of `/proc/PID/stat`.
#[derive(Debug, PartialEq, Eq)]
struct ProcessStat {
    state: char,
    group: u32,
    start_ticks: u64,
}

impl ProcessStat {
    fn read(process: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{process}/stat")).ok()?)
    }

    /// Parses the line (`proc_pid_stat(5)`). The second field is the program's name in parentheses, which may contain any characters.
    fn parse(line: &str) -> Option<Self> {
        let (_, fields) = line.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
        // The manual numbers the fields from 1, and `fields` begins with the third.
        let field = |number: usize| fields.get(number - 3).copied();
        Some(Self {
            state: field(3)?.chars().next()?,
            group: field(5)?.parse().ok()?,
            start_ticks: field(22)?.parse().ok()?,
        })
    }

    /// Returns whether the process runs. A process that has ended but was not waited for does not run.
    const fn is_running(&self) -> bool {
        !matches!(self.state, 'Z' | 'X')
    }
}

/// Returns all processes.
fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Returns the running processes of a group.
fn members(group: u32) -> Vec<u32> {
    let is_member = |process: &u32| {
        ProcessStat::read(*process).is_some_and(|stat| stat.group == group && stat.is_running())
    };
    processes().filter(is_member).collect()
}

fn has_variable(process: u32, run_directory: &str) -> bool {
    let environment = fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
    let wanted = format!("{RUN_VARIABLE}={run_directory}");
    environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
}

/// Returns the identity of the system's boot. None if the system does not say.
pub fn boot_id() -> Option<String> {
    Some(fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_whatever_the_program_is_called() {
        let fields = "S 1 4242 4242 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 987654 4096 1";
        let expected = Some(ProcessStat { state: 'S', group: 4242, start_ticks: 987_654 });
        for name in ["sh", "a b", "x) R 1 2 3", ")))"] {
            assert_eq!(ProcessStat::parse(&format!("17 ({name}) {fields}")), expected, "{name}");
        }
        for garbage in ["", "17 (sh", "17 (sh) S 1", "17 (sh) S x y z", "17 (sh) S 1 -1 4242"] {
            assert_eq!(ProcessStat::parse(garbage), None, "{garbage}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_number_that_another_process_has_by_now_or_had_before_a_boot_is_not_the_group() {
        use std::os::unix::process::CommandExt as _;

        let run = format!("test-{}", std::process::id());
        let mut command = std::process::Command::new("sleep");
        let mut child = command.arg("600").process_group(0).env(RUN_VARIABLE, &run).spawn().unwrap();
        // The system shows the environment of a program only a moment after it has begun to run.
        let begun = std::time::Instant::now();
        let mut found = std::iter::repeat_with(|| GroupIdentity::find(&run))
            .take_while(|_| begun.elapsed() < std::time::Duration::from_mins(1));
        assert_eq!(found.find_map(|found| Some(found?.leader)), Some(child.id()));
        let identity = GroupIdentity::of_leader(child.id()).unwrap();
        assert_eq!((identity.running("/nowhere"), identity.is_running()), (vec![child.id()], true));
        let reused = GroupIdentity { start_ticks: identity.start_ticks + 1, ..identity.clone() };
        assert!(reused.running("/nowhere").is_empty() && !reused.is_running());
        let rebooted = GroupIdentity { boot_id: "another".to_owned(), ..identity.clone() };
        assert!(rebooted.running("/nowhere").is_empty() && !rebooted.is_running());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(identity.running("/nowhere").is_empty() && !identity.is_running());
        assert_eq!(GroupIdentity::find(&run), None);
    }
}
