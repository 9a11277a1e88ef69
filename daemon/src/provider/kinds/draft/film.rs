//! Videos by `draft`: `ffmpeg`, if it is installed, moves a camera slowly over a still.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Cursor, Read as _},
    ops::ControlFlow,
    path::Path,
    sync::Arc,
    time::Duration,
};

use reel_draft::{self as draft, Panel};
use reel_protocol::{ErrorCode, TaskNote};

use super::{Draft, NAME, draw_one, failed, over_memory};
use crate::{
    cache::{Body, NewArtifact, Spooled},
    domain::{CancelSignal, InputFile, ProgressSink, VideoCapabilities, VideoRequest},
    media::{self, Condition, Inspection},
    memory::{Holder, Reservation},
    process::Limits,
    provider::{
        GenerateError, Generated,
        command::{CommandDefinition, CommandError, Made, Template, Verified, find_program},
        inspect::outline,
    },
};

/// The program that makes videos from stills.
const FFMPEG: &str = "ffmpeg";
/// The commands with which a person installs the program.
const INSTALL: &str = "apt install ffmpeg, or brew install ffmpeg";
/// The size if a request names none, in pixels.
const SIZE: (u32, u32) = (1_280, 720);
/// Media types of stills, each with the only demuxer that `ffmpeg` may use for it.
const FORMS: [(&str, &str); 3] =
    [("image/png", "png_pipe"), ("image/jpeg", "jpeg_pipe"), ("image/webp", "webp_pipe")];
/// Largest still, in bytes.
const MAX_STILL_BYTES: u64 = 64 * 1024 * 1024;
/// The length if a request names none, in seconds.
const LENGTH_S: f64 = 4.0;
/// The longest video, in seconds: a draft only gives an impression of a shot.
const LONGEST_S: f64 = 60.0;
/// Frames per second if a request names no rate.
const FPS: u32 = 24;
/// Largest camera travel as a fraction of the still's sides. The move is slow.
const TRAVEL: f64 = 0.12;
/// The factor by which the still is enlarged before the camera moves over it. Without it the picture would tremble, as `zoompan` moves by whole
/// pixels.
const ENLARGED: u32 = 2;
/// Limits of the child process. A film of 2048 x 2048 pixels needs 700 MB.
const LIMITS: Limits = Limits {
    timeout: Duration::from_mins(10),
    memory_bytes: 1024 * 1024 * 1024,
    file_bytes: 512 * 1024 * 1024,
    grace: Duration::from_secs(3),
};

/// The size and the length of a film, and its camera move.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Shot {
    width: u32,
    height: u32,
    frames: u32,
    fps: u32,
    /// The camera move, 0 to 3: in, out, to the right, to the left.
    camera: u64,
}

/// A still picture that `ffmpeg` reads from its standard input.
struct Still {
    bytes: Vec<u8>,
    /// The demuxer that `ffmpeg` uses for it.
    demuxer: &'static str,
    /// The reservation that covers `bytes`.
    _held: Option<Reservation>,
}

impl Shot {
    /// Returns the shot of a request. `picture` is the size of its input picture, if there is one. Both sides are made even, as H.264 with the
    /// pixel format that every player supports (yuv420p) needs that.
    fn of(request: &VideoRequest, picture: Option<(u32, u32)>) -> Self {
        let (width, height) =
            request.params.size().unwrap_or_else(|| picture.map_or(SIZE, |picture| fitted(picture, SIZE.0)));
        let fps = request.params.fps.unwrap_or(FPS);
        let length_s = request.params.duration_s.unwrap_or(LENGTH_S);
        let frames = (length_s * f64::from(fps)).round().max(1.0) as u32;
        Self { width: width & !1, height: height & !1, frames, fps, camera: request.seed % 4 }
    }

