//! Clips without sound: a run of frames of one shot, and the dissolve from one shot into the next.

use std::{fs, io, path::Path};

use reel_protocol::{BurntCue, FilmFormat, FilmedVisual, RenderShotParams, RenderTransitionParams};
use reel_story::{Cue, SubtitleStyle, ass, timeline::samples_at};

use super::{
    encoder::{begin, encode, file, raw_input, words},
    frames::{Filmed, Reporter, write_dissolve, write_still},
    pipe::{self, Over},
    tools::{FilmTools, Size, broken, no_font, refused, undrawn},
};
use crate::{
    domain::{CancelSignal, InputFile, ProgressSink},
    fonts::{Font, Fonts},
    media,
    provider::{GenerateError, Generated, command::Made},
};

/// The pipe of raw frames, in the program's directory.
const FRAMES: &str = "frames";
/// The file of subtitles there.
const SUBTITLES: &str = "subtitles.ass";
/// The directory there with the font of subtitles.
const FONTS: &str = "fonts";
/// How much a clip that is shorter than its shot is slowed down at the most; its last frame stands for the rest.
const SLOWEST: f64 = 1.25;

impl FilmTools {
    /// Makes the clip of a shot.
    pub(in crate::provider) async fn shot(
        &self,
        params: RenderShotParams,
        inputs: Vec<InputFile>,
        reporter: (CancelSignal, ProgressSink),
    ) -> Result<Generated, GenerateError> {
        let RenderShotParams { format, show, frames, subtitles } = params;
        let input =
            inputs.into_iter().next().ok_or_else(|| broken("rendering", "the picture is not there"))?;
        let subtitles = burnt(subtitles, show.first_frame, format).await?;
        let made = if is_clip(&input) {
            let fitted = fit(&input, show, format, frames)?;
            self.fitted_clip(&input, &fitted, subtitles, (format, frames), reporter.0).await?
        } else {
            let filmed = self.film([(input, show)], format).await?;
            let write = move |pictures: &[Filmed], reporter: &Reporter, pipe: &mut dyn io::Write| {
                pictures.first().map_or(Ok(()), |picture| write_still(picture, frames, reporter, pipe))
            };
            self.encoded(filmed, write, subtitles, (format, frames), reporter).await?
        };
        self.keep(made, "video/").await
    }

    /// Makes the clip of a dissolve.
    pub(in crate::provider) async fn transition(
        &self,
        params: RenderTransitionParams,
        inputs: Vec<InputFile>,
        reporter: (CancelSignal, ProgressSink),
    ) -> Result<Generated, GenerateError> {
        let RenderTransitionParams { format, from, to, frames } = params;
        let mut shown = Vec::new();
        for (input, show) in inputs.into_iter().zip([from, to]) {
            shown.push(self.stand_in(input, show, format, frames, reporter.0.clone()).await?);
        }
        let (runs, shown): (Vec<_>, Vec<_>) = shown.into_iter().unzip();
        let made = if let [Some(_), _] | [_, Some(_)] = runs.as_slice() {
            self.dissolved_files(&shown, &runs, (format, frames), reporter.0).await?
        } else {
            let filmed = self.film(shown, format).await?;
            let write =
                move |pictures: &[Filmed], reporter: &Reporter, pipe: &mut dyn io::Write| match pictures {
                    [from, to] => write_dissolve([from, to], frames, reporter, pipe),
                    _ => Ok(()),
                };
            self.encoded(filmed, write, None, (format, frames), reporter).await?
        };
        drop(runs);
        self.keep(made, "video/").await
    }

    /// Reads pictures on a thread that may block.
    async fn film(
        &self,
        shown: impl IntoIterator<Item = (InputFile, FilmedVisual)>,
        format: FilmFormat,
    ) -> Result<Vec<Filmed>, GenerateError> {
        let (budget, shown) = (self.budget.clone(), shown.into_iter().collect::<Vec<_>>());
        let reading = tokio::task::spawn_blocking(move || {
            let film =
                |(input, show): &(InputFile, FilmedVisual)| Filmed::open(input, *show, format, &budget);
            shown.iter().map(film).collect::<Result<Vec<_>, _>>()
        });
        let read = reading.await.map_err(|panic| broken("reading the picture", &panic.to_string()))?;
        read.map_err(undrawn)
    }

