//! Goes on when the daemon dies: connects again, starts it again, and repeats what is safe to repeat.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use reel_protocol::methods::Method;
use tokio::time::{Instant, sleep};

use crate::{Client, ClientError, ConnectOptions, Start};

/// A daemon that dies this often within [`DEATHS_WITHIN`] will not be started again.
const DEATHS: usize = 5;
const DEATHS_WITHIN: Duration = Duration::from_mins(1);

/// Before the first new try: a daemon that is stopping still has to let its socket go.
const PAUSE: Duration = Duration::from_millis(50);

/// How long a daemon may take to stop or to come back; it drains running tasks first.
const COMES_BACK_WITHIN: Duration = Duration::from_mins(15);

/// Without leave to start a daemon, how long to wait for somebody else to do so.
const SOMEBODY_ELSE: Duration = Duration::from_secs(15);

/// A connection that outlives the daemon behind it.
#[derive(Debug)]
pub struct Session {
    options: ConnectOptions,
    client: Mutex<Client>,
    /// When connections were lost lately.
    losses: Mutex<VecDeque<Instant>>,
}

impl Session {
    /// Connects for the first time.
    pub async fn connect(options: ConnectOptions) -> Result<Self, ClientError> {
        let client = Client::connect(&options).await?;
        Ok(Self { options, client: Mutex::new(client), losses: Mutex::default() })
    }

    /// The present connection.
    pub fn client(&self) -> Client {
        self.client.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a daemon may be started.
    pub(crate) fn start(&self) -> Start {
        self.options.start
    }

    /// Asks; where the connection is lost before the answer, connects again and asks again. For methods that may be repeated: reads, waits,
    /// and submits with a `request_id`.
    pub async fn call<M: Method>(&self, params: &M::Params) -> Result<M::Result, ClientError> {
        loop {
            let client = self.client();
            match client.call::<M>(params).await {
                Err(error) if error.is_interruption() => self.reconnect(&client, error).await?,
                outcome => return outcome,
            }
        }
    }

    /// Replaces a lost connection, unless another caller already did. Fails with `why` where the daemon keeps dying.
    pub async fn reconnect(&self, lost: &Client, why: ClientError) -> Result<(), ClientError> {
        self.rejoin(lost, why, self.options.start).await
    }

    /// The same with other leave to start a daemon.
    pub(crate) async fn rejoin(
        &self,
        lost: &Client,
        why: ClientError,
        start: Start,
    ) -> Result<(), ClientError> {
        if !self.client().is_same(lost) {
            return Ok(());
        }
        if self.dies_too_often() {
            return Err(why);
        }
        let begun = Instant::now();
        loop {
            sleep(PAUSE).await;
            let is_in_time = match start {
                Start::IfNeeded => begun.elapsed() < COMES_BACK_WITHIN,
                Start::Never => begun.elapsed() < SOMEBODY_ELSE,
            };
            match self.try_again(start).await {
                Ok(client) => {
                    *self.client.lock().unwrap_or_else(PoisonError::into_inner) = client;
                    return Ok(());
                }
                Err(error)
                    if is_in_time && (error.is_interruption() || matches!(error, ClientError::NoDaemon)) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Connected means that the daemon really answers: a stopping one may still take connections.
    async fn try_again(&self, start: Start) -> Result<Client, ClientError> {
        let client = Client::connect(&ConnectOptions { start, ..self.options.clone() }).await?;
        client.hello().await?;
        Ok(client)
    }

    fn dies_too_often(&self) -> bool {
        let mut losses = self.losses.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        losses.push_back(now);
        while losses.front().is_some_and(|loss| now.duration_since(*loss) > DEATHS_WITHIN) {
            losses.pop_front();
        }
        losses.len() > DEATHS
    }
}
