//! Programs that were still running when their daemon died. The next daemon ends them, and never another process.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use reel_tests::{Sandbox, eventually, process::binary};
use reeld::process::{Leftovers, end_leftovers};
use serde_json::json;
use tempfile::TempDir;

/// What a daemon leaves behind if it dies while a program runs: a run directory with a note of the process group, and the group's processes.
struct Abandoned {
    directory: PathBuf,
    launcher: Child,
}

impl Abandoned {
    /// Starts a launcher that has received no plan. Its process group is noted.
    fn waiting(runs: &Path) -> Self {
        let name = "run-abandoned";
        let directory = runs.join(name);
        fs::create_dir_all(directory.join("work")).unwrap();
        let mut command = Command::new(binary("reeld"));
        command.arg("--launch").env("REEL_RUN", name).stdin(Stdio::piped());
        let launcher = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let abandoned = Self { directory, launcher };
        abandoned.note(abandoned.launcher.id(), start_ticks(abandoned.launcher.id()));
        abandoned
    }

    /// Starts a launcher that has become a shell which runs this script.
    fn running(runs: &Path, script: &str) -> Self {
        let mut abandoned = Self::waiting(runs);
        let plan = json!({
            "program": "/bin/sh", "arguments": ["-c", script], "directory": abandoned.directory.join("work"),
            "stdin": null, "file_bytes": 1 << 20, "error_path": abandoned.directory.join("launch-error"),
        });
        let mut stdin = abandoned.launcher.stdin.take().unwrap();
        stdin.write_all(plan.to_string().as_bytes()).unwrap();
        abandoned
    }

    fn note(&self, leader: u32, start_ticks: u64) {
        let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
        let group = json!({ "boot_id": boot_id.trim(), "leader": leader, "start_ticks": start_ticks });
        fs::write(self.directory.join("group.json"), group.to_string()).unwrap();
    }

    /// Waits for a file in the script's working directory to end with a line break, and returns its text.
    fn written(&self, name: &str) -> String {
        let path = self.directory.join("work").join(name);
        eventually("the script writes", || fs::read_to_string(&path).ok().filter(|text| text.ends_with('\n')))
    }
}

impl Drop for Abandoned {
    fn drop(&mut self) {
        let _ = self.launcher.kill();
        let _ = self.launcher.wait();
    }
}

fn start_ticks(process: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    stat.rsplit_once(')').unwrap().1.split_whitespace().nth(19).unwrap().parse().unwrap()
}

fn is_running(process: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", process.trim())).unwrap_or_default();
    !status.is_empty() && !status.contains("State:\tZ")
}

fn runs() -> (TempDir, PathBuf) {
    let root = tempfile::Builder::new().prefix("reel-").tempdir().unwrap();
    let runs = root.path().join("runs");
    (root, runs)
}

#[test]
fn a_daemon_ends_leftover_programs_before_it_answers() {
    let sandbox = Sandbox::new();
    let abandoned = Abandoned::running(&sandbox.home().join("runs"), "sleep 6000 & echo $$ $! > pids; wait");
    let pids = abandoned.written("pids");
    sandbox.start();
    assert!(pids.split_whitespace().all(|process| !is_running(process)), "{pids}");
    assert_eq!(fs::read_dir(sandbox.home().join("runs")).unwrap().count(), 0);
}

#[test]
fn a_group_whose_leader_is_gone_is_ended_too() {
    let (_root, runs) = runs();
    let mut abandoned = Abandoned::running(&runs, "sleep 6000 > /dev/null & echo $! > pid");
    let process = abandoned.written("pid");
    abandoned.launcher.wait().unwrap();
    assert!(is_running(&process));
    let ended = end_leftovers(&runs).unwrap();
    assert_eq!(ended, Leftovers { directories: 1, groups: 1, stubborn: Vec::new() });
    assert!(!is_running(&process));
}

#[test]
fn another_process_that_reuses_the_pid_is_not_ended() {
    use std::os::unix::process::CommandExt as _;
    let (_root, runs) = runs();
    let abandoned = Abandoned::waiting(&runs);
    let mut stranger = Command::new("sleep").arg("6000").process_group(0).spawn().unwrap();
    abandoned.note(stranger.id(), start_ticks(stranger.id()) + 1);
    let ended = end_leftovers(&runs).unwrap();
    assert_eq!(ended, Leftovers { directories: 1, groups: 0, stubborn: Vec::new() });
    assert!(is_running(&stranger.id().to_string()));
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[test]
fn a_launcher_without_a_plan_executes_nothing() {
    let (_root, runs) = runs();
    for plan in ["", "{\"program\":\"/bin/touch\",\"arguments\":[\"x\"]", "nonsense"] {
        let mut abandoned = Abandoned::waiting(&runs);
        abandoned.launcher.stdin.take().unwrap().write_all(plan.as_bytes()).unwrap();
        assert_eq!(abandoned.launcher.wait().unwrap().code(), Some(127), "{plan}");
        assert_eq!(fs::read_dir(abandoned.directory.join("work")).unwrap().count(), 0);
    }
}

#[test]
fn a_home_without_runs_and_one_with_garbage_in_it_start_as_usual() {
    let (_root, runs) = runs();
    assert_eq!(end_leftovers(&runs).unwrap(), Leftovers::default());
    fs::create_dir_all(runs.join("run-1/work")).unwrap();
    fs::write(runs.join("run-1/group.json"), "{\"leader\":").unwrap();
    fs::write(runs.join("a-file"), "x").unwrap();
    assert_eq!(end_leftovers(&runs).unwrap(), Leftovers { directories: 1, groups: 0, stubborn: Vec::new() });
    assert!(runs.join("a-file").exists());
}
