//! Makes clips without sound: a run of frames of one shot, or the dissolve from one shot into the next.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use reel_protocol::{FilmFormat, FilmedVisual, RenderShotParams, RenderTransitionParams};

use super::{
    burn::{BurntText, Text, burnt, write_text},
    encoder::{begin, encode, file, raw_input, words},
    frames::{Filmed, Reporter, write_dissolve, write_run},
    pipe::{self, Over},
    tools::{FilmTools, Form, Size, broken, io_failed, refused, undrawn},
    watch::Part,
};
use crate::{
    chain::chain,
    domain::{CancelSignal, InputFile, ProgressSink},
    media,
    provider::{GenerateError, Generated, command::Made},
};

/// The name of the pipe of raw frames in the program's directory.
const FRAMES: &str = "frames";
/// Largest factor by which a clip is slowed down that is shorter than its shot. Its last frame is repeated for the rest of the shot.
const SLOWEST: f64 = 1.25;

impl FilmTools {
    /// Makes the clip of a shot from a picture or from another clip.
    pub(in crate::provider) async fn shot(
        &self,
        params: RenderShotParams,
        inputs: Vec<InputFile>,
        reporter: (CancelSignal, ProgressSink),
    ) -> Result<Generated, GenerateError> {
        let RenderShotParams { format, show, frames, subtitles, subtitle_style, titles } = params;
        let input =
            inputs.into_iter().next().ok_or_else(|| broken("rendering", "the picture is not there"))?;
        let text = burnt(
            Text { cues: subtitles, style: subtitle_style.unwrap_or_default(), titles },
            show.first_frame,
            format,
        )
        .await?;
        let made = if is_clip(&input) {
            self.fitted_clip(input, show, text, (format, frames), reporter).await?
        } else {
            let filmed = self.picture(input, show, format).await?;
            let write = move |mut filmed: Vec<Filmed>, reporter: &Reporter, pipe: &mut dyn io::Write| {
                filmed.first_mut().map_or(Ok(()), |filmed| write_run(filmed, frames, reporter, pipe))
            };
            self.encoded(vec![filmed], write, text, (format, frames), reporter).await?
        };
        self.keep(made, Form::Clip(format, frames)).await
    }

    /// Makes the clip of a dissolve between two pictures or clips.
    pub(in crate::provider) async fn transition(
        &self,
        params: RenderTransitionParams,
        inputs: Vec<InputFile>,
        reporter: (CancelSignal, ProgressSink),
    ) -> Result<Generated, GenerateError> {
        let RenderTransitionParams { format, from, to, frames } = params;
        let mut filmed = Vec::new();
        for (input, show) in inputs.into_iter().zip([from, to]) {
            filmed.push(if is_clip(&input) {
                self.decoded_run(input, show, (format, frames), reporter.0.clone()).await?
            } else {
                self.picture(input, show, format).await?
            });
        }
        let write = move |mut filmed: Vec<Filmed>, reporter: &Reporter, pipe: &mut dyn io::Write| {
            if let [from, to] = filmed.as_mut_slice() {
                write_dissolve([from, to], frames, reporter, pipe)?;
            }
            Ok(())
        };
        let made = self.encoded(filmed, write, None, (format, frames), reporter).await?;
        self.keep(made, Form::Clip(format, frames)).await
    }

    /// Reads a picture, on a thread that may block.
    async fn picture(
        &self,
        input: InputFile,
        show: FilmedVisual,
        format: FilmFormat,
    ) -> Result<Filmed, GenerateError> {
        let budget = self.budget.clone();
        let reading = tokio::task::spawn_blocking(move || Filmed::picture(&input, show, format, &budget));
        let read = reading.await.map_err(|panic| broken("reading the picture", &panic.to_string()))?;
        read.map_err(undrawn)
    }

    /// Encodes the frames that `write` writes into the pipe, on a thread of its own.
    async fn encoded(
        &self,
        filmed: Vec<Filmed>,
        write: impl FnOnce(Vec<Filmed>, &Reporter, &mut dyn io::Write) -> io::Result<()> + Send + 'static,
        text: Option<BurntText>,
        (format, frames): (FilmFormat, u64),
        (cancel, progress): (CancelSignal, ProgressSink),
    ) -> Result<Made, GenerateError> {
        let over = Over::default();
        let (over_there, reporter) = (over.clone(), Reporter { cancel: cancel.clone(), progress });
        let (tell, drawing) = std::sync::mpsc::channel();
        let prepare = move |directory: &Path, output: &Path| {
            let path = directory.join(FRAMES);
            pipe::make(&path)?;
            let filters = write_text(directory, text.as_ref())?;
            let thread = std::thread::Builder::new()
                .name("film".to_owned())
                .spawn(move || pipe::feed(&path, &over_there, |pipe| write(filmed, &reporter, pipe)))?;
            // Sending fails only if the caller was dropped, which then needs no result of the thread.
            let _ = tell.send(thread);
            let mut arguments = begin();
            arguments.extend(raw_input(format, FRAMES));
            arguments.extend(encode(format, frames, &filters, output));
            Ok(arguments)
        };
        // The drawing thread reports the progress, so `run` must not.
        let made = self.run("mp4", Size::of_frames(format, frames), prepare, cancel, None).await;
        over.set();
        let drawn =
            tokio::task::spawn_blocking(move || drawing.try_recv().map(std::thread::JoinHandle::join));
        match (made, drawn.await) {
            (Ok(_), Ok(Ok(Ok(Err(error))))) => Err(io_failed("drawing", &error)),
            (Ok(_), Ok(Ok(Err(_)))) => Err(broken("drawing", "the thread panicked")),
            (made, _) => made,
        }
    }

