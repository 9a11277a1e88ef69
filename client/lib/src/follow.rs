//! Follows what happens without a gap: through lost subscriptions and through the daemon's death.

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

/// What a [`Follow`] tells.
#[derive(Debug, Clone, PartialEq)]
pub enum Followed {
    /// A task as it stands: each one at the begin, and after a gap each one that changed in it.
    Task(Box<TaskView>),
    /// A task that was removed in a gap.
    Removed(TaskId),
    /// Memory as it stands, at the begin and after a gap.
    Memory(Box<MemoryStatusResult>),
    /// What happened.
    Event(Box<Event>),
    /// So many events came faster than they were taken; what changed meanwhile comes next.
    Missed(u64),
    /// The daemon is gone; the next call connects again, and starts it again where that is allowed.
    Disconnected,
}

/// A subscription that outlives its connection. First it tells how everything stands, then what happens; after a gap how everything stands
/// that changed in it. Each change of a task is told once, and none after a later one.
///
/// With neither `task_ids` nor `batch` only running tasks are told at the begin, and those that ran before a gap after it. Such a view starts
/// no daemon that was stopped on purpose; it waits some seconds for another one.
#[derive(Debug)]
pub struct Follow<'a> {
    session: &'a Session,
    wanted: SubscribeParams,
    stage: Stage,
    ready: VecDeque<Followed>,
    seen: Seen,
    /// The tasks surely exist: one that is not found was removed.
    are_known: bool,
    has_begun: bool,
    /// The daemon has said that it stops.
    is_stopping: bool,
}

#[derive(Debug)]
enum Stage {
    Begin,
    Running(EventStream),
    /// With the refusal of a daemon that is stopping, where that was the reason.
    Lost(Client, Option<RpcError>),
}

/// What was read in a gap.
#[derive(Debug, Default)]
struct Present {
    tasks: Vec<TaskView>,
    gone: Vec<TaskId>,
    memory: Option<MemoryStatusResult>,
}

impl<'a> Follow<'a> {
    /// What the params name; topics `task` and `memory` have a present state, the others have only events.
    pub fn new(session: &'a Session, wanted: SubscribeParams) -> Self {
        let seen = Seen { keeps_all: wanted.task_ids.is_some() || wanted.batch.is_some(), ..Seen::default() };
        let (stage, ready) = (Stage::Begin, VecDeque::new());
        Self { session, wanted, stage, ready, seen, are_known: false, has_begun: false, is_stopping: false }
    }

    /// A batch with tasks that its submit answered: one of them that is gone by the begin is told as removed.
    pub fn batch(session: &'a Session, batch: BatchId, ids: impl IntoIterator<Item = TaskId>) -> Self {
        let topics = vec![Topic::Task];
        let wanted = SubscribeParams { topics, batch: Some(batch), ..SubscribeParams::default() };
        let mut follow = Self::new(session, wanted);
        follow.are_known = true;
        follow.seen.expect(ids);
        follow
    }

    /// These tasks, at most 1,000.
    pub fn tasks(session: &'a Session, ids: Vec<TaskId>) -> Self {
        let topics = vec![Topic::Task];
        Self::new(session, SubscribeParams { topics, task_ids: Some(ids), ..SubscribeParams::default() })
    }

    /// Whether everything is told and no task that is followed is open any more: each is over, held or removed.
    pub fn is_settled(&self) -> bool {
        self.has_begun
            && self.ready.is_empty()
            && self.seen.open == 0
            && matches!(self.stage, Stage::Running(_))
    }

