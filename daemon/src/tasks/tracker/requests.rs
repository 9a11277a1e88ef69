//! The message handlers of the tracker. Each passes an event to the machine, and registers the request until the machine answers it.

use std::{collections::HashMap, sync::Arc};

use actix::{Context, Handler, MessageResult, ResponseFuture};
use reel_protocol::{
    BatchId, TaskId, TaskView,
    methods::{SubmitBatchResult, SubmitResult, TaskWaitResult},
};
use tokio::sync::{mpsc::UnboundedSender, oneshot};

use super::{
    Returned, TaskTracker,
    show::{Reader, Show},
};
use crate::{
    store::{self, StoreError},
    tasks::{
        CallService, ClientGone, DecideTask, Drain, Drained, GetTaskCounts, MakeRoom, PauseQueue, RemoveTask,
        Replan, SetTaskLimits, SubmitBatch, SubmitTask, TaskRefusal, WaitFor, WaitTasks,
        machine::{AcceptedTasks, Answer, Event, Intake, RequestId, STOP, Shown, WaitOn},
    },
};

/// Requests that have not been answered.
#[derive(Default)]
pub(super) struct Requests {
    waiting: HashMap<RequestId, Reply>,
    last: RequestId,
}

impl Requests {
    pub(super) fn add(&mut self, reply: Reply) -> RequestId {
        self.last += 1;
        self.waiting.insert(self.last, reply);
        self.last
    }
}

type ReplyTo<T> = oneshot::Sender<Result<T, TaskRefusal>>;

/// The sender of an answer, by the kind of the answer. If the client has gone, sending fails. That is ignored, because the work is done all the same.
pub(super) enum Reply {
    Submit(ReplyTo<SubmitResult>),
    Batch(ReplyTo<SubmitBatchResult>),
    View(ReplyTo<TaskView>),
    Wait(ReplyTo<TaskWaitResult>),
    Removal(ReplyTo<()>),
    Room(oneshot::Sender<u64>),
    Job(oneshot::Sender<Result<(), StoreError>>),
    Drain(oneshot::Sender<Drained>),
}

impl Reply {
    fn refuse(self, refusal: TaskRefusal) {
        match self {
            Self::Submit(reply) => drop(reply.send(Err(refusal))),
            Self::Batch(reply) => drop(reply.send(Err(refusal))),
            Self::View(reply) => drop(reply.send(Err(refusal))),
            Self::Wait(reply) => drop(reply.send(Err(refusal))),
            Self::Removal(reply) => drop(reply.send(Err(refusal))),
            // These requests are never refused. Dropping the sender tells the receiver that there is no answer.
            Self::Room(_) | Self::Job(_) | Self::Drain(_) => {}
        }
    }

    fn taken(self, taken: AcceptedTasks, reader: Reader) {
        match self {
            Self::Batch(reply) => {
                let Some(batch) = taken.batch else { return drop(reply.send(Err(TaskRefusal::Stopping))) };
                drop(reply.send(Ok(SubmitBatchResult { batch, ids: taken.ids().collect() })));
            }
            Self::Submit(reply) => {
                let id = taken.first;
                if let Some(state) = taken.state {
                    return drop(reply.send(Ok(SubmitResult { id, state })));
                }
                actix::spawn(async move {
                    let found = reader.read(move |connection| store::find_states(connection, &[id])).await;
                    let state = found.ok().and_then(|states| Some(states.first()?.1));
                    let state = state.ok_or(TaskRefusal::NoTask(id));
                    drop(reply.send(state.map(|state| SubmitResult { id, state })));
                });
            }
            other => other.refuse(TaskRefusal::Stopping),
        }
    }

    fn waited(self, shown: Shown, timed_out: bool, show: Show) {
        match self {
            Self::Wait(reply) => {
                actix::spawn(async move { drop(reply.send(show.waited(shown, timed_out).await)) });
            }
            // A call waits for exactly one task.
            Self::View(reply) => match shown {
                Shown::Tasks(ids) if ids.len() == 1 => Self::View(reply).show(ids.first().copied(), show),
                _ => drop(reply.send(Err(TaskRefusal::Stopping))),
            },
            other => other.refuse(TaskRefusal::Stopping),
        }
    }

