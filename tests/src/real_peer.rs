//! Runs a server of another project for one test, such as a proxy or a mock provider, on a port of its own.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::wait::pause;

/// The longest time that a server may take to start. An interpreter may have to load hundreds of modules on a busy machine.
const START: Duration = Duration::from_mins(3);
/// The timeout of one attempt to connect and read.
const ATTEMPT: Duration = Duration::from_secs(5);

/// A running server. Dropping it kills it with all processes that it started.
#[derive(Debug)]
pub struct RealPeer {
    child: Child,
    address: SocketAddr,
}

impl RealPeer {
    /// Starts the proxy `litellm` with this configuration. The configuration is written to `directory`, which must also have the modules that it
    /// names.
    #[track_caller]
    pub fn litellm(directory: &Path, config: &str) -> Self {
        let path = directory.join("litellm.yaml");
        fs::write(&path, config).unwrap();
        let port = free_port();
        let mut command = Command::new("litellm");
        command.arg("--config").arg(&path).args(["--host", "127.0.0.1", "--port", &port.to_string()]);
        // Without this variable it fetches its price table from the network.
        command.env("LITELLM_LOCAL_MODEL_COST_MAP", "True").env("PYTHONPATH", directory);
        Self::start(command, directory, port, "/health/liveliness")
    }

    /// Starts the mock provider aimock with these fixtures.
    #[track_caller]
    pub fn aimock(directory: &Path, fixtures: &serde_json::Value) -> Self {
        let path = directory.join("fixtures.json");
        fs::write(&path, fixtures.to_string()).unwrap();
        let port = free_port();
        let mut command = Command::new("llmock");
        command.args(["-p", &port.to_string(), "--strict", "-f"]).arg(&path);
        Self::start(command, directory, port, "/health")
    }

    /// Returns the value of `base_url` for a configuration.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Starts a server that listens on this port of the loopback interface, and waits until it answers a GET of `path` with 200.
    #[track_caller]
    fn start(mut command: Command, directory: &Path, port: u16, path: &str) -> Self {
        use std::os::unix::process::CommandExt as _;

        let log = directory.join("peer.log");
        let output = File::create(&log).unwrap();
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output).process_group(0);
        let child = command.current_dir(directory).spawn().unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut peer = Self { child, address };
        let begun = Instant::now();
        while !answers(address, path) {
            let ended = peer.child.try_wait().unwrap();
            assert!(
                ended.is_none() && begun.elapsed() < START,
                "it does not answer: {ended:?}\n{}",
                tail(&log)
            );
            pause(Duration::from_millis(100));
        }
        peer
    }
}

impl Drop for RealPeer {
    fn drop(&mut self) {
        let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(group) = group {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

fn answers(address: SocketAddr, path: &str) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&address, ATTEMPT)?;
        stream.set_read_timeout(Some(ATTEMPT))?;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
        let mut head = [0; 12];
        stream.read_exact(&mut head)?;
        Ok(&head == b"HTTP/1.1 200")
    };
    ask().unwrap_or(false)
}

/// Returns a port on which nobody listens at this moment.
fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

fn tail(log: &PathBuf) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let skipped = text.lines().count().saturating_sub(40);
    text.lines().skip(skipped).collect::<Vec<_>>().join("\n")
}
