//! A server that reel starts and stops by real scripts. The server is the executable of the test itself.

use std::{
    env, fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
};

use serde_json::{Value, json};

use crate::{
    Connection, FakeSdcpp, Sandbox, fake_sdcpp,
    studio::prompt,
    wait::{eventually, pause},
};

/// The variable with the address at which the executable of a test serves.
const SERVE_AT: &str = "REEL_FAKE_SDCPP";

/// Makes a start script wait until the test says that the model is loaded.
pub const WAITS: &str = "while [ ! -e \"$REEL_HOME/../loaded\" ]; do sleep 0.1; done";

/// Serves without end if this process was started by a start script. Each file of tests that uses [`Machine`] calls it in a test of the name
/// `serve_if_a_script_says_so`.
pub fn serve_if_told() {
    let Ok(address) = env::var(SERVE_AT) else { return };
    let _server = FakeSdcpp::start_at(address.parse().unwrap());
    loop {
        pause(std::time::Duration::from_mins(1));
    }
}

/// A server with a start and a stop script.
#[derive(Debug)]
pub struct Machine {
    /// The sandbox of the daemon.
    pub sandbox: Sandbox,
    /// Where the server listens when it runs.
    pub address: SocketAddr,
}

impl Machine {
    /// Makes the scripts. `first` is run by the start script before it starts the server.
    pub fn new(first: &str) -> Self {
        let sandbox = Sandbox::new();
        // The port is free again when the listener is dropped.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let machine = Self { sandbox, address };
        let executable = env::current_exe().unwrap();
        let serve = format!(
            "{SERVE_AT}={address} '{}' --exact serve_if_a_script_says_so --nocapture >/dev/null 2>&1 &\necho $! > '{}'\n",
            executable.display(),
            machine.path("pid").display()
        );
        let started = machine.path("starts");
        machine.script("start", &format!("echo start >> '{}'\n{first}\n{serve}", started.display()));
        let (stopped, pid) = (machine.path("stops"), machine.path("pid"));
        let stop = format!("echo stop >> '{}'\nkill $(cat '{}')\n", stopped.display(), pid.display());
        machine.script("stop", &stop);
        machine
    }

    /// Returns a file beside the home.
    pub fn path(&self, name: &str) -> PathBuf {
        self.sandbox.root().join(name)
    }

    /// Writes a script.
    pub fn script(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::write(&path, format!("#!/bin/sh\n{text}")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Writes the configuration, with the stop script if the server is to be stopped after this idle time.
    pub fn configure(&self, stop_after_idle_s: Option<u32>) {
        self.configure_with("", stop_after_idle_s);
    }

    /// Like [`Machine::configure`], with other sections in front.
    pub fn configure_with(&self, sections: &str, stop_after_idle_s: Option<u32>) {
        let start = format!("start = [\"{}\"]\n", self.path("start").display());
        let stop = stop_after_idle_s.map(|seconds| {
            format!("stop = [\"{}\"]\nstop_after_idle_s = {seconds}\n", self.path("stop").display())
        });
        let section = fake_sdcpp::config(self.address, &(start + &stop.unwrap_or_default()));
        self.sandbox.configure(&format!("{sections}{section}"));
    }

    /// Whether the server accepts connections.
    pub fn is_up(&self) -> bool {
        TcpStream::connect(self.address).is_ok()
    }

    /// Returns how often the script `starts` or `stops` was run.
    pub fn runs_of(&self, name: &str) -> usize {
        fs::read_to_string(self.path(name)).unwrap_or_default().lines().count()
    }

    /// Returns the process of the server.
    pub fn server_pid(&self) -> u32 {
        fs::read_to_string(self.path("pid")).unwrap().trim().parse().unwrap()
    }
}

/// Returns the state that `provider.list` shows; null if reel has done nothing with the server.
pub fn state_of(connection: &mut Connection) -> Value {
    let list = connection.ok("provider.list", json!({}));
    let providers = list["providers"].as_array().unwrap();
    providers.iter().find(|provider| provider["name"] == "machine").unwrap()["machine"]["state"].clone()
}

/// Waits until `provider.list` shows this state.
#[track_caller]
pub fn wait_for_state(connection: &mut Connection, state: &str) {
    eventually(&format!("the server is {state}"), || (state_of(connection) == state).then_some(()));
}

/// Submits a picture, and returns the id of its task.
pub fn submit(connection: &mut Connection, text: &str) -> u64 {
    connection.submit("image.generate", prompt(text))
}

/// Waits until the server has made the picture of a task.
#[track_caller]
pub fn assert_made(connection: &mut Connection, id: u64) {
    let task = connection.wait(id);
    assert_eq!((&task["state"], &task["provider"]), (&json!("succeeded"), &json!("machine")), "{task}");
}