    fn show(self, id: Option<TaskId>, show: Show) {
        match (self, id) {
            (Self::View(reply), Some(id)) => {
                actix::spawn(async move { drop(reply.send(show.task(id).await)) });
            }
            (other, _) => other.refuse(TaskRefusal::Stopping),
        }
    }
}

impl TaskTracker {
    /// Answers a request. If the answer shows tasks, they are read first.
    pub(super) fn answer(&mut self, ctx: &Context<Self>, request: RequestId, answer: Answer) {
        let Some(reply) = self.requests.waiting.remove(&request) else { return };
        match (answer, reply) {
            (Answer::Refused(refusal), reply) => reply.refuse(refusal),
            (Answer::Accepted(taken), reply) => reply.taken(taken, self.reader()),
            (Answer::Task(id), reply) => reply.show(Some(id), self.show(ctx)),
            (Answer::Hit(task), Reply::View(reply)) => answer_hit(*task, reply),
            (Answer::Waited { shown, timed_out }, reply) => reply.waited(shown, timed_out, self.show(ctx)),
            (Answer::Removed, Reply::Removal(reply)) => drop(reply.send(Ok(()))),
            (Answer::Unpinned(bytes), Reply::Room(reply)) => drop(reply.send(bytes)),
            (Answer::Remembered(outcome), Reply::Job(reply)) => drop(reply.send(outcome)),
            (Answer::Drained(drained), Reply::Drain(reply)) => drop(reply.send(drained)),
            (answer, reply) => {
                tracing::error!(?answer, "a request got an answer of another kind");
                reply.refuse(TaskRefusal::Stopping);
            }
        }
    }
}

/// Answers a call with a cached result. A short text is read from its file first, on a thread that may block.
fn answer_hit(mut task: TaskView, reply: ReplyTo<TaskView>) {
    if !task.outputs.iter().any(store::is_inline) {
        return drop(reply.send(Ok(task)));
    }
    actix::spawn(async move {
        let read = tokio::task::spawn_blocking(move || {
            store::add_texts(&mut task.outputs);
            task
        });
        let answer = read.await.map_err(|_| TaskRefusal::Stopping);
        drop(reply.send(answer));
    });
}

/// Returns the future of the answer. It is [`TaskRefusal::Stopping`] if the tracker stops before it answers.
fn answer_of<T: 'static>(
    answer: oneshot::Receiver<Result<T, TaskRefusal>>,
) -> ResponseFuture<Result<T, TaskRefusal>> {
    Box::pin(async move { answer.await.unwrap_or(Err(TaskRefusal::Stopping)) })
}

impl Handler<SubmitTask> for TaskTracker {
    type Result = ResponseFuture<Result<SubmitResult, TaskRefusal>>;

    fn handle(
        &mut self,
        SubmitTask { caller, mut spec, step }: SubmitTask,
        ctx: &mut Self::Context,
    ) -> Self::Result {
        let (reply, answer) = oneshot::channel();
        let request = self.requests.add(Reply::Submit(reply));
        let request_id = spec.request_id.take();
        let intake = Box::new(Intake { request_id, step, ..Intake::single(caller, spec) });
        self.take_in(ctx, request, intake, move |intake| Event::Submit { request, intake });
        answer_of(answer)
    }
}

impl Handler<SubmitBatch> for TaskTracker {
    type Result = ResponseFuture<Result<SubmitBatchResult, TaskRefusal>>;

    fn handle(&mut self, msg: SubmitBatch, ctx: &mut Self::Context) -> Self::Result {
        let (reply, answer) = oneshot::channel();
        let request = self.requests.add(Reply::Batch(reply));
        let SubmitBatch { caller, request_id, name, batch, specs } = msg;
        let intake = Box::new(Intake { request_id, batch, name, ..Intake::batch(caller, specs) });
        self.take_in(ctx, request, intake, move |intake| Event::Submit { request, intake });
        answer_of(answer)
    }
}

