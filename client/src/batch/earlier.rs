//! Finds the tasks of an earlier run that was interrupted, so that the same command returns to them and submits no second ones.

use std::collections::{HashMap, VecDeque};

use reel_client::Session;
use reel_protocol::{BatchId, CacheMode, Digest, JsonText, TaskId, TaskState, TaskView};
use serde::{Deserialize, Serialize};

use super::{Item, ItemToMake, Order, Record, record::Working};
use crate::failure::Failure;

/// The metadata of a task. It tells whether a task with a recorded id is the recorded task, because another daemon uses the same ids.
#[derive(Serialize, Deserialize)]
struct Mark {
    request: Digest,
}

/// The tasks of an earlier run, and what is left to submit.
#[derive(Debug, Default)]
pub struct Earlier {
    /// The batch of the tasks; None if there are none.
    pub batch: Option<BatchId>,
    /// The tasks of the earlier run, each with the item that it makes.
    pub open: HashMap<TaskId, ItemToMake>,
    /// The items without a task.
    pub missing: Vec<ItemToMake>,
}

/// Returns the metadata of the task for an item.
pub fn mark(item: &Item) -> Option<JsonText> {
    JsonText::from_value(&Mark { request: item.request }).ok()
}

/// Finds the recorded tasks that make the wanted items. Tasks that failed, were cancelled or no longer exist are removed from the record.
pub async fn find(
    session: &Session,
    order: &Order,
    items: &[Item],
    wanted: &[ItemToMake],
    record: &mut Record,
) -> Result<Earlier, Failure> {
    if record.working().is_empty() {
        return Ok(Earlier { missing: wanted.to_vec(), ..Earlier::default() });
    }
    let ids: Vec<TaskId> = record.working().iter().map(|working| working.task).collect();
    let views = session.read_tasks(&ids).await?.tasks;
    let views: HashMap<TaskId, TaskView> = views.into_iter().map(|view| (view.id, view)).collect();
    let usable = record
        .working()
        .iter()
        .filter(|working| views.get(&working.task).is_some_and(|view| is_usable(working, view)));
    record.set_working(usable.cloned().collect());
    let batch_of = |id: TaskId| views.get(&id).and_then(|view| view.batch);
    Ok(assign(record.working(), batch_of, order.cache, items, wanted))
}

fn is_usable(working: &Working, view: &TaskView) -> bool {
    let marked = view.metadata.as_ref().and_then(|metadata| metadata.decode::<Mark>().ok());
    marked.is_some_and(|mark| mark.request == working.request)
        && !matches!(view.state, TaskState::Failed | TaskState::Cancelled)
}

/// Assigns the tasks of one batch to the items with the same request. An item that is to be made anew gets only a task that was to make it anew too.
fn assign(
    working: &[Working],
    batch_of: impl Fn(TaskId) -> Option<BatchId>,
    cache: CacheMode,
    items: &[Item],
    wanted: &[ItemToMake],
) -> Earlier {
    let mut by_request: HashMap<Digest, VecDeque<TaskId>> = HashMap::new();
    for working in working.iter().filter(|working| cache == CacheMode::Use || working.cache == cache) {
        by_request.entry(working.request).or_default().push_back(working.task);
    }
    let mut earlier = Earlier::default();
    for wanted in wanted {
        let tasks = items.get(wanted.item_index).and_then(|item| by_request.get_mut(&item.request));
        // The new tasks are added to the same batch, so that one subscription follows all.
        let is_of_the_batch = |task: &TaskId| {
            let batch = batch_of(*task);
            batch.is_some() && (earlier.batch.is_none() || earlier.batch == batch)
        };
        let task = tasks.and_then(|tasks| tasks.remove(tasks.iter().position(is_of_the_batch)?));
        match task {
            Some(task) => {
                earlier.batch = batch_of(task);
                earlier.open.insert(task, wanted.clone());
            }
            None => earlier.missing.push(wanted.clone()),
        }
    }
    earlier
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        batch::{Defaults, Input, Reading, plan},
        save::Existing,
    };

    #[test]
    fn each_recorded_task_makes_one_item_with_its_request() {
        let lines = Input::read(b"a\nb\nc", &Defaults::default(), &Reading::Guarded).unwrap().lines;
        let items = plan(lines, None).unwrap();
        let wanted: Vec<ItemToMake> = (0..3)
            .map(|item_index| ItemToMake { item_index, existing: Existing::Keep, former: None })
            .collect();
        let working =
            |task, item: usize, cache| Working { task: TaskId(task), request: items[item].request, cache };
        let recorded = [
            working(10, 0, CacheMode::Use),
            working(11, 1, CacheMode::Fresh),
            working(12, 1, CacheMode::Use),
            working(20, 2, CacheMode::Use),
            working(13, 0, CacheMode::Off),
            working(14, 2, CacheMode::Off),
        ];
        // Task 20 is of another batch.
        let batch_of = |id: TaskId| Some(BatchId(if id.0 < 20 { 1 } else { 2 }));
        for (cache, expected, missing) in [
            // The task of the other batch is passed over.
            (CacheMode::Use, vec![(10, 0), (11, 1), (14, 2)], vec![]),
            (CacheMode::Fresh, vec![(11, 1)], vec![0, 2]),
            (CacheMode::Off, vec![(13, 0), (14, 2)], vec![1]),
        ] {
            let earlier = assign(&recorded, batch_of, cache, &items, &wanted);
            let mut open: Vec<_> =
                earlier.open.iter().map(|(id, wanted)| (id.0, wanted.item_index)).collect();
            open.sort_unstable();
            assert_eq!(open, expected, "{cache:?}");
            let left: Vec<usize> = earlier.missing.iter().map(|wanted| wanted.item_index).collect();
            assert_eq!(left, missing, "{cache:?}");
            assert_eq!(earlier.batch, (!open.is_empty()).then_some(BatchId(1)));
        }
    }
}
