//! The rules that are checked while the machine runs, and the texts of the trace.

use std::time::Duration;

use reel_protocol::{TaskId, TaskState, methods::TaskEvent};
use reeld::tasks::machine::{Answer, Event, Write};

use super::{
    journal::TaskRow,
    model::Wrong,
    providers::{PROVIDERS, key_of, needs_provider, place_of},
    world::{PendingRequest, Wait, World},
};

/// Checks an event: it must not be ahead of the journal.
pub fn event(world: &World, name: &str, task: &TaskEvent) -> Result<(), Wrong> {
    if name == "removed" {
        return match world.journal.task(task.id) {
            Some(_) => Err(format!("task {} is said to be removed, and is in the journal", task.id)),
            None => Ok(()),
        };
    }
    // The task may have left the history since the commit that caused the event.
    let Some(row) = world.journal.task(task.id) else { return Ok(()) };
    if task.rev > row.rev || (task.rev == row.rev && task.state != row.state) {
        return Err(format!(
            "task {} is told to be {} at revision {}, and is {} at {} in the journal",
            task.id,
            task.state.name(),
            task.rev,
            row.state.name(),
            row.rev
        ));
    }
    Ok(())
}

/// Checks the answer to a wait.
pub fn waited(world: &World, wait: &Wait, timed_out: bool) -> Result<(), Wrong> {
    if timed_out {
        return Ok(());
    }
    let is_settled = |row: &TaskRow| row.state.is_settled() || is_changing(world, row.id);
    let holds = match wait.batch {
        Some(batch) => {
            let mut rows = world.journal.tasks(&format!("batch = {}", batch.0)).into_iter();
            if wait.is_any {
                rows.len() == 0 || rows.any(|row| is_settled(&row))
            } else {
                rows.all(|row| is_settled(&row))
            }
        }
        None if wait.is_any => wait.has_settled,
        None => wait.open.is_empty(),
    };
    if holds { Ok(()) } else { Err(format!("{wait:?} ends before its tasks are settled")) }
}

/// Returns whether a write about a task, such as a release, is committed while the machine and the client do not know that yet.
pub fn is_changing(world: &World, id: TaskId) -> bool {
    world.to_hand_back.iter().any(|(write, _)| tasks_of(write).contains(&id))
}

/// Returns the queued rows that could start, as far as the rows tell. Rows of which the model is not sure are left out.
fn startable(world: &World) -> Vec<TaskRow> {
    let on_their_way: Vec<_> = world
        .to_commit
        .iter()
        .chain(world.to_hand_back.iter().map(|(write, _)| write))
        .flat_map(|write| tasks_of(write))
        .collect();
    let mut rows = world.journal.unfinished();
    let claimed: Vec<_> = rows
        .iter()
        // Equal requests wait for a task that runs or waits for its next attempt.
        .filter(|row| row.is_unknown || row.state == TaskState::Running || row.has_not_before)
        .map(|row| (row.uses_cache, row.params.clone()))
        .collect();
    rows.retain(|row| {
        row.state == TaskState::Queued
            && !row.has_not_before
            && !world.awaits_the_journal()
            && !on_their_way.contains(&row.id)
            && !claimed.contains(&(true, row.params.clone()))
            && world.machine.is_live(row.id)
    });
    rows
}

/// Returns the tasks that a write concerns.
fn tasks_of(write: &Write) -> Vec<TaskId> {
    match write {
        Write::Accept(submission) => submission.rows.iter().map(|row| row.id).collect(),
        Write::Start { start, .. } => vec![start.id],
        Write::Transition { transition, .. } => vec![transition.id],
        Write::Finish(finish) => vec![finish.id],
        Write::Results { ends, maker, .. } => ends.iter().map(|end| end.id).chain(*maker).collect(),
        _ => Vec::new(),
    }
}

