//! Holds what every command needs: the output, and the options for connecting to the daemon.

use reel_client::{Client, ClientError, ConnectOptions, Repeatable, Session, Start};
use reel_protocol::endpoint::Locations;

use crate::{failure::Failure, output::Output};

/// This program's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The client name that the daemon shows for tasks of `reel`. It schedules tasks fairly between client names.
const CLIENT_NAME: &str = "reel";

/// Prints why a command waits for the daemon.
fn note(text: &str) {
    Output { is_json: false, is_quiet: false }.note(text);
}

/// The settings of one run of `reel`.
#[derive(Debug)]
pub struct Context {
    /// Prints to stdout and stderr.
    pub output: Output,
    options: ConnectOptions,
}

impl Context {
    /// Reads the paths of the socket and of the daemon's home from the environment; `socket` overrides the socket's path.
    pub fn new(output: Output, socket: Option<&std::path::Path>, may_start: bool) -> Result<Self, Failure> {
        let locations = Locations::from_env(|name| match (name, socket) {
            ("REEL_SOCKET", Some(path)) => Some(path.into()),
            _ => reel_client::variable(name),
        });
        let locations = locations.map_err(ClientError::from)?;
        let start = if may_start { Start::IfNeeded } else { Start::Never };
        let on_wait = (!output.is_quiet).then_some(note as fn(&str));
        let options = ConnectOptions { start, on_wait, ..ConnectOptions::new(locations, CLIENT_NAME) };
        Ok(Self { output, options })
    }

    /// Returns the paths of the socket and of the daemon's home.
    pub fn locations(&self) -> &Locations {
        &self.options.locations
    }

    /// Opens a session, which reconnects when the daemon restarts. It starts the daemon if none runs and `--no-start` is not given.
    pub async fn session(&self) -> Result<Session, Failure> {
        Ok(Session::connect(self.options.clone()).await?)
    }

    /// Connects to a running daemon. Never starts one.
    pub async fn running(&self) -> Result<Client, ClientError> {
        Client::connect(&ConnectOptions { start: Start::Never, ..self.options.clone() }).await
    }

    /// Opens a session, makes one request, and returns the result.
    pub async fn ask<M: Repeatable>(&self, params: &M::Params) -> Result<M::Result, Failure> {
        let session = self.session().await?;
        let answer = session.call::<M>(params).await;
        self.note_version(&session.client());
        Ok(answer?)
    }

    /// Prints a note if the daemon's version differs from the client's, such as after an upgrade.
    pub fn note_version(&self, client: &Client) {
        if let Some(hello) = client.known_hello().filter(|hello| hello.version != VERSION) {
            self.output.note(&format!(
                "the daemon has version {} and this reel {VERSION}; reel daemon restart starts the same version",
                hello.version
            ));
        }
    }
}
