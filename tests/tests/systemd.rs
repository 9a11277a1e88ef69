//! The daemon under systemd. For the daemon, the tests play the service manager. For the command line, a fake `systemctl` does.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{
    fs,
    io::ErrorKind,
    os::{
        fd::OwnedFd,
        unix::{
            fs::PermissionsExt,
            net::{UnixDatagram, UnixListener, UnixStream},
        },
    },
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use reel_tests::{Connection, DEADLINE, Ran, Sandbox, needs, process};
use rustix::process::Signal;
use serde_json::json;

/// Returns a command for `reeld` that receives `socket` as systemd passes it: as descriptor 3, with `LISTEN_PID` set to its own pid.
fn activated(sandbox: &Sandbox, socket: OwnedFd) -> Command {
    let mut command = sandbox.command("sh");
    command.arg("-c").arg("LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" 3<&0 </dev/null");
    command.arg(process::binary("reeld")).stdin(Stdio::from(socket)).stderr(Stdio::null());
    command
}

fn end(mut daemon: Child) {
    process::signal(daemon.id(), Signal::TERM);
    assert!(process::wait_gone(daemon.id(), DEADLINE));
    assert_eq!(daemon.wait().unwrap().code(), Some(0));
}

#[test]
fn a_passed_socket_is_served_kept_and_served_again_by_the_next_daemon() {
    let sandbox = Sandbox::new();
    // The socket is not where the variables say. Its actual path counts.
    let path = sandbox.root().join("passed");
    let socket = UnixListener::bind(&path).unwrap();
    // This client connects before the daemon serves. In real use, such a connection makes systemd start the daemon.
    let mut first = Connection::open(&path).unwrap();
    let daemon = activated(&sandbox, socket.try_clone().unwrap().into()).spawn().unwrap();
    let status = first.ok("daemon.status", json!({}));
    assert_eq!(status["pid"], daemon.id());
    assert_eq!(status["socket"], path.to_str().unwrap());
    assert_eq!(status["is_auto_started"], false);
    assert!(!sandbox.socket().exists(), "it made a socket of its own beside the passed one");
    end(daemon);
    assert!(path.exists(), "the socket was removed, and it was not the daemon's");

    let mut second = Connection::open(&path).unwrap();
    let daemon = activated(&sandbox, socket.into()).spawn().unwrap();
    assert_eq!(second.ok("daemon.status", json!({}))["pid"], daemon.id());
    end(daemon);
}

#[test]
fn a_daemon_whose_socket_systemd_replaced_hands_its_home_over() {
    let sandbox = Sandbox::new();
    let former = sandbox.start();
    let task = sandbox.connect().submit("debug.noop", json!({}));
    // systemd does this when it begins to listen on a path on which another process already listens.
    fs::remove_file(sandbox.socket()).unwrap();
    let socket = UnixListener::bind(sandbox.socket()).unwrap();
    let daemon = activated(&sandbox, socket.into()).spawn().unwrap();
    let mut connection = sandbox.connect();
    assert_eq!(connection.ok("daemon.status", json!({}))["pid"], daemon.id());
    assert_eq!(connection.task(task)["state"], "succeeded");
    assert!(process::wait_gone(former, DEADLINE) && sandbox.socket().exists());
    end(daemon);

    // A daemon that listens on another path still has its clients, so it stays.
    let former = sandbox.start();
    let path = sandbox.root().join("passed");
    let socket = UnixListener::bind(&path).unwrap();
    let refused = activated(&sandbox, socket.into()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let ran = process::finish(refused.unwrap());
    assert!(ran.expect_code(75).stderr.contains(&former.to_string()), "{}", ran.stderr);
}

#[test]
fn an_unsuitable_passed_descriptor_is_refused_with_a_reason() {
    let sandbox = Sandbox::new();
    let (connected, _other) = UnixStream::pair().unwrap();
    let datagrams = UnixDatagram::bind(sandbox.root().join("datagrams")).unwrap();
    let file = fs::File::create(sandbox.root().join("file")).unwrap();
    let cases: [(OwnedFd, &str); 3] = [
        (connected.into(), "does not listen"),
        (datagrams.into(), "no Unix stream socket"),
        (file.into(), "no Unix stream socket"),
    ];
    for (passed, reason) in cases {
        let child =
            activated(&sandbox, passed).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let ran = process::finish(child);
        assert!(ran.expect_code(78).stderr.contains(reason), "{}", ran.stderr);
    }
}

/// The socket on which a service manager receives notifications.
struct NotifySocket(UnixDatagram);

impl NotifySocket {
    fn new(sandbox: &Sandbox) -> Self {
        let socket = UnixDatagram::bind(sandbox.root().join("notify")).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        Self(socket)
    }

    /// Waits for the next message for which `is_it` holds. Earlier messages are ignored.
    #[track_caller]
    fn hears(&self, what: &str, is_it: impl Fn(&str) -> bool) -> String {
        let mut buffer = [0; 4096];
        loop {
            let bytes =
                self.0.recv(&mut buffer).unwrap_or_else(|error| panic!("never heard {what}: {error}"));
            let text = String::from_utf8(buffer[..bytes].to_vec()).unwrap();
            if is_it(text.trim_end()) {
                return text;
            }
        }
    }

    #[track_caller]
    fn hears_exactly(&self, words: &str) {
        self.hears(words, |text| text == words);
    }
}

#[test]
fn the_service_manager_is_notified_of_every_state_of_the_daemon() {
    let sandbox = Sandbox::new();
    let socket = NotifySocket::new(&sandbox);
    let mut command = sandbox.command(process::binary("reeld"));
    command.env("NOTIFY_SOCKET", sandbox.root().join("notify")).env("WATCHDOG_USEC", "200000");
    let daemon = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    socket.hears_exactly("READY=1");
    // `READY=1` means that the daemon answers at this moment, not soon.
    let mut connection = sandbox.connect();
    socket.hears_exactly("STATUS=idle");
    for _ in 0..3 {
        socket.hears_exactly("WATCHDOG=1");
    }

    let sleep = json!({ "kind": "debug.sleep", "params": { "ms": 60_000 } });
    connection.ok("task.submit", sleep);
    socket.hears_exactly("STATUS=1 running");

    sandbox.configure("[tasks]\nmax_concurrent = 3\n");
    process::signal(daemon.id(), Signal::HUP);
    let reloading = socket.hears("RELOADING=1", |text| text.starts_with("RELOADING=1\n"));
    let time = reloading.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC=")).unwrap();
    assert!(time.parse::<u64>().unwrap() > 0);
    socket.hears_exactly("READY=1");

    sandbox.configure("[tasks]\nmax_concurrent = \"many\"\n");
    connection.err("daemon.reload", json!({}));
    socket.hears("RELOADING=1", |text| text.starts_with("RELOADING=1\n"));
    socket.hears_exactly("READY=1");

    // A drain that is longer than the unit's limit is announced, and the daemon sends watchdog messages until its end.
    connection.ok("daemon.shutdown", json!({ "drain_s": 3600 }));
    let stopping = socket.hears("STOPPING=1", |text| text.starts_with("STOPPING=1\n"));
    assert!(stopping.contains("\nEXTEND_TIMEOUT_USEC=3615000000\n"), "{stopping}");
    socket.hears_exactly("WATCHDOG=1");
    connection.ok("daemon.shutdown", json!({ "drain_s": 0 }));
    end(daemon);
}

#[test]
fn a_daemon_that_a_client_starts_does_not_notify_the_client_s_service_manager() {
    let sandbox = Sandbox::new();
    let socket = NotifySocket::new(&sandbox);
    let mut command = sandbox.reel_command(&["ls"]);
    process::run(command.env("NOTIFY_SOCKET", sandbox.root().join("notify"))).expect_code(0);
    sandbox.reel(&["daemon", "stop"]).expect_code(0);
    socket.0.set_nonblocking(true).unwrap();
    assert_eq!(socket.0.recv(&mut [0; 16]).unwrap_err().kind(), ErrorKind::WouldBlock);
}

/// A sandbox whose socket has the path of the installed unit. A fake `systemctl` records its arguments.
struct Desktop {
    sandbox: Sandbox,
}

impl Desktop {
    /// Writes the fake `systemctl`. `answer` is its shell code, and `$*` are its arguments.
    fn new(answer: &str) -> Self {
        let sandbox = Sandbox::new();
        let socket = sandbox.root().join("run/reel/reeld.sock");
        let desktop = Self { sandbox: sandbox.with_socket(socket) };
        let stand_in = desktop.bin().join("systemctl");
        fs::create_dir(desktop.bin()).unwrap();
        let log = desktop.sandbox.root().join("asked");
        fs::write(&stand_in, format!("#!/bin/sh\necho \"$*\" >> {}\n{answer}\n", log.display())).unwrap();
        fs::set_permissions(&stand_in, fs::Permissions::from_mode(0o755)).unwrap();
        desktop
    }

    fn bin(&self) -> PathBuf {
        self.sandbox.root().join("bin")
    }

    fn unit(&self, name: &str) -> PathBuf {
        self.sandbox.root().join("user/.config/systemd/user").join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let path = std::env::var("PATH").unwrap();
        let mut command = self.sandbox.reel_command(arguments);
        command.env("PATH", format!("{}:{path}", self.bin().display()));
        command
    }

    fn reel(&self, arguments: &[&str]) -> Ran {
        process::run(&mut self.command(arguments))
    }

    fn asked(&self) -> Vec<String> {
        let text = fs::read_to_string(self.sandbox.root().join("asked")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

/// The shell code of a systemd in which the socket is not active yet.
const WILLING: &str = "case \"$*\" in *is-active*) exit 3;; esac";

#[test]
fn install_writes_the_units_and_enables_the_socket_and_uninstall_undoes_it() {
    let desktop = Desktop::new(WILLING);
    let report = desktop.reel(&["daemon", "install", "--json"]).expect_code(0).json();
    assert_eq!((&report["is_enabled"], &report["error"]), (&json!(true), &json!(null)));
    let service = fs::read_to_string(desktop.unit("reeld.service")).unwrap();
    let reeld = process::binary("reeld");
    assert!(service.contains(&format!("ExecStart=\"{}\"", reeld.display())), "{service}");
    assert!(desktop.unit("reeld.socket").exists());
    let enabling =
        ["--user daemon-reload", "--user is-active --quiet reeld.socket", "--user enable --now reeld.socket"];
    assert_eq!(desktop.asked(), enabling);

    let again = desktop.reel(&["daemon", "install"]).expect_code(0).stdout.clone();
    assert_eq!(again.matches("unchanged").count(), 2, "{again}");
    assert_eq!(fs::read_to_string(desktop.unit("reeld.service")).unwrap(), service);

    let removed = desktop.reel(&["daemon", "uninstall"]).expect_code(0).stdout.clone();
    assert_eq!(removed.matches("removed").count(), 2, "{removed}");
    assert!(!desktop.unit("reeld.service").exists() && !desktop.unit("reeld.socket").exists());
    let asked = desktop.asked();
    let dropping = ["--user disable --now reeld.service reeld.socket", "--user daemon-reload"];
    assert_eq!(asked[asked.len() - 2..], dropping);
    assert!(desktop.reel(&["daemon", "uninstall"]).expect_code(0).stdout.contains("not installed"));
}

#[test]
fn without_a_user_systemd_the_units_are_written_and_the_exit_code_says_so() {
    // This uses the real `systemctl`, if there is one. In a sandbox it finds no bus.
    let sandbox = Sandbox::new();
    let ran = sandbox.reel(&["daemon", "install"]);
    let said = &ran.expect_code(69).stderr;
    assert!(said.contains("no service manager") && said.contains("reel daemon start"), "{said}");
    let units = sandbox.root().join("user/.config/systemd/user");
    assert_eq!(fs::read_dir(&units).unwrap().count(), 2);
    let again = sandbox.reel(&["daemon", "install", "--json"]).expect_code(69).json();
    assert_eq!(again["error"]["code"], "no_service_manager");
    assert_eq!(again["files"][0]["action"], "unchanged");
    sandbox.reel(&["daemon", "uninstall"]).expect_code(0);
    assert_eq!(fs::read_dir(&units).unwrap().count(), 0);
}

#[test]
fn a_unit_of_somebody_else_is_neither_replaced_nor_removed() {
    let desktop = Desktop::new(WILLING);
    let service = desktop.unit("reeld.service");
    fs::create_dir_all(service.parent().unwrap()).unwrap();
    fs::write(&service, "[Service]\nExecStart=/opt/reeld\n").unwrap();
    let ran = desktop.reel(&["daemon", "install"]);
    assert!(ran.expect_code(73).stderr.contains("reeld.service"), "{}", ran.stderr);
    assert!(!desktop.unit("reeld.socket").exists() && desktop.asked().is_empty());

    // A unit of ours is beside it, as after a person has replaced only the service.
    fs::write(desktop.unit("reeld.socket"), "# Written by `reel daemon install`\n").unwrap();
    desktop.reel(&["daemon", "uninstall"]).expect_code(0);
    assert!(!desktop.unit("reeld.socket").exists());
    assert_eq!(fs::read_to_string(&service).unwrap(), "[Service]\nExecStart=/opt/reeld\n");
    assert_eq!(desktop.asked()[0], "--user disable --now reeld.socket");
}

#[test]
fn install_stops_a_running_daemon_so_that_the_service_can_start() {
    let desktop = Desktop::new(WILLING);
    let pid = desktop.sandbox.start();
    let ran = desktop.reel(&["daemon", "install"]);
    assert!(ran.expect_code(0).stdout.contains(&format!("pid {pid}")), "{}", ran.stdout);
    assert!(process::wait_gone(pid, DEADLINE));
}

#[test]
fn an_installed_client_has_systemd_start_the_daemon() {
    let desktop = Desktop::new(
        "case \"$*\" in *is-active*) exit 3;; *\" start \"*) \
         setsid \"$REELD\" </dev/null >/dev/null 2>&1 & while [ ! -S \"$REEL_SOCKET\" ]; do sleep 0.02; done;; esac",
    );
    desktop.reel(&["daemon", "install"]).expect_code(0);
    process::run(desktop.command(&["ls"]).env("REELD", process::binary("reeld"))).expect_code(0);
    assert_eq!(desktop.asked().last().unwrap(), "--user start reeld.socket");
    assert_eq!(desktop.sandbox.connect().ok("daemon.status", json!({}))["is_auto_started"], false);
}

#[test]
fn the_client_starts_the_daemon_if_systemd_does_not_answer() {
    let desktop = Desktop::new("echo no bus >&2; exit 1");
    desktop.reel(&["daemon", "install"]).expect_code(69);
    desktop.reel(&["ls"]).expect_code(0);
    assert_eq!(desktop.sandbox.connect().ok("daemon.status", json!({}))["is_auto_started"], true);
}

#[test]
fn a_status_request_does_not_activate_the_daemon() {
    let desktop = Desktop::new(WILLING);
    desktop.reel(&["daemon", "install"]).expect_code(0);
    let socket = desktop.sandbox.socket();
    fs::create_dir(socket.parent().unwrap()).unwrap();
    let listening = UnixListener::bind(socket).unwrap();
    desktop.reel(&["status"]).expect_code(69);
    assert!(desktop.reel(&["daemon", "stop"]).expect_code(0).stdout.contains("not running"));
    listening.set_nonblocking(true).unwrap();
    assert_eq!(listening.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn systemd_itself_accepts_the_installed_units() {
    let desktop = Desktop::new(WILLING);
    if !needs::program("systemd-analyze") {
        return;
    }
    desktop.reel(&["daemon", "install"]).expect_code(0);
    let mut command = desktop.sandbox.command("systemd-analyze");
    command.args(["verify", "--user"]).arg(desktop.unit("reeld.service")).arg(desktop.unit("reeld.socket"));
    let ran = process::run(&mut command);
    assert!(!ran.expect_code(0).stderr.contains("reel"), "{}", ran.stderr);
}
