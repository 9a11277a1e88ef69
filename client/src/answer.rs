//! Submits a question to a language model (of `reel ask` or `reel translate`), shows the answer as it streams in, and prints it or writes it to a
//! file.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use reel_client::Session;
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
    naming::Destination,
    picture_format::PictureFormat,
    save::Existing,
    signals::Interrupts,
    streamed_text::StreamedText,
    table, tasks, units,
    waiting::{SingleTaskWait, unless_interrupted, wait_for_one},
};

/// Free disk space that is required before an answer is asked for, in bytes.
const ANSWER_BYTES: u64 = 1024 * 1024;

/// The options for who answers and where the answer is written.
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
    /// Ask again, even if an earlier answer is in the cache.
    #[arg(long)]
    pub fresh: bool,
    /// Replace a file that exists.
    #[arg(long)]
    pub force: bool,
    /// Print who would answer and what it would cost, without asking a provider.
    #[arg(long)]
    pub dry_run: bool,
    /// Wait at most this long, such as 90s or 5min; the task continues.
    #[arg(long, value_name = "SPAN", value_parser = units::parse_span)]
    pub timeout: Option<Duration>,
}

/// The task that an answer is asked with.
#[derive(Debug)]
pub struct Question<'a, P> {
    /// The kind of the task, such as `text.chat`.
    pub kind: &'static str,
    /// The params of that kind of task.
    pub params: &'a P,
    /// The title that the progress bar shows.
    pub title: &'a str,
    /// Whether the partial texts that the daemon sends are pieces of the answer and may be printed as they arrive.
    pub is_shown_as_it_comes: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    text: &'a str,
    files: Vec<String>,
    task: &'a TaskView,
}

/// Submits the question, waits for its task, and prints the answer or writes it to the file of `-o`.
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
    let shown = is_shown.then(|| StreamedText::new(context.output));
    let task = if submitted.state == TaskState::Succeeded {
        session.call::<TaskGet>(&TaskIdParams { id: submitted.id }).await?
    } else {
        let (title, timeout) = (question.title, args.timeout);
        let one = SingleTaskWait { title, timeout, fetch: Some(&fetch), text: shown.as_ref() };
        let waited = wait_for_one(context.output, &session, submitted.id, one, &mut interrupts).await;
        if waited.is_err() {
            shown.iter().for_each(StreamedText::end_line);
        }
        waited?
    };
    if let Some(failure) = Failure::of_task(&task) {
        shown.iter().for_each(StreamedText::end_line);
        let is_held = task.state == TaskState::Held;
        return Err(if is_held { with_fetch(failure, task.id, &fetch) } else { failure });
    }
    let text = text_of(&session, &task).await?;
    let mut files = Vec::new();
    if let Some(file) = &file {
        let delivery = deliver(context, &session, &task, (file, 1), existing, &mut interrupts);
        files = delivery.await?;
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

/// Returns the answer's text.
async fn text_of(session: &Session, task: &TaskView) -> Result<String, Failure> {
    let Some(output) = task.outputs.first() else {
        return Err(Failure::new(Exit::WorkFailed, "no_output", format!("task {} made no text", task.id)));
    };
    Ok(session.read_text(output).await?)
}

/// Returns where to write the answer; None to print it. It makes every check of the output file here, before anything is submitted or paid for.
fn file_to_write(args: &AnswerArgs, existing: Existing) -> Result<Option<Destination>, Failure> {
    let Some(path) = args.output.as_deref() else { return Ok(None) };
    match Destination::parse(Some(path)) {
        Destination::Stdout => Ok(None),
        Destination::File(path) if PictureFormat::of_path(&path).is_some() => Err(Failure::usage(format!(
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