    /// The arguments of `ffmpeg`, with which it reads the still from its standard input and nothing from anywhere else.
    fn arguments(self, demuxer: &str, output: &Path) -> Vec<String> {
        let Self { width, height, fps, .. } = self;
        let (wide, high) = (width * ENLARGED, height * ENLARGED);
        let filter = format!(
            "scale={wide}:{high}:force_original_aspect_ratio=increase:flags=bicubic,crop={wide}:{high},{},format=yuv420p",
            self.zoom()
        );
        let input = format!("-protocol_whitelist pipe -f {demuxer} -i pipe:0");
        let fixed = format!("-nostdin -hide_banner -loglevel error -y {input}");
        let encoding = "-an -c:v libx264 -preset veryfast -crf 22 -movflags +faststart -threads 2";
        let mut arguments: Vec<_> = fixed.split(' ').map(str::to_owned).collect();
        arguments.extend(["-vf".to_owned(), filter, "-r".to_owned(), fps.to_string()]);
        arguments.extend(encoding.split(' ').map(str::to_owned));
        arguments.extend(["-f".to_owned(), "mp4".to_owned(), format!("file:{}", output.display())]);
        arguments
    }

    /// The `zoompan` filter of the camera move: in, out, to the right or to the left. The move is slower at its beginning and its end.
    fn zoom(self) -> String {
        let Self { width, height, frames, fps, camera } = self;
        let last = frames.saturating_sub(1).max(1);
        let eased = format!("(0.5-0.5*cos(PI*on/{last}))");
        let full = 1.0 + TRAVEL;
        let centre = ("iw/2-iw/zoom/2".to_owned(), "ih/2-ih/zoom/2".to_owned());
        let (zoom, (x, y)) = match camera {
            0 => (format!("1+{TRAVEL}*{eased}"), centre),
            1 => (format!("{full}-{TRAVEL}*{eased}"), centre),
            2 => (full.to_string(), (format!("(iw-iw/zoom)*{eased}"), centre.1)),
            _ => (full.to_string(), (format!("(iw-iw/zoom)*(1-{eased})"), centre.1)),
        };
        format!("zoompan=z='{zoom}':x='{x}':y='{y}':d={frames}:s={width}x{height}:fps={fps}")
    }
}

/// Scales a size down until its longer side is at most `longest`, and makes both sides even. A smaller size is not enlarged.
fn fitted((width, height): (u32, u32), longest: u32) -> (u32, u32) {
    let scale = f64::from(longest.min(width.max(height))) / f64::from(width.max(height).max(1));
    let side = |side: u32| ((f64::from(side) * scale).round() as u32).max(2) & !1;
    (side(width), side(height))
}

/// The params of videos that `draft` supports.
pub(super) fn capabilities() -> VideoCapabilities {
    VideoCapabilities {
        ignored: vec!["last_image", "extra"],
        sides: draft::MIN_SIDE..=draft::MAX_SIDE,
        longest_s: Some(LONGEST_S),
        ..VideoCapabilities::default()
    }
}

impl Draft {
    /// Makes a video of the input picture of a request, or of a panel that is drawn from its prompt.
    pub(super) async fn film(
        self: Arc<Self>,
        request: VideoRequest,
        cancel: CancelSignal,
        progress: ProgressSink,
    ) -> Result<Generated, GenerateError> {
        // Check for the program before anything is drawn.
        find_program(FFMPEG, Some(INSTALL)).map_err(|error| {
            let message = format!("draft makes videos by ffmpeg: {error}");
            let hint = format!("{INSTALL}; or reel providers add, for a service that makes videos");
            failed(ErrorCode::NoProvider, message, &hint, false)
        })?;
        let draft = Arc::clone(&self);
        let (stop, report) = (cancel.clone(), progress.clone());
        let still = tokio::task::spawn_blocking(move || {
            if let Some(picture) = request.inputs.first() {
                return draft.picture(&request, picture);
            }
            let shot = Shot::of(&request, None);
            Ok((draft.panel(&request, shot, &stop, &report)?, shot))
        });
        let (still, shot) =
            still.await.unwrap_or_else(|panic| Err(broken("making the still", &panic.to_string())))?;
        progress.report(0.4, "filming");
        let Still { bytes, demuxer, _held } = still;
        let arguments = |output: &Path| shot.arguments(demuxer, output);
        let filmed = self.commands.make_from(NAME, &definition(), arguments, bytes, cancel).await;
        let filmed = filmed.map_err(|error| match error {
            CommandError::Stopped => GenerateError::Stopped,
            CommandError::Failed(failure) => GenerateError::Failed(failure),
        })?;
        let keep = move || self.keep(&filmed);
        let kept = tokio::task::spawn_blocking(keep).await;
        let pictures =
            kept.unwrap_or_else(|panic| Err(broken("looking at the video", &panic.to_string())))?;
        Ok(Generated { notes: vec![note()], ..pictures })
    }

