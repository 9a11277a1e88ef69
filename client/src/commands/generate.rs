//! `reel generate`: makes pictures from a prompt.

use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use reel_client::Session;
use reel_protocol::{
    CacheMode, ImageParams, JsonText, Output, Source, TaskId, TaskSpec, TaskState, TaskView,
    methods::{TaskGet, TaskIdParams},
};
use serde::Serialize;

use crate::{
    context::Context,
    creatable::{self, PICTURE_BYTES},
    deliver::{deliver, names_of_file, unknown_ending},
    dry_run,
    exit::Exit,
    failure::Failure,
    inputs,
    naming::Destination,
    picture_format::PictureFormat,
    save::Existing,
    signals::Interrupts,
    slug::slug,
    table, tasks, units,
    waiting::{SingleTaskWait, unless_interrupted, wait_command, wait_for_one},
};

/// What to make, and where to write it.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[command(
    after_help = "Examples:\n  reel generate \"a lighthouse at dusk\" -o lighthouse.png\n  reel generate \"a lighthouse at dusk\" -n 4 -s 1024x768 --style watercolor\n  reel generate \"the same at night\" --image lighthouse.png -o night.png"
)]
pub struct Args {
    /// What to show.
    pub prompt: String,
    /// The file to write, a .png, .jpg or .webp, or - for stdout [default: a name made from the prompt].
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Number of pictures, 1 to 16.
    #[arg(short, long, default_value_t = 1, value_parser = parse_number_of_pictures)]
    pub n: u32,
    /// Width and height in pixels, or 16:9, 9:16, 1:1, 4:3, 3:4, 3:2, 2:3 or 21:9 [default: 1024x1024].
    #[arg(short, long, value_name = "WxH", value_parser = units::parse_size)]
    pub size: Option<(u32, u32)>,
    /// A picture to start from, a .png, .jpg or .webp; may be repeated.
    #[arg(long, value_name = "FILE")]
    pub image: Vec<PathBuf>,
    /// A .png of the first picture's size; only its transparent pixels may change.
    #[arg(long, value_name = "FILE", requires = "image")]
    pub mask: Option<PathBuf>,
    /// How much the result may differ from the picture, 0 to 1, if the provider supports it.
    #[arg(long, value_name = "X", requires = "image")]
    pub strength: Option<f64>,
    /// One of `reel styles`.
    #[arg(long)]
    pub style: Option<String>,
    /// What not to show.
    #[arg(long, value_name = "PROMPT")]
    pub negative: Option<String>,
    /// Random seed, if the provider supports it.
    #[arg(long, value_parser = parse_seed)]
    pub seed: Option<u64>,
    /// One of `reel providers` [default: the best that is usable].
    #[arg(long)]
    pub provider: Option<String>,
    /// The provider's model.
    #[arg(long)]
    pub model: Option<String>,
    /// Sampling steps, if the provider supports them.
    #[arg(long)]
    pub steps: Option<u32>,
    /// Guidance scale, if the provider supports it.
    #[arg(long)]
    pub guidance: Option<f64>,
    /// Make a new one, even if the same was made before.
    #[arg(long, conflicts_with = "no_cache")]
    pub fresh: bool,
    /// Neither read it from the cache nor store it there.
    #[arg(long)]
    pub no_cache: bool,
    /// Priority from -100 to 100, higher first.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true, value_parser = tasks::parse_priority)]
    pub priority: i8,
    /// Print the task's id and leave it running.
    #[arg(long, conflicts_with_all = ["output", "timeout"])]
    pub detach: bool,
    /// Replace files that exist.
    #[arg(long)]
    pub force: bool,
    /// Print who would make them and what they would cost, without asking a provider.
    #[arg(long)]
    pub dry_run: bool,
    /// Wait at most this long, such as 90s or 5min; the task continues.
    #[arg(long, value_name = "SPAN", value_parser = units::parse_span)]
    pub timeout: Option<Duration>,
}

#[derive(Serialize)]
struct Document<'a> {
    files: Vec<String>,
    task: &'a TaskView,
}

/// Submits the pictures' task, waits for it and writes the files.
pub async fn run(context: &Context, args: Args) -> Result<Exit, Failure> {
    let destination = check_destination(context, &args)?;
    let mut params = params(&args)?;
    let session = context.session().await?;
    if args.dry_run {
        add_inputs(&session, &args, &mut params).await?;
        let pictures = if args.n == 1 { "1 picture".to_owned() } else { format!("{} pictures", args.n) };
        return dry_run::one(context, &session, &spec(&args, &params)?, &pictures).await;
    }
    let mut interrupts = Interrupts::listen();
    let submit = async {
        add_inputs(&session, &args, &mut params).await?;
        Ok(session.submit(&spec(&args, &params)?).await?)
    };
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
        let fetch = fetch_command(submitted.id, args.output.as_deref(), args.force);
        let one =
            SingleTaskWait { title: &args.prompt, timeout: args.timeout, fetch: Some(&fetch), text: None };
        wait_for_one(context.output, &session, submitted.id, one, &mut interrupts).await?
    };
    if let Some(failure) = Failure::of_task(&task) {
        return Err(if task.state == TaskState::Held {
            with_fetch(failure, task.id, &fetch_command(task.id, args.output.as_deref(), args.force))
        } else {
            failure
        });
    }
    let existing = if args.force { Existing::Replace } else { Existing::Keep };
    let delivery =
        deliver(context, &session, &task, (&destination, args.n as usize), existing, &mut interrupts);
    let files = delivery.await?;
    say_where_from(context, &session, &args, &task).await;
    if let Some(notes) = tasks::notes(&task) {
        context.output.warn(&notes);
    }
    context
        .output
        .document(&Document { files: files.iter().map(|file| table::path(file)).collect(), task: &task })?;
    context.output.paths(&files)?;
    Ok(Exit::Done)
}

