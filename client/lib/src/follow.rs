//! Follows tasks and memory without missing a change, also when a subscription is dropped or the daemon dies.

use std::collections::{HashMap, VecDeque};

use reel_protocol::{
    BatchId, ErrorCode, Progress, RpcError, Seconds, TaskId, TaskState, TaskView,
    limits::{LIST_ROWS, WAIT_IDS},
    methods::{
        Empty, Event, MemoryStatus, MemoryStatusResult, SubscribeParams, TaskGet, TaskIdParams, TaskList,
        TaskListParams, TaskWait, TaskWaitParams, Topic,
    },
};

use crate::{Client, ClientError, EventStream, Session, Start};

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
        let returned = ReturnedStates {
            keeps_all: wanted.task_ids.is_some() || wanted.batch.is_some(),
            ..ReturnedStates::default()
        };
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
                Stage::Begin => {
                    let client = self.session.client();
                    match self.begin(&client).await {
                        Ok((events, current)) => self.catch_up(events, current),
                        Err(ClientError::Rpc(refusal))
                            if refusal.known() == Some(ErrorCode::ShuttingDown) =>
                        {
                            self.stage = Stage::Lost(client, Some(refusal));
                        }
                        Err(error) if error.is_interruption() => self.stage = Stage::Lost(client, None),
                        Err(error) => return Err(error),
                    }
                }
            }
        }
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

    /// Subscribes first and reads the states afterwards, so that no change is missed in between.
    async fn begin(&self, client: &Client) -> Result<(EventStream, CurrentStates), ClientError> {
        let mut params = self.wanted.clone();
        if !params.topics.contains(&Topic::Daemon) {
            params.topics.push(Topic::Daemon);
        }
        let events = client.subscribe(&params).await?;
        let mut current = CurrentStates::default();
        if self.wanted.topics.contains(&Topic::Task) {
            self.read_tasks(client, &mut current).await?;
        }
        if self.wanted.topics.contains(&Topic::Memory) {
            current.memory = Some(client.call::<MemoryStatus>(&Empty {}).await?);
        }
        Ok((events, current))
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
        for ids in ids.chunks(WAIT_IDS) {
            let now = TaskWaitParams {
                ids: ids.to_vec(),
                timeout_s: Some(Seconds(std::time::Duration::ZERO)),
                ..TaskWaitParams::default()
            };
            match client.call::<TaskWait>(&now).await {
                Ok(found) => current.tasks.extend(found.tasks),
                Err(error) if is_missing(&error) && self.may_be_gone() => {
                    read_each(client, ids, current).await?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn catch_up(&mut self, events: EventStream, current: CurrentStates) {
        self.stage = Stage::Running(events);
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

/// Reads the tasks one by one, because one request for all of them fails if one is gone.
async fn read_each(client: &Client, ids: &[TaskId], current: &mut CurrentStates) -> Result<(), ClientError> {
    for id in ids {
        match client.call::<TaskGet>(&TaskIdParams { id: *id }).await {
            Ok(task) => current.tasks.push(task),
            Err(error) if is_missing(&error) => current.gone.push(*id),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn is_missing(error: &ClientError) -> bool {
    matches!(error, ClientError::Rpc(error) if error.known() == Some(ErrorCode::TaskNotFound))
}

/// The last returned state of each task. Pure.
#[derive(Debug, Default)]
struct ReturnedStates {
    tasks: HashMap<TaskId, LastState>,
    /// Number of tasks in the map that are neither finished nor held.
    open: usize,
    /// Whether tasks that do not run are kept too. If the set of followed tasks is unbounded, keeping them would grow without limit.
    keeps_all: bool,
}

#[derive(Debug, Clone)]
struct LastState {
    rev: u64,
    state: TaskState,
    progress: Progress,
}

impl ReturnedStates {
    /// Records a task's state. False if this state or a later one was recorded before. Progress has no revision of its own; within a revision of the
    /// task it only grows.
    fn take(&mut self, id: TaskId, rev: u64, state: TaskState, progress: &Progress) -> bool {
        let known = self.tasks.get(&id);
        let is_news = known.is_none_or(|known| {
            let is_further = progress.fraction > known.progress.fraction
                || (progress.fraction >= known.progress.fraction
                    && progress.message != known.progress.message);
            rev > known.rev || (rev == known.rev && is_further)
        });
        if is_news {
            self.remove(id);
            self.open += usize::from(!state.is_settled());
            self.tasks.insert(id, LastState { rev, state, progress: progress.clone() });
        }
        is_news
    }

    /// Records tasks that were accepted and whose state is not known yet.
    fn expect(&mut self, ids: impl IntoIterator<Item = TaskId>) {
        for id in ids {
            self.take(id, 0, TaskState::Queued, &Progress::default());
        }
    }

    /// Forgets the task. Returns whether it was recorded.
    fn remove(&mut self, id: TaskId) -> bool {
        let known = self.tasks.remove(&id);
        self.open -= usize::from(known.as_ref().is_some_and(|known| !known.state.is_settled()));
        known.is_some()
    }

    fn forget_unless_running(&mut self, id: TaskId) {
        if !self.keeps_all && self.tasks.get(&id).is_some_and(|known| known.state != TaskState::Running) {
            self.remove(id);
        }
    }

    /// Forgets tasks that an earlier gap left in the map: no event of the earlier subscription can arrive any more.
    fn forget_ended(&mut self) {
        if !self.keeps_all {
            self.tasks.retain(|_, known| known.state == TaskState::Running);
            self.open = self.tasks.len();
        }
    }

    fn open_except(&self, found: &[TaskView]) -> Vec<TaskId> {
        let found: std::collections::HashSet<TaskId> = found.iter().map(|task| task.id).collect();
        let open = self.tasks.iter().filter(|(id, known)| !known.state.is_settled() && !found.contains(id));
        open.map(|(id, _)| *id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(fraction: f64, message: &str) -> Progress {
        Progress { fraction, message: message.to_owned() }
    }

    #[test]
    fn each_change_is_news_once_and_none_after_a_later_one() {
        use TaskState::{Queued, Running, Succeeded};
        let mut returned = ReturnedStates { keeps_all: true, ..ReturnedStates::default() };
        for (rev, state, fraction, message, is_news, open) in [
            (1, Queued, 0.0, "", true, 1),
            (2, Running, 0.0, "", true, 1),
            (1, Queued, 0.0, "", false, 1),
            (2, Running, 0.5, "water", true, 1),
            (2, Running, 0.5, "water", false, 1),
            (2, Running, 0.4, "sky", false, 1),
            (2, Running, 0.5, "boats", true, 1),
            (3, Queued, 0.0, "", true, 1),
            (2, Running, 0.9, "late", false, 1),
            (4, Succeeded, 1.0, "", true, 0),
            (4, Succeeded, 1.0, "", false, 0),
        ] {
            let found = returned.take(TaskId(7), rev, state, &progress(fraction, message));
            assert_eq!((found, returned.open), (is_news, open), "{rev} {state:?} {fraction} {message}");
        }
        assert!(returned.remove(TaskId(7)) && !returned.remove(TaskId(7)));
    }

    #[test]
    fn what_is_expected_is_open_until_it_is_told() {
        let mut returned = ReturnedStates { keeps_all: true, ..ReturnedStates::default() };
        returned.expect([TaskId(7), TaskId(8)]);
        assert_eq!((returned.open, returned.open_except(&[]).len()), (2, 2));
        assert!(returned.take(TaskId(7), 1, TaskState::Succeeded, &progress(1.0, "")));
        assert!(returned.remove(TaskId(8)) && returned.open == 0);
    }

    #[test]
    fn a_view_of_everything_remembers_only_what_runs() {
        let mut returned = ReturnedStates::default();
        for (id, state) in [(1, TaskState::Queued), (2, TaskState::Running), (3, TaskState::Failed)] {
            assert!(returned.take(TaskId(id), 1, state, &progress(0.0, "")));
            returned.forget_unless_running(TaskId(id));
        }
        assert_eq!((returned.tasks.len(), returned.open, returned.open_except(&[])), (1, 1, vec![TaskId(2)]));
        // A state that was read after a gap is kept until the next gap, because the task's last event may still arrive and must not count as a
        // change.
        assert!(returned.take(TaskId(2), 2, TaskState::Succeeded, &progress(1.0, "")));
        assert!(!returned.take(TaskId(2), 2, TaskState::Succeeded, &progress(1.0, "")));
        returned.forget_ended();
        assert_eq!((returned.tasks.len(), returned.open), (0, 0));
    }
}