    /// Encodes a run of frames of a clip that is fitted to its shot.
    async fn fitted_clip(
        &self,
        input: InputFile,
        show: FilmedVisual,
        text: Option<BurntText>,
        (format, frames): (FilmFormat, u64),
        (cancel, progress): (CancelSignal, ProgressSink),
    ) -> Result<Made, GenerateError> {
        let Source { path, filters, pixels } = fit(input, show, format, frames).await?;
        let prepare = move |directory: &Path, output: &Path| {
            let mut filters = vec![filters];
            filters.extend(write_text(directory, text.as_ref())?);
            let mut arguments = begin();
            arguments.extend(clip_input(&path));
            arguments.extend(encode(format, frames, &filters, output));
            Ok(arguments)
        };
        let size = Size::of_frames(format, frames).beside(pixels);
        let part = Part { progress, from: 0.0, to: 1.0, step: "rendering" };
        self.run("mp4", size, prepare, cancel, Some(part)).await
    }

    /// Decodes a run of frames of a clip that is fitted to its shot, into a file of raw frames.
    async fn decoded_run(
        &self,
        input: InputFile,
        show: FilmedVisual,
        (format, frames): (FilmFormat, u64),
        cancel: CancelSignal,
    ) -> Result<Filmed, GenerateError> {
        let Source { path, filters, pixels } = fit(input, show, format, frames).await?;
        let prepare = move |_: &Path, output: &Path| {
            let mut arguments = begin();
            arguments.extend(clip_input(&path));
            arguments.extend(["-vf".to_owned(), filters, "-frames:v".to_owned(), frames.to_string()]);
            arguments.extend(words("-an -sn -dn -c:v rawvideo -pix_fmt yuv420p -f rawvideo"));
            arguments.push(file(output));
            Ok(arguments)
        };
        let size = Size::of_frames(format, frames).beside(pixels);
        let made = self.run("yuv", size, prepare, cancel, None).await?;
        Filmed::frames(made, format).map_err(|error| io_failed("reading the clip", &error))
    }
}

fn is_clip(input: &InputFile) -> bool {
    input.media_type.starts_with("video/")
}

/// Returns the arguments of a clip as an input. Only files and pipes may be opened, so nothing on the network. The decoder gets two threads, as
/// each of its threads holds frames of its own.
fn clip_input(path: &Path) -> Vec<String> {
    let mut arguments = words("-protocol_whitelist file,pipe -threads 2");
    arguments.extend(["-i".to_owned(), file(path)]);
    arguments
}

/// A clip, and the filters that fit it to its shot.
struct Source {
    path: PathBuf,
    /// The filters that fit the clip and cut a run of frames out of it.
    filters: String,
    /// The number of pixels in each of the clip's own frames; 0 if unknown.
    pixels: u64,
}

/// Inspects a clip from its first byte to its last, and fits it to its shot. Refuses a clip that is not readable or has no length.
async fn fit(
    input: InputFile,
    show: FilmedVisual,
    format: FilmFormat,
    frames: u64,
) -> Result<Source, GenerateError> {
    let wrong = |why: &str| refused(format!("the clip cannot be used: {why}"), "name another clip");
    let path = input.path.clone();
    let inspecting = tokio::task::spawn_blocking(move || {
        let mut source = fs::File::open(&input.path).map_err(|error| error.to_string())?;
        media::inspect(&mut source, media::Limits::default()).map_err(|error| chain(&error))
    });
    let inspected = inspecting.await.map_err(|panic| broken("reading the clip", &panic.to_string()))?;
    let facts = inspected.map_err(|why| wrong(&why))?.facts;
    let length_s =
        facts.duration_s.filter(|length| *length > 0.0).ok_or_else(|| wrong("it has no length"))?;
    let pixels = facts.pixels.map_or(0, |size| u64::from(size.width) * u64::from(size.height));
    Ok(Source { path, filters: fitting(length_s, show, format, frames), pixels })
}

/// Returns the filters that fit a clip of this length to its shot and cut the run of frames out of it.
fn fitting(length_s: f64, show: FilmedVisual, format: FilmFormat, frames: u64) -> String {
    let FilmFormat { width, height, fps } = format;
    let still = show.still_frames;
    let moving = show.shot_frames.unwrap_or(show.first_frame + frames).saturating_sub(still);
    let wanted_s = moving as f64 / f64::from(fps);
    let slower = (wanted_s / length_s).clamp(1.0, SLOWEST);
    let (first, last) = (show.first_frame, show.first_frame + frames);
    format!(
        "setpts=PTS*{slower:.6},fps={fps}:round=near,\
         scale={width}:{height}:force_original_aspect_ratio=increase:force_divisible_by=2:out_color_matrix=bt709:out_range=tv,\
         crop={width}:{height},setsar=1,format=yuv420p,tpad=start={still}:start_mode=clone:stop=-1:stop_mode=clone,\
         trim=start_frame={first}:end_frame={last},setpts=PTS-STARTPTS"
    )
}
