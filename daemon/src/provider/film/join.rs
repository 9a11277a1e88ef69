//! Joins the clips of a film without encoding them again, and encodes the film's sound once.

use std::{
    fmt::Write as _,
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use reel_protocol::{FilmFormat, JoinedClip, RenderJoinParams, SubtitleTrack};

use super::{
    clip_file::ClipFile,
    encoder::{begin, container, file, track_language, words},
    tools::{FilmTools, Form, Size, broken, io_failed, refused},
    watch::Part,
};
use crate::{
    domain::{CancelSignal, InputFile, ProgressSink},
    provider::{GenerateError, Generated},
};

/// The names of the input files in the program's directory.
const LIST: &str = "clips.ffconcat";
const SOUND: &str = "sound.wav";
const SUBTITLES: &str = "subtitles.srt";

impl FilmTools {
    /// Joins clips, sound and subtitles to a film.
    pub(in crate::provider) async fn join(
        &self,
        params: RenderJoinParams,
        inputs: Vec<InputFile>,
        (cancel, progress): (CancelSignal, ProgressSink),
    ) -> Result<Generated, GenerateError> {
        let RenderJoinParams { format, clips, audio, subtitles } = params;
        let (videos, sounds) = inputs.split_at(clips.len().min(inputs.len()));
        let named = videos.iter().map(|input| input.path.clone()).zip(clips).collect();
        let clips = check_clips(named, format).await?;
        let sound = sounds.first().filter(|_| audio.is_some());
        if let Some(wrong) = sound.filter(|sound| !sound.media_type.starts_with("audio/")) {
            let message = format!("the sound of a film is {}", wrong.media_type);
            return Err(refused(message, "name what audio.mix made"));
        }
        let frames = clips.iter().map(|(_, clip)| clip.frames).sum();
        let files = Files { clips, sound: sound.map(|sound| sound.path.clone()), subtitles };
        let prepare = move |directory: &Path, output: &Path| files.arguments(format, directory, output);
        let part = Part { progress, from: 0.0, to: 1.0, step: "joining" };
        let made = self.run("mp4", Size::of_frames(format, frames), prepare, cancel, Some(part)).await?;
        self.keep(made, Form::Film(format, frames)).await
    }
}

/// The files of the clips, each with what the request says about it.
type Clips = Vec<(PathBuf, JoinedClip)>;

/// Refuses clips that cannot be joined without encoding them again.
async fn check_clips(clips: Clips, format: FilmFormat) -> Result<Clips, GenerateError> {
    let checking = tokio::task::spawn_blocking(move || {
        let mut first: Option<ClipFile> = None;
        for (index, (path, clip)) in clips.iter().enumerate() {
            let read = ClipFile::read(path).map_err(|error| io_failed("reading a clip", &error))?;
            let misfit = match &read {
                None => Some("is no clip of render.shot or render.transition".to_owned()),
                Some(read) => read.misfit(format, clip.frames, first.as_ref().unwrap_or(read)),
            };
            if let Some(why) = misfit {
                let message = format!("clip {} of the film {why}", index + 1);
                let hint = "join what render.shot and render.transition made for one format";
                return Err(refused(message, hint));
            }
            first = first.or(read);
        }
        Ok(clips)
    });
    checking.await.unwrap_or_else(|panic| Err(broken("reading the clips", &panic.to_string())))
}

/// The inputs of a film.
struct Files {
    clips: Clips,
    sound: Option<PathBuf>,
    subtitles: Option<SubtitleTrack>,
}

impl Files {
    /// Links or writes all inputs into the program's directory under fixed names, and returns the arguments.
    fn arguments(&self, format: FilmFormat, directory: &Path, output: &Path) -> io::Result<Vec<String>> {
        let mut list = "ffconcat version 1.0\n".to_owned();
        for (index, (path, clip)) in self.clips.iter().enumerate() {
            let name = format!("clip{index:05}.mp4");
            symlink(path, directory.join(&name))?;
            let seconds = clip.frames as f64 / f64::from(format.fps);
            // The list names the length of each clip, as the one in the clip's file is rounded.
            let _ = writeln!(list, "file {name}\nduration {seconds:.6}");
        }
        fs::write(directory.join(LIST), list)?;
        let mut arguments = begin();
        arguments.extend(words("-protocol_whitelist file,pipe -f concat -i"));
        arguments.push(LIST.to_owned());
        if let Some(sound) = &self.sound {
            symlink(sound, directory.join(SOUND))?;
            arguments.extend(words("-protocol_whitelist file,pipe -i"));
            arguments.push(SOUND.to_owned());
        }
        if let Some(track) = &self.subtitles {
            fs::write(directory.join(SUBTITLES), &track.srt)?;
            arguments.extend(words("-protocol_whitelist file,pipe -i"));
            arguments.push(SUBTITLES.to_owned());
        }
        arguments.extend(self.streams());
        arguments.extend(container(format));
        arguments.extend(words("-map_metadata -1 -movflags +faststart -f mp4"));
        arguments.push(file(output));
        Ok(arguments)
    }

    fn streams(&self) -> Vec<String> {
        let mut arguments = words("-map 0:v -c:v copy");
        if self.sound.is_some() {
            arguments.extend(words("-map 1:a -c:a aac -b:a 160k -ar 48000"));
        }
        if let Some(track) = &self.subtitles {
            let input = if self.sound.is_some() { 2 } else { 1 };
            let language = track_language(track.language.as_deref().unwrap_or_default());
            arguments.extend(words(&format!(
                "-map {input}:s -c:s mov_text -metadata:s:s:0 language={language} -disposition:s:0 default"
            )));
        }
        arguments
    }
}
