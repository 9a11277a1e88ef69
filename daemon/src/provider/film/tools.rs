//! The code that all steps share: it runs `ffmpeg` in a directory of its own, and keeps the file that it wrote.

use std::{collections::BTreeMap, fs, io, io::Read as _, path::Path, time::Duration};

use reel_protocol::{ErrorCode, FilmFormat, StoryMakeParams};
use tokio::sync::watch;

use super::{
    FFMPEG, INSTALL,
    frames::FramesError,
    watch::{self as watching, Part, Places, STALL, Stopped},
};
use crate::{
    cache::{Body, NewArtifact, Spools},
    chain::chain,
    domain::{CancelSignal, Class, Facts, Failure, RenderRequest},
    fonts::FontError,
    media::{self, Condition, Inspection},
    memory::{Budget, Holder, OverBudget},
    process::Limits,
    provider::{
        GenerateError, Generated,
        command::{CommandDefinition, CommandError, CommandRunner, Made, Template, Verified},
    },
};

/// The name of the provider.
pub(in crate::provider) const NAME: &str = "ffmpeg";
/// Largest file that a step may write, in bytes. An hour of film at 1080p has 2 GB, and an hour of uncompressed stereo sound has 700 MB.
const MOST_BYTES: u64 = 8 * 1024 * 1024 * 1024;
/// A disk with less room than this is taken for the reason why a file is not complete.
const LEAST_ROOM_BYTES: u64 = 1024 * 1024;
/// The time that a step may take: a base, and this number of seconds for each second that it makes. It takes a tenth of that on a busy machine.
const LEAST_TIME: Duration = Duration::from_mins(2);
const SECOND_TIME: u32 = 30;

/// The services of the daemon that all steps use. Cheap to clone.
#[derive(Debug, Clone)]
pub(in crate::provider) struct FilmTools {
    pub(in crate::provider) budget: Budget,
    pub(in crate::provider) spools: Spools,
    pub(in crate::provider) commands: CommandRunner,
}

/// How much a run of the program makes, from which its limits follow.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    /// The pixels of a frame; 0 for sound.
    pub pixels: u64,
    /// The playing time of what is made.
    pub length: Duration,
}

impl Size {
    /// The size of a run that makes this number of frames.
    pub(super) fn of_frames(format: FilmFormat, frames: u64) -> Self {
        let pixels = u64::from(format.width) * u64::from(format.height);
        Self { pixels, length: Duration::from_secs(frames / u64::from(format.fps.max(1)) + 1) }
    }

    /// The same size, for a run that also decodes a clip with this number of pixels per frame.
    pub(super) const fn beside(self, pixels: u64) -> Self {
        Self { pixels: self.pixels + pixels, ..self }
    }

    /// The size of a run that makes this number of samples at 48 kHz.
    pub(super) const fn of_samples(samples: u64) -> Self {
        Self { pixels: 0, length: Duration::from_secs(samples / 48_000 + 1) }
    }
}

/// What the program must have made. A file of another length or size must not get into the cache as the result.
#[derive(Debug, Clone, Copy)]
pub(super) enum Form {
    /// This number of frames without sound.
    Clip(FilmFormat, u64),
    /// This number of frames with sound. The sound may be longer than the frames.
    Film(FilmFormat, u64),
    /// This number of samples at 48 kHz.
    Sound(u64),
}

impl Form {
    /// Returns what is wrong with the file; `None` if it has this form.
    fn differs(self, facts: &Facts) -> Option<String> {
        let (media, length_s, most_off_s, pixels) = match self {
            Self::Clip(FilmFormat { width, height, fps }, frames)
            | Self::Film(FilmFormat { width, height, fps }, frames) => {
                let fps = f64::from(fps.max(1));
                ("video/", frames as f64 / fps, 0.5 / fps, Some((width, height)))
            }
            Self::Sound(samples) => ("audio/", samples as f64 / 48_000.0, 0.001, None),
        };
        if !facts.media_type.starts_with(media) {
            return Some(format!("a file of {}, where {}* was asked for", facts.media_type, media));
        }
        let is_off = |found_s: &f64| match self {
            Self::Film(..) => *found_s < length_s - most_off_s,
            Self::Clip(..) | Self::Sound(_) => (found_s - length_s).abs() > most_off_s,
        };
        if let Some(found_s) = facts.duration_s.filter(is_off) {
            return Some(format!("a file of {found_s:.3} s, where {length_s:.3} s were asked for"));
        }
        let found = facts.pixels.map(|pixels| (pixels.width, pixels.height));
        let (found, wanted) = found.zip(pixels).filter(|(found, wanted)| found != wanted)?;
        Some(format!("frames of {}x{}, where {}x{} were asked for", found.0, found.1, wanted.0, wanted.1))
    }
}

