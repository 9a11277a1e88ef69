//! `reel submit` and `reel call`: run any method of any service as a task.

use std::{io::Read as _, time::Duration};

use reel_protocol::{CacheMode, JsonText, Seconds, TaskId, TaskSpec, TaskView, methods::SubmitResult};

use crate::{
    context::Context,
    exit::Exit,
    failure::Failure,
    signals::Interrupts,
    tasks, units,
    waiting::{SingleTaskWait, unless_interrupted, wait_for_one},
};

/// The options of `reel submit`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: reel submit image generate --params '{\"prompt\": \"a lighthouse\"}' --priority 10"
)]
pub struct SubmitArgs {
    #[command(flatten)]
    task: TaskArgs,
    /// A unique id for this request; submitting it again returns the same task.
    #[arg(long, value_name = "TEXT")]
    request_id: Option<String>,
    /// Wait until the task is done.
    #[arg(long)]
    wait: bool,
}

/// The options of `reel call`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: reel call debug sleep --params '{\"ms\": 500}' --timeout 10s")]
pub struct CallArgs {
    #[command(flatten)]
    task: TaskArgs,
    /// Wait at most this long, such as 90s or 5min; the task continues.
    #[arg(long, value_name = "SPAN", value_parser = units::parse_span)]
    timeout: Option<Duration>,
}

#[derive(Debug, clap::Args)]
struct TaskArgs {
    /// The service, such as image or debug.
    service: String,
    /// The service's method, such as generate or sleep.
    method: String,
    /// The method's params, a JSON object, or @FILE (@- reads stdin) [default: {}].
    #[arg(long, value_name = "JSON|@FILE")]
    params: Option<String>,
    /// A label for people.
    #[arg(long)]
    name: Option<String>,
    /// One of `reel providers`.
    #[arg(long)]
    provider: Option<String>,
    /// Priority from -100 to 100, higher first.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true, value_parser = tasks::parse_priority)]
    priority: i8,
    /// Tasks that must succeed first.
    #[arg(long, value_name = "ID", num_args = 1.., value_parser = tasks::parse_id)]
    after: Vec<TaskId>,
    /// Cache mode: use reads and stores results, fresh only stores them, off does neither.
    #[arg(long, value_name = "use|fresh|off", default_value = "use", value_parser = parse_cache)]
    cache: CacheMode,
    /// Attempts before the task fails.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    max_attempts: Option<u32>,
    /// Fail if the task is not done by then, such as 10min.
    #[arg(long, value_name = "SPAN", value_parser = units::parse_span)]
    deadline: Option<Duration>,
    /// A JSON object that is stored with the task.
    #[arg(long, value_name = "JSON|@FILE")]
    metadata: Option<String>,
}

/// Submits the task and prints its id, or waits for it with `--wait`.
pub async fn submit(context: &Context, args: SubmitArgs) -> Result<Exit, Failure> {
    let spec = spec(args.task, args.request_id)?;
    if args.wait {
        return submit_and_wait(context, &spec, None).await;
    }
    let session = context.session().await?;
    let submitted = session.submit(&spec).await;
    context.note_version(&session.client());
    let submitted = submitted?;
    context.output.document(&submitted)?;
    context.output.line(&submitted.id.to_string())?;
    Ok(Exit::Done)
}

/// Submits the task and waits for it.
pub async fn call(context: &Context, args: CallArgs) -> Result<Exit, Failure> {
    // This is a submit with a wait and not a `service.call`, so that a repeat after a lost connection returns the same task.
    submit_and_wait(context, &spec(args.task, None)?, args.timeout).await
}

async fn submit_and_wait(
    context: &Context,
    spec: &TaskSpec,
    timeout: Option<Duration>,
) -> Result<Exit, Failure> {
    let session = context.session().await?;
    let mut interrupts = Interrupts::listen();
    let submit = async { Ok(session.submit(spec).await?) };
    let SubmitResult { id, .. } = unless_interrupted(&mut interrupts, submit).await?;
    context.note_version(&session.client());
    let title = spec.name.clone().unwrap_or_else(|| spec.kind.clone());
    let one = SingleTaskWait { title: &title, timeout, fetch: None, text: None };
    let task = wait_for_one(context.output, &session, id, one, &mut interrupts).await?;
    report(context, &task)
}

/// Prints the paths of the outputs, or with `--json` the task. Fails with the reason if the task did not succeed.
fn report(context: &Context, task: &TaskView) -> Result<Exit, Failure> {
    if let Some(failure) = Failure::of_task(task) {
        return Err(failure);
    }
    context.output.document(task)?;
    for output in &task.outputs {
        context.output.paths(&[&output.path])?;
    }
    let time = tasks::run_time(task).map_or_else(String::new, |time| format!(" in {}", units::span(time)));
    context.output.note(&format!("task {} succeeded{time}", task.id));
    Ok(Exit::Done)
}

fn spec(args: TaskArgs, request_id: Option<String>) -> Result<TaskSpec, Failure> {
    Ok(TaskSpec {
        kind: format!("{}.{}", args.service, args.method),
        params: args.params.map(|text| json_object("--params", &text)).transpose()?.unwrap_or_default(),
        request_id,
        name: args.name,
        provider: args.provider,
        priority: args.priority,
        after: args.after,
        cache: args.cache,
        max_attempts: args.max_attempts,
        deadline_s: args.deadline.map(Seconds),
        metadata: args.metadata.map(|text| json_object("--metadata", &text)).transpose()?,
    })
}

/// Parses a JSON object that is given as text, as `@FILE`, or as `@-` for stdin.
pub fn json_object(option: &str, given: &str) -> Result<JsonText, Failure> {
    let text = match given.strip_prefix('@') {
        Some("-") => read_stdin()?,
        Some(path) => std::fs::read_to_string(path).map_err(|error| {
            Failure::new(Exit::NoInput, "no_input", format!("cannot read {path}: {error}"))
        })?,
        None => given.to_owned(),
    };
    let bad = |detail: String| Failure::new(Exit::BadData, "bad_data", format!("{option}: {detail}"));
    let json = JsonText::parse(text).map_err(|error| match std::error::Error::source(&error) {
        Some(source) => bad(format!("{error}: {source}")),
        None => bad(error.to_string()),
    })?;
    if json.is_object() { Ok(json) } else { Err(bad("not a JSON object".to_owned())) }
}

fn read_stdin() -> Result<String, Failure> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).map_err(|error| Failure::io("cannot read stdin", &error))?;
    Ok(text)
}

/// Parses the name of a cache mode.
pub fn parse_cache(text: &str) -> Result<CacheMode, String> {
    match text {
        "use" => Ok(CacheMode::Use),
        "fresh" => Ok(CacheMode::Fresh),
        "off" => Ok(CacheMode::Off),
        _ => Err("the cache modes are use, fresh and off".to_owned()),
    }
}
