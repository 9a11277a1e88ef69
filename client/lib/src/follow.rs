//! Follows tasks and memory without missing a change, also when a subscription is dropped or the daemon dies.

use std::collections::VecDeque;

use reel_protocol::{
    BatchId, ErrorCode, RpcError, TaskId, TaskState, TaskView,
    limits::LIST_ROWS,
    methods::{
        Empty, Event, MemoryStatus, MemoryStatusResult, SubscribeParams, TaskList, TaskListParams, Topic,
    },
};

use crate::{
    Client, ClientError, EventStream, Session, Start, connection::BegunSubscription,
    returned_states::ReturnedStates,
};

/// What [`Follow::next`] returns.
#[derive(Debug, Clone, PartialEq)]
pub enum Followed {
    /// The current state of a task. Returned for each task at the beginning, and after a gap for each task that changed during it.
    Task(Box<TaskView>),
    /// A task was removed during a gap.
    Removed(TaskId),
    /// The current memory state. Returned at the beginning and after a gap.
    Memory(Box<MemoryStatusResult>),
    /// An event of the subscription.
    Event(Box<Event>),
    /// This many events were lost because they came faster than they were read. The states that changed meanwhile follow.
    Missed(u64),
    /// The connection to the daemon is lost. The next call reconnects, and starts the daemon if that is allowed.
    Disconnected,
}

/// A subscription that survives its connection. It first returns the current states, then events; after a gap it returns the states that changed
/// during the gap. Each change of a task is returned once, and never after a later change.
///
/// Without `task_ids` and `batch`, the states at the beginning are those of running tasks, and after a gap also those of tasks that ran before it.
/// Such a view does not restart a daemon that was stopped on purpose; it waits 15 s for somebody else to start one.
#[derive(Debug)]
pub struct Follow<'a> {
    session: &'a Session,
    wanted: SubscribeParams,
    stage: Stage,
    ready: VecDeque<Followed>,
    returned: ReturnedStates,
    /// Whether the tasks are known to have existed, so that a task that is not found was removed.
    are_known: bool,
    has_begun: bool,
    /// Whether the daemon sent the event `stopping`.
    is_stopping: bool,
}

#[derive(Debug)]
enum Stage {
    Begin,
    /// The subscription was requested on this connection. It is kept here, so that dropping the future of [`Follow::next`] begins no second one.
    Subscribing(Client, BegunSubscription),
    /// The subscription runs, and the current states are not read yet.
    Reading(EventStream),
    Running(EventStream),
    /// The lost connection, and the error if the daemon refused because it is stopping.
    Lost(Client, Option<RpcError>),
}

/// The states that were read after subscribing.
#[derive(Debug, Default)]
struct CurrentStates {
    tasks: Vec<TaskView>,
    gone: Vec<TaskId>,
    memory: Option<MemoryStatusResult>,
}

impl<'a> Follow<'a> {
    /// Follows what the params select. Topics `task` and `memory` have a current state; the others have only events.
    pub fn new(session: &'a Session, wanted: SubscribeParams) -> Self {
        let returned = ReturnedStates::new(wanted.task_ids.is_some() || wanted.batch.is_some());
        let (stage, ready) = (Stage::Begin, VecDeque::new());
        Self {
            session,
            wanted,
            stage,
            ready,
            returned,
            are_known: false,
            has_begun: false,
            is_stopping: false,
        }
    }

    /// Follows a batch whose submit returned these ids. A task that is gone before the first read is reported as removed.
    pub fn batch(session: &'a Session, batch: BatchId, ids: impl IntoIterator<Item = TaskId>) -> Self {
        let topics = vec![Topic::Task];
        let wanted = SubscribeParams { topics, batch: Some(batch), ..SubscribeParams::default() };
        let mut follow = Self::new(session, wanted);
        follow.are_known = true;
        follow.returned.expect(ids);
        follow
    }

    /// Follows these tasks, at most 1,000.
    pub fn tasks(session: &'a Session, ids: Vec<TaskId>) -> Self {
        let topics = vec![Topic::Task];
        Self::new(session, SubscribeParams { topics, task_ids: Some(ids), ..SubscribeParams::default() })
    }

    /// Whether all states and events so far were returned and each followed task is finished, held or removed.
    pub fn is_settled(&self) -> bool {
        self.has_begun
            && self.ready.is_empty()
            && self.returned.open == 0
            && matches!(self.stage, Stage::Running(_))
    }

    /// Waits for the next change. The future may be dropped at any time and the method called again. Fails if a task or batch in the params does not
    /// exist, or if no daemon can be reached.
    pub async fn next(&mut self) -> Result<Followed, ClientError> {
        loop {
            if let Some(told) = self.ready.pop_front() {
                return Ok(told);
            }
            match &mut self.stage {
                Stage::Running(events) => match events.next().await {
                    Ok(event) => self.take(event),
                    Err(ClientError::EventsLost { missed }) => {
                        self.stage = Stage::Begin;
                        return Ok(Followed::Missed(missed));
                    }
                    Err(error) if error.is_interruption() => {
                        self.stage = Stage::Lost(events.client.clone(), None);
                        return Ok(Followed::Disconnected);
                    }
                    Err(error) => return Err(error),
                },
                Stage::Lost(client, refusal) => {
                    let why = refusal.clone().map_or(ClientError::Disconnected, ClientError::Rpc);
                    let is_view = self.is_stopping && !self.returned.keeps_all;
                    let start = if is_view { Start::Never } else { self.session.start() };
                    self.session.rejoin(client, why, start).await?;
                    self.stage = Stage::Begin;
                }
                // A subscription comes before the states are read, so that no change is missed in between.
                Stage::Begin => {
                    let client = self.session.client();
                    let begun = client.begin_subscription(&self.subscription());
                    self.stage = Stage::Subscribing(client, begun);
                }
                Stage::Subscribing(client, begun) => match begun.stream().await {
                    Ok(events) => self.stage = Stage::Reading(events),
                    Err(error) => {
                        let client = client.clone();
                        self.fail_to_begin(client, error)?;
                    }
                },
                Stage::Reading(events) => {
                    let client = events.client.clone();
                    match self.read_states(&client).await {
                        Ok(current) => self.catch_up(current),
                        Err(error) => self.fail_to_begin(client, error)?,
                    }
                }
            }
        }
    }

