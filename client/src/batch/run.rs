//! Makes the missing results of a batch: submits the tasks, follows them, and saves each result as soon as its task is finished.

use std::{
    collections::{HashMap, VecDeque},
    path::PathBuf,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use reel_client::{Follow, Followed, Session};
use reel_protocol::{BatchId, CacheMode, Progress as Fraction, TaskId, TaskState, TaskView, methods::Event};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use super::{Item, Record, directory::digest_of, earlier, record::Entry, report::LineResult, submit::submit};
use crate::{
    deliver::with_way_back,
    exit::Exit,
    failure::Failure,
    output::Output,
    progress::Progress,
    save::{self, Existing, Saved},
    signals::{self, Interrupts},
    tasks, unfinished,
    waiting::{self, POLL_INTERVAL, how_they_stand},
};

/// Most results that are written at once. This is enough to keep a disk busy.
const SAVES: usize = 8;

/// Most tasks in one request for their outputs.
const LOOKUP: usize = 100;

/// Interval between two writes of the record.
const FLUSH: Duration = Duration::from_millis(500);

/// The settings of the whole batch.
#[derive(Debug)]
pub struct Order {
    /// The output directory.
    pub directory: PathBuf,
    /// The provider instance to use.
    pub provider: Option<String>,
    /// How the cache is used.
    pub cache: CacheMode,
    /// The label of the batch.
    pub name: Option<String>,
    /// The name of the input file; `-` for stdin.
    pub lines: String,
}

/// One result to make.
#[derive(Debug, Clone)]
pub struct ItemToMake {
    /// The index of its item.
    pub item_index: usize,
    /// What to do with an existing file.
    pub existing: Existing,
    /// The file of an earlier run that it replaces. It may have another extension.
    pub former: Option<String>,
}

/// What was made.
#[derive(Debug)]
pub struct Made {
    /// The daemon's batch, to which the tasks belong.
    pub batch: Option<BatchId>,
    /// The result of each item, by the index of the item.
    pub results: HashMap<usize, LineResult>,
}

/// Makes the wanted items.
pub async fn make(
    output: Output,
    session: Arc<Session>,
    order: &Order,
    items: &[Item],
    wanted: &[ItemToMake],
    record: &mut Record,
) -> Result<Made, Failure> {
    let mut interrupts = Interrupts::listen();
    let mut run = Run {
        session: Arc::clone(&session),
        order,
        items,
        record,
        progress: Progress::new(output, Some(wanted.len())),
        open: HashMap::new(),
        ready: VecDeque::new(),
        saves: JoinSet::new(),
        results: HashMap::new(),
        wanted: wanted.len(),
        batch: None,
    };
    let ended = tokio::select! {
        ended = run.make_all(wanted) => Some(ended),
        () = signals::next(&mut interrupts) => None,
    };
    run.progress.clear();
    if ended.is_none() {
        // No thread may write a file after the record was written.
        unfinished::abandon();
        run.take_finished_saves();
    }
    // The record is written in any case, so that it names every written file.
    run.record.flush()?;
    if let Some(ended) = ended {
        ended?;
        return Ok(Made { batch: run.batch, results: run.results });
    }
    let mut ids: Vec<TaskId> = run.open.keys().copied().collect();
    ids.sort_unstable();
    if ids.is_empty() {
        let message =
            format!("interrupted, and {} of {} results were written", run.results.len(), wanted.len());
        let failure = Failure::new(Exit::Interrupted, "interrupted", message);
        return Err(failure.hint("run the same batch command again to write the others"));
    }
    Err(waiting::leave(output, &session, &ids, "run the same batch command again", &mut interrupts).await)
}

struct Run<'a> {
    session: Arc<Session>,
    order: &'a Order,
    items: &'a [Item],
    record: &'a mut Record,
    progress: Progress,
    /// Tasks that are not settled yet.
    open: HashMap<TaskId, ItemToMake>,
    /// Finished tasks whose results wait to be written.
    ready: VecDeque<(ItemToMake, TaskView)>,
    saves: JoinSet<(ItemToMake, TaskView, Result<Saved, Failure>)>,
    results: HashMap<usize, LineResult>,
    wanted: usize,
    /// The daemon's batch, as soon as it is known.
    batch: Option<BatchId>,
}

