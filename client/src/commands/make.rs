//! `reel make`: from a story to its storyboard, offline and without the daemon.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

use reel_protocol::Digest;
use reel_story::{
    StoryError,
    project::{FrameSize, Project, ProjectFile, Scene, Shot, StoryFile, Video, new_file},
    speaking_time, split_bytes,
    timeline::{Change, Pace, ShotLength, Timeline, f64_samples, samples_at, timeline},
};
use serde::Serialize;

use crate::{
    exit::Exit,
    failure::Failure,
    output::Output,
    save::{self, Existing},
    table,
};

/// The ending of project files.
const ENDING: &str = ".reel.toml";
/// The largest project file that is read. That of a story of 2 MB has up to 40 MB, where each word is a scene.
const PROJECT_BYTES: u64 = 64 * 1024 * 1024;

/// Which story, and how far.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  reel make story.txt --dry-run\n  reel make story.txt --until storyboard --size 9:16"
)]
#[command(group(clap::ArgGroup::new("extent").required(true).args(["dry_run", "until"])))]
pub struct Args {
    /// The story, a text in UTF-8, or its project file (.reel.toml).
    #[arg(value_name = "STORY|PROJECT")]
    pub story: PathBuf,
    /// The size of a new project, such as 1280x720, 16:9, 9:16 or 1:1 [default: 1920x1080].
    #[arg(long)]
    pub size: Option<FrameSize>,
    /// The style of a new project's pictures [default: cinematic].
    #[arg(long)]
    pub style: Option<String>,
    /// How the shots of a new project follow each other [default: dissolve].
    #[arg(long, value_enum)]
    pub transition: Option<Transition>,
    /// The language of the text, such as en or ja; it tells how Chinese characters are read.
    #[arg(long)]
    pub language: Option<String>,
    /// Where to stop: storyboard writes the project file, in which the shots can be changed.
    #[arg(long, value_enum)]
    pub until: Option<Stage>,
    /// Print the shots and what they need, and write nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// Where to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Stage {
    /// After the project file.
    Storyboard,
}

/// How one shot follows another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Transition {
    /// At once.
    Cut,
    /// One picture passes into the next.
    Dissolve,
}

/// A story's project, read or new.
struct Storyboard {
    project: Project,
    path: PathBuf,
    /// What the project file should hold, and whether it is there already.
    text: String,
    former: Option<String>,
    is_story_changed: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    project: String,
    /// Whether the project file was written now.
    is_written: bool,
    /// Whether the story is another one than the project was split from.
    is_story_changed: bool,
    shots: Vec<ShotDocument<'a>>,
    scenes: &'a [Scene],
    duration_s: f64,
    frames: u64,
    spoken_characters: usize,
    pictures: usize,
}

#[derive(Serialize)]
struct ShotDocument<'a> {
    start_s: f64,
    duration_s: f64,
    /// About how long the text takes to be spoken.
    speech_s: f64,
    #[serde(flatten)]
    shot: &'a Shot,
}

/// Makes the storyboard.
pub fn run(output: Output, args: &Args) -> Result<Exit, Failure> {
    let storyboard = open(args)?;
    let is_new = storyboard.former.as_ref() != Some(&storyboard.text);
    let is_written = is_new && args.until == Some(Stage::Storyboard) && !args.dry_run;
    let (speech, timeline) = place(&storyboard.project, args.language.as_deref())?;
    if is_written {
        write(&storyboard)?;
    }
    show(output, &storyboard, &speech, &timeline, is_written)?;
    let path = table::path(&storyboard.path);
    if storyboard.is_story_changed {
        output.warn(&format!(
            "the story was changed since {path} was made from it; the shots are those of {path}: move it away to have the story split anew"
        ));
    }
    if storyboard.former.is_some()
        && (args.size.is_some() || args.style.is_some() || args.transition.is_some())
    {
        output.warn(&format!("{path} is there already: its own size, style and transition count"));
    }
    if is_written {
        let verb = if storyboard.former.is_some() { "gave ids to new shots in" } else { "wrote" };
        output.note(&format!("{verb} {path}; change what you like there"));
    } else if args.dry_run && storyboard.former.is_none() {
        output.note("nothing was written; --until storyboard writes the shots to a file that you can change");
    }
    Ok(Exit::Done)
}

