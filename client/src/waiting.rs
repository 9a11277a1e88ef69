//! Waits for tasks, shows progress, handles Ctrl-C, and reconnects when the daemon restarts.

use std::{collections::HashMap, pin::pin, time::Duration};

use reel_client::{Client, ClientError, Follow, Followed, Session};
use reel_protocol::{
    Seconds, TaskId, TaskState, TaskView, Timestamp, WaitReason,
    methods::{
        DaemonStatus, DaemonStatusResult, Empty, SubscribeParams, TaskCancel, TaskIdParams, TaskWait,
        TaskWaitParams, TaskWaitResult, Topic, Until,
    },
};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::{
    exit::Exit,
    failure::Failure,
    output::Output,
    progress::{PATIENCE, Progress},
    signals::{self, Interrupts},
    steps::{has_steps, obstacles},
    streamed_text::StreamedText,
    why::why_it_waits,
};

/// The time in which a second Ctrl-C cancels the tasks, and the timeout of each cancel request.
const SECOND_CHANCE: Duration = Duration::from_secs(2);

/// Interval at which the daemon is asked why tasks wait.
pub const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// Most tasks that the daemon is asked about at once. A person reads about a few only.
const MAX_POLLED_TASKS: usize = 8;

/// The tasks to wait for, and how.
#[derive(Debug)]
pub struct Wait<'a> {
    /// The ids of the tasks.
    pub ids: &'a [TaskId],
    /// Whether to wait for all of them or for the first one.
    pub until: Until,
    /// The time after which the wait ends. The tasks continue.
    pub timeout: Option<Duration>,
    /// The titles that the bars show.
    pub titles: HashMap<TaskId, String>,
    /// The command that writes the result files later. It is shown to a user who stops waiting.
    pub fetch: Option<&'a str>,
    /// Prints a task's text while it is written. The bars are removed before its first piece.
    pub text: Option<&'a StreamedText>,
    /// Whether the command only looks at tasks that others submitted. Then Ctrl-C never cancels them.
    pub is_onlooker: bool,
}

/// The options of a wait for one task.
#[derive(Debug)]
pub struct SingleTaskWait<'a> {
    /// The title that the bar shows.
    pub title: &'a str,
    /// The time after which the wait ends. The task continues.
    pub timeout: Option<Duration>,
    /// The command that writes the result files later.
    pub fetch: Option<&'a str>,
    /// Prints the task's text while it is written.
    pub text: Option<&'a StreamedText>,
}

impl<'a> Wait<'a> {
    /// Waits for all of these tasks, without a timeout.
    pub fn for_all(ids: &'a [TaskId]) -> Self {
        Self {
            ids,
            until: Until::All,
            timeout: None,
            titles: HashMap::new(),
            fetch: None,
            text: None,
            is_onlooker: false,
        }
    }

    fn title_of<'b>(&'b self, id: TaskId, name: Option<&'b String>) -> &'b str {
        self.titles.get(&id).or(name).map_or("", String::as_str)
    }
}

/// Waits until the tasks are settled or the timeout passes. Ctrl-C leaves them running and fails with [`Exit::Interrupted`]. A second Ctrl-C cancels
/// them, unless the command is an onlooker.
pub async fn wait(
    output: Output,
    session: &Session,
    wait: &Wait<'_>,
    interrupts: &mut Option<Interrupts>,
) -> Result<TaskWaitResult, Failure> {
    let mut progress = Progress::new(output, None);
    let ended = tokio::select! {
        ended = until_settled(session, wait, &mut progress) => Some(ended),
        () = signals::next(interrupts) => None,
    };
    progress.clear();
    if let Some(ended) = ended {
        return Ok(ended?);
    }
    let way_back = wait_command(wait.ids, wait.fetch);
    if wait.is_onlooker {
        output.warn(&format!(
            "still running in the background: {way_back} · reel cancel {} cancels {}",
            join(wait.ids),
            if wait.ids.len() == 1 { "it" } else { "them" }
        ));
        return Err(Failure::new(Exit::Interrupted, "interrupted", "still running in the background")
            .hint(way_back)
            .said());
    }
    Err(leave(output, session, wait.ids, &way_back, interrupts).await)
}

