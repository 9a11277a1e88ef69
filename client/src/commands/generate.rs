//! `reel generate`: pictures from a prompt.

use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use reel_client::Session;
use reel_protocol::{
    CacheMode, ImageParams, JsonText, Output, Source, TaskSpec, TaskState, TaskView,
    methods::{TaskGet, TaskIdParams, TaskSubmit},
};
use serde::Serialize;

use crate::{
    context::Context,
    exit::Exit,
    failure::Failure,
    naming::{self, Destination},
    save::{self, Existing},
    signals::Interrupts,
    tasks, units,
    waiting::{unless_interrupted, wait_for_one},
};

/// What pictures are made of today.
const MEDIA_TYPE: &str = "image/png";

/// The embedded provider, which only sketches.
const DRAFT: &str = "draft";

/// What to make, and where to put it.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[command(
    after_help = "Examples:\n  reel generate \"a lighthouse at dusk\" -o lighthouse.png\n  reel generate \"a lighthouse at dusk\" -n 4 -s 1024x768 --style watercolor"
)]
pub struct Args {
    /// What to show.
    pub prompt: String,
    /// The file to write, or - for stdout [default: a name made from the prompt].
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// How many pictures.
    #[arg(short, long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=16))]
    pub n: u32,
    /// Width and height in pixels [default: 1024x1024].
    #[arg(short, long, value_name = "WxH", value_parser = units::parse_size)]
    pub size: Option<(u32, u32)>,
    /// One of `reel styles`.
    #[arg(long)]
    pub style: Option<String>,
    /// What not to show.
    #[arg(long, value_name = "PROMPT")]
    pub negative: Option<String>,
    /// A number that the provider starts from.
    #[arg(long)]
    pub seed: Option<u64>,
    /// One of `reel providers` [default: the best that is usable].
    #[arg(long)]
    pub provider: Option<String>,
    /// The provider's model.
    #[arg(long)]
    pub model: Option<String>,
    /// Sampling steps, where the provider has them.
    #[arg(long)]
    pub steps: Option<u32>,
    /// Guidance scale, where the provider has it.
    #[arg(long)]
    pub guidance: Option<f64>,
    /// Make a new one, even if the same was made before.
    #[arg(long, conflicts_with = "no_cache")]
    pub fresh: bool,
    /// Neither take it from the cache nor keep it there.
    #[arg(long)]
    pub no_cache: bool,
    /// -100 to 100, higher first.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true, value_parser = clap::value_parser!(i8).range(-100..=100))]
    pub priority: i8,
    /// Print the task's id and leave it running.
    #[arg(long, conflicts_with_all = ["output", "timeout"])]
    pub detach: bool,
    /// Replace files that exist.
    #[arg(long)]
    pub force: bool,
    /// Wait at most this long, such as 90s or 5min; the work goes on.
    #[arg(long, value_name = "SPAN", value_parser = units::parse_span)]
    pub timeout: Option<Duration>,
}

#[derive(Serialize)]
struct Document<'a> {
    files: Vec<String>,
    task: &'a TaskView,
}

/// Makes the pictures.
pub async fn run(context: &Context, args: Args) -> Result<Exit, Failure> {
    let destination = check_destination(context, &args)?;
    let session = context.session().await?;
    let mut interrupts = Interrupts::listen();
    let spec = spec(&args)?;
    let submit = async { Ok(session.call::<TaskSubmit>(&spec).await?) };
    let submitted = unless_interrupted(&mut interrupts, submit).await?;
    context.note_version(&session.client());
    if args.detach {
        context.output.document(&submitted)?;
        context.output.line(&submitted.id.to_string())?;
        return Ok(Exit::Done);
    }
    let task = if submitted.state == TaskState::Succeeded {
        session.call::<TaskGet>(&TaskIdParams { id: submitted.id }).await?
    } else {
        wait_for_one(context.output, &session, submitted.id, &args.prompt, args.timeout, &mut interrupts)
            .await?
    };
    if let Some(failure) = Failure::of_task(&task) {
        return Err(failure);
    }
    let existing = if args.force { Existing::Replace } else { Existing::Keep };
    let delivery = deliver(context, &session, &task, &destination, existing);
    let files = unless_interrupted(&mut interrupts, delivery).await?;
    say_where_from(context, &args, &task);
    context.output.document(&Document {
        files: files.iter().map(|file| file.display().to_string()).collect(),
        task: &task,
    })?;
    for file in files {
        context.output.line(&file.display().to_string())?;
    }
    Ok(Exit::Done)
}

/// Everything that can be wrong about the output is said before anything is asked or paid for.
fn check_destination(context: &Context, args: &Args) -> Result<Destination, Failure> {
    let destination = Destination::parse(args.output.as_deref());
    let existing = if args.force { Existing::Replace } else { Existing::Keep };
    match &destination {
        Destination::Stdout if args.n > 1 => {
            return Err(Failure::usage("-o - takes one picture, not several"));
        }
        Destination::Stdout if context.output.is_json => {
            return Err(Failure::usage("-o - and --json both want stdout"));
        }
        Destination::File(path) if !naming::fits(path, MEDIA_TYPE) => {
            return Err(Failure::usage(format!(
                "{} does not end in .png, the only form that is written",
                path.display()
            )));
        }
        Destination::File(path) => {
            for path in names_of_file(path, args.n as usize) {
                save::check_creatable(&path, existing)?;
            }
        }
        Destination::Directory(_) if args.detach => {}
        Destination::Directory(directory) => save::check_directory(directory)?,
        Destination::Stdout => {}
    }
    Ok(destination)
}