/// Reads the project file, or splits the story where there is none.
fn open(args: &Args) -> Result<Storyboard, Failure> {
    let given = &args.story;
    let name = given.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if name.ends_with(ENDING) {
        let text =
            read_project(given)?.ok_or_else(|| missing(given, &std::io::ErrorKind::NotFound.into()))?;
        return read(given.clone(), text, None);
    }
    let bytes = read_bytes(given, reel_story::MAX_BYTES as u64)?;
    let digest = Digest::from_bytes(*blake3::hash(&bytes).as_bytes()).to_string();
    let path = project_path(given);
    if let Some(text) = read_project(&path)? {
        return read(path, text, Some(&digest));
    }
    let story = split_bytes(&bytes, args.language.as_deref()).map_err(|error| bad_story(given, &error))?;
    let mut video = Video::default();
    if let Some(size) = args.size {
        video.size = size;
    }
    if let Some(style) = &args.style {
        video.style.clone_from(style);
    }
    if args.transition == Some(Transition::Cut) {
        video.transition = reel_story::project::Change::Cut;
    }
    let project = Project::of_story(&story, StoryFile { file: name, digest }, video);
    let text = new_file(&project);
    Ok(Storyboard { project, path, text, former: None, is_story_changed: false })
}

fn read(path: PathBuf, text: String, digest: Option<&str>) -> Result<Storyboard, Failure> {
    let mut file = ProjectFile::parse(&text).map_err(|error| {
        Failure::new(Exit::BadData, "bad_data", format!("{}: {error}", table::path(&path)))
    })?;
    file.assign_ids();
    let project = file.project().clone();
    let split_from = project.story.as_ref().map(|story| story.digest.as_str());
    let is_story_changed = digest.is_some_and(|digest| split_from.is_some_and(|from| from != digest));
    Ok(Storyboard { project, path, text: file.to_string(), former: Some(text), is_story_changed })
}

/// `DIR/x.txt` has its project in `DIR/x.reel.toml`.
fn project_path(story: &Path) -> PathBuf {
    let mut name = story.file_stem().unwrap_or_default().to_owned();
    name.push(ENDING);
    story.with_file_name(name)
}

/// The project file's text, where there is one.
fn read_project(path: &Path) -> Result<Option<String>, Failure> {
    if !save::is_taken(path) {
        return Ok(None);
    }
    let bytes = read_bytes(path, PROJECT_BYTES)?;
    if bytes.len() as u64 > PROJECT_BYTES {
        let message = format!("{} has more than {PROJECT_BYTES} bytes", table::path(path));
        return Err(Failure::new(Exit::BadData, "bad_data", message));
    }
    let text = String::from_utf8(bytes).map_err(|_| {
        Failure::new(Exit::BadData, "bad_data", format!("{} is not in UTF-8", table::path(path)))
    })?;
    Ok(Some(text))
}

/// The bytes of a file, one more than `most` of a longer one.
fn read_bytes(path: &Path, most: u64) -> Result<Vec<u8>, Failure> {
    let file = std::fs::File::open(path).map_err(|error| missing(path, &error))?;
    let mut bytes = Vec::new();
    let read = file.take(most + 1).read_to_end(&mut bytes);
    read.map_err(|error| Failure::io(&format!("cannot read {}", table::path(path)), &error))?;
    Ok(bytes)
}

fn missing(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Exit::NoInput, "no_input", format!("cannot read {}: {error}", table::path(path)))
}

fn bad_story(path: &Path, error: &StoryError) -> Failure {
    Failure::new(Exit::BadData, "bad_data", format!("{}: {error}", table::path(path)))
}

/// The samples of each shot's speech as estimated, and where the shots are.
fn place(project: &Project, language: Option<&str>) -> Result<(Vec<u64>, Timeline), Failure> {
    let spoken = |shot: &Shot| f64_samples(speaking_time(narration(shot), language).as_secs_f64());
    let speech: Vec<u64> = project.shots.iter().map(spoken).collect();
    let lengths: Vec<ShotLength> =
        project.shots.iter().zip(&speech).map(|(shot, speech)| length(project, shot, *speech)).collect();
    let video = &project.video;
    let transition_frames = (video.transition_s * f64::from(video.fps)).round() as u32;
    let pace = Pace { transition_frames, ..Pace::new(video.fps) };
    let timeline = timeline(&pace, &lengths)
        .map_err(|error| Failure::new(Exit::BadData, "bad_data", error.to_string()))?;
    Ok((speech, timeline))
}

