//! What every command has at hand: how to speak, and how to reach the daemon.

use reel_client::{Client, ClientError, ConnectOptions, Repeatable, Session, Start};
use reel_protocol::endpoint::Locations;

use crate::{failure::Failure, output::Output};

/// This program's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The name that our tasks are shown and shared out by.
const CLIENT_NAME: &str = "reel";

/// Says why a command waits.
fn note(text: &str) {
    Output { is_json: false, is_quiet: false }.note(text);
}

/// One run of `reel`.
#[derive(Debug)]
pub struct Context {
    /// Where to print.
    pub output: Output,
    options: ConnectOptions,
}

impl Context {
    /// Reads the places from the environment; `socket` overrides.
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

    /// The daemon's places.
    pub fn locations(&self) -> &Locations {
        &self.options.locations
    }

    /// A session that outlives the daemon, which is started if need be and allowed.
    pub async fn session(&self) -> Result<Session, Failure> {
        Ok(Session::connect(self.options.clone()).await?)
    }

    /// A connection to a daemon that runs already.
    pub async fn running(&self) -> Result<Client, ClientError> {
        Client::connect(&ConnectOptions { start: Start::Never, ..self.options.clone() }).await
    }

    /// Asks one thing, and is done.
    pub async fn ask<M: Repeatable>(&self, params: &M::Params) -> Result<M::Result, Failure> {
        let session = self.session().await?;
        let answer = session.call::<M>(params).await;
        self.note_version(&session.client());
        Ok(answer?)
    }

    /// Says so when the daemon is of another version, as after an upgrade.
    pub fn note_version(&self, client: &Client) {
        if let Some(hello) = client.known_hello().filter(|hello| hello.version != VERSION) {
            self.output.note(&format!("daemon {}, client {VERSION}: reel daemon restart", hello.version));
        }
    }
}