fn spec(args: &Args) -> Result<TaskSpec, Failure> {
    let mut params = ImageParams::new(args.prompt.clone());
    if let Some((width, height)) = args.size {
        (params.width, params.height) = (width, height);
    }
    params.n = args.n;
    params.negative_prompt.clone_from(&args.negative);
    params.seed = args.seed;
    params.steps = args.steps;
    params.guidance = args.guidance;
    params.style.clone_from(&args.style);
    params.model.clone_from(&args.model);
    Ok(TaskSpec {
        kind: "image.generate".to_owned(),
        params: JsonText::from_value(&params).map_err(|error| Failure::usage(error.to_string()))?,
        request_id: Some(tasks::new_request_id()),
        provider: args.provider.clone(),
        priority: args.priority,
        cache: cache_mode(args.fresh, args.no_cache),
        ..TaskSpec::default()
    })
}

/// `--fresh` and `--no-cache` as the wire has them.
pub fn cache_mode(is_fresh: bool, is_off: bool) -> CacheMode {
    match (is_fresh, is_off) {
        (true, _) => CacheMode::Fresh,
        (_, true) => CacheMode::Off,
        _ => CacheMode::Use,
    }
}

fn names_of_file(path: &Path, count: usize) -> Vec<PathBuf> {
    if count > 1 {
        (1..=count).map(|number| naming::numbered(path, number)).collect()
    } else {
        vec![path.to_owned()]
    }
}

/// Writes a finished task's outputs where they belong, and tells the files.
pub async fn deliver(
    context: &Context,
    session: &Session,
    task: &TaskView,
    destination: &Destination,
    existing: Existing,
) -> Result<Vec<PathBuf>, Failure> {
    let Some(first) = task.outputs.first() else {
        return Err(Failure::new(Exit::WorkFailed, "no_output", format!("task {} made no file", task.id)));
    };
    match destination {
        Destination::Stdout => {
            if task.outputs.len() > 1 {
                return Err(Failure::usage(format!(
                    "-o - takes one file, task {} made {}",
                    task.id,
                    task.outputs.len()
                )));
            }
            context.output.file(&mut save::fetch_unnamed(session, first).await?)?;
            Ok(Vec::new())
        }
        Destination::File(path) => {
            let paths = names_of_file(path, task.outputs.len());
            for (output, path) in task.outputs.iter().zip(&paths) {
                check_form(task, output, path)?;
                save::save(session, output, path, existing).await?;
            }
            Ok(paths)
        }
        Destination::Directory(directory) => save_under_free_names(session, task, directory).await,
    }
}

fn check_form(task: &TaskView, output: &Output, path: &Path) -> Result<(), Failure> {
    if naming::fits(path, &output.media_type) {
        return Ok(());
    }
    let ending = naming::extension(&output.media_type);
    let message = format!("the result is {}, which {} does not fit", output.media_type, path.display());
    Err(Failure::cannot_create(message).hint(format!(
        "reel fetch {} -o {}",
        task.id,
        path.with_extension(ending).display()
    )))
}

async fn save_under_free_names(
    session: &Session,
    task: &TaskView,
    directory: &Path,
) -> Result<Vec<PathBuf>, Failure> {
    let title = tasks::title(task);
    let ending = task.outputs.first().map_or("bin", |output| naming::extension(&output.media_type));
    let mut written = Vec::new();
    let mut left = task.outputs.as_slice();
    // Someone else may take a name between looking and writing: then the next free one.
    while let Some((output, rest)) = left.split_first() {
        let is_taken = |path: &Path| save::is_taken(path) || written.iter().any(|file| file == path);
        let names = naming::free_names(directory, &title, ending, task.outputs.len(), is_taken);
        let Some(path) = names.into_iter().next() else { break };
        match save::save(session, output, &path, Existing::Keep).await {
            Ok(()) => {
                written.push(path);
                left = rest;
            }
            Err(failure) if failure.error.code == "output_exists" => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(written)
}

fn say_where_from(context: &Context, args: &Args, task: &TaskView) {
    if task.source == Some(Source::Cache) {
        let age = task
            .outputs
            .first()
            .and_then(stored_age)
            .map_or_else(|| "before".to_owned(), |age| format!("{} ago", units::age(age)));
        context.output.note(&format!("same request as {age}; --fresh makes a new one"));
    }
    if task.provider.as_deref() == Some(DRAFT) && args.provider.is_none() {
        context.output.note("draft picture: no provider configured; reel config edit");
    }
}

/// How long ago the daemon stored the artifact.
fn stored_age(output: &Output) -> Option<Duration> {
    let stored = std::fs::metadata(&output.path).ok()?.modified().ok()?;
    SystemTime::now().duration_since(stored).ok()
}