    /// Encodes the frames that `write` draws.
    async fn encoded(
        &self,
        pictures: Vec<Filmed>,
        write: impl FnOnce(&[Filmed], &Reporter, &mut dyn io::Write) -> io::Result<()> + Send + 'static,
        subtitles: Option<BurntSubtitles>,
        (format, frames): (FilmFormat, u64),
        (cancel, progress): (CancelSignal, ProgressSink),
    ) -> Result<Made, GenerateError> {
        let over = Over::default();
        let (over_there, reporter) = (over.clone(), Reporter { cancel: cancel.clone(), progress });
        let (tell, drawing) = std::sync::mpsc::channel();
        let prepare = move |directory: &Path, output: &Path| {
            let path = directory.join(FRAMES);
            pipe::make(&path)?;
            let filters = write_subtitles(directory, subtitles.as_ref())?;
            let thread = std::thread::Builder::new()
                .name("film".to_owned())
                .spawn(move || pipe::feed(&path, &over_there, |pipe| write(&pictures, &reporter, pipe)))?;
            // It fails only where nobody asks how the drawing went.
            let _ = tell.send(thread);
            let mut arguments = begin();
            arguments.extend(raw_input(format, FRAMES));
            arguments.extend(encode(format, frames, &filters, output));
            Ok(arguments)
        };
        let made = self.run("mp4", Size::of_frames(format, frames), prepare, cancel).await;
        over.set();
        let drawn =
            tokio::task::spawn_blocking(move || drawing.try_recv().map(std::thread::JoinHandle::join));
        match (made, drawn.await) {
            (Ok(_), Ok(Ok(Ok(Err(error))))) => Err(broken("drawing", &error.to_string())),
            (Ok(_), Ok(Ok(Err(_)))) => Err(broken("drawing", "the thread panicked")),
            (made, _) => made,
        }
    }

    /// Makes a run of frames of a clip, fitted to its shot.
    async fn fitted_clip(
        &self,
        input: &InputFile,
        fitted: &str,
        subtitles: Option<BurntSubtitles>,
        (format, frames): (FilmFormat, u64),
        cancel: CancelSignal,
    ) -> Result<Made, GenerateError> {
        let (path, mut filters) = (input.path.clone(), vec![fitted.to_owned()]);
        let prepare = move |directory: &Path, output: &Path| {
            filters.extend(write_subtitles(directory, subtitles.as_ref())?);
            let mut arguments = begin();
            arguments.extend(clip_input(&path));
            arguments.extend(encode(format, frames, &filters, output));
            Ok(arguments)
        };
        self.run("mp4", Size::of_frames(format, frames), prepare, cancel).await
    }

    /// The run of frames of a clip as a short file without loss, with what shows it in a dissolve; pictures stay as they are.
    async fn stand_in(
        &self,
        input: InputFile,
        show: FilmedVisual,
        format: FilmFormat,
        frames: u64,
        cancel: CancelSignal,
    ) -> Result<(Option<Made>, (InputFile, FilmedVisual)), GenerateError> {
        if !is_clip(&input) {
            return Ok((None, (input, show)));
        }
        let (path, fitted) = (input.path.clone(), fit(&input, show, format, frames)?);
        let prepare = move |_: &Path, output: &Path| {
            let mut arguments = begin();
            arguments.extend(clip_input(&path));
            arguments.extend(["-vf".to_owned(), fitted, "-frames:v".to_owned(), frames.to_string()]);
            arguments.extend(words("-an -c:v ffv1 -pix_fmt yuv420p -f matroska"));
            arguments.push(file(output));
            Ok(arguments)
        };
        let made = self.run("mkv", Size::of_frames(format, frames), prepare, cancel).await?;
        let input = InputFile { path: made.path.clone(), ..input };
        Ok((Some(made), (input, show)))
    }

    /// A dissolve of which one side at least is a clip: the program itself mixes the frames.
    async fn dissolved_files(
        &self,
        shown: &[(InputFile, FilmedVisual)],
        runs: &[Option<Made>],
        (format, frames): (FilmFormat, u64),
        cancel: CancelSignal,
    ) -> Result<Made, GenerateError> {
        let mut paths = Vec::new();
        let mut stills = Vec::new();
        for ((input, show), run) in shown.iter().zip(runs) {
            if run.is_some() {
                paths.push(input.path.clone());
                continue;
            }
            // A picture's frames become such a file as well.
            let filmed = self.film([(input.clone(), *show)], format).await?;
            let made = self.still_file(filmed, (format, frames), cancel.clone()).await?;
            paths.push(made.path.clone());
            stills.push(made);
        }
        let prepare = move |_: &Path, output: &Path| {
            let mut arguments = begin();
            for path in &paths {
                arguments.extend(clip_input(path));
            }
            // As `blend` does it: the first frame has a little of the second clip, and the last one a little of the first.
            let share = format!("(N+1)/{}", frames + 1);
            let mixed = format!("[0:v][1:v]blend=all_expr='A*(1-{share})+B*{share}'[mixed];[mixed]null");
            let mut encoding = encode(format, frames, &[mixed], output);
            if let Some(first) = encoding.first_mut() {
                "-filter_complex".clone_into(first);
            }
            arguments.extend(encoding);
            Ok(arguments)
        };
        let made = self.run("mp4", Size::of_frames(format, frames), prepare, cancel).await;
        drop(stills);
        made
    }

