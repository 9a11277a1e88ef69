//! The handlers of `task.*` and `queue.*`. They ask the task tracker.

use reel_protocol::{
    RpcError, TaskId, TaskSpec, TaskView,
    methods::{
        Empty, SetPriorityParams, SubmitBatchParams, SubmitBatchResult, SubmitResult, TaskIdParams,
        TaskListParams, TaskListResult, TaskWaitParams, TaskWaitResult, Until,
    },
};

use tokio::sync::oneshot;

use crate::{
    ipc::{call::Asker, cursor, errors, router::ask, validate},
    store::Filter,
    tasks::{
        DecideTask, Decision, GetTask, ListTasks, PauseQueue, RemoveTask, SubmitBatch, SubmitTask, WaitFor,
        WaitTasks,
    },
};

/// The number of rows for a `task.list` without a limit.
const DEFAULT_ROWS: u32 = 100;

pub(in crate::ipc) async fn submit(asker: Asker, spec: TaskSpec) -> Result<SubmitResult, RpcError> {
    validate::spec(&spec)?;
    let message = SubmitTask { caller: asker.caller, spec, step: None };
    ask(&asker.router.recipients().submit_task, message).await?.map_err(errors::task)
}

pub(in crate::ipc) async fn submit_batch(
    asker: Asker,
    params: SubmitBatchParams,
) -> Result<SubmitBatchResult, RpcError> {
    validate::batch(&params)?;
    let SubmitBatchParams { request_id, name, batch, tasks } = params;
    let message = SubmitBatch { caller: asker.caller, request_id, name, batch, specs: tasks };
    ask(&asker.router.recipients().submit_batch, message).await?.map_err(errors::batch)
}

pub(in crate::ipc) async fn get(asker: Asker, params: TaskIdParams) -> Result<TaskView, RpcError> {
    validate::id("id", params.id.0)?;
    ask(&asker.router.recipients().get_task, GetTask(params.id)).await?.map_err(errors::task)
}

/// The tracker decides whether more rows follow. This handler encodes the cursor.
pub(in crate::ipc) async fn list(asker: Asker, params: TaskListParams) -> Result<TaskListResult, RpcError> {
    validate::list(&params)?;
    let TaskListParams { state, batch, name, client, parent, steps, limit, cursor } = params;
    let is_without_steps = steps == Some(false);
    let before = cursor.as_deref().map(cursor::decode).transpose()?;
    let limit = limit.unwrap_or(DEFAULT_ROWS);
    let filter = Filter { state, batch, name, client, parent, is_without_steps, before, limit };
    let mut page =
        ask(&asker.router.recipients().list_tasks, ListTasks(filter)).await?.map_err(errors::task)?;
    let last = page.next_cursor.and(page.tasks.last());
    page.next_cursor = last.map(|task| cursor::encode(task.id));
    Ok(page)
}

pub(in crate::ipc) async fn wait(asker: Asker, params: TaskWaitParams) -> Result<TaskWaitResult, RpcError> {
    validate::wait(&params)?;
    let what = params.batch.map_or(WaitFor::Tasks(params.ids), WaitFor::Batch);
    let timeout = params.timeout_s.map(|seconds| seconds.0);
    // This sender is dropped with the future when the connection ends. The tracker then stops waiting.
    let (_here, gone) = oneshot::channel();
    let message = WaitTasks { what, is_any: params.until == Until::Any, timeout, gone };
    ask(&asker.router.recipients().wait_tasks, message).await?.map_err(errors::task)
}

pub(in crate::ipc) async fn cancel(asker: Asker, params: TaskIdParams) -> Result<TaskView, RpcError> {
    decide(asker, params.id, Decision::Cancel).await
}

pub(in crate::ipc) async fn retry(asker: Asker, params: TaskIdParams) -> Result<TaskView, RpcError> {
    decide(asker, params.id, Decision::Retry).await
}

pub(in crate::ipc) async fn hold(asker: Asker, params: TaskIdParams) -> Result<TaskView, RpcError> {
    decide(asker, params.id, Decision::Hold).await
}

pub(in crate::ipc) async fn release(asker: Asker, params: TaskIdParams) -> Result<TaskView, RpcError> {
    decide(asker, params.id, Decision::Release).await
}

pub(in crate::ipc) async fn set_priority(
    asker: Asker,
    params: SetPriorityParams,
) -> Result<TaskView, RpcError> {
    validate::priority(params.priority)?;
    decide(asker, params.id, Decision::SetPriority(params.priority)).await
}

pub(in crate::ipc) async fn remove(asker: Asker, params: TaskIdParams) -> Result<Empty, RpcError> {
    validate::id("id", params.id.0)?;
    ask(&asker.router.recipients().remove_task, RemoveTask(params.id)).await?.map_err(errors::task)?;
    Ok(Empty {})
}

pub(in crate::ipc) async fn pause(asker: Asker, _: Empty) -> Result<Empty, RpcError> {
    set_pause(asker, true).await
}

pub(in crate::ipc) async fn resume(asker: Asker, _: Empty) -> Result<Empty, RpcError> {
    set_pause(asker, false).await
}

/// Pauses or resumes the queue, and keeps that in the home before it is confirmed. Goes on if the connection ends meanwhile, so that the file and the
/// queue agree.
async fn set_pause(asker: Asker, is_paused: bool) -> Result<Empty, RpcError> {
    let router = asker.router.clone();
    let setting = actix::spawn(async move {
        let (queue, kept) = (&router.recipients().pause_queue, &router.parts().kept_pause);
        let _changing = kept.lock().await;
        // The queue stops before the file is written, so that a full disk cannot keep it from stopping, and starts only after the file is removed.
        if is_paused {
            ask(queue, PauseQueue(true)).await?;
        }
        kept.set(is_paused).await.map_err(|error| errors::pause(&error))?;
        if !is_paused {
            ask(queue, PauseQueue(false)).await?;
        }
        Ok(Empty {})
    });
    setting.await.unwrap_or_else(|error| Err(errors::internal(error.to_string())))
}

async fn decide(asker: Asker, id: TaskId, decision: Decision) -> Result<TaskView, RpcError> {
    validate::id("id", id.0)?;
    ask(&asker.router.recipients().decide_task, DecideTask { id, decision }).await?.map_err(errors::task)
}
