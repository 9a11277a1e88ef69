//! A question to a language model, whatever the service: handed in, shown as its answer comes, and printed or written.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
    time::Duration,
};

use reel_client::{ClientError, Session};
use reel_protocol::{
    JsonText, TaskSpec, TaskState, TaskView,
    methods::{TaskGet, TaskIdParams},
};
use serde::Serialize;

use crate::{
    commands::generate::{cache_mode, fetch_command, say_if_cached, with_fetch},
    context::Context,
    creatable,
    deliver::deliver,
    dry_run,
    exit::Exit,
    failure::Failure,
    form::Form,
    naming::Destination,
    save::Existing,
    signals::Interrupts,
    table, tasks,
    text_as_it_comes::TextAsItComes,
    units,
    waiting::{One, unless_interrupted, wait_for_one},
};

/// Room that must be free for an answer.
const ANSWER_BYTES: u64 = 1024 * 1024;

/// Who answers, and where the answer goes.
#[derive(Debug, clap::Args)]
pub struct AnswerArgs {
    /// The file to write [default: the answer is printed].
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// One of `reel providers` [default: the best that answers].
    #[arg(long)]
    pub provider: Option<String>,
    /// The provider's model.
    #[arg(long)]
    pub model: Option<String>,
    /// Ask anew, even if the same was asked before.
    #[arg(long)]
    pub fresh: bool,
    /// Replace a file that exists.
    #[arg(long)]
    pub force: bool,
    /// Say who would make it and what it would cost, and ask nobody.
    #[arg(long)]
    pub dry_run: bool,
    /// Wait at most this long, such as 90s or 5min; the work goes on.
    #[arg(long, value_name = "SPAN", value_parser = units::parse_span)]
    pub timeout: Option<Duration>,
}

/// What is asked.
#[derive(Debug)]
pub struct Question<'a, P> {
    /// Such as `text.chat`.
    pub kind: &'static str,
    /// The params of that kind.
    pub params: &'a P,
    /// What it is called on its bar.
    pub title: &'a str,
    /// Whether the pieces of the answer are the answer.
    pub is_shown_as_it_comes: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    text: &'a str,
    files: Vec<String>,
    task: &'a TaskView,
}

/// Asks, and prints or writes the answer.
pub async fn answer<P: Serialize>(
    context: &Context,
    question: &Question<'_, P>,
    args: &AnswerArgs,
) -> Result<Exit, Failure> {
    let existing = if args.force { Existing::Replace } else { Existing::Keep };
    let file = file_to_write(args, existing)?;
    let spec = TaskSpec {
        kind: question.kind.to_owned(),
        params: JsonText::from_value(question.params).map_err(|error| Failure::usage(error.to_string()))?,
        provider: args.provider.clone(),
        cache: cache_mode(args.fresh, false),
        ..TaskSpec::default()
    };
    let session = context.session().await?;
    if args.dry_run {
        return dry_run::one(context, &session, &spec, "1 answer").await;
    }
    let mut interrupts = Interrupts::listen();
    let submit = async { Ok(session.submit(&spec).await?) };
    let submitted = unless_interrupted(&mut interrupts, submit).await?;
    context.note_version(&session.client());
    let fetch = fetch_command(submitted.id, args.output.as_deref().or(Some(Path::new("-"))), args.force);
    let is_shown = question.is_shown_as_it_comes && file.is_none() && context.output.has_terminal();
    let shown = is_shown.then(|| TextAsItComes::new(context.output));
    let task = if submitted.state == TaskState::Succeeded {
        session.call::<TaskGet>(&TaskIdParams { id: submitted.id }).await?
    } else {
        let (title, timeout) = (question.title, args.timeout);
        let one = One { title, timeout, fetch: Some(&fetch), text: shown.as_ref() };
        let waited = wait_for_one(context.output, &session, submitted.id, one, &mut interrupts).await;
        if waited.is_err() {
            shown.iter().for_each(TextAsItComes::end_line);
        }
        waited?
    };
    if let Some(failure) = Failure::of_task(&task) {
        shown.iter().for_each(TextAsItComes::end_line);
        let is_held = task.state == TaskState::Held;
        return Err(if is_held { with_fetch(failure, task.id, &fetch) } else { failure });
    }
    let text = text_of(&session, &task).await?;
    let mut files = Vec::new();
    if let Some(file) = &file {
        let delivery = deliver(context, &session, &task, file, 1, existing);
        files = unless_interrupted(&mut interrupts, delivery).await?;
        context.output.paths(&files)?;
    } else {
        context.output.text(&shown.map_or_else(|| text.clone(), |shown| shown.rest_of(&text)))?;
    }
    say_if_cached(context, &task);
    if let Some(notes) = tasks::notes(&task) {
        context.output.warn(&notes);
    }
    let files = files.iter().map(|file| table::path(file)).collect();
    context.output.document(&Document { text: &text, files, task: &task })?;
    Ok(Exit::Done)
}

/// The answer's text: from the task where it is short, else from its file.
async fn text_of(session: &Session, task: &TaskView) -> Result<String, Failure> {
    let Some(output) = task.outputs.first() else {
        return Err(Failure::new(Exit::WorkFailed, "no_output", format!("task {} made no text", task.id)));
    };
    if let Some(text) = &output.text {
        return Ok(text.clone());
    }
    let broken = |error| Failure::io("cannot keep the answer while it is read", &error);
    let file = tempfile::tempfile().map_err(broken)?;
    let mut file = session.fetch(output, file).await?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(broken)?;
    String::from_utf8(bytes).map_err(|_| ClientError::Damaged { digest: output.digest }.into())
}

/// Where the answer is written, if it is not printed. Everything that can be wrong about it is said before anything is asked or paid for.
fn file_to_write(args: &AnswerArgs, existing: Existing) -> Result<Option<Destination>, Failure> {
    let Some(path) = args.output.as_deref() else { return Ok(None) };
    match Destination::parse(Some(path)) {
        Destination::Stdout => Ok(None),
        Destination::File(path) if Form::of_path(&path).is_some() => Err(Failure::usage(format!(
            "an answer is a text, and {} is the name of a picture",
            table::path(&path)
        ))),
        Destination::File(path) => {
            creatable::check_file(&path, existing)?;
            creatable::check_room(path.parent().unwrap_or(Path::new("")), ANSWER_BYTES)?;
            Ok(Some(Destination::File(path)))
        }
        Destination::Directory(directory) => {
            creatable::check_directory(&directory, "answer.txt")?;
            creatable::check_room(&directory, ANSWER_BYTES)?;
            Ok(Some(Destination::Directory(directory)))
        }
    }
}
