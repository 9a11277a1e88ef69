//! Under systemd the log is entries of the journal: the test is the journal, at the place where the daemon looks for it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{
    fs,
    os::unix::net::UnixDatagram,
    process::{Child, Command, Stdio},
};

use reel_tests::{DEADLINE, Sandbox, process};
use rustix::process::Signal;

/// Puts the test's directory where the journal's is, for this process and what it becomes: in namespaces of its own.
const IN_ITS_PLACE: &str = "mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/journal \
    && mount --bind \"$1\" /run/systemd/journal \
    && JOURNAL_STREAM=$(stat -Lc %d:%i /proc/self/fd/2) && export JOURNAL_STREAM && exec \"$2\" $3";

struct Journal(UnixDatagram);

impl Journal {
    fn new(sandbox: &Sandbox) -> Self {
        fs::create_dir(sandbox.root().join("journal")).unwrap();
        let socket = UnixDatagram::bind(sandbox.root().join("journal/socket")).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        Self(socket)
    }

    /// The next entry in which all of these lines stand; those before it are passed over.
    #[track_caller]
    fn hears(&self, lines: &[&str]) -> String {
        let mut bytes = vec![0; 256 * 1024];
        loop {
            let length = self.0.recv(&mut bytes).unwrap_or_else(|error| panic!("never {lines:?}: {error}"));
            let entry = String::from_utf8_lossy(&bytes[..length]).into_owned();
            if lines.iter().all(|line| entry.lines().any(|found| found == *line)) {
                return entry;
            }
        }
    }
}

fn in_its_place(sandbox: &Sandbox, program: &std::path::Path, argument: &str) -> Command {
    let mut command = sandbox.command("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", IN_ITS_PLACE, "sh"]);
    command.arg(sandbox.root().join("journal")).arg(program).arg(argument);
    command
}

fn start(sandbox: &Sandbox) -> Child {
    let log = fs::File::create(sandbox.root().join("stderr")).unwrap();
    let mut command = in_its_place(sandbox, &process::binary("reeld"), "");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap()
}

#[test]
fn values_reach_the_journal_as_fields_with_the_priority_of_their_level() {
    let sandbox = Sandbox::new();
    let journal = Journal::new(&sandbox);
    let trial = process::run(&mut in_its_place(&sandbox, std::path::Path::new("true"), ""));
    if trial.code != Some(0) {
        say(&format!("skipped: no namespaces here: {}", trial.stderr));
        return;
    }
    let mut daemon = start(&sandbox);
    let pid = format!("REEL_PID={}", daemon.id());
    let entry = journal.hears(&["PRIORITY=6", "SYSLOG_IDENTIFIER=reeld", "TARGET=reeld", &pid]);
    assert!(entry.contains("\nMESSAGE=ready version="), "{entry}");

    sandbox.configure("[tasks]\nmax_concurent = 3\n");
    process::signal(daemon.id(), Signal::HUP);
    let entry = journal.hears(&["PRIORITY=3", "TARGET=reeld::reload"]);
    assert!(entry.contains("\nREEL_REASON=") && entry.contains("did you mean max_concurrent?"), "{entry}");

    process::signal(daemon.id(), Signal::TERM);
    journal.hears(&["PRIORITY=6", "REEL_LIMIT_S=30"]);
    assert!(process::wait_gone(daemon.id(), DEADLINE));
    assert_eq!(daemon.wait().unwrap().code(), Some(0));
    let stderr = fs::read_to_string(sandbox.root().join("stderr")).unwrap();
    assert_eq!(stderr, "", "nothing stands in the journal twice");
    let log = fs::read_to_string(sandbox.home().join("logs/reeld.log")).unwrap();
    assert!(log.contains("ready") && log.contains("the former one stays in force"), "{log}");
}

#[expect(clippy::print_stderr, reason = "a reader of the test's output is to know what was not tested")]
fn say(text: &str) {
    eprintln!("{text}");
}