/// Checks the priority of an attempt that is about to begin: no task with a higher priority could have begun at the same provider.
pub fn priority(world: &World, key: [u8; 32]) -> Result<(), Wrong> {
    if !world.is_sure() {
        return Ok(());
    }
    let rows = startable(world);
    let provider = key[0] as usize;
    // The first byte of a key is the provider's index, because the params do not change it.
    let is_equal = |row: &TaskRow| row.uses_cache && key_of(provider, &row.params) == key;
    let Some(begun) = rows.iter().filter(|row| is_equal(row)).map(|row| row.priority).max() else {
        return Ok(());
    };
    let is_planned_there = |row: &TaskRow| {
        needs_provider(&row.kind)
            && row.provider.as_deref() == Some(PROVIDERS[provider].name)
            && world.around.0.borrow().configured[provider]
            && (row.wanted.is_some() || !row.has_left && !world.was_unavailable[provider])
    };
    // An equal request may have raised the priority of the task that begins.
    let lifted = world.journal.unfinished().iter().filter(|row| is_equal(row)).map(|row| row.priority).max();
    let begun = begun.max(lifted.unwrap_or(begun));
    match rows.iter().find(|row| is_planned_there(row) && row.priority > begun && !is_equal(row)) {
        Some(row) => Err(format!(
            "a task of priority {begun} begins at {}, and task {} of priority {} waits for it",
            PROVIDERS[provider].name, row.id, row.priority
        )),
        None => Ok(()),
    }
}

/// Checks the same for tasks that need no provider.
pub fn priority_without_provider(world: &World, begun: TaskId) -> Result<(), Wrong> {
    if !world.is_sure() {
        return Ok(());
    }
    let rows = startable(world);
    let Some(priority) = world.journal.task(begun).map(|row| row.priority) else { return Ok(()) };
    let waits = |row: &&TaskRow| !needs_provider(&row.kind) && row.id != begun && row.priority > priority;
    match rows.iter().find(waits) {
        Some(row) => Err(format!("task {begun} begins, and task {} of a higher priority waits", row.id)),
        None => Ok(()),
    }
}

/// Checks, while nothing is pending, that every task that could run does run.
pub fn nothing_is_stuck(world: &World) -> Result<(), Wrong> {
    let state = world.around.0.borrow();
    if world.is_paused
        || world.is_draining
        || state.is_memory_critical
        || world.calls.values().filter(|call| call.holds_slot()).count() >= world.limits.max_concurrent
    {
        return Ok(());
    }
    for row in startable(world) {
        let offered: Vec<usize> = (0..PROVIDERS.len())
            .filter(|place| row.wanted.as_deref().is_none_or(|wanted| wanted == PROVIDERS[*place].name))
            .collect();
        let planned = row.provider.as_deref().map(place_of).into_iter();
        let can_start = !needs_provider(&row.kind)
            || offered.into_iter().chain(planned).all(|place| state.is_free(place));
        if can_start {
            return Err(format!("task {} could run, and nothing starts it", row.id));
        }
    }
    Ok(())
}

/// Checks that every wait for settled tasks was answered.
pub fn waits_are_answered(world: &World) -> Result<(), Wrong> {
    for (request, asked) in &world.requests {
        match asked {
            PendingRequest::Wait(wait) => {
                if wait.ends.is_some_and(|ends| ends < world.moment) {
                    return Err(format!("the time of wait {request} is up, and it is not answered"));
                }
                if !wait.is_unsure && waited(world, wait, false).is_ok() {
                    return Err(format!("request {request}, {wait:?}, could be answered"));
                }
            }
            // A call waits for its task, a drain for what runs, and a remembered job for an earlier write.
            PendingRequest::Call | PendingRequest::Drain | PendingRequest::Remember(_) => {}
            _ if world.awaits_the_journal() => {}
            asked => {
                return Err(format!("nothing is on its way, and request {request} has no answer: {asked:?}"));
            }
        }
    }
    Ok(())
}