/// Waits for one task. A timeout is a failure here.
pub async fn wait_for_one(
    output: Output,
    session: &Session,
    id: TaskId,
    one: SingleTaskWait<'_>,
    interrupts: &mut Option<Interrupts>,
) -> Result<TaskView, Failure> {
    let titles = HashMap::from([(id, one.title.to_owned())]);
    let ids = [id];
    let wait = Wait { timeout: one.timeout, titles, fetch: one.fetch, text: one.text, ..Wait::for_all(&ids) };
    let ended = self::wait(output, session, &wait, interrupts).await?;
    if ended.timed_out {
        let why = ended.tasks.first().and_then(|task| why_it_waits(task, Timestamp::now()));
        let why = why.map(|why| format!("; {why}")).unwrap_or_default();
        return Err(Failure::new(
            Exit::TimedOut,
            "timed_out",
            format!("the timeout passed, and the task continues{why}"),
        )
        .hint(format!("{}, or reel cancel {id} cancels it", wait_command(&ids, one.fetch)))
        .of(id));
    }
    ended
        .tasks
        .into_iter()
        .next()
        .ok_or_else(|| ClientError::Protocol { detail: "a wait without its task".into() }.into())
}

/// Runs a short operation that Ctrl-C may end, such as a submit to a daemon that hangs.
pub async fn unless_interrupted<T>(
    interrupts: &mut Option<Interrupts>,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::select! {
        done = work => done,
        () = signals::next(interrupts) => {
            Err(Failure::new(Exit::Interrupted, "interrupted", "interrupted").hint("reel ls shows what was accepted"))
        }
    }
}

/// Delivers what is made, unless Ctrl-C is pressed. The failure then says that `command` writes the rest.
pub async fn deliver_unless_interrupted<T>(
    interrupts: &mut Option<Interrupts>,
    delivery: impl Future<Output = Result<T, Failure>>,
    command: &str,
) -> Result<T, Failure> {
    tokio::select! {
        done = delivery => done,
        () = signals::next(interrupts) => {
            let message = "interrupted while the results were being written; everything that is made is kept";
            Err(Failure::new(Exit::Interrupted, "interrupted", message).hint(format!("{command} writes the rest")))
        }
    }
}

/// Prints the command that continues the wait. Cancels the tasks if Ctrl-C is pressed again within two seconds.
pub async fn leave(
    output: Output,
    session: &Session,
    ids: &[TaskId],
    way_back: &str,
    interrupts: &mut Option<Interrupts>,
) -> Failure {
    let them = if ids.len() == 1 { "it" } else { "them" };
    output.warn(&format!(
        "still running in the background: {way_back} · press Ctrl-C again within 2 s to cancel {them}"
    ));
    let detached = Failure::new(Exit::Interrupted, "interrupted", "still running in the background")
        .hint(way_back)
        .said();
    tokio::select! {
        () = sleep(SECOND_CHANCE) => return detached,
        () = signals::next(interrupts) => {}
    }
    let client = session.client();
    let mut cancelled = 0;
    for id in ids {
        // A task that has ended meanwhile cannot be cancelled, and does not need to be.
        let params = TaskIdParams { id: *id };
        let cancel = client.call::<TaskCancel>(&params);
        cancelled += usize::from(matches!(timeout(SECOND_CHANCE, cancel).await, Ok(Ok(_))));
    }
    let tasks = if ids.len() == 1 { "task" } else { "tasks" };
    let words = format!("cancelled {cancelled} of {} {tasks}", ids.len());
    output.warn(&words);
    Failure::new(Exit::Interrupted, "interrupted", words).said()
}

/// Returns the command that continues the wait and then writes the files.
pub fn wait_command(ids: &[TaskId], fetch: Option<&str>) -> String {
    let fetch = fetch.map(|fetch| format!(" && {fetch}")).unwrap_or_default();
    format!("reel wait {}{fetch}", join(ids))
}