impl FilmTools {
    /// Runs the program. `prepare` gets the program's directory and the path of its output; it makes files in the directory, and returns the
    /// arguments. `part` is the part of the task's progress that this run reports; `None` if the caller reports the progress.
    pub(super) async fn run(
        &self,
        extension: &str,
        size: Size,
        prepare: impl FnOnce(&Path, &Path) -> io::Result<Vec<String>> + Send + 'static,
        cancel: CancelSignal,
        part: Option<Part>,
    ) -> Result<Made, GenerateError> {
        let (stop, stopped) = watch::channel(false);
        let places = Places::default();
        let noted = places.clone();
        let prepare = move |directory: &Path, output: &Path| {
            let mut arguments = noted.note(directory, output).to_vec();
            arguments.extend(prepare(directory, output)?);
            Ok(arguments)
        };
        let definition = definition(extension, size);
        let making = self.commands.make_in(NAME, &definition, prepare, stopped);
        let watching = watching::watch(places, (size.length, part), cancel.clone(), stop, STALL);
        tokio::pin!(making, watching);
        let (made, end) = tokio::select! {
            made = &mut making => (made, None),
            end = &mut watching => (making.await, Some(end)),
        };
        // Once the task is cancelled, no further frames are drawn, and the program succeeds with a file that is too short.
        match made {
            _ if *cancel.borrow() => Err(GenerateError::Stopped),
            Ok(made) => Ok(made),
            Err(CommandError::Stopped) if end == Some(Stopped::Stalled) => Err(stuck()),
            Err(CommandError::Stopped) => Err(GenerateError::Stopped),
            Err(CommandError::Failed(failure)) => Err(GenerateError::Failed(by_the_system(failure))),
        }
    }

    /// Inspects the program's file from its first byte to its last, and keeps it as an artifact if it has this form.
    pub(super) async fn keep(&self, made: Made, form: Form) -> Result<Generated, GenerateError> {
        let tools = self.clone();
        let keeping = tokio::task::spawn_blocking(move || tools.keep_now(&made, form));
        keeping.await.unwrap_or_else(|panic| Err(broken("looking at the file", &panic.to_string())))
    }

    fn keep_now(&self, made: &Made, form: Form) -> Result<Generated, GenerateError> {
        let reserve = |holder, bytes| self.budget.reserve(holder, bytes).map_err(|over| over_memory(&over));
        let inspecting = reserve(Holder::Decode, media::MEMORY_BYTES)?;
        let unreadable = |error: io::Error| io_failed("keeping what ffmpeg made", &error);
        let mut file = fs::File::open(&made.path).map_err(unreadable)?;
        let inspected = media::inspect(&mut file, media::Limits::default());
        drop(inspecting);
        let facts = match inspected {
            Ok(Inspection { facts, condition: Condition::Whole | Condition::Unchecked(_) }) => facts,
            Ok(Inspection { facts, .. }) => {
                return Err(self.unusable(&format!("ffmpeg wrote a part of a file of {}", facts.media_type)));
            }
            Err(error) => return Err(self.unusable(&chain(&error))),
        };
        if let Some(why) = form.differs(&facts) {
            return Err(self.unusable(&format!("ffmpeg wrote {why}")));
        }
        let mut spool = self.spools.create();
        let mut source = fs::File::open(&made.path).map_err(unreadable)?.take(MOST_BYTES);
        io::copy(&mut source, &mut spool).map_err(unreadable)?;
        let spooled = spool.finish().map_err(unreadable)?;
        let reservation = reserve(Holder::Body, spooled.memory_bytes())?;
        let artifact = NewArtifact { body: Body::Spooled(spooled), reservation: Some(reservation), facts };
        Ok(vec![artifact].into())
    }

    /// The program reported success, but its file is not what was asked for. Some versions of `ffmpeg` end so when the disk fills up.
    fn unusable(&self, why: &str) -> GenerateError {
        if self.spools.has_room(LEAST_ROOM_BYTES) {
            broken("rendering", why)
        } else {
            GenerateError::Failed(disk_full(format!("the disk is full: {why}")))
        }
    }
}

