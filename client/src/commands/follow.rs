//! `reel follow`: prints events of tasks. On a terminal it shows bars and a line for each task that ends, elsewhere a line for each event.

use std::collections::{HashMap, HashSet};

use reel_client::{Follow, Session};
use reel_protocol::{
    BatchId, TaskId, TaskState, Timestamp,
    limits::NAMED_TASKS,
    methods::{SubscribeParams, TaskEvent, TaskGet, TaskIdParams, Topic},
};

use crate::{
    context::Context,
    event_line::EventLine,
    exit::Exit,
    failure::Failure,
    output::Output,
    progress::Progress,
    signals::{self, Interrupts},
    tasks,
};

/// The tasks to follow.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  reel follow 17 18\n  reel follow --batch 3\n  reel follow --json | jq .task.state\n\nWith --json it prints JSON Lines, one object for each event, not one document: {time, topic, event, id, task, memory, missed}."
)]
pub struct Args {
    /// Tasks to follow until all of them are done [default: all tasks, until Ctrl-C].
    #[arg(value_name = "ID", value_parser = tasks::parse_id)]
    ids: Vec<TaskId>,
    /// Follow the tasks of this batch until all of them are done.
    #[arg(long, value_name = "N", conflicts_with = "ids")]
    batch: Option<u64>,
}

/// Follows the tasks until they are done or Ctrl-C is pressed.
pub async fn run(context: &Context, args: Args) -> Result<Exit, Failure> {
    if args.ids.len() > NAMED_TASKS {
        return Err(Failure::usage(format!(
            "at most {NAMED_TASKS} tasks can be named; --batch follows a whole batch"
        )));
    }
    let session = context.session().await?;
    let mut interrupts = Interrupts::listen();
    let has_end = !args.ids.is_empty() || args.batch.is_some();
    let wanted = SubscribeParams {
        steps: false,
        topics: vec![Topic::Task],
        task_ids: Some(args.ids).filter(|ids| !ids.is_empty()),
        batch: args.batch.map(BatchId),
        partial: false,
    };
    if !has_end && context.output.rows().is_some() {
        context.output.note("following all tasks; Ctrl-C ends this and no task");
    }
    let mut view = View::new(context.output, &session);
    let following = async {
        let mut follow = Follow::new(&session, wanted);
        while !(has_end && follow.is_settled()) {
            view.show(EventLine::new(follow.next().await?, Timestamp::now())).await?;
        }
        Ok(())
    };
    let ended = signals::run_until_interrupted(&mut interrupts, following).await;
    view.progress.clear();
    context.note_version(&session.client());
    if has_end && matches!(&ended, Err(failure) if failure.exit == Exit::Interrupted) {
        context.output.note("no longer followed; the tasks continue");
    }
    ended?;
    Ok(if view.unsuccessful.is_empty() { Exit::Done } else { Exit::WorkFailed })
}

struct View<'a> {
    output: Output,
    session: &'a Session,
    progress: Progress,
    /// The titles of tasks that are not done.
    titles: HashMap<TaskId, String>,
    /// Tasks that are done without success.
    unsuccessful: HashSet<TaskId>,
}

impl<'a> View<'a> {
    fn new(output: Output, session: &'a Session) -> Self {
        let progress = Progress::beside_lines(output);
        Self { output, session, progress, titles: HashMap::new(), unsuccessful: HashSet::new() }
    }

    async fn show(&mut self, line: EventLine) -> Result<(), Failure> {
        self.output.document(&line)?;
        if let Some(note) = line.note() {
            if !self.output.is_json {
                self.progress.note(&note);
            }
            return Ok(());
        }
        let Some(task) = &line.task else { return self.progress.line(&line.text("")) };
        if task.state.is_settled() && task.state != TaskState::Succeeded {
            self.unsuccessful.insert(task.id);
        } else {
            self.unsuccessful.remove(&task.id);
        }
        if self.output.is_json {
            return Ok(());
        }
        let title = self.title(task).await;
        if self.progress.is_drawn() {
            self.progress.show(task.id, &title, task.state, &task.progress);
        }
        let is_every_event_said = !self.progress.is_drawn() && !self.output.is_quiet;
        if task.state.is_settled() || is_every_event_said {
            self.progress.line(&line.text(&title))?;
        }
        Ok(())
    }

    /// Returns the task's name, or its prompt, which is requested because events do not have it. Empty if the request fails.
    async fn title(&mut self, task: &TaskEvent) -> String {
        if let Some(name) = &task.name {
            return name.clone();
        }
        let title = match self.titles.remove(&task.id) {
            Some(title) => title,
            None => match self.session.client().call::<TaskGet>(&TaskIdParams { id: task.id }).await {
                Ok(view) => tasks::title(&view),
                Err(_) => return String::new(),
            },
        };
        if !task.state.is_settled() {
            self.titles.insert(task.id, title.clone());
        }
        title
    }
}