fn length(project: &Project, shot: &Shot, speech: u64) -> ShotLength {
    use reel_story::project::{Change as Usual, ShotChange};
    let change = match (shot.transition, project.video.transition) {
        (ShotChange::Cut, _) | (ShotChange::Usual, Usual::Cut) => Change::Cut,
        (ShotChange::Dissolve, _) | (ShotChange::Usual, Usual::Dissolve) => Change::Dissolve,
    };
    ShotLength { speech, least: f64_samples(shot.min_s), hold: f64_samples(shot.hold_s), change }
}

/// What is spoken.
fn narration(shot: &Shot) -> &str {
    if shot.speak.is_empty() { &shot.text } else { &shot.speak }
}

fn show(
    output: Output,
    storyboard: &Storyboard,
    speech: &[u64],
    timeline: &Timeline,
    is_written: bool,
) -> Result<(), Failure> {
    let project = &storyboard.project;
    let seconds = |samples: u64| (samples as f64 / 48.0).round() / 1000.0;
    let shots: Vec<ShotDocument> = project
        .shots
        .iter()
        .zip(&timeline.shots)
        .zip(speech)
        .map(|((shot, placed), speech)| ShotDocument {
            start_s: seconds(samples_at(placed.start_frame, timeline.fps)),
            duration_s: seconds(samples_at(placed.frames, timeline.fps)),
            speech_s: seconds(*speech),
            shot,
        })
        .collect();
    let rows: Vec<[String; 4]> = shots
        .iter()
        .map(|found| {
            let text =
                if found.shot.text.is_empty() { "(silent)".to_owned() } else { found.shot.text.clone() };
            [found.shot.id.clone(), clock(found.start_s), format!("{:.1} s", found.duration_s), text]
        })
        .collect();
    let is_made = |shot: &&Shot| shot.picture_file.is_empty() && shot.clip_file.is_empty();
    let pictures = project.shots.iter().filter(is_made).count();
    let is_spoken = |shot: &&Shot| shot.voice_file.is_empty();
    let spoken_characters =
        project.shots.iter().filter(is_spoken).map(|shot| narration(shot).chars().count()).sum();
    let document = Document {
        project: table::path(&storyboard.path),
        is_written,
        is_story_changed: storyboard.is_story_changed,
        scenes: &project.scenes,
        duration_s: seconds(timeline.samples),
        frames: timeline.frames,
        spoken_characters,
        pictures,
        shots,
    };
    output.document(&document)?;
    output.data(&table::columns(["SHOT", "AT", "TAKES", "TEXT"], &rows, output.width()))?;
    let total = clock(document.duration_s);
    let video = &project.video;
    output.note(&format!(
        "{} in {}, about {total} at {} and {} frames a second; {} to speak, {} to make",
        count(rows.len(), "shot"),
        count(project.scenes.len(), "scene"),
        video.size,
        video.fps,
        count(spoken_characters, "character"),
        count(pictures, "picture"),
    ));
    Ok(())
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// A time within the film.
fn clock(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    format!("{}:{:02}", whole / 60, whole % 60)
}

/// Writes the project file. One that is there is replaced only if nobody changed it since it was read.
fn write(storyboard: &Storyboard) -> Result<(), Failure> {
    let path = &storyboard.path;
    let Some(former) = &storyboard.former else {
        let mut temporary = save::temporary_beside(path)?;
        let written = std::io::Write::write_all(&mut temporary, storyboard.text.as_bytes());
        written.map_err(|error| save::cannot_write(path, &error))?;
        return save::place(temporary, path, Existing::Keep);
    };
    if read_project(path)?.as_ref() != Some(former) {
        let message = format!("{} was changed by somebody else just now", table::path(path));
        return Err(Failure::new(Exit::TryLater, "busy", message).hint("run the command again"));
    }
    // A link stays one.
    let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.clone());
    save::replace(&target, storyboard.text.as_bytes())
}
