//! Waits for tasks with live progress, through Ctrl-C and through the daemon's death.

use std::{collections::HashMap, pin::pin, time::Duration};

use reel_client::{Client, ClientError, Follow, Followed, Session};
use reel_protocol::{
    Seconds, TaskId, TaskView, Timestamp, WaitReason,
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
    text_as_it_comes::TextAsItComes,
    why::why_it_waits,
};

/// How long a second Ctrl-C may take to cancel.
const SECOND_CHANCE: Duration = Duration::from_secs(2);

/// How often the daemon is asked why tasks wait, and about how many of them: a person reads about a few.
pub const LOOK: Duration = Duration::from_secs(2);
const LOOKED_AT: usize = 8;

/// What to wait for.
#[derive(Debug)]
pub struct Wait<'a> {
    /// The tasks.
    pub ids: &'a [TaskId],
    /// All or any of them.
    pub until: Until,
    /// Gives up waiting, not the work.
    pub timeout: Option<Duration>,
    /// What the tasks are called on the bars.
    pub titles: HashMap<TaskId, String>,
    /// The command that writes the files once the work is done, for whoever stops waiting.
    pub fetch: Option<&'a str>,
    /// Shows the text of a task while it is written; the bars go with its first piece.
    pub text: Option<&'a TextAsItComes>,
}

/// How to wait for one task.
#[derive(Debug)]
pub struct One<'a> {
    /// What it is called on its bar.
    pub title: &'a str,
    /// Gives up waiting, not the work.
    pub timeout: Option<Duration>,
    /// The command that writes its files once it is done.
    pub fetch: Option<&'a str>,
    /// Shows its text while it is written.
    pub text: Option<&'a TextAsItComes>,
}

impl<'a> Wait<'a> {
    /// For all of them, however long it takes.
    pub fn for_all(ids: &'a [TaskId]) -> Self {
        Self { ids, until: Until::All, timeout: None, titles: HashMap::new(), fetch: None, text: None }
    }

    fn title_of<'b>(&'b self, id: TaskId, name: Option<&'b String>) -> &'b str {
        self.titles.get(&id).or(name).map_or("", String::as_str)
    }
}

/// Waits until the tasks are settled or the time is over. Ctrl-C leaves them running and fails with [`Exit::Interrupted`]; twice cancels.
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
    Err(leave(output, session, wait.ids, &way_back, interrupts).await)
}

/// Waits for one task.
pub async fn wait_for_one(
    output: Output,
    session: &Session,
    id: TaskId,
    one: One<'_>,
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
            format!("the time is over, the work goes on{why}"),
        )
        .hint(format!("{}, or reel cancel {id} gives up", wait_command(&ids, one.fetch)))
        .of(id));
    }
    ended
        .tasks
        .into_iter()
        .next()
        .ok_or_else(|| ClientError::Protocol { detail: "a wait without its task".into() }.into())
}

/// Does something short that Ctrl-C may still end, such as handing in a task to a daemon that hangs.
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

/// Says how to come back, and cancels the tasks if Ctrl-C comes again while that is read.
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
        // One that ended meanwhile cannot be cancelled, which is as good.
        let params = TaskIdParams { id: *id };
        let cancel = client.call::<TaskCancel>(&params);
        cancelled += usize::from(matches!(timeout(SECOND_CHANCE, cancel).await, Ok(Ok(_))));
    }
    output.warn(&format!("cancelled {cancelled} of {}", ids.len()));
    Failure::new(Exit::Interrupted, "interrupted", format!("cancelled {cancelled} of {}", ids.len())).said()
}

/// The command that goes on waiting, and then writes the files.
pub fn wait_command(ids: &[TaskId], fetch: Option<&str>) -> String {
    let fetch = fetch.map(|fetch| format!(" && {fetch}")).unwrap_or_default();
    format!("reel wait {}{fetch}", join(ids))
}

/// `1 2 3`, at most a line of them.
pub fn join(ids: &[TaskId]) -> String {
    const MOST: usize = 20;
    let shown: Vec<String> = ids.iter().take(MOST).map(ToString::to_string).collect();
    shown.join(" ") + if ids.len() > MOST { " …" } else { "" }
}

async fn until_settled(
    session: &Session,
    wait: &Wait<'_>,
    progress: &mut Progress,
) -> Result<TaskWaitResult, ClientError> {
    // A time that no clock reaches is none.
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
    loop {
        let told = match end {
            Some(end) => timeout_at(end, next_told(&mut follow, session, wait, progress)).await,
            None => Ok(next_told(&mut follow, session, wait, progress).await),
        };
        let Ok(told) = told else { return how_it_ended(session, wait).await };
        is_any_settled |= show(told?, wait, progress);
        while let Some(told) = follow.try_next() {
            is_any_settled |= show(told, wait, progress);
        }
        let is_over = follow.is_settled() || (wait.until == Until::Any && is_any_settled);
        if is_over {
            let ended = how_it_ended(session, wait).await?;
            // Where a task was begun again meanwhile, an event tells so.
            if !ended.timed_out {
                return Ok(ended);
            }
            is_any_settled = false;
        }
    }
}

/// What is told next; meanwhile, why the tasks wait.
async fn next_told(
    follow: &mut Follow<'_>,
    session: &Session,
    wait: &Wait<'_>,
    progress: &mut Progress,
) -> Result<Followed, ClientError> {
    // Not begun anew with each look: it may be starting the daemon.
    let mut told = pin!(follow.next());
    loop {
        let is_first = progress.has_pending();
        if let Ok(told) = timeout(if is_first { PATIENCE } else { LOOK }, &mut told).await {
            return told;
        }
        progress.say_pending();
        if is_first {
            continue;
        }
        // Where this fails, the next that is told says so.
        let (tasks, status) = how_they_stand(&session.client(), wait.ids).await.unwrap_or_default();
        for task in &tasks {
            progress.explain(task, status.as_ref());
        }
    }
}

/// Shows what was told; whether it is that a task is settled.
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
            progress.note("the daemon is gone, connecting again");
            return false;
        }
        // The question how it ended says that a task is gone.
        Followed::Removed(_) => return true,
        Followed::Missed(_) | Followed::Memory(_) => return false,
    };
    if !wait.text.is_some_and(TextAsItComes::has_begun) {
        progress.show(id, wait.title_of(id, name.as_ref()), state, &fraction);
    }
    state.is_settled()
}

/// The tasks as they are now.
async fn how_it_ended(session: &Session, wait: &Wait<'_>) -> Result<TaskWaitResult, ClientError> {
    let now = TaskWaitParams {
        ids: wait.ids.to_vec(),
        until: wait.until,
        timeout_s: Some(Seconds(Duration::ZERO)),
        batch: None,
    };
    session.call::<TaskWait>(&now).await
}

/// The first of the tasks as they now are, as no event tells why one waits; and where one waits for an equal request, how the daemon is, as
/// that tells what the equal request waits for.
pub async fn how_they_stand(
    client: &Client,
    ids: &[TaskId],
) -> Result<(Vec<TaskView>, Option<DaemonStatusResult>), ClientError> {
    let ids = ids.iter().take(LOOKED_AT).copied().collect();
    let now =
        TaskWaitParams { ids, until: Until::All, timeout_s: Some(Seconds(Duration::ZERO)), batch: None };
    let tasks = client.call::<TaskWait>(&now).await?.tasks;
    let is_equal = tasks.iter().any(|task| task.wait_reason == Some(WaitReason::EqualRequest));
    let status = if is_equal { Some(client.call::<DaemonStatus>(&Empty {}).await?) } else { None };
    Ok((tasks, status))
}
