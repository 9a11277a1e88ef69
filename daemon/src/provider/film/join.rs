//! The film: its clips one after the other, as they are, with one sound that is encoded once.

use std::{
    fmt::Write as _,
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use reel_protocol::{FilmFormat, JoinedClip, RenderJoinParams, SubtitleTrack};

use super::{
    encoder::{begin, container, file, track_language, words},
    tools::{FilmTools, Size, refused},
};
use crate::{
    domain::{CancelSignal, InputFile},
    provider::{GenerateError, Generated},
};

/// The files in the program's directory.
const LIST: &str = "clips.ffconcat";
const SOUND: &str = "sound.wav";
const SUBTITLES: &str = "subtitles.srt";

impl FilmTools {
    /// Joins a film.
    pub(in crate::provider) async fn join(
        &self,
        params: RenderJoinParams,
        inputs: Vec<InputFile>,
        cancel: CancelSignal,
    ) -> Result<Generated, GenerateError> {
        let RenderJoinParams { format, clips, audio, subtitles } = params;
        let (videos, sounds) = inputs.split_at(clips.len().min(inputs.len()));
        if let Some(wrong) = videos.iter().find(|input| !input.media_type.starts_with("video/")) {
            let message = format!("a film is joined of clips, and one of them is {}", wrong.media_type);
            return Err(refused(message, "name what render.shot and render.transition made"));
        }
        let sound = sounds.first().filter(|_| audio.is_some());
        if let Some(wrong) = sound.filter(|sound| !sound.media_type.starts_with("audio/")) {
            let message = format!("the sound of a film is {}", wrong.media_type);
            return Err(refused(message, "name what audio.mix made"));
        }
        let frames = clips.iter().map(|clip| clip.frames).sum();
        let files = Files {
            clips: videos.iter().map(|input| input.path.clone()).zip(clips).collect(),
            sound: sound.map(|sound| sound.path.clone()),
            subtitles,
        };
        let prepare = move |directory: &Path, output: &Path| files.arguments(format, directory, output);
        let made = self.run("mp4", Size::of_frames(format, frames), prepare, cancel).await?;
        self.keep(made, "video/").await
    }
}

/// What is joined.
struct Files {
    clips: Vec<(PathBuf, JoinedClip)>,
    sound: Option<PathBuf>,
    subtitles: Option<SubtitleTrack>,
}

impl Files {
    /// Puts everything into the program's directory under plain names, and returns the arguments.
    fn arguments(&self, format: FilmFormat, directory: &Path, output: &Path) -> io::Result<Vec<String>> {
        let mut list = "ffconcat version 1.0\n".to_owned();
        for (index, (path, clip)) in self.clips.iter().enumerate() {
            let name = format!("clip{index:05}.mp4");
            symlink(path, directory.join(&name))?;
            let seconds = clip.frames as f64 / f64::from(format.fps);
            // The length is said, as the one in the file is rounded.
            let _ = writeln!(list, "file {name}\nduration {seconds:.6}");
        }
        fs::write(directory.join(LIST), list)?;
        let mut arguments = begin();
        arguments.extend(words("-protocol_whitelist file,pipe -f concat -i"));
        arguments.push(LIST.to_owned());
        if let Some(sound) = &self.sound {
            symlink(sound, directory.join(SOUND))?;
            arguments.extend(["-i".to_owned(), SOUND.to_owned()]);
        }
        if let Some(track) = &self.subtitles {
            fs::write(directory.join(SUBTITLES), &track.srt)?;
            arguments.extend(["-i".to_owned(), SUBTITLES.to_owned()]);
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