impl Handler<CallService> for TaskTracker {
    type Result = ResponseFuture<Result<TaskView, TaskRefusal>>;

    fn handle(&mut self, msg: CallService, ctx: &mut Self::Context) -> Self::Result {
        let (reply, answer) = oneshot::channel();
        let CallService { caller, spec, timeout, gone } = msg;
        let request = self.requests.add(Reply::View(reply));
        let intake = Box::new(Intake::single(caller, spec));
        self.take_in(ctx, request, intake, move |intake| Event::Call { request, intake, timeout });
        let end = self.ends_when_gone(request, gone);
        Box::pin(async move { end.answer(answer).await })
    }
}

/// Ends a wait when its client goes. An actor is not told of that by itself.
struct EndsWhenGone {
    request: RequestId,
    gone: ClientGone,
    returns: UnboundedSender<Returned>,
}

impl EndsWhenGone {
    async fn answer<T>(self, answer: oneshot::Receiver<Result<T, TaskRefusal>>) -> Result<T, TaskRefusal> {
        tokio::select! { biased;
            answered = answer => answered.unwrap_or(Err(TaskRefusal::Stopping)),
            _ = self.gone => {
                drop(self.returns.send(Returned::Gone(self.request)));
                // Nobody reads this answer.
                Err(TaskRefusal::Stopping)
            }
        }
    }
}

impl TaskTracker {
    fn ends_when_gone(&self, request: RequestId, gone: ClientGone) -> EndsWhenGone {
        EndsWhenGone { request, gone, returns: self.returns.clone() }
    }

    /// Whether the event begins a wait whose client has gone.
    pub(super) fn is_abandoned(&self, event: &Event) -> bool {
        matches!(event, Event::Wait { request, .. } if !self.requests.waiting.contains_key(request))
    }

    /// Called when the client of a request has gone. The request is removed first, so that no task is read for its answer.
    pub(super) fn gone(&mut self, ctx: &mut Context<Self>, request: RequestId) {
        self.requests.waiting.remove(&request);
        self.feed(ctx, Event::Gone(request));
    }
}

impl Handler<WaitTasks> for TaskTracker {
    type Result = ResponseFuture<Result<TaskWaitResult, TaskRefusal>>;

    fn handle(
        &mut self,
        WaitTasks { what, is_any, timeout, gone }: WaitTasks,
        ctx: &mut Self::Context,
    ) -> Self::Result {
        let (reply, answer) = oneshot::channel();
        let request = self.requests.add(Reply::Wait(reply));
        let end = self.ends_when_gone(request, gone);
        let wait = move |on| Event::Wait { request, on, is_any, timeout };
        match what {
            // Live tasks are known to exist, so the journal need not be read.
            WaitFor::Tasks(ids) if ids.iter().all(|id| self.machine.is_live(*id)) => {
                self.feed(ctx, wait(WaitOn::Tasks(ids)));
            }
            what => {
                let (reader, again, returns) = (self.reader(), self.reader(), self.returns.clone());
                let feed = move |event| drop(returns.send(Returned::Event(Box::new(event))));
                actix::spawn(async move {
                    let read = reader.read(move |connection| find(connection, what, is_any));
                    let on = match read.await.map_err(TaskRefusal::from).and_then(|found| found) {
                        Ok(on) => on,
                        Err(refusal) => return feed(Event::NotFound { request, refusal }),
                    };
                    let batch = match &on {
                        WaitOn::Batch { batch, has_settled: false } if is_any => Some(*batch),
                        _ => None,
                    };
                    feed(wait(on));
                    // A task may have been settled after the journal was read and before the machine knew of the wait.
                    if let Some(batch) = batch
                        && let Ok(true) = again.read(move |it| store::batch_has_settled(it, batch)).await
                    {
                        feed(Event::HadSettled(request));
                    }
                });
            }
        }
        Box::pin(async move { end.answer(answer).await })
    }
}

