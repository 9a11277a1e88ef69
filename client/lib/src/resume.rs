//! A session continues when the daemon dies or stops: it reconnects, starts the daemon again, and repeats what is safe to repeat.

use std::{
    collections::VecDeque,
    fs::File,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use reel_protocol::{
    ImageParams, JsonText, Output, Seconds, TaskId, TaskSpec, TaskState, TaskView, WaitReason,
    methods::{
        DaemonStatus, Empty, Method, ProviderInfo, ProviderList, SubmitBatchParams, SubmitBatchResult,
        SubmitResult, TaskSubmit, TaskSubmitBatch, TaskWait, TaskWaitParams, TaskWaitResult,
    },
};
use tokio::time::{Instant, sleep};

use crate::{Client, ClientError, ConnectOptions, Repeatable, Start, repeatable::new_request_id};

/// The name of the embedded provider, which makes sketches and silence.
pub const DRAFT: &str = "draft";

/// The most lost connections within [`LOST_WITHIN`] after which a session still reconnects.
const MAX_LOST_CONNECTIONS: usize = 5;
const LOST_WITHIN: Duration = Duration::from_mins(1);

/// First pause between two attempts to connect, doubled up to the longest. It is short because a daemon that died needs a restart at once. The
/// longest is for a daemon that stops, which may take minutes.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Longest time without an answer from any daemon while the session reconnects. A stopping daemon lets running tasks end first.
const RESTART_LIMIT: Duration = Duration::from_mins(15);

/// Longest such time if this session must not start a daemon, so that somebody else has to.
const FOREIGN_START_LIMIT: Duration = Duration::from_secs(15);

/// A connection that survives the daemon behind it.
#[derive(Debug)]
pub struct Session {
    options: ConnectOptions,
    client: Mutex<Client>,
    /// Locked by the one caller that reconnects. Other callers that lost the same connection wait for its result.
    reconnecting: tokio::sync::Mutex<LostConnections>,
    /// Number of failed reconnections. A caller that waited during one of them fails too.
    failures: AtomicU64,
}

/// The connections that were lost lately.
#[derive(Debug, Default)]
struct LostConnections {
    /// When they were lost, within [`LOST_WITHIN`], oldest first.
    times: VecDeque<Instant>,
    /// Whether the current connection is among them. A lost connection counts once, however many calls try to replace it.
    has_current: bool,
}

impl Session {
    /// Connects to the daemon. A failure of this first connection is returned without a retry.
    pub async fn connect(options: ConnectOptions) -> Result<Self, ClientError> {
        let client = Client::connect(&options).await?;
        let (reconnecting, failures) = (tokio::sync::Mutex::default(), AtomicU64::new(0));
        Ok(Self { options, client: Mutex::new(client), reconnecting, failures })
    }

    /// Returns the current connection.
    pub fn client(&self) -> Client {
        self.client.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns whether a daemon may be started.
    pub(crate) fn start(&self) -> Start {
        self.options.start
    }

    /// Sends a request and waits for the response. If the connection is lost before it, or the daemon is stopping, reconnects and sends the request
    /// again.
    pub async fn call<M: Repeatable>(&self, params: &M::Params) -> Result<M::Result, ClientError> {
        self.repeat::<M>(params).await
    }

    /// Submits one task. A missing `request_id` is added, so that sending it again after a lost connection does not create a second task.
    pub async fn submit(&self, spec: &TaskSpec) -> Result<SubmitResult, ClientError> {
        if spec.request_id.is_some() {
            return self.repeat::<TaskSubmit>(spec).await;
        }
        self.repeat::<TaskSubmit>(&TaskSpec { request_id: Some(new_request_id()), ..spec.clone() }).await
    }

    /// Submits many tasks, all or none. A missing `request_id` is added as in [`Self::submit`].
    pub async fn submit_batch(&self, batch: &SubmitBatchParams) -> Result<SubmitBatchResult, ClientError> {
        if batch.request_id.is_some() {
            return self.repeat::<TaskSubmitBatch>(batch).await;
        }
        let batch = SubmitBatchParams { request_id: Some(new_request_id()), ..batch.clone() };
        self.repeat::<TaskSubmitBatch>(&batch).await
    }

    /// Waits until all tasks are finished or held. A timeout is not an error: the result then has `timed_out` set.
    pub async fn wait(
        &self,
        ids: &[TaskId],
        timeout: Option<Duration>,
    ) -> Result<TaskWaitResult, ClientError> {
        let begun = Instant::now();
        self.until_answered(|client| async move {
            let left = timeout.map(|timeout| Seconds(timeout.saturating_sub(begun.elapsed())));
            let params = TaskWaitParams { ids: ids.to_vec(), timeout_s: left, ..TaskWaitParams::default() };
            client.call::<TaskWait>(&params).await
        })
        .await
    }

    /// Writes the output's bytes into `file`, which must be empty, and checks their digest. Returns the file, positioned at its start.
    pub async fn fetch(&self, output: &Output, file: File) -> Result<File, ClientError> {
        let file = &file;
        self.until_answered(|client| async move {
            let copy = file.try_clone().map_err(|source| ClientError::io("cannot write the file", source))?;
            client.fetch(output, copy).await
        })
        .await
    }

    /// Returns the output's bytes, which are checked against their digest.
    pub async fn read(&self, output: &Output) -> Result<Vec<u8>, ClientError> {
        self.until_answered(|client| async move { client.read(output).await }).await
    }

    /// Returns the text of an output. A short one is in the output itself; a longer one is read as an artifact.
    pub async fn read_text(&self, output: &Output) -> Result<String, ClientError> {
        match &output.text {
            Some(text) => Ok(text.clone()),
            None => String::from_utf8(self.read(output).await?)
                .map_err(|_| ClientError::Damaged { digest: output.digest }),
        }
    }

    /// Whether the embedded provider `draft` is the only one for this service. It makes sketches, and silence in place of speech.
    pub async fn has_only_draft(&self, service: &str) -> Result<bool, ClientError> {
        let found = self.call::<ProviderList>(&Empty {}).await?;
        let serves = |provider: &&ProviderInfo| provider.services.iter().any(|name| name == service);
        Ok(found.providers.iter().filter(serves).all(|provider| provider.name == DRAFT))
    }

    /// Submits an image task and waits for it without a time limit. Returns the finished task; [`Self::fetch`] gets the files in its `outputs`. Equal
    /// params are answered from the cache; set `sample` to get different pictures of the same params. Fails with [`ClientError::NotMade`] if the task
    /// fails, is cancelled or is held.
    pub async fn generate(&self, params: &ImageParams) -> Result<TaskView, ClientError> {
        let spec = TaskSpec {
            kind: "image.generate".to_owned(),
            params: JsonText::from_value(params).map_err(ClientError::protocol)?,
            ..TaskSpec::default()
        };
        let submitted = self.submit(&spec).await?;
        let task = self.wait(&[submitted.id], None).await?.tasks.into_iter().next();
        let task = task.ok_or_else(|| ClientError::protocol("a wait without its task"))?;
        if task.state == TaskState::Succeeded { Ok(task) } else { Err(ClientError::NotMade(Box::new(task))) }
    }

    async fn repeat<M: Method>(&self, params: &M::Params) -> Result<M::Result, ClientError> {
        self.until_answered(|client| async move { client.call::<M>(params).await }).await
    }

    /// Sends something that may be sent again, on the current connection, until it is answered. If the connection is lost before, or the daemon is
    /// stopping, reconnects and sends it again.
    pub(crate) async fn until_answered<T, F>(&self, send: impl Fn(Client) -> F) -> Result<T, ClientError>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        loop {
            let client = self.client();
            match send(client.clone()).await {
                Err(error) if error.is_interruption() => self.reconnect(&client, error).await?,
                outcome => return outcome,
            }
        }
    }

    /// Replaces a lost connection, unless another caller has replaced it. Fails with `why` if the daemon keeps dying. If `why` says that the daemon
    /// is stopping, waits for the next daemon, for as long as the stopping one still answers.
    pub async fn reconnect(&self, lost: &Client, why: ClientError) -> Result<(), ClientError> {
        self.rejoin(lost, why, self.options.start).await
    }

    /// Like [`Self::reconnect`], but `start` says whether a daemon may be started.
    pub(crate) async fn rejoin(
        &self,
        lost: &Client,
        why: ClientError,
        start: Start,
    ) -> Result<(), ClientError> {
        let failures = self.failures.load(Ordering::Relaxed);
        let mut lost_connections = self.reconnecting.lock().await;
        if !self.client().is_same(lost) {
            return Ok(());
        }
        if self.failures.load(Ordering::Relaxed) != failures || lost_connections.are_too_many(Instant::now())
        {
            return Err(why);
        }
        match self.connect_again(lost, &why, start).await {
            Ok(client) => {
                *self.client.lock().unwrap_or_else(PoisonError::into_inner) = client;
                lost_connections.has_current = false;
                Ok(())
            }
            Err(error) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                Err(error)
            }
        }
    }

    async fn connect_again(
        &self,
        lost: &Client,
        why: &ClientError,
        start: Start,
    ) -> Result<Client, ClientError> {
        let stopping = lost.known_hello().map(|hello| hello.instance).filter(|_| why.is_stopping());
        let mut answered = Instant::now();
        let mut tell = self.options.on_wait;
        let mut pause = FIRST_PAUSE;
        loop {
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            let limit = match start {
                Start::IfNeeded => RESTART_LIMIT,
                Start::Never => FOREIGN_START_LIMIT,
            };
            match self.try_again(start).await {
                // The daemon that is stopping still answers. The request is for the next daemon.
                Ok((client, instance))
                    if stopping.as_ref() == Some(&instance) && is_stopping(&client).await =>
                {
                    answered = Instant::now();
                    if let Some(tell) = tell.take() {
                        tell("the daemon is stopping; waiting for the next one");
                    }
                }
                Ok((client, _)) => return Ok(client),
                Err(error)
                    if answered.elapsed() < limit
                        && (error.is_interruption() || matches!(error, ClientError::NoDaemon)) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Connects and waits for the response to `hello`, which proves that the daemon answers. Also returns the daemon's instance.
    async fn try_again(&self, start: Start) -> Result<(Client, String), ClientError> {
        let client = Client::connect(&ConnectOptions { start, ..self.options.clone() }).await?;
        let instance = client.hello().await?.instance;
        Ok((client, instance))
    }
}

/// Whether the daemon is still stopping. False if it has ended.
async fn is_stopping(client: &Client) -> bool {
    let status = client.call::<DaemonStatus>(&Empty {}).await;
    status.is_ok_and(|status| status.wait_reason == Some(WaitReason::Stopping))
}

impl LostConnections {
    /// Counts the current connection, unless it was counted before. Returns whether too many were lost.
    fn are_too_many(&mut self, now: Instant) -> bool {
        if !std::mem::replace(&mut self.has_current, true) {
            self.times.push_back(now);
        }
        while self.times.front().is_some_and(|loss| now.duration_since(*loss) > LOST_WITHIN) {
            self.times.pop_front();
        }
        self.times.len() > MAX_LOST_CONNECTIONS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_connection_counts_once_and_too_many_within_a_minute_are_refused() {
        let begun = Instant::now();
        let mut lost = LostConnections::default();
        for second in 0..30 {
            assert!(!lost.are_too_many(begun + Duration::from_secs(second)), "the same one");
        }
        for _ in 1..MAX_LOST_CONNECTIONS {
            lost.has_current = false;
            assert!(!lost.are_too_many(begun + Duration::from_secs(30)));
        }
        lost.has_current = false;
        assert!(lost.are_too_many(begun + Duration::from_secs(40)));
        assert!(lost.are_too_many(begun + Duration::from_secs(50)));
        assert!(!lost.are_too_many(begun + LOST_WITHIN + Duration::from_secs(1)), "the first is forgotten");
    }
}