    /// Returns what is subscribed to: what is followed, and the end of the daemon.
    fn subscription(&self) -> SubscribeParams {
        let mut params = self.wanted.clone();
        if !params.topics.contains(&Topic::Daemon) {
            params.topics.push(Topic::Daemon);
        }
        params
    }

    /// Reconnects after an interruption. Any other error is returned, and the next call begins again.
    fn fail_to_begin(&mut self, client: Client, error: ClientError) -> Result<(), ClientError> {
        self.stage = match error {
            ClientError::Rpc(refusal) if refusal.known() == Some(ErrorCode::ShuttingDown) => {
                Stage::Lost(client, Some(refusal))
            }
            error if error.is_interruption() => Stage::Lost(client, None),
            error => {
                self.stage = Stage::Begin;
                return Err(error);
            }
        };
        Ok(())
    }

    /// Returns the next change if it is already here, without waiting for the daemon.
    pub fn try_next(&mut self) -> Option<Followed> {
        loop {
            if let Some(told) = self.ready.pop_front() {
                return Some(told);
            }
            let Stage::Running(events) = &mut self.stage else { return None };
            let event = events.try_next()?;
            self.take(event);
        }
    }

    fn take(&mut self, event: Event) {
        if event.topic == Topic::Daemon {
            self.is_stopping |= event.event == "stopping";
            if !self.wanted.topics.contains(&Topic::Daemon) {
                return;
            }
        }
        let is_news = event.task.as_ref().is_none_or(|task| {
            if event.event == "removed" {
                self.returned.remove(task.id);
                return true;
            }
            let is_news = self.returned.take(task.id, task.rev, task.state, &task.progress);
            self.returned.forget_unless_running(task.id);
            is_news
        });
        if is_news {
            self.ready.push_back(Followed::Event(Box::new(event)));
        }
    }

    async fn read_states(&self, client: &Client) -> Result<CurrentStates, ClientError> {
        let mut current = CurrentStates::default();
        if self.wanted.topics.contains(&Topic::Task) {
            self.read_tasks(client, &mut current).await?;
        }
        if self.wanted.topics.contains(&Topic::Memory) {
            current.memory = Some(client.call::<MemoryStatus>(&Empty {}).await?);
        }
        Ok(current)
    }

    async fn read_tasks(&self, client: &Client, current: &mut CurrentStates) -> Result<(), ClientError> {
        let SubscribeParams { task_ids, batch, .. } = &self.wanted;
        if let Some(ids) = task_ids {
            self.read_ids(client, ids, current).await?;
            current.tasks.retain(|task| batch.is_none() || task.batch == *batch);
            return Ok(());
        }
        let state = if batch.is_none() { Some(TaskState::Running) } else { None };
        current.tasks =
            list(client, TaskListParams { state, batch: *batch, ..TaskListParams::default() }).await?;
        if let Some(batch) = batch.filter(|_| current.tasks.is_empty() && !self.may_be_gone()) {
            return Err(RpcError::new(ErrorCode::BatchNotFound, format!("no batch {batch}")).into());
        }
        let missing = self.returned.open_except(&current.tasks);
        self.read_ids(client, &missing, current).await
    }

    /// Whether a task that is not found was removed, as opposed to never having existed.
    fn may_be_gone(&self) -> bool {
        self.has_begun || self.are_known
    }

    async fn read_ids(
        &self,
        client: &Client,
        ids: &[TaskId],
        current: &mut CurrentStates,
    ) -> Result<(), ClientError> {
        let found = client.read_tasks(ids, self.may_be_gone()).await?;
        current.tasks.extend(found.tasks);
        current.gone.extend(found.gone);
        Ok(())
    }

    fn catch_up(&mut self, current: CurrentStates) {
        if let Stage::Reading(events) = std::mem::replace(&mut self.stage, Stage::Begin) {
            self.stage = Stage::Running(events);
        }
        (self.has_begun, self.is_stopping) = (true, false);
        self.returned.forget_ended();
        for task in current.tasks {
            if self.returned.take(task.id, task.rev, task.state, &task.progress) {
                self.ready.push_back(Followed::Task(Box::new(task)));
            }
        }
        for id in current.gone {
            if self.returned.remove(id) {
                self.ready.push_back(Followed::Removed(id));
            }
        }
        self.ready.extend(current.memory.map(|memory| Followed::Memory(Box::new(memory))));
    }
}

/// Reads all pages of `task.list` and returns the tasks oldest first.
async fn list(client: &Client, params: TaskListParams) -> Result<Vec<TaskView>, ClientError> {
    let mut params = TaskListParams { limit: Some(LIST_ROWS), ..params };
    let mut tasks = Vec::new();
    loop {
        let page = client.call::<TaskList>(&params).await?;
        tasks.extend(page.tasks);
        if page.next_cursor.is_none() {
            tasks.reverse();
            return Ok(tasks);
        }
        params.cursor = page.next_cursor;
    }
}