    /// What happened next. May be dropped at any time and called again. Fails where a named task or batch does not exist, and where no
    /// daemon can be reached any more.
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
                    let is_view = self.is_stopping && !self.seen.keeps_all;
                    let start = if is_view { Start::Never } else { self.session.start() };
                    self.session.rejoin(client, why, start).await?;
                    self.stage = Stage::Begin;
                }
                Stage::Begin => {
                    let client = self.session.client();
                    match self.begin(&client).await {
                        Ok((events, present)) => self.catch_up(events, present),
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

    /// Something that is told without waiting for the daemon.
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
                self.seen.remove(task.id);
                return true;
            }
            let is_news = self.seen.take(task.id, task.rev, task.state, &task.progress);
            self.seen.forget_unless_running(task.id);
            is_news
        });
        if is_news {
            self.ready.push_back(Followed::Event(Box::new(event)));
        }
    }

    /// First the subscription, then how everything stands, so that nothing falls between the two.
    async fn begin(&self, client: &Client) -> Result<(EventStream, Present), ClientError> {
        let mut params = self.wanted.clone();
        if !params.topics.contains(&Topic::Daemon) {
            params.topics.push(Topic::Daemon);
        }
        let events = client.subscribe(&params).await?;
        let mut present = Present::default();
        if self.wanted.topics.contains(&Topic::Task) {
            self.read_tasks(client, &mut present).await?;
        }
        if self.wanted.topics.contains(&Topic::Memory) {
            present.memory = Some(client.call::<MemoryStatus>(&Empty {}).await?);
        }
        Ok((events, present))
    }

    async fn read_tasks(&self, client: &Client, present: &mut Present) -> Result<(), ClientError> {
        let SubscribeParams { task_ids, batch, .. } = &self.wanted;
        if let Some(ids) = task_ids {
            self.read_ids(client, ids, present).await?;
            present.tasks.retain(|task| batch.is_none() || task.batch == *batch);
            return Ok(());
        }
        let state = if batch.is_none() { Some(TaskState::Running) } else { None };
        present.tasks =
            list(client, TaskListParams { state, batch: *batch, ..TaskListParams::default() }).await?;
        if let Some(batch) = batch.filter(|_| present.tasks.is_empty() && !self.may_be_gone()) {
            return Err(RpcError::new(ErrorCode::BatchNotFound, format!("no batch {batch}")).into());
        }
        let missing = self.seen.open_except(&present.tasks);
        self.read_ids(client, &missing, present).await
    }

    /// Whether a task that is not found was removed, rather than never there.
    fn may_be_gone(&self) -> bool {
        self.has_begun || self.are_known
    }

    async fn read_ids(
        &self,
        client: &Client,
        ids: &[TaskId],
        present: &mut Present,
    ) -> Result<(), ClientError> {
        for ids in ids.chunks(WAIT_IDS) {
            let now = TaskWaitParams {
                ids: ids.to_vec(),
                timeout_s: Some(Seconds(std::time::Duration::ZERO)),
                ..TaskWaitParams::default()
            };
            match client.call::<TaskWait>(&now).await {
                Ok(found) => present.tasks.extend(found.tasks),
                Err(error) if is_missing(&error) && self.may_be_gone() => {
                    read_each(client, ids, present).await?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn catch_up(&mut self, events: EventStream, present: Present) {
        self.stage = Stage::Running(events);
        (self.has_begun, self.is_stopping) = (true, false);
        self.seen.forget_ended();
        for task in present.tasks {
            if self.seen.take(task.id, task.rev, task.state, &task.progress) {
                self.ready.push_back(Followed::Task(Box::new(task)));
            }
        }
        for id in present.gone {
            if self.seen.remove(id) {
                self.ready.push_back(Followed::Removed(id));
            }
        }
        self.ready.extend(present.memory.map(|memory| Followed::Memory(Box::new(memory))));
    }
}

/// All pages, oldest first.
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

/// One by one, as a question for all of them fails where one is gone.
async fn read_each(client: &Client, ids: &[TaskId], present: &mut Present) -> Result<(), ClientError> {
    for id in ids {
        match client.call::<TaskGet>(&TaskIdParams { id: *id }).await {
            Ok(task) => present.tasks.push(task),
            Err(error) if is_missing(&error) => present.gone.push(*id),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn is_missing(error: &ClientError) -> bool {
    matches!(error, ClientError::Rpc(error) if error.known() == Some(ErrorCode::TaskNotFound))
}

/// What was told of each task. Pure.
#[derive(Debug, Default)]
struct Seen {
    tasks: HashMap<TaskId, Known>,
    /// Those of them that are not settled.
    open: usize,
    /// Whether tasks that do not run are kept too; without a bound on the tasks that would grow without end.
    keeps_all: bool,
}

#[derive(Debug, Clone)]
struct Known {
    rev: u64,
    state: TaskState,
    progress: Progress,
}

impl Seen {
    /// Notes where a task stands; false where that, or something later, was known. Progress has no revision of its own: within one it only
    /// goes forward.
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
            self.tasks.insert(id, Known { rev, state, progress: progress.clone() });
        }
        is_news
    }

    /// Notes tasks of which nothing is known but that they were accepted.
    fn expect(&mut self, ids: impl IntoIterator<Item = TaskId>) {
        for id in ids {
            self.take(id, 0, TaskState::Queued, &Progress::default());
        }
    }

    /// Whether it was known.
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

    /// Those that a former gap left behind: no event of the former subscription can come any more.
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
        let mut seen = Seen { keeps_all: true, ..Seen::default() };
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
            let found = seen.take(TaskId(7), rev, state, &progress(fraction, message));
            assert_eq!((found, seen.open), (is_news, open), "{rev} {state:?} {fraction} {message}");
        }
        assert!(seen.remove(TaskId(7)) && !seen.remove(TaskId(7)));
    }

    #[test]
    fn what_is_expected_is_open_until_it_is_told() {
        let mut seen = Seen { keeps_all: true, ..Seen::default() };
        seen.expect([TaskId(7), TaskId(8)]);
        assert_eq!((seen.open, seen.open_except(&[]).len()), (2, 2));
        assert!(seen.take(TaskId(7), 1, TaskState::Succeeded, &progress(1.0, "")));
        assert!(seen.remove(TaskId(8)) && seen.open == 0);
    }

    #[test]
    fn a_view_of_everything_remembers_only_what_runs() {
        let mut seen = Seen::default();
        for (id, state) in [(1, TaskState::Queued), (2, TaskState::Running), (3, TaskState::Failed)] {
            assert!(seen.take(TaskId(id), 1, state, &progress(0.0, "")));
            seen.forget_unless_running(TaskId(id));
        }
        assert_eq!((seen.tasks.len(), seen.open, seen.open_except(&[])), (1, 1, vec![TaskId(2)]));
        // Read in a gap, kept until the next one: its last event may still come, and is no news then.
        assert!(seen.take(TaskId(2), 2, TaskState::Succeeded, &progress(1.0, "")));
        assert!(!seen.take(TaskId(2), 2, TaskState::Succeeded, &progress(1.0, "")));
        seen.forget_ended();
        assert_eq!((seen.tasks.len(), seen.open), (0, 0));
    }
}