/// Checks that no step of a cancelled workflow goes on. Excepted are steps that may have been paid, and steps about which a client has decided since.
pub fn no_step_is_left(world: &World) -> Result<(), Wrong> {
    if world.awaits_the_journal() {
        return Ok(());
    }
    let is_left = |row: &&TaskRow| {
        let workflow = row.parent.and_then(|parent| world.journal.task(parent));
        workflow.is_some_and(|workflow| workflow.state == TaskState::Cancelled)
            && !row.is_unknown
            && !world.decided.contains(&row.id)
    };
    match world.journal.unfinished().iter().find(is_left) {
        Some(row) => Err(format!("task {} is {}, and its workflow was cancelled", row.id, row.state.name())),
        None => Ok(()),
    }
}

/// Checks that the machine's counts equal those of the journal.
pub fn counts(world: &World) -> Result<(), Wrong> {
    let counts = world.machine.counts().by_state;
    let counted: std::collections::BTreeMap<_, _> =
        counts.into_iter().filter(|(_, count)| *count > 0).collect();
    let rows = world.journal.counts();
    if counted == rows {
        Ok(())
    } else {
        Err(format!("{counted:?} is counted, and the journal has {rows:?}"))
    }
}

/// Returns the text of an event for the trace.
pub fn told(event: &Event) -> String {
    match event {
        Event::Submit { request, intake } | Event::Call { request, intake, .. } => {
            let specs: Vec<_> = intake
                .specs
                .iter()
                .map(|spec| {
                    let provider = spec.provider.as_deref().unwrap_or("-");
                    let (params, priority) = (spec.params.as_str(), spec.priority);
                    let (after, deadline) = (&spec.after, spec.deadline_s);
                    format!(
                        "{} {params} at {provider} p{priority} {:?} after {after:?} {deadline:?}",
                        spec.kind, spec.cache
                    )
                })
                .collect();
            let name = if matches!(event, Event::Call { .. }) { "call" } else { "submit" };
            format!(
                "{name} {request} of {} {:?} {:?}: {specs:?}",
                intake.caller.client, intake.request_id, intake.batch
            )
        }
        Event::Committed { write, outcome } => {
            let came = match outcome {
                Ok(_) => "committed".to_owned(),
                Err(error) => format!("refused ({error})"),
            };
            format!("{came}: {}", told_write(write))
        }
        event => cut(format!("{event:?}")),
    }
}

/// Returns the text of a write for the trace.
pub fn told_write(write: &Write) -> String {
    match write {
        Write::Accept(submission) => {
            let rows: Vec<_> = submission.rows.iter().map(|row| (row.id.0, row.state.name())).collect();
            format!("accept {rows:?} in {:?}", submission.request.batch)
        }
        Write::Start { start, run } => {
            format!(
                "start of attempt {run:?} of task {} at {:?}, rev {}",
                start.id, start.provider, start.rev
            )
        }
        Write::Transition { transition, then } => format!(
            "transition of task {} to {} {:?}, rev {}, then {then:?}",
            transition.id,
            transition.state.name(),
            transition.hold_reason,
            transition.rev
        ),
        Write::Finish(finish) => {
            let code = finish.error.as_ref().map(|error| error.code.clone());
            format!("end of task {} as {}, rev {}, {code:?}", finish.id, finish.state.name(), finish.rev)
        }
        Write::Results { run, ends, .. } => {
            let ends: Vec<_> = ends.iter().map(|end| end.id.0).collect();
            format!("results of attempt {run} for {ends:?}")
        }
        write => cut(format!("{write:?}")),
    }
}

/// Returns the text of an answer for the trace.
pub fn told_answer(answer: &Answer) -> String {
    cut(format!("{answer:?}"))
}

fn cut(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(160) {
        text.truncate(end);
    }
    text
}

impl World {
    /// Returns whether a write was refused within the last two seconds. The write and its tasks may wait for a second.
    fn awaits_the_journal(&self) -> bool {
        self.refused_at.is_some_and(|at| self.moment <= at + Duration::from_secs(2))
    }

    /// Returns whether the rows alone decide which task starts next.
    fn is_sure(&self) -> bool {
        self.to_hand_back.is_empty() && self.to_commit.is_empty() && self.pending.is_empty()
    }
}