/// Returns the definition of `ffmpeg` for a run of this size. The arguments are made for each run, so it has none.
fn definition(extension: &str, size: Size) -> CommandDefinition {
    let limits = Limits {
        timeout: LEAST_TIME + size.length * SECOND_TIME,
        memory_bytes: RenderRequest::memory_bytes(size.pixels),
        file_bytes: MOST_BYTES,
        grace: Duration::from_secs(1),
    };
    CommandDefinition {
        about: None,
        source: None,
        checked_on: None,
        verified: Verified::Run,
        install: Some(INSTALL.to_owned()),
        services: vec!["render".to_owned()],
        is_paid: false,
        program: FFMPEG.to_owned(),
        argv: Template::default(),
        stdin: None,
        extension: extension.to_owned(),
        exit: BTreeMap::new(),
        environment: Vec::new(),
        limits,
        is_memory_set: true,
        voice: None,
        model: None,
        languages: BTreeMap::new(),
        voice_list: None,
        is_embedded: true,
    }
}

/// Turns an error of drawing frames into the failure of the task.
pub(super) fn undrawn(error: FramesError) -> GenerateError {
    match error {
        FramesError::Picture(why) => {
            refused(why, "name another picture (PNG, JPEG, WebP, GIF or BMP), or make it smaller")
        }
        FramesError::OverMemory(over) => over_memory(&over),
        FramesError::Io(error) => io_failed("reading the picture", &error),
    }
}

/// The failure of a request that asks for something impossible.
pub(super) fn refused(message: String, hint: &str) -> GenerateError {
    GenerateError::Failed(Failure::with_code(Class::Invalid, ErrorCode::InvalidParams, message, hint))
}

/// The failure of a run that made no progress for `STALL` and was stopped.
fn stuck() -> GenerateError {
    let message = format!("ffmpeg made no progress for {} s and was stopped", STALL.as_secs());
    let hint = "one of the files may be damaged, or the disk does not answer; the task is tried again";
    GenerateError::Failed(Failure::new(Class::Transient(None), message, hint))
}

/// Makes a failure transient if it is not the request's fault and may not occur again: the disk was full, or a signal ended the program.
fn by_the_system(failure: Failure) -> Failure {
    let message = failure.error.message.clone();
    if message.contains("No space left on device") {
        disk_full(message)
    } else if message.contains("was ended by signal") {
        let hint = "the system may have been out of memory; the task is tried again";
        Failure::new(Class::Transient(None), message, hint)
    } else {
        failure
    }
}

/// A file of the daemon could not be read or written.
pub(super) fn io_failed(what: &str, error: &io::Error) -> GenerateError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            GenerateError::Failed(disk_full(format!("{what} failed: {error}")))
        }
        _ => broken(what, &error.to_string()),
    }
}

/// The disk of the daemon's home has no room.
fn disk_full(message: String) -> Failure {
    let hint = "free some room on the disk of the daemon's home; the task is tried again";
    Failure::with_code(Class::Transient(None), ErrorCode::StorageFull, message, hint)
}

/// The failure of a request with a letter in its subtitles that no font has.
pub(super) fn no_font(error: FontError) -> GenerateError {
    let hint = format!("{}, or another font with it", FontError::INSTALL);
    let mut failure = Failure::with_code(Class::Invalid, ErrorCode::InvalidParams, error.to_string(), hint);
    StoryMakeParams::NO_FONT.clone_into(&mut failure.error.code);
    GenerateError::Failed(failure)
}

/// The memory budget has no room. A reservation that never fits is not tried again.
pub(super) fn over_memory(over: &OverBudget) -> GenerateError {
    let (class, hint) = if over.may_fit_later() {
        (Class::Transient(None), "reel memory shows who holds what; the task is tried again")
    } else {
        (Class::Unknown, "set memory.limit_mb higher, or use a smaller picture")
    };
    GenerateError::Failed(Failure::with_code(class, ErrorCode::OverMemory, over.to_string(), hint))
}

pub(super) fn broken(what: &str, why: &str) -> GenerateError {
    let message = format!("{what} failed: {why}");
    let hint = "reel daemon logs shows the cause";
    GenerateError::Failed(Failure::with_code(Class::Transient(None), ErrorCode::Internal, message, hint))
}
