//! `reel ask`: a language model's answer to a question.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
    time::Duration,
};

use reel_client::{ClientError, Session};
use reel_protocol::{
    ChatParams, JsonText, TaskSpec, TaskState, TaskView,
    limits::CHAT_BYTES,
    methods::{TaskGet, TaskIdParams},
};
use serde::Serialize;

use super::generate::{cache_mode, fetch_command, say_if_cached, with_fetch};
use crate::{
    context::Context,
    creatable,
    deliver::deliver,
    dry_run,
    exit::Exit,
    failure::Failure,
    form::Form,
    given::{self, Kind},
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

const PROMPT: Kind = Kind {
    name: "the prompt",
    from_stdin: "reel ask -",
    most_bytes: CHAT_BYTES,
    remedy: "ask about parts of it",
};
const SCHEMA: Kind =
    Kind { name: "the schema", from_stdin: "", most_bytes: 256 * 1024, remedy: "ask for less at once" };

/// What to ask, and where to put the answer.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  reel ask \"Why is the sea salt?\"\n  reel ask - --system \"Summarize in three lines.\" < chapter.txt\n  reel ask \"Three names for a lighthouse\" --schema names.json -o names.out.json"
)]
pub struct Args {
    /// What to ask, or @FILE, or - for stdin.
    #[arg(value_name = "PROMPT|@FILE|-")]
    pub prompt: String,
    /// How to answer.
    #[arg(long, value_name = "TEXT")]
    pub system: Option<String>,
    /// A file with a JSON Schema that the answer must fit.
    #[arg(long, value_name = "FILE")]
    pub schema: Option<PathBuf>,
    /// The file to write [default: the answer is printed].
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// How much chance is in the answer, 0 to 2 [default: the provider's].
    #[arg(long, value_name = "NUMBER")]
    pub temperature: Option<f64>,
    /// Most tokens of the answer [default: the provider's].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_tokens: Option<u32>,
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

#[derive(Serialize)]
struct Document<'a> {
    text: &'a str,
    files: Vec<String>,
    task: &'a TaskView,
}

/// Asks, and prints or writes the answer.
pub async fn run(context: &Context, args: Args) -> Result<Exit, Failure> {
    let prompt = given::text(&args.prompt, PROMPT)?;
    let schema = args.schema.as_deref().map(read_schema).transpose()?;
    let existing = if args.force { Existing::Replace } else { Existing::Keep };
    let file = file_to_write(&args, existing)?;
    let spec = spec(&args, &prompt, schema)?;
    if args.dry_run {
        return dry_run::one(context, &context.session().await?, &spec, "1 answer").await;
    }
    let session = context.session().await?;
    let mut interrupts = Interrupts::listen();
    let submit = async { Ok(session.submit(&spec).await?) };
    let submitted = unless_interrupted(&mut interrupts, submit).await?;
    context.note_version(&session.client());
    let fetch = fetch_command(submitted.id, args.output.as_deref().or(Some(Path::new("-"))), args.force);
    let is_shown = file.is_none() && args.schema.is_none() && context.output.has_terminals();
    let shown = is_shown.then(|| TextAsItComes::new(context.output));
    let task = if submitted.state == TaskState::Succeeded {
        session.call::<TaskGet>(&TaskIdParams { id: submitted.id }).await?
    } else {
        let one = One { title: &prompt, timeout: args.timeout, fetch: Some(&fetch), text: shown.as_ref() };
        wait_for_one(context.output, &session, submitted.id, one, &mut interrupts).await?
    };
    if let Some(failure) = Failure::of_task(&task) {
        shown.iter().for_each(TextAsItComes::end_line);
        let is_held = task.state == TaskState::Held;
        return Err(if is_held { with_fetch(failure, task.id, &fetch) } else { failure });
    }
    let text = text_of(&session, &task).await?;
    let rest = shown.map_or_else(|| text.clone(), |shown| shown.rest_of(&text));
    let mut files = Vec::new();
    if let Some(file) = &file {
        let delivery = deliver(context, &session, &task, file, 1, existing);
        files = unless_interrupted(&mut interrupts, delivery).await?;
    }
    say_if_cached(context, &task);
    if let Some(notes) = tasks::notes(&task) {
        context.output.warn(&notes);
    }
    let files_shown = files.iter().map(|file| table::path(file)).collect();
    context.output.document(&Document { text: &text, files: files_shown, task: &task })?;
    if file.is_some() {
        context.output.paths(&files)?;
    } else {
        context.output.text(&rest)?;
    }
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
fn file_to_write(args: &Args, existing: Existing) -> Result<Option<Destination>, Failure> {
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

fn read_schema(path: &Path) -> Result<JsonText, Failure> {
    let bad = |detail: String| {
        Failure::new(Exit::BadData, "bad_data", format!("{} {detail}", table::path(path)))
            .hint("a schema is an object, such as {\"type\": \"object\", \"properties\": {…}}")
    };
    let json = JsonText::parse(given::file(path, SCHEMA)?).map_err(|error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        bad(format!("is {error}{cause}"))
    })?;
    if json.is_object() { Ok(json) } else { Err(bad("holds no JSON Schema".to_owned())) }
}

fn spec(args: &Args, prompt: &str, schema: Option<JsonText>) -> Result<TaskSpec, Failure> {
    let params = ChatParams {
        system: args.system.clone(),
        model: args.model.clone(),
        temperature: args.temperature,
        max_tokens: args.max_tokens,
        schema,
        ..ChatParams::new(prompt)
    };
    Ok(TaskSpec {
        kind: "text.chat".to_owned(),
        params: JsonText::from_value(&params).map_err(|error| Failure::usage(error.to_string()))?,
        provider: args.provider.clone(),
        cache: cache_mode(args.fresh, false),
        ..TaskSpec::default()
    })
}