    /// The frames of a picture as a short file without loss.
    async fn still_file(
        &self,
        pictures: Vec<Filmed>,
        (format, frames): (FilmFormat, u64),
        cancel: CancelSignal,
    ) -> Result<Made, GenerateError> {
        let over = Over::default();
        let over_there = over.clone();
        let quiet = ProgressSink::new(|_, _| ());
        let reporter = Reporter { cancel: cancel.clone(), progress: quiet };
        let prepare = move |directory: &Path, output: &Path| {
            let path = directory.join(FRAMES);
            pipe::make(&path)?;
            std::thread::Builder::new().name("film".to_owned()).spawn(move || {
                let write = |pipe: &mut dyn io::Write| {
                    pictures.first().map_or(Ok(()), |picture| write_still(picture, frames, &reporter, pipe))
                };
                if let Err(error) = pipe::feed(&path, &over_there, write) {
                    tracing::warn!(%error, "frames could not be handed to ffmpeg");
                }
            })?;
            let mut arguments = begin();
            arguments.extend(raw_input(format, FRAMES));
            arguments.extend(words("-an -c:v ffv1 -pix_fmt yuv420p -f matroska"));
            arguments.push(file(output));
            Ok(arguments)
        };
        let made = self.run("mkv", Size::of_frames(format, frames), prepare, cancel).await;
        over.set();
        made
    }
}

fn is_clip(input: &InputFile) -> bool {
    input.media_type.starts_with("video/")
}

/// A clip as an input: a file, and nothing of the network.
fn clip_input(path: &Path) -> Vec<String> {
    let mut arguments = words("-protocol_whitelist file,pipe");
    arguments.extend(["-i".to_owned(), file(path)]);
    arguments
}

/// The filters that fit a clip to its shot and cut the run of frames out of it.
fn fit(
    input: &InputFile,
    show: FilmedVisual,
    format: FilmFormat,
    frames: u64,
) -> Result<String, GenerateError> {
    let wrong = |why: String| refused(format!("the clip cannot be used: {why}"), "name another clip");
    let mut source =
        fs::File::open(&input.path).map_err(|error| broken("reading the clip", &error.to_string()))?;
    let inspected = media::inspect(&mut source, media::Limits::default());
    let length_s = inspected.map_err(|error| wrong(error.to_string()))?.facts.duration_s;
    let length_s =
        length_s.filter(|length| *length > 0.0).ok_or_else(|| wrong("it has no length".to_owned()))?;
    let FilmFormat { width, height, fps } = format;
    let wanted_s = show.shot_frames.unwrap_or(show.first_frame + frames) as f64 / f64::from(fps);
    let slower = (wanted_s / length_s).clamp(1.0, SLOWEST);
    let (first, last) = (show.first_frame, show.first_frame + frames);
    Ok(format!(
        "setpts=PTS*{slower:.6},fps={fps}:round=near,\
         scale={width}:{height}:force_original_aspect_ratio=increase:force_divisible_by=2:out_color_matrix=bt709:out_range=tv,\
         crop={width}:{height},setsar=1,format=yuv420p,tpad=stop=-1:stop_mode=clone,\
         trim=start_frame={first}:end_frame={last},setpts=PTS-STARTPTS"
    ))
}

/// Subtitles as a file, and their font.
struct BurntSubtitles {
    file: String,
    font: Font,
}

/// The subtitles of a run of frames; none where there is nothing to show. A letter that no font has is refused, as it would be shown as a box.
async fn burnt(
    mut cues: Vec<BurntCue>,
    first_frame: u64,
    format: FilmFormat,
) -> Result<Option<BurntSubtitles>, GenerateError> {
    cues.retain(|cue| cue.first_frame + cue.frames > first_frame);
    if cues.is_empty() {
        return Ok(None);
    }
    let text: String = cues.iter().flat_map(|cue| &cue.lines).map(String::as_str).collect();
    let looking = tokio::task::spawn_blocking(move || Fonts::of_the_system().covering(&text));
    let found = looking.await.map_err(|panic| broken("looking for fonts", &panic.to_string()))?;
    let font = found.map_err(no_font)?;
    let shown: Vec<Cue> = cues
        .into_iter()
        .map(|cue| {
            let start = cue.first_frame.saturating_sub(first_frame);
            let end = cue.first_frame + cue.frames - first_frame;
            let samples = samples_at(start, format.fps)..samples_at(end, format.fps);
            Cue { samples, lines: cue.lines.iter().map(|line| font.drawable(line)).collect() }
        })
        .collect();
    let (width, height, family) = (format.width, format.height, font.family.clone());
    let file = ass(&shown, &SubtitleStyle { width, height, font: family });
    Ok(Some(BurntSubtitles { file, font }))
}

/// Writes the subtitles into the program's directory; returns the filter that draws them.
fn write_subtitles(directory: &Path, subtitles: Option<&BurntSubtitles>) -> io::Result<Vec<String>> {
    let Some(BurntSubtitles { file, font }) = subtitles else { return Ok(Vec::new()) };
    fs::write(directory.join(SUBTITLES), file)?;
    // Letters that the font lacks come from those of the machine.
    let fonts = directory.join(FONTS);
    fs::create_dir(&fonts)?;
    font.put_into(&fonts)?;
    // The directory is the one in which the program runs.
    Ok(vec![format!("ass={SUBTITLES}:fontsdir={FONTS}")])
}
