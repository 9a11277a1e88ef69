//! Goes on when the daemon dies or stops: connects again, starts it again, and repeats what is safe to repeat.

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
        DaemonStatus, Empty, Method, SubmitBatchParams, SubmitBatchResult, SubmitResult, TaskSubmit,
        TaskSubmitBatch, TaskWait, TaskWaitParams, TaskWaitResult,
    },
};
use tokio::time::{Instant, sleep};

use crate::{Client, ClientError, ConnectOptions, Repeatable, Start, repeatable::new_request_id};

/// A daemon that dies this often within [`DEATHS_WITHIN`] will not be started again.
const DEATHS: usize = 5;
const DEATHS_WITHIN: Duration = Duration::from_mins(1);

/// Between two tries to connect: the first comes soon, as a daemon that died is missed by nobody else; one that stops may take minutes.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How long a daemon that does not answer may take to stop or to come back; it lets running tasks end first.
const COMES_BACK_WITHIN: Duration = Duration::from_mins(15);

/// Without leave to start a daemon, how long to wait for somebody else to do so.
const SOMEBODY_ELSE: Duration = Duration::from_secs(15);

/// A connection that outlives the daemon behind it.
#[derive(Debug)]
pub struct Session {
    options: ConnectOptions,
    client: Mutex<Client>,
    /// Held by the one caller that connects again; all others that lost the same connection wait for its outcome.
    reconnecting: tokio::sync::Mutex<Losses>,
    /// How often connecting again failed: whoever waited meanwhile has failed with it.
    failures: AtomicU64,
}

/// When connections were lost lately.
type Losses = VecDeque<Instant>;

impl Session {
    /// Connects for the first time.
    pub async fn connect(options: ConnectOptions) -> Result<Self, ClientError> {
        let client = Client::connect(&options).await?;
        let (reconnecting, failures) = (tokio::sync::Mutex::default(), AtomicU64::new(0));
        Ok(Self { options, client: Mutex::new(client), reconnecting, failures })
    }

    /// The present connection.
    pub fn client(&self) -> Client {
        self.client.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a daemon may be started.
    pub(crate) fn start(&self) -> Start {
        self.options.start
    }

    /// Asks; where the connection is lost before the answer, or the daemon is stopping, connects again and asks again.
    pub async fn call<M: Repeatable>(&self, params: &M::Params) -> Result<M::Result, ClientError> {
        self.repeat::<M>(params).await
    }

    /// Submits one task. Without a `request_id` it gets one, so that sending it again after a lost connection is the same task.
    pub async fn submit(&self, spec: &TaskSpec) -> Result<SubmitResult, ClientError> {
        if spec.request_id.is_some() {
            return self.repeat::<TaskSubmit>(spec).await;
        }
        self.repeat::<TaskSubmit>(&TaskSpec { request_id: Some(new_request_id()), ..spec.clone() }).await
    }

    /// Submits many tasks, all or none, in the same way.
    pub async fn submit_batch(&self, batch: &SubmitBatchParams) -> Result<SubmitBatchResult, ClientError> {
        if batch.request_id.is_some() {
            return self.repeat::<TaskSubmitBatch>(batch).await;
        }
        let batch = SubmitBatchParams { request_id: Some(new_request_id()), ..batch.clone() };
        self.repeat::<TaskSubmitBatch>(&batch).await
    }

    /// Waits until all the tasks are over or held, or until the timeout, which is an answer too (`timed_out`).
    pub async fn wait(
        &self,
        ids: &[TaskId],
        timeout: Option<Duration>,
    ) -> Result<TaskWaitResult, ClientError> {
        let begun = Instant::now();
        loop {
            let client = self.client();
            let left = timeout.map(|timeout| Seconds(timeout.saturating_sub(begun.elapsed())));
            let params = TaskWaitParams { ids: ids.to_vec(), timeout_s: left, ..TaskWaitParams::default() };
            match client.call::<TaskWait>(&params).await {
                Err(error) if error.is_interruption() => self.reconnect(&client, error).await?,
                outcome => return outcome,
            }
        }
    }

    /// Fills `file`, which is empty, with the output's bytes and gives it back at its begin; their digest is checked.
    pub async fn fetch(&self, output: &Output, file: File) -> Result<File, ClientError> {
        loop {
            let client = self.client();
            let copy = file.try_clone().map_err(|source| ClientError::io("cannot write the file", source))?;
            match client.fetch(output, copy).await {
                Err(error) if error.is_interruption() => self.reconnect(&client, error).await?,
                outcome => return outcome,
            }
        }
    }

    /// Has pictures made, and waits however long that takes: the finished task, whose `outputs` [`Self::fetch`] brings. Equal params are
    /// answered from the cache; `sample` tells requests apart that shall be different pictures. Fails with
    /// [`ClientError::NotMade`] where the task fails, is cancelled or is held.
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
        loop {
            let client = self.client();
            match client.call::<M>(params).await {
                Err(error) if error.is_interruption() => self.reconnect(&client, error).await?,
                outcome => return outcome,
            }
        }
    }

    /// Replaces a lost connection, unless another caller already did. Fails with `why` where the daemon keeps dying. Where `why` is that the
    /// daemon is stopping, waits for the next one, for as long as this one still answers.
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
        let failures = self.failures.load(Ordering::Relaxed);
        let mut losses = self.reconnecting.lock().await;
        if !self.client().is_same(lost) {
            return Ok(());
        }
        if self.failures.load(Ordering::Relaxed) != failures || die_too_often(&mut losses, Instant::now()) {
            return Err(why);
        }
        match self.connect_again(lost, &why, start).await {
            Ok(client) => {
                *self.client.lock().unwrap_or_else(PoisonError::into_inner) = client;
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
                Start::IfNeeded => COMES_BACK_WITHIN,
                Start::Never => SOMEBODY_ELSE,
            };
            match self.try_again(start).await {
                // What the stopping daemon does not take is for the next one.
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

    /// Connected means that the daemon really answers. Gives the daemon's instance too.
    async fn try_again(&self, start: Start) -> Result<(Client, String), ClientError> {
        let client = Client::connect(&ConnectOptions { start, ..self.options.clone() }).await?;
        let instance = client.hello().await?.instance;
        Ok((client, instance))
    }
}

/// Whether the daemon is still stopping; one that ended meanwhile is not.
async fn is_stopping(client: &Client) -> bool {
    let status = client.call::<DaemonStatus>(&Empty {}).await;
    status.is_ok_and(|status| status.wait_reason == Some(WaitReason::Stopping))
}

/// Notes one more loss.
fn die_too_often(losses: &mut Losses, now: Instant) -> bool {
    losses.push_back(now);
    while losses.front().is_some_and(|loss| now.duration_since(*loss) > DEATHS_WITHIN) {
        losses.pop_front();
    }
    losses.len() > DEATHS
}