    /// Reads the input picture of a request. Refuses other media types than PNG, JPEG and WebP, and files of more than 64 MiB.
    fn picture(&self, request: &VideoRequest, picture: &InputFile) -> Result<(Still, Shot), GenerateError> {
        let media_type = picture.media_type.as_str();
        let Some((_, demuxer)) = FORMS.iter().find(|(form, _)| *form == media_type) else {
            let message = format!("draft films PNG, JPEG and WebP pictures, and this one is {media_type}");
            let hint = "convert it, and put it into the store again";
            return Err(failed(ErrorCode::ProviderRefused, message, hint, false));
        };
        if picture.size_bytes > MAX_STILL_BYTES {
            let message = format!(
                "the picture has {} bytes; at most {MAX_STILL_BYTES} are possible",
                picture.size_bytes
            );
            return Err(failed(ErrorCode::ProviderRefused, message, "make it smaller", false));
        }
        let held = self.budget.reserve(Holder::Drawing, picture.size_bytes);
        let held = held.map_err(|over| over_memory(&over.to_string()))?;
        let bytes =
            fs::read(&picture.path).map_err(|error| broken("reading the picture", &error.to_string()))?;
        let size = outline(Cursor::new(&bytes)).map(|outline| (outline.width, outline.height));
        Ok((Still { bytes, demuxer, _held: Some(held) }, Shot::of(request, size)))
    }

    /// Draws a panel from the prompt.
    fn panel(
        &self,
        request: &VideoRequest,
        shot: Shot,
        cancel: &CancelSignal,
        progress: &ProgressSink,
    ) -> Result<Still, GenerateError> {
        let panel = Panel {
            prompt: request.params.prompt.clone(),
            negative_prompt: None,
            style: None,
            width: shot.width,
            height: shot.height,
            seed: request.seed,
            sample: request.params.sample,
            has_caption: true,
            is_card: false,
        };
        let mut report = |fraction: f32, step: &str| {
            if *cancel.borrow() {
                return ControlFlow::Break(());
            }
            progress.report(f64::from(fraction) * 0.4, step);
            ControlFlow::Continue(())
        };
        let drawn = draw_one(&panel, &self.budget, &mut report)?;
        let Body::Held(bytes) = drawn.body else { return Err(broken("drawing", "the panel has no bytes")) };
        Ok(Still { bytes, demuxer: "png_pipe", _held: drawn.reservation })
    }

    /// Inspects the file that `ffmpeg` wrote, and writes it as an artifact. Blocks on the disk.
    fn keep(&self, made: &Made) -> Result<Generated, GenerateError> {
        let reserve =
            |holder, bytes| self.budget.reserve(holder, bytes).map_err(|over| over_memory(&over.to_string()));
        let inspecting = reserve(Holder::Decode, media::MEMORY_BYTES)?;
        let unreadable = |error: io::Error| broken("reading the video", &error.to_string());
        let mut file = fs::File::open(&made.path).map_err(unreadable)?;
        let inspection = media::inspect(&mut file, media::Limits::default());
        drop(inspecting);
        let facts = match inspection {
            Ok(Inspection { facts, condition: Condition::Whole }) => facts,
            Ok(Inspection { condition, .. }) => {
                return Err(broken("filming", &format!("the file is not whole: {condition:?}")));
            }
            Err(error) => return Err(broken("filming", &crate::chain::chain(&error))),
        };
        let spooled = self.spool(&made.path).map_err(unreadable)?;
        let reservation = reserve(Holder::Body, spooled.memory_bytes())?;
        let video = NewArtifact { body: Body::Spooled(spooled), reservation: Some(reservation), facts };
        Ok(vec![video].into())
    }