/// Returns what to wait for, or a refusal if the batch or one of the tasks does not exist.
fn find(
    connection: &rusqlite::Connection,
    what: WaitFor,
    is_any: bool,
) -> Result<Result<WaitOn, TaskRefusal>, StoreError> {
    match what {
        WaitFor::Tasks(ids) => {
            let found: std::collections::HashSet<_> =
                store::find_states(connection, &ids)?.into_iter().map(|(id, _)| id).collect();
            Ok(match ids.iter().find(|id| !found.contains(id)) {
                Some(missing) => Err(TaskRefusal::NoTask(*missing)),
                None => Ok(WaitOn::Tasks(ids)),
            })
        }
        WaitFor::Batch(batch) => find_batch(connection, batch, is_any),
    }
}

fn find_batch(
    connection: &rusqlite::Connection,
    batch: BatchId,
    is_any: bool,
) -> Result<Result<WaitOn, TaskRefusal>, StoreError> {
    if !store::batch_exists(connection, batch)? {
        return Ok(Err(TaskRefusal::NoBatch(batch)));
    }
    let has_settled = is_any && store::batch_has_settled(connection, batch)?;
    Ok(Ok(WaitOn::Batch { batch, has_settled }))
}

impl Handler<DecideTask> for TaskTracker {
    type Result = ResponseFuture<Result<TaskView, TaskRefusal>>;

    fn handle(&mut self, DecideTask { id, decision }: DecideTask, ctx: &mut Self::Context) -> Self::Result {
        let (reply, answer) = oneshot::channel();
        let request = self.requests.add(Reply::View(reply));
        self.feed(ctx, Event::Decide { request, id, decision });
        answer_of(answer)
    }
}

impl Handler<RemoveTask> for TaskTracker {
    type Result = ResponseFuture<Result<(), TaskRefusal>>;

    fn handle(&mut self, RemoveTask(id): RemoveTask, ctx: &mut Self::Context) -> Self::Result {
        let (reply, answer) = oneshot::channel();
        let request = self.requests.add(Reply::Removal(reply));
        self.feed(ctx, Event::Remove { request, id });
        answer_of(answer)
    }
}

impl Handler<MakeRoom> for TaskTracker {
    type Result = ResponseFuture<u64>;

    fn handle(&mut self, MakeRoom { bytes }: MakeRoom, ctx: &mut Self::Context) -> Self::Result {
        let (reply, answer) = oneshot::channel();
        let request = self.requests.add(Reply::Room(reply));
        self.feed(ctx, Event::MakeRoom { request, bytes });
        Box::pin(async move { answer.await.unwrap_or(0) })
    }
}

impl Handler<PauseQueue> for TaskTracker {
    type Result = ();

    fn handle(&mut self, PauseQueue(is_paused): PauseQueue, ctx: &mut Self::Context) {
        self.feed(ctx, Event::Pause(is_paused));
    }
}

impl Handler<SetTaskLimits> for TaskTracker {
    type Result = ();

    fn handle(&mut self, limits: SetTaskLimits, ctx: &mut Self::Context) {
        self.feed(ctx, Event::Limits(limits));
    }
}

impl Handler<Replan> for TaskTracker {
    type Result = ();

    fn handle(&mut self, Replan(planner): Replan, ctx: &mut Self::Context) {
        self.parts.plan = Arc::clone(&planner);
        self.feed(ctx, Event::Replan(planner));
    }
}

impl Handler<GetTaskCounts> for TaskTracker {
    type Result = MessageResult<GetTaskCounts>;

    fn handle(&mut self, _: GetTaskCounts, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.machine.counts())
    }
}

impl Handler<Drain> for TaskTracker {
    type Result = ResponseFuture<Drained>;

    fn handle(&mut self, Drain { limit, paid }: Drain, ctx: &mut Self::Context) -> Self::Result {
        let (reply, drained) = oneshot::channel();
        let request = self.requests.add(Reply::Drain(reply));
        self.feed(ctx, Event::Drain { request, limit, paid });
        Box::pin(async move {
            // The answer depends on the journal. If its disk hangs, the shutdown must not hang too.
            let drained = tokio::time::timeout(limit.max(paid) + 3 * STOP, drained).await;
            drained.ok().and_then(Result::ok).unwrap_or_default()
        })
    }
}
