//! Submits the tasks of a batch in chunks that each fit a request. All chunks belong to one batch of the daemon.

use std::collections::HashMap;

use reel_client::{ClientError, Session, new_request_id};
use reel_protocol::{
    BatchId, ErrorCode, TaskId, TaskSpec, limits::LARGE_LINE_BYTES, methods::SubmitBatchParams,
};

use super::{Item, ItemToMake, Order, Record, earlier, record::Working};
use crate::failure::Failure;

/// Most tasks of one request. A failed request is repeated whole, and the first pictures should not wait until the last line is sent.
const CHUNK_TASKS: usize = 1_000;

/// Most bytes of one request, less a margin for what the frame adds.
const CHUNK_BYTES: usize = LARGE_LINE_BYTES - 64 * 1024;

/// Bytes that a task adds besides its params and name. A generous estimate.
const TASK_BYTES: usize = 512;

/// Submits the wanted items and adds their tasks to `open`, chunk by chunk. With `batch`, the tasks are added to that batch.
///
/// Each chunk has a request id, which is on disk before the chunk is sent. So neither sending it again after a lost connection nor a next run after a
/// crash makes second tasks.
pub async fn submit(
    session: &Session,
    order: &Order,
    items: &[Item],
    wanted: &[ItemToMake],
    (mut batch, record): (Option<BatchId>, &mut Record),
    open: &mut HashMap<TaskId, ItemToMake>,
) -> Result<BatchId, Failure> {
    let mut request_id = record.submitting().map_or_else(new_request_id, str::to_owned);
    let mut submitted = Vec::new();
    for (index, chunk) in chunks(items, wanted).into_iter().enumerate() {
        let chunk_items: Vec<&Item> =
            chunk.iter().filter_map(|wanted| items.get(wanted.item_index)).collect();
        let mut params = SubmitBatchParams {
            request_id: None,
            name: order.name.clone(),
            batch,
            tasks: chunk_items.iter().map(|item| spec(order, item)).collect(),
        };
        let answer = loop {
            record.begin_submit(&request_id)?;
            params.request_id = Some(format!("{request_id}-{index}"));
            match session.submit_batch(&params).await {
                // An earlier run died while it submitted other lines under this id.
                Err(error) if error.is(ErrorCode::RequestIdConflict) => request_id = new_request_id(),
                answer => break answer.map_err(|error| named_by_line(error, items, chunk)),
            }
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(failure) if submitted.is_empty() => return Err(failure),
            Err(failure) => {
                let accepted = submitted.len();
                record.end_submit(submitted)?;
                return Err(beside_accepted(failure, accepted, batch));
            }
        };
        batch = Some(answer.batch);
        submitted.extend(answer.ids.iter().zip(chunk_items).map(|(task, item)| Working {
            task: *task,
            request: item.request,
            cache: order.cache,
        }));
        open.extend(answer.ids.into_iter().zip(chunk.iter().cloned()));
    }
    record.end_submit(submitted)?;
    batch.ok_or_else(|| Failure::usage("there is nothing to make"))
}

/// Adds to a failure that tasks of earlier lines were accepted, because they go on and may cost.
fn beside_accepted(mut failure: Failure, accepted: usize, batch: Option<BatchId>) -> Failure {
    let batch = batch
        .map(|batch| format!(" (reel ls --batch {batch} lists them, reel cancel ID cancels one)"))
        .unwrap_or_default();
    let words = format!(
        "{}; {accepted} tasks of earlier lines were accepted and continue{batch}",
        failure.error.message
    );
    failure.error.message = words;
    failure
}

/// Makes the task for an item.
pub fn spec(order: &Order, item: &Item) -> TaskSpec {
    TaskSpec {
        kind: item.kind.clone(),
        params: item.params.clone(),
        name: item.name.clone(),
        provider: order.provider.clone(),
        cache: order.cache,
        metadata: earlier::mark(item),
        ..TaskSpec::default()
    }
}

/// Replaces the index in the daemon's message about a refused task by the line number.
fn named_by_line(error: ClientError, items: &[Item], chunk: &[ItemToMake]) -> Failure {
    let mut failure = Failure::from(error);
    let named = failure.error.message.strip_prefix("tasks[").and_then(|rest| rest.split_once("]: "));
    let line = named.and_then(|(index, detail)| {
        let wanted = chunk.get(index.parse::<usize>().ok()?)?;
        Some(format!("line {}: {detail}", items.get(wanted.item_index)?.line))
    });
    if let Some(line) = line {
        failure.error.message = line;
    }
    failure
}

/// Splits the wanted items into chunks of at most [`CHUNK_TASKS`] tasks and about [`CHUNK_BYTES`] bytes.
fn chunks<'a>(items: &[Item], wanted: &'a [ItemToMake]) -> Vec<&'a [ItemToMake]> {
    let mut chunks = Vec::new();
    let mut rest = wanted;
    while !rest.is_empty() {
        let mut bytes = 0;
        let mut count = 0;
        for wanted in rest.iter().take(CHUNK_TASKS) {
            // JSON may need six bytes for a character of a name.
            let size = |item: &Item| {
                item.params.as_str().len() + item.name.as_ref().map_or(0, |name| name.len() * 6) + TASK_BYTES
            };
            bytes += items.get(wanted.item_index).map_or(0, size);
            if bytes > CHUNK_BYTES && count > 0 {
                break;
            }
            count += 1;
        }
        let (chunk, left) = rest.split_at(count);
        chunks.push(chunk);
        rest = left;
    }
    chunks
}

#[cfg(test)]
mod tests {
    use reel_protocol::{ErrorCode, RpcError};

    use super::*;
    use crate::{
        batch::{Defaults, Input, Reading, plan},
        save::Existing,
    };

    fn wanted(item_index: usize) -> ItemToMake {
        ItemToMake { item_index, existing: Existing::Keep, former: None }
    }

    #[test]
    fn a_refused_entry_is_named_by_its_line() {
        let items =
            plan(Input::read(b"a\n\nb\nc", &Defaults::default(), &Reading::Guarded).unwrap().lines, None)
                .unwrap();
        let chunk = [1, 2].map(wanted);
        for (message, expected) in [
            ("tasks[0]: there is no style x", "line 3: there is no style x"),
            ("tasks[1]: [a]: b", "line 4: [a]: b"),
            ("tasks[9]: x", "tasks[9]: x"),
            ("the queue is full", "the queue is full"),
        ] {
            let error = ClientError::Rpc(RpcError::new(ErrorCode::InvalidParams, message));
            assert_eq!(named_by_line(error, &items, &chunk).error.message, expected);
        }
    }

    #[test]
    fn chunks_hold_a_thousand_tasks_or_a_line_and_lose_nothing() {
        let sizes = |prompt: &str, count: usize| {
            let text = format!("{prompt}\n").repeat(count);
            let lines = Input::read(text.as_bytes(), &Defaults::default(), &Reading::Guarded).unwrap().lines;
            let items = plan(lines, None).unwrap();
            let wanted: Vec<ItemToMake> = (0..items.len()).map(wanted).collect();
            chunks(&items, &wanted).iter().map(|chunk| chunk.len()).collect::<Vec<_>>()
        };
        assert!(sizes("x", 0).is_empty());
        assert_eq!(sizes("x", 2001), [1000, 1000, 1]);
        let large = sizes(&"x".repeat(60_000), 300);
        assert!(large.iter().sum::<usize>() == 300 && large.len() > 1, "{large:?}");
    }
}