    fn spool(&self, path: &Path) -> io::Result<Spooled> {
        let mut spool = self.spools.create();
        io::copy(&mut fs::File::open(path)?.take(LIMITS.file_bytes), &mut spool)?;
        spool.finish()
    }
}

/// The definition of `ffmpeg` for the command runner. The arguments are not in it: each run has its own.
fn definition() -> CommandDefinition {
    CommandDefinition {
        about: None,
        source: None,
        checked_on: None,
        verified: Verified::Run,
        install: Some(INSTALL.to_owned()),
        services: vec!["video".to_owned()],
        is_paid: false,
        program: FFMPEG.to_owned(),
        argv: Template::default(),
        stdin: None,
        extension: "mp4".to_owned(),
        exit: BTreeMap::new(),
        environment: Vec::new(),
        limits: LIMITS,
        is_memory_set: false,
        voice: None,
        model: None,
        languages: BTreeMap::new(),
        voice_list: None,
        is_embedded: true,
    }
}

/// The note that the video is a draft. It is also shown for a cache hit.
fn note() -> TaskNote {
    TaskNote::new(TaskNote::DRAFT, "this is a draft: a camera moves over a still, and nothing in it moves")
}

fn broken(what: &str, why: &str) -> GenerateError {
    failed(ErrorCode::Internal, format!("{what} failed: {why}"), "reel daemon logs shows the cause", false)
}

#[cfg(test)]
mod tests {
    use reel_protocol::VideoParams;

    use super::*;

    #[test]
    fn a_shot_has_the_frames_of_its_length_and_even_sides() {
        let mut params = VideoParams::new("waves");
        let request =
            |params: &VideoParams| VideoRequest { params: params.clone(), seed: 6, inputs: Vec::new() };
        let shot = |params: &VideoParams| Shot::of(&request(params), None);
        let plain = shot(&params);
        assert_eq!(
            (plain.width, plain.height, plain.frames, plain.fps, plain.camera),
            (1_280, 720, 96, 24, 2)
        );
        (params.width, params.height, params.fps, params.duration_s) =
            (Some(101), Some(99), Some(30), Some(0.1));
        let small = shot(&params);
        assert_eq!((small.width, small.height, small.frames), (100, 98, 3));
        // A picture keeps its sides' ratio, and is not enlarged.
        let of_picture = |picture| Shot::of(&request(&VideoParams::new("waves")), Some(picture));
        for (picture, expected) in
            [((3_000, 2_000), (1_280, 852)), ((640, 481), (640, 480)), ((1_080, 1_920), (720, 1_280))]
        {
            let shot = of_picture(picture);
            assert_eq!((shot.width, shot.height), expected, "{picture:?}");
        }
    }

    #[test]
    fn the_program_reads_its_standard_input_and_nothing_else() {
        let params = VideoParams::new("a;b'c%d");
        let shot = Shot::of(&VideoRequest { params, seed: 0, inputs: Vec::new() }, None);
        let arguments = shot.arguments("png_pipe", Path::new("/runs/1/output.mp4"));
        assert_eq!(arguments.last().map(String::as_str), Some("file:/runs/1/output.mp4"));
        let whole = arguments.join(" ");
        assert!(whole.contains("-protocol_whitelist pipe -f png_pipe -i pipe:0"), "{whole}");
        assert!(!whole.contains("a;b"), "the prompt is in the still and in no argument: {whole}");
        for camera in 0..4 {
            let zoom = Shot { camera, ..shot }.zoom();
            assert!(zoom.ends_with(":d=96:s=1280x720:fps=24"), "{zoom}");
        }
    }
}