/// Returns the command that writes the same files for this task later.
pub fn fetch_command(id: TaskId, output: Option<&Path>, is_forced: bool) -> String {
    let output = output.map(|path| format!(" -o {}", table::word(path))).unwrap_or_default();
    format!("reel fetch {id}{output}{}", if is_forced { " --force" } else { "" })
}

/// Adds to the hint of a held task how to get its files, because releasing the task writes none.
pub fn with_fetch(failure: Failure, id: TaskId, fetch: &str) -> Failure {
    let decide = failure.error.hint.clone().unwrap_or_default();
    let fetch = wait_command(&[id], Some(fetch));
    failure.hint(format!("{decide}; once it is released, {fetch} writes the file"))
}

/// Parses `-o` and checks the output files, before anything is asked or paid for.
fn check_destination(context: &Context, args: &Args) -> Result<Destination, Failure> {
    let destination = Destination::parse(args.output.as_deref());
    let existing = if args.force { Existing::Replace } else { Existing::Keep };
    match &destination {
        Destination::Stdout if args.n > 1 => {
            return Err(Failure::usage(
                "-o - prints one picture, and -n asks for several: name a file with -o FILE",
            ));
        }
        Destination::Stdout if context.output.is_json => {
            return Err(Failure::usage(
                "-o - and --json cannot be used together, because both print to stdout",
            ));
        }
        Destination::File(path) if PictureFormat::of_path(path).is_none() => {
            return Err(unknown_ending(path));
        }
        Destination::File(path) => {
            for path in names_of_file(path, args.n as usize) {
                creatable::check_file(&path, existing)?;
            }
            creatable::check_room(path.parent().unwrap_or(Path::new("")), bytes_needed(args))?;
        }
        Destination::Directory(_) if args.detach => {}
        Destination::Directory(directory) => {
            creatable::check_directory(directory, &format!("{}.webp", slug(&args.prompt)))?;
            creatable::check_room(directory, bytes_needed(args))?;
        }
        Destination::Stdout => {}
    }
    Ok(destination)
}

/// Estimates the free disk space that the pictures need: four bytes per pixel, between 1 MiB and 1 GiB in total. Compressed pictures are rarely
/// larger.
fn bytes_needed(args: &Args) -> u64 {
    let one = args.size.map_or(PICTURE_BYTES, |(width, height)| u64::from(width) * u64::from(height) * 4);
    (one * u64::from(args.n)).clamp(1024 * 1024, 1024 * 1024 * 1024)
}

fn params(args: &Args) -> Result<ImageParams, Failure> {
    if tasks::is_blank(&args.prompt) {
        return Err(Failure::new(Exit::BadData, "invalid_params", "the prompt is empty"));
    }
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
    params.strength = args.strength;
    Ok(params)
}

/// Copies the input pictures and the mask into the daemon's store, and sets their digests in the params.
async fn add_inputs(session: &Session, args: &Args, params: &mut ImageParams) -> Result<(), Failure> {
    for path in &args.image {
        params.input_images.push(inputs::put_picture(session, path).await?);
    }
    if let Some(path) = &args.mask {
        params.mask = Some(inputs::put_picture(session, path).await?);
    }
    Ok(())
}

fn spec(args: &Args, params: &ImageParams) -> Result<TaskSpec, Failure> {
    Ok(TaskSpec {
        kind: "image.generate".to_owned(),
        params: JsonText::from_value(params).map_err(|error| Failure::usage(error.to_string()))?,
        provider: args.provider.clone(),
        priority: args.priority,
        cache: cache_mode(args.fresh, args.no_cache),
        ..TaskSpec::default()
    })
}

/// Converts `--fresh` and `--no-cache` to the cache mode of the request.
pub fn cache_mode(is_fresh: bool, is_off: bool) -> CacheMode {
    match (is_fresh, is_off) {
        (true, _) => CacheMode::Fresh,
        (_, true) => CacheMode::Off,
        _ => CacheMode::Use,
    }
}

/// Prints a note if the result came from the cache.
pub fn say_if_cached(context: &Context, task: &TaskView) {
    if task.source == Some(Source::Cache) {
        let age = task.outputs.first().and_then(stored_age).map_or_else(
            || "before".to_owned(),
            |age| match age.as_secs() {
                0 => "a moment ago".to_owned(),
                _ => format!("{} ago", units::age(age)),
            },
        );
        context.output.note(&format!(
            "from the cache, because the same request was made {age}; --fresh makes a new result"
        ));
    }
}

fn parse_seed(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "a seed is a whole number, 0 or more, such as 42".to_owned())
}

fn parse_number_of_pictures(text: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number| (1..=16).contains(number));
    number.ok_or_else(|| "one command makes 1 to 16 pictures, such as -n 4".to_owned())
}

async fn say_where_from(context: &Context, session: &Session, args: &Args, task: &TaskView) {
    say_if_cached(context, task);
    let is_draft = task.provider.as_deref() == Some(reel_client::DRAFT) && args.provider.is_none();
    if is_draft && session.has_only_draft("image").await.unwrap_or(false) {
        context.output.note(
            "this picture is a draft, because no provider of pictures is configured; add one with: reel providers add",
        );
    }
}

/// Returns how long ago the daemon stored the artifact; None if its file cannot be read.
fn stored_age(output: &Output) -> Option<Duration> {
    let stored = std::fs::metadata(&output.path).ok()?.modified().ok()?;
    SystemTime::now().duration_since(stored).ok()
}
