//! Follows the task that works on a story until it has finished or is held. Handles Ctrl-C, and reconnects when the daemon restarts.

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use reel_client::{Client, ClientError, Follow, Followed, Session};
use reel_protocol::{
    TaskId, TaskState, TaskView, Timestamp,
    methods::{SubscribeParams, TaskGet, TaskIdParams, Topic},
};
use tokio::time::timeout;

use super::{again, screen::Screen, stages::Stages};
use crate::{
    failure::Failure,
    output::Output,
    signals::{self, Interrupts},
    steps::{FailedStep, Obstacles, WaitingStep, obstacles},
    waiting::{POLL_INTERVAL, how_they_stand, leave},
    why::Why,
};

/// Interval between two updates of the display.
const TURN: Duration = Duration::from_millis(500);

/// Time without an event after which the daemon is first asked why nothing happens.
const FIRST_POLL: Duration = Duration::from_secs(1);

/// Waits until the task is settled. Ctrl-C leaves it running and fails with [`crate::exit::Exit::Interrupted`]. A second Ctrl-C cancels it.
pub async fn watch(
    output: Output,
    session: &Session,
    id: TaskId,
    stages: Stages,
    interrupts: &mut Option<Interrupts>,
) -> Result<TaskView, Failure> {
    let mut screen = Screen::new(output, stages);
    let ended = tokio::select! {
        ended = until_settled(session, id, &mut screen) => Some(ended),
        () = signals::next(interrupts) => None,
    };
    screen.clear();
    match ended {
        Some(ended) => Ok(ended?),
        None => {
            Err(leave(output, session, &[id], &format!("{} continues it", again::command()), interrupts)
                .await)
        }
    }
}

async fn until_settled(session: &Session, id: TaskId, screen: &mut Screen) -> Result<TaskView, ClientError> {
    let wanted =
        SubscribeParams { topics: vec![Topic::Task], task_ids: Some(vec![id]), ..SubscribeParams::default() };
    let mut follow = Follow::new(session, wanted);
    loop {
        let told = next_told(&mut follow, session, id, screen).await?;
        let mut is_over = show(told, id, screen);
        while let Some(told) = follow.try_next() {
            is_over |= show(told, id, screen);
        }
        screen.draw();
        if is_over {
            let task = session.call::<TaskGet>(&TaskIdParams { id }).await?;
            // If the task was released meanwhile, it is not settled, and its events will follow.
            if task.state.is_settled() {
                return Ok(task);
            }
        }
    }
}

/// Waits for the next event. Meanwhile it updates the display, and reports why the task waits.
async fn next_told(
    follow: &mut Follow<'_>,
    session: &Session,
    id: TaskId,
    screen: &mut Screen,
) -> Result<Followed, ClientError> {
    // The future is kept for the whole loop, because it may be in the middle of starting the daemon.
    let mut told = pin!(follow.next());
    let mut next_poll = Instant::now() + FIRST_POLL;
    loop {
        if let Ok(told) = timeout(TURN, &mut told).await {
            return told;
        }
        screen.draw();
        if Instant::now() >= next_poll {
            next_poll = Instant::now() + POLL_INTERVAL;
            // If this request fails, the next event reports it.
            let _ = timeout(POLL_INTERVAL, explain(&session.client(), id, screen)).await;
        }
    }
}

/// Reports the steps that failed, and why the work makes no progress: what the task waits for, or its steps.
async fn explain(client: &Client, id: TaskId, screen: &mut Screen) -> Result<(), ClientError> {
    let (tasks, status) = how_they_stand(client, &[id]).await?;
    if let Some(why) = tasks.first().and_then(|task| Why::of(task, status.as_ref(), Timestamp::now())) {
        screen.explain(&[WaitingStep { line: why.line("the film"), cause: why.words }]);
        return Ok(());
    }
    let Obstacles { failed, waiting } = obstacles(client, id, status.as_ref()).await?;
    // A step may have failed before the events were subscribed to.
    for FailedStep { step, message, .. } in failed {
        screen.note_failure(&step, "failed", &message);
    }
    screen.explain(&waiting);
    Ok(())
}

/// Shows an event. Returns whether the task is settled or removed by it.
fn show(told: Followed, id: TaskId, screen: &mut Screen) -> bool {
    let (of, step, state, progress, error) = match told {
        Followed::Task(task) => (task.id, task.step, task.state, task.progress, task.error),
        Followed::Event(event) => {
            let Some(task) = event.task else { return false };
            (task.id, task.step, task.state, task.progress, task.error)
        }
        Followed::Disconnected => {
            screen.note("the connection to the daemon was lost; connecting again");
            return false;
        }
        // The request after this says that the task no longer exists.
        Followed::Removed(of) => return of == id,
        Followed::Missed(_) | Followed::Memory(_) => return false,
    };
    if of == id {
        screen.see(progress.fraction, &progress.message);
        return state.is_settled();
    }
    if let Some(step) = step {
        screen.see_step(&step, state, progress.fraction);
        if let Some(error) = error.filter(|_| matches!(state, TaskState::Failed | TaskState::Held)) {
            let verb = if state == TaskState::Held { "is held" } else { "failed" };
            screen.note_failure(&step, verb, &error.message);
        }
    }
    false
}