impl Run<'_> {
    /// Submits the tasks and runs until every result is written or has failed.
    async fn make_all(&mut self, wanted: &[ItemToMake]) -> Result<(), Failure> {
        let session = Arc::clone(&self.session);
        let earlier = earlier::find(&session, self.order, self.items, wanted, self.record).await?;
        self.open = earlier.open;
        match self.open.len() {
            0 => {}
            1 => self.progress.note("continuing 1 task of an earlier run"),
            count => self.progress.note(&format!("continuing {count} tasks of an earlier run")),
        }
        let to = (earlier.batch, &mut *self.record);
        let batch = submit(&session, self.order, self.items, &earlier.missing, to, &mut self.open).await?;
        self.batch = Some(batch);
        self.progress
            .note(&format!("this is batch {batch}: reel follow --batch {batch} follows it elsewhere"));
        let mut follow = Follow::batch(&session, batch, self.open.keys().copied());
        let mut flush = interval(FLUSH);
        flush.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut poll = interval(POLL_INTERVAL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        poll.reset();
        loop {
            let mut settled = Vec::new();
            let told = {
                // The future is kept for the whole loop, because it may be in the middle of starting the daemon.
                let mut told = pin!(follow.next());
                loop {
                    self.begin_saves();
                    if self.open.is_empty() && self.saves.is_empty() {
                        return Ok(());
                    }
                    tokio::select! {
                        told = &mut told, if !self.open.is_empty() => break told?,
                        Some(saved) = self.saves.join_next() => self.take_save(saved.map_err(|_| panicked())?),
                        _ = flush.tick() => self.record.flush()?,
                        _ = poll.tick() => self.explain().await,
                    }
                }
            };
            let mut next = Some(told);
            while let Some(told) = next {
                self.take(told, &mut settled);
                next = if settled.len() < LOOKUP { follow.try_next() } else { None };
            }
            self.look_up(settled).await?;
        }
    }

    /// Reports why the oldest open tasks wait. If the request fails, nothing is reported, and the events say what happened.
    async fn explain(&mut self) {
        let mut ids: Vec<TaskId> = self.open.keys().copied().collect();
        ids.sort_unstable();
        if !ids.is_empty() {
            let (tasks, status) = how_they_stand(&self.session.client(), &ids).await.unwrap_or_default();
            self.progress.explain_batch(&tasks, status.as_ref());
        }
    }

    /// Processes an event, and adds a task that is settled to `settled`.
    fn take(&mut self, told: Followed, settled: &mut Vec<TaskId>) {
        match told {
            Followed::Task(task) => self.take_task(*task),
            Followed::Removed(id) => self.take_removed(id),
            Followed::Event(event) => {
                let Event { event, task, .. } = *event;
                let Some(task) = task.filter(|task| self.open.contains_key(&task.id)) else { return };
                if event == "removed" {
                    return self.take_removed(task.id);
                }
                self.show(task.id, task.state, &task.progress);
                if task.state.is_settled() && !settled.contains(&task.id) {
                    settled.push(task.id);
                }
            }
            Followed::Disconnected => {
                self.progress.note("the connection to the daemon was lost; connecting again");
            }
            Followed::Missed(_) | Followed::Memory(_) => {}
        }
    }

    /// Reads settled tasks with their outputs, because events carry none.
    async fn look_up(&mut self, settled: Vec<TaskId>) -> Result<(), Failure> {
        if settled.is_empty() {
            return Ok(());
        }
        let found = self.session.read_tasks(&settled).await?;
        found.tasks.into_iter().for_each(|task| self.take_task(task));
        // A task was removed right after it finished.
        found.gone.into_iter().for_each(|id| self.take_removed(id));
        Ok(())
    }

    fn take_removed(&mut self, id: TaskId) {
        if let Some(ItemToMake { item_index, .. }) = self.open.remove(&id) {
            let failure = Failure::new(Exit::NoInput, "task_not_found", format!("task {id} was removed"));
            self.finish(item_index, |item| LineResult::failed(item, Some(id), failure));
        }
    }

    fn show(&mut self, id: TaskId, state: TaskState, progress: &Fraction) {
        let item = self.open.get(&id).and_then(|wanted| self.items.get(wanted.item_index));
        self.progress.show(id, item.map_or("", |item| &item.title), state, progress);
    }

    fn take_task(&mut self, task: TaskView) {
        if !self.open.contains_key(&task.id) {
            return;
        }
        self.show(task.id, task.state, &task.progress);
        if !task.state.is_settled() {
            return;
        }
        let Some(wanted) = self.open.remove(&task.id) else { return };
        match Failure::of_task(&task) {
            None => self.ready.push_back((wanted, task)),
            Some(failure) if task.state == TaskState::Held => {
                self.finish(wanted.item_index, |item| LineResult::held(item, task.id, failure));
            }
            Some(failure) => {
                self.finish(wanted.item_index, |item| LineResult::failed(item, Some(task.id), failure));
            }
        }
    }

    fn begin_saves(&mut self) {
        while self.saves.len() < SAVES
            && let Some((wanted, task)) = self.ready.pop_front()
        {
            let session = Arc::clone(&self.session);
            let item = self.items.get(wanted.item_index);
            let path = item
                .zip(task.outputs.first())
                .map(|(item, picture)| self.order.directory.join(item.file(&picture.media_type)));
            self.saves.spawn(async move {
                let saved = match (task.outputs.first(), path) {
                    (Some(picture), Some(path)) => save::save(&session, picture, &path, wanted.existing)
                        .await
                        .map_err(|failure| with_way_back(failure, &task, &path)),
                    _ => Err(Failure::new(
                        Exit::WorkFailed,
                        "no_output",
                        format!("task {} has no result", task.id),
                    )),
                };
                (wanted, task, saved)
            });
        }
    }

    fn take_finished_saves(&mut self) {
        while let Some(saved) = self.saves.try_join_next() {
            // The panic of a writer is not of interest any more.
            if let Ok(saved) = saved {
                self.take_save(saved);
            }
        }
    }

    fn take_save(&mut self, (wanted, task, saved): (ItemToMake, TaskView, Result<Saved, Failure>)) {
        let Some(item) = self.items.get(wanted.item_index) else { return };
        let saved = match saved {
            Ok(saved) => saved,
            Err(failure) => {
                return self
                    .finish(wanted.item_index, |item| LineResult::failed(item, Some(task.id), failure));
            }
        };
        if let Some(note) = &saved.note {
            self.progress.warn(note);
        }
        let file = saved.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(notes) = tasks::notes(&task) {
            self.progress.warn(&format!("{file}: {notes}"));
        }
        let (request, digest) = (item.request, saved.digest);
        self.record.end_work(task.id);
        self.record.note(&file, Entry { request, digest, lines: Some(self.order.lines.clone()) });
        if let Some(former) = wanted.former.filter(|former| *former != file) {
            self.remove_former(&former);
        }
        self.finish(wanted.item_index, |item| {
            LineResult::written(item, file, task.id, task.source, task.provider.clone(), digest)
        });
    }

    /// Removes the replaced file of an earlier run whose extension differs from the new file's. A file that was changed meanwhile is kept.
    fn remove_former(&mut self, former: &str) {
        let path = self.order.directory.join(former);
        let digest = digest_of(&path).ok().flatten();
        let is_ours = digest.is_some_and(|digest| self.record.entry(former, digest).is_some());
        if is_ours && std::fs::remove_file(path).is_ok() {
            self.record.forget(former);
        }
    }

    fn finish(&mut self, item_index: usize, result: impl FnOnce(&Item) -> LineResult) {
        let Some(item) = self.items.get(item_index) else { return };
        let result = result(item);
        let line = format!("[{}/{}] {}", self.results.len() + 1, self.wanted, result.line());
        self.results.insert(item_index, result);
        self.progress.advance(self.results.len(), &line);
    }
}

fn panicked() -> Failure {
    Failure::new(Exit::Internal, "internal", "a picture's writer panicked")
}
