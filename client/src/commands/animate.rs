//! `reel animate`: makes a video that starts with a picture.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use reel_client::Session;
use reel_protocol::{
    JsonText, TaskSpec, TaskState, TaskView, VideoParams,
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
    inputs,
    naming::{self, Destination, extension},
    save::{self, Existing},
    signals::Interrupts,
    slug::slug,
    table, tasks, units,
    waiting::{SingleTaskWait, unless_interrupted, wait_for_one},
};

/// Free disk space that is required for a video, in bytes. A minute of video from a service fits.
const VIDEO_BYTES: u64 = 64 * 1024 * 1024;

/// The extensions that `-o` may have, because services make videos of these formats.
const ENDINGS: [&str; 2] = ["mp4", "webm"];

/// What to show in the video, and where to write it.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  reel animate lighthouse.png \"waves break on the rocks\" -o waves.mp4\n  reel animate lighthouse.png \"the lamp turns\" --seconds 8 --size 1280x720"
)]
pub struct Args {
    /// The picture that the video starts with, a .png, .jpg or .webp.
    #[arg(value_name = "IMAGE")]
    pub image: PathBuf,
    /// What happens in the video.
    #[arg(value_name = "PROMPT")]
    pub prompt: String,
    /// The file to write, a .mp4 (or .webm, where the provider makes that), or - for stdout [default: a name made from the prompt].
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Length in seconds [default: the provider's choice].
    #[arg(long, value_name = "N")]
    pub seconds: Option<f64>,
    /// Width and height in pixels [default: the provider's choice].
    #[arg(short, long, value_name = "WxH", value_parser = units::parse_size)]
    pub size: Option<(u32, u32)>,
    /// One of `reel providers`; draft moves a camera over the picture [default: the best that makes videos].
    #[arg(long)]
    pub provider: Option<String>,
    /// The provider's model.
    #[arg(long)]
    pub model: Option<String>,
    /// Make a new one, even if the same was made before.
    #[arg(long)]
    pub fresh: bool,
    /// Replace a file that exists.
    #[arg(long)]
    pub force: bool,
    /// Print who would make it and what it would cost, without asking a provider.
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

/// Submits the video's task, waits for it and writes the file.
pub async fn run(context: &Context, args: Args) -> Result<Exit, Failure> {
    if tasks::is_blank(&args.prompt) {
        return Err(Failure::new(Exit::BadData, "invalid_params", "the prompt is empty"));
    }
    let existing = if args.force { Existing::Replace } else { Existing::Keep };
    let destination = check_destination(context, &args, existing)?;
    let session = context.session().await?;
    if args.dry_run {
        return dry_run::one(context, &session, &spec(&session, &args).await?, "1 video").await;
    }
    let mut interrupts = Interrupts::listen();
    let submit = async {
        let spec = spec(&session, &args).await?;
        check_provider(&session, &spec, &destination).await?;
        Ok(session.submit(&spec).await?)
    };
    let submitted = unless_interrupted(&mut interrupts, submit).await?;
    context.note_version(&session.client());
    let fetch = fetch_command(submitted.id, args.output.as_deref(), args.force);
    let task = if submitted.state == TaskState::Succeeded {
        session.call::<TaskGet>(&TaskIdParams { id: submitted.id }).await?
    } else {
        let one =
            SingleTaskWait { title: &args.prompt, timeout: args.timeout, fetch: Some(&fetch), text: None };
        wait_for_one(context.output, &session, submitted.id, one, &mut interrupts).await?
    };
    if let Some(failure) = Failure::of_task(&task) {
        let is_held = task.state == TaskState::Held;
        return Err(if is_held { with_fetch(failure, task.id, &fetch) } else { failure });
    }
    let destination = with_true_ending(context, destination, &task);
    let delivery = deliver(context, &session, &task, (&destination, 1), existing, &mut interrupts);
    let files = delivery.await?;
    say_if_cached(context, &task);
    if let Some(notes) = tasks::notes(&task) {
        context.output.warn(&notes);
    }
    context
        .output
        .document(&Document { files: files.iter().map(|file| table::path(file)).collect(), task: &task })?;
    context.output.paths(&files)?;
    Ok(Exit::Done)
}

/// Parses `-o` and checks the output file, before anything is asked or paid for.
fn check_destination(context: &Context, args: &Args, existing: Existing) -> Result<Destination, Failure> {
    let destination = Destination::parse(args.output.as_deref());
    match &destination {
        Destination::Stdout if context.output.is_json => {
            return Err(Failure::usage(
                "-o - and --json cannot be used together, because both print to stdout",
            ));
        }
        Destination::Stdout => {}
        Destination::File(path) => {
            if ending_of(path).is_none_or(|ending| !ENDINGS.contains(&ending.as_str())) {
                let shown = table::path(path);
                return Err(Failure::usage(format!("{shown} does not end in .mp4 (or .webm)"))
                    .hint("name a .mp4, which is what most services make; videos are not converted"));
            }
            creatable::check_file(path, existing)?;
            creatable::check_room(path.parent().unwrap_or(Path::new("")), VIDEO_BYTES)?;
        }
        Destination::Directory(directory) => {
            creatable::check_directory(directory, &format!("{}.mp4", slug(&args.prompt)))?;
            creatable::check_room(directory, VIDEO_BYTES)?;
        }
    }
    Ok(destination)
}

/// Fails if the file is to be a .webm and the video would come from `draft`, which makes .mp4 files only.
async fn check_provider(
    session: &Session,
    spec: &TaskSpec,
    destination: &Destination,
) -> Result<(), Failure> {
    let Destination::File(path) = destination else { return Ok(()) };
    if ending_of(path).is_none_or(|ending| ending == "mp4") {
        return Ok(());
    }
    let plan = dry_run::ask(session, spec).await?;
    if plan.provider.as_deref() == Some(reel_client::DRAFT) {
        let shown = table::path(path);
        return Err(Failure::usage(format!("{shown} does not end in .mp4, which is what draft makes")));
    }
    Ok(())
}

fn ending_of(path: &Path) -> Option<String> {
    Some(path.extension()?.to_str()?.to_ascii_lowercase())
}

/// Changes the extension of the output file if the provider sent another video format than it names, because videos are not converted.
fn with_true_ending(context: &Context, destination: Destination, task: &TaskView) -> Destination {
    let Destination::File(path) = &destination else { return destination };
    let Some(sent) = task.outputs.first().map(|output| extension(&output.media_type)) else {
        return destination;
    };
    if ![ENDINGS.as_slice(), &["mov"]].concat().contains(&sent)
        || ending_of(path).is_some_and(|ending| ending == sent)
    {
        return destination;
    }
    let plain = path.with_extension(sent);
    // With `--force`, only the file that was named is replaced.
    let mut names =
        std::iter::once(plain.clone()).chain((2..).map(|number| naming::numbered(&plain, number)));
    let path = names.find(|path| !save::is_taken(path)).unwrap_or(plain);
    context.output.warn(&format!(
        "the provider sent another video format, so the file is named {}",
        table::path(&path)
    ));
    Destination::File(path)
}

async fn spec(session: &Session, args: &Args) -> Result<TaskSpec, Failure> {
    let picture = inputs::put_picture(session, &args.image).await?;
    let params = VideoParams {
        image: Some(picture),
        duration_s: args.seconds,
        width: args.size.map(|(width, _)| width),
        height: args.size.map(|(_, height)| height),
        model: args.model.clone(),
        ..VideoParams::new(&args.prompt)
    };
    Ok(TaskSpec {
        kind: "video.generate".to_owned(),
        params: JsonText::from_value(&params).map_err(|error| Failure::usage(error.to_string()))?,
        provider: args.provider.clone(),
        cache: cache_mode(args.fresh, false),
        ..TaskSpec::default()
    })
}
