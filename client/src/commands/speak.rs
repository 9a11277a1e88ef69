//! `reel speak`: makes speech from a text.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use reel_client::{ClientError, Session};
use reel_protocol::{
    JsonText, SpeechFormat, SpeechParams, TaskSpec, TaskState, TaskView,
    limits::PROMPT_BYTES,
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
    given::{self, Kind},
    kanji,
    naming::Destination,
    save::Existing,
    signals::Interrupts,
    slug::slug,
    sound, table, tasks, units,
    waiting::{SingleTaskWait, unless_interrupted, wait_for_one},
};

/// Free disk space that is required for a speech file, in bytes. Two minutes of WAV fit.
const SPEECH_BYTES: u64 = 6 * 1024 * 1024;

const TEXT: Kind = Kind {
    name: "the text",
    from_stdin: "reel speak -",
    most_bytes: PROMPT_BYTES,
    remedy: "have it spoken in several parts",
};

/// What to say, and where to write it.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  reel speak \"The lamp went out.\" -o line.wav\n  reel speak @chapter.txt --voice alloy --speed 0.9 -o chapter.mp3"
)]
pub struct Args {
    /// What to say, or @FILE, or - for stdin.
    #[arg(value_name = "TEXT|@FILE|-")]
    pub text: String,
    /// The file to write, a .wav or .mp3 (converted by ffmpeg where the provider makes none), or - for stdout [default: a name made from the text].
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// One of the provider's voices [default: the provider's choice].
    #[arg(long)]
    pub voice: Option<String>,
    /// The language of the text, such as en or zh-TW.
    #[arg(long)]
    pub language: Option<String>,
    /// Speed factor, 0.25 to 4.
    #[arg(long, default_value_t = 1.0, value_parser = parse_speed)]
    pub speed: f64,
    /// One of `reel providers`; draft makes silence of the length of the speech [default: the best that speaks].
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

/// Submits the speech's task, waits for it and writes the file.
pub async fn run(context: &Context, args: Args) -> Result<Exit, Failure> {
    let text = given::text(context.output, &args.text, TEXT)?;
    let existing = if args.force { Existing::Replace } else { Existing::Keep };
    let (destination, format) = check_destination(context, &args, &text, existing)?;
    let mut spec = spec(&args, &text, format)?;
    let session = context.session().await?;
    if format == Some(SpeechFormat::Mp3) {
        spec = settle_format(&session, spec, (&args, &text)).await?;
    }
    if args.dry_run {
        if args.provider.is_none() && session.has_only_draft("voice").await? {
            return Err(ClientError::NoSpeaker.into());
        }
        let what = format!("speech of {} characters", text.chars().count());
        return dry_run::one(context, &session, &spec, &what).await;
    }
    let mut interrupts = Interrupts::listen();
    let submit = async {
        if args.provider.is_none() && session.has_only_draft("voice").await? {
            return Err(ClientError::NoSpeaker.into());
        }
        let speech = kanji::Speech {
            text: &text,
            language: args.language.as_deref(),
            provider: args.provider.as_deref(),
        };
        kanji::warn(context.output, &session, speech).await;
        Ok(session.submit(&spec).await?)
    };
    let submitted = unless_interrupted(&mut interrupts, submit).await?;
    context.note_version(&session.client());
    let fetch = fetch_command(submitted.id, args.output.as_deref(), args.force);
    let task = if submitted.state == TaskState::Succeeded {
        session.call::<TaskGet>(&TaskIdParams { id: submitted.id }).await?
    } else {
        let one = SingleTaskWait { title: &text, timeout: args.timeout, fetch: Some(&fetch), text: None };
        wait_for_one(context.output, &session, submitted.id, one, &mut interrupts).await?
    };
    if let Some(failure) = Failure::of_task(&task) {
        let is_held = task.state == TaskState::Held;
        return Err(if is_held { with_fetch(failure, task.id, &fetch) } else { failure });
    }
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

/// Parses `-o` and checks the output file, before anything is asked or paid for. Also returns the audio format that the extension names.
fn check_destination(
    context: &Context,
    args: &Args,
    text: &str,
    existing: Existing,
) -> Result<(Destination, Option<SpeechFormat>), Failure> {
    let destination = Destination::parse(args.output.as_deref());
    let format = match &destination {
        Destination::Stdout if context.output.is_json => {
            return Err(Failure::usage(
                "-o - and --json cannot be used together, because both print to stdout",
            ));
        }
        Destination::Stdout => None,
        Destination::File(path) => {
            let format = format_of(path).ok_or_else(|| {
                Failure::usage(format!("{} does not end in .wav or .mp3", table::path(path)))
            })?;
            creatable::check_file(path, existing)?;
            creatable::check_room(path.parent().unwrap_or(Path::new("")), SPEECH_BYTES)?;
            Some(format)
        }
        Destination::Directory(directory) => {
            creatable::check_directory(directory, &format!("{}.wav", slug(text)))?;
            creatable::check_room(directory, SPEECH_BYTES)?;
            None
        }
    };
    Ok((destination, format))
}

fn parse_speed(text: &str) -> Result<f64, String> {
    text.parse().map_err(|_| "a speed is a number from 0.25 to 4, such as 0.9".to_owned())
}

/// Changes the request for an MP3 to the provider's own format if no provider makes MP3 files, so that ffmpeg converts the result. Fails if ffmpeg is
/// not installed.
async fn settle_format(
    session: &Session,
    spec: TaskSpec,
    (args, text): (&Args, &str),
) -> Result<TaskSpec, Failure> {
    let Err(refusal) = dry_run::ask(session, &spec).await else { return Ok(spec) };
    let own = self::spec(args, text, None)?;
    // If the provider refuses the request for its own format too, the reason is another one.
    if dry_run::ask(session, &own).await.is_err() || sound::has_converter() {
        return Ok(own);
    }
    let wav = args.output.as_deref().unwrap_or(Path::new("line.mp3")).with_extension("wav");
    Err(Failure::usage(refusal.error.message)
        .hint(format!("name the file {}, or install ffmpeg, which converts it", table::path(&wav))))
}

fn format_of(path: &Path) -> Option<SpeechFormat> {
    let ending = path.extension()?.to_str()?.to_ascii_lowercase();
    [SpeechFormat::Wav, SpeechFormat::Mp3].into_iter().find(|format| format.name() == ending)
}

fn spec(args: &Args, text: &str, format: Option<SpeechFormat>) -> Result<TaskSpec, Failure> {
    let params = SpeechParams {
        voice: args.voice.clone(),
        language: args.language.clone(),
        speed: args.speed,
        format,
        model: args.model.clone(),
        ..SpeechParams::new(text)
    };
    Ok(TaskSpec {
        kind: "voice.speak".to_owned(),
        params: JsonText::from_value(&params).map_err(|error| Failure::usage(error.to_string()))?,
        provider: args.provider.clone(),
        cache: cache_mode(args.fresh, false),
        ..TaskSpec::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_says_the_form() {
        for (path, format) in [
            ("a.wav", Some(SpeechFormat::Wav)),
            ("b.c.MP3", Some(SpeechFormat::Mp3)),
            ("a.ogg", None),
            ("wav", None),
            (".mp3", None),
        ] {
            assert_eq!(format_of(Path::new(path)), format, "{path}");
        }
    }
}