/// Formats ids for a command that can be copied, such as `1 2 3`. It names all of them, however many they are.
pub fn join(ids: &[TaskId]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

async fn until_settled(
    session: &Session,
    wait: &Wait<'_>,
    progress: &mut Progress,
) -> Result<TaskWaitResult, ClientError> {
    // A timeout that is too long for the clock is treated as none.
    let end = wait.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let mut follow = Follow::new(
        session,
        SubscribeParams {
            topics: vec![Topic::Task],
            task_ids: Some(wait.ids.to_vec()),
            partial: true,
            ..SubscribeParams::default()
        },
    );
    let mut is_any_settled = false;
    let mut next_poll = Instant::now() + PATIENCE;
    loop {
        let next = next_told(&mut follow, session, wait, progress, &mut next_poll);
        let told = match end {
            Some(end) => timeout_at(end, next).await,
            None => Ok(next.await),
        };
        let Ok(told) = told else { return how_it_ended(session, wait).await };
        is_any_settled |= show(told?, wait, progress);
        while let Some(told) = follow.try_next() {
            is_any_settled |= show(told, wait, progress);
        }
        let is_over = follow.is_settled() || (wait.until == Until::Any && is_any_settled);
        if is_over {
            let ended = how_it_ended(session, wait).await?;
            // If a task was queued again meanwhile, it is not settled, and its events will follow.
            if !ended.timed_out {
                return Ok(ended);
            }
            is_any_settled = false;
        }
    }
}

/// Waits for the next event. At `next_poll`, and every two seconds after it, it reports why the tasks wait. Events do not delay that, because a task
/// that is tried again and again has many.
async fn next_told(
    follow: &mut Follow<'_>,
    session: &Session,
    wait: &Wait<'_>,
    progress: &mut Progress,
    next_poll: &mut Instant,
) -> Result<Followed, ClientError> {
    // The future is kept for the whole loop, because it may be in the middle of starting the daemon.
    let mut told = pin!(follow.next());
    loop {
        if let Ok(told) = timeout_at(*next_poll, &mut told).await {
            return told;
        }
        *next_poll = Instant::now() + POLL_INTERVAL;
        progress.say_pending();
        // If one of these requests fails, the next event reports it.
        let client = session.client();
        let (tasks, status) = how_they_stand(&client, wait.ids).await.unwrap_or_default();
        for task in &tasks {
            progress.explain(task, status.as_ref());
            if task.state == TaskState::Running && has_steps(&task.kind) {
                let found = obstacles(&client, task.id, status.as_ref()).await.unwrap_or_default();
                progress.explain_steps(task.id, &found);
            }
        }
    }
}

/// Shows an event. Returns whether a task is settled or removed by it.
fn show(told: Followed, wait: &Wait<'_>, progress: &mut Progress) -> bool {
    let (id, name, state, fraction) = match told {
        Followed::Task(task) => (task.id, task.name, task.state, task.progress),
        Followed::Event(event) => {
            match (&event.partial, wait.text) {
                (Some(partial), _) if partial.preview_path.is_some() => progress.preview(partial),
                (Some(partial), Some(text)) => {
                    progress.clear();
                    text.take(partial);
                }
                _ => {}
            }
            let Some(task) = event.task else { return false };
            (task.id, task.name, task.state, task.progress)
        }
        Followed::Disconnected => {
            progress.note("the connection to the daemon was lost; connecting again");
            return false;
        }
        // The request after this says that the task no longer exists.
        Followed::Removed(_) => return true,
        Followed::Missed(_) | Followed::Memory(_) => return false,
    };
    if !wait.text.is_some_and(StreamedText::has_begun) {
        progress.show(id, wait.title_of(id, name.as_ref()), state, &fraction);
    }
    state.is_settled()
}

/// Returns the current state of the tasks, without waiting.
async fn how_it_ended(session: &Session, wait: &Wait<'_>) -> Result<TaskWaitResult, ClientError> {
    let now = TaskWaitParams {
        ids: wait.ids.to_vec(),
        until: wait.until,
        timeout_s: Some(Seconds(Duration::ZERO)),
        batch: None,
    };
    session.call::<TaskWait>(&now).await
}

/// Returns the current state of the first tasks, because events do not say why a task waits. If one waits for an equal request, it also returns the
/// daemon's status, which says what the equal request waits for.
pub async fn how_they_stand(
    client: &Client,
    ids: &[TaskId],
) -> Result<(Vec<TaskView>, Option<DaemonStatusResult>), ClientError> {
    let ids = ids.iter().take(MAX_POLLED_TASKS).copied().collect();
    let now =
        TaskWaitParams { ids, until: Until::All, timeout_s: Some(Seconds(Duration::ZERO)), batch: None };
    let tasks = client.call::<TaskWait>(&now).await?.tasks;
    let is_equal = tasks.iter().any(|task| task.wait_reason == Some(WaitReason::EqualRequest));
    let status = if is_equal { Some(client.call::<DaemonStatus>(&Empty {}).await?) } else { None };
    Ok((tasks, status))
}
