//! Makes the one sound track of a film: voices at their samples, music under them, and an even loudness.

use std::{
    fs::{self, File},
    io::{self, BufReader, BufWriter, Read as _},
    path::{Path, PathBuf},
};

use reel_protocol::{AudioMixParams, Music, PlacedVoice};

use super::{
    encoder::{begin, file, words},
    tools::{FilmTools, Form, Size, io_failed, refused},
    watch::Part,
};
use crate::{
    domain::{CancelSignal, Class, InputFile, ProgressSink},
    provider::{GenerateError, Generated, command::Made},
};

/// Largest number of voices that one run of `ffmpeg` decodes. Each of them takes two open files.
const AT_ONCE: usize = 100;
/// The limiter: its ceiling, as a share of full scale, and how fast it acts, in milliseconds. No step of its gain is heard as a click.
const LIMITER: &str = "alimiter=limit=0.841:attack=2:release=60:level=disabled";
/// Samples by which the limiter delays the sound, as it looks ahead for two milliseconds.
const LIMITER_DELAY: u64 = 96;
/// How often the gain is corrected at most to reach the target loudness.
const ROUNDS: u32 = 6;
/// How far the loudness may be below the target (`BELOW`) or above it (`ABOVE`), in LU.
const BELOW: f64 = 1.2;
const ABOVE: f64 = 0.1;
/// A track of this loudness or less, in LUFS, is silence and keeps its gain.
const SILENCE: f64 = -60.0;
/// Largest gain, in decibels. A track that would need more keeps the gain that it has.
const MOST_GAIN: f64 = 40.0;
/// The names of files in the program's directory.
const LOUDNESS: &str = "loudness.txt";
const MUSIC: &str = "music.pcm";
/// The content of the output file of a run that writes its samples to other files in the same directory.
const DONE: &str = "done\n";

impl FilmTools {
    /// Makes the sound track of a film.
    pub(in crate::provider) async fn mix(
        &self,
        params: AudioMixParams,
        inputs: Vec<InputFile>,
        (cancel, progress): (CancelSignal, ProgressSink),
    ) -> Result<Generated, GenerateError> {
        if let Some(wrong) = inputs.iter().find(|input| !input.media_type.starts_with("audio/")) {
            let message =
                format!("the sound of a film is made of sounds, and one of them is {}", wrong.media_type);
            return Err(refused(message, "name speech or music"));
        }
        let (voices, music) = inputs.split_at(params.voices.len().min(inputs.len()));
        let decoded = self.decode(voices, params.samples, &cancel, &progress).await?;
        let laid_out = self.lay_out(&params, decoded).await?;
        let music = match params.music.zip(music.first()) {
            Some((music, input)) => Some((music, self.decode_music(input, params.samples, &cancel).await?)),
            None => None,
        };
        let track = Track {
            voices: laid_out.path().to_owned(),
            music: music.as_ref().map(|(music, made)| (*music, made.path.clone())),
            samples: params.samples,
        };
        let made = self.even_out(&track, params.loudness, &cancel, &progress).await?;
        self.keep(made, Form::Sound(params.samples)).await
    }

    /// Decodes voices to samples. The length of a voice is that of its samples, not the one in its header.
    async fn decode(
        &self,
        voices: &[InputFile],
        samples: u64,
        cancel: &CancelSignal,
        progress: &ProgressSink,
    ) -> Result<Vec<Decoded>, GenerateError> {
        let mut decoded = Vec::new();
        for (index, some) in voices.chunks(AT_ONCE).enumerate() {
            progress.report(0.4 * (index * AT_ONCE) as f64 / voices.len() as f64, "decoding voices");
            let paths: Vec<_> = some.iter().map(|input| input.path.clone()).collect();
            let count = paths.len();
            let prepare = move |directory: &Path, output: &Path| {
                fs::write(output, DONE)?;
                Ok(decode_arguments(&paths, directory))
            };
            let made = self.run("done", Size::of_samples(samples), prepare, cancel.clone(), None).await;
            let made = made.map_err(|error| unreadable("a voice", error))?;
            decoded.push(Decoded { made, count });
        }
        Ok(decoded)
    }

    /// Decodes music to samples of two channels, at most as long as the film. Samples can be repeated without a gap, which encoded music cannot.
    async fn decode_music(
        &self,
        music: &InputFile,
        samples: u64,
        cancel: &CancelSignal,
    ) -> Result<Made, GenerateError> {
        let path = music.path.clone();
        let prepare = move |directory: &Path, output: &Path| {
            fs::write(output, DONE)?;
            let mut arguments = begin();
            arguments.extend(words("-protocol_whitelist file,pipe -i"));
            arguments.push(file(&path));
            let cut = format!("aresample=48000,atrim=end_sample={samples}");
            arguments.extend(["-map".to_owned(), "0:a:0".to_owned(), "-af".to_owned(), cut]);
            arguments.extend(words("-ac 2 -ar 48000 -c:a pcm_s16le -f s16le"));
            arguments.push(file(&directory.join(MUSIC)));
            Ok(arguments)
        };
        let made = self.run("done", Size::of_samples(samples), prepare, cancel.clone(), None).await;
        let made = made.map_err(|error| unreadable("the music", error))?;
        let path = made.path.with_file_name(MUSIC);
        let length = tokio::task::spawn_blocking(move || fs::metadata(path)).await;
        match length.map(|found| found.map(|file| file.len())) {
            Ok(Ok(4..)) => Ok(made),
            _ => Err(refused("the music has no sound".to_owned(), "name another piece of music")),
        }
    }

    /// Writes all voices at their samples into one file, which is as long as the film.
    async fn lay_out(
        &self,
        params: &AudioMixParams,
        decoded: Vec<Decoded>,
    ) -> Result<tempfile::NamedTempFile, GenerateError> {
        let (voices, samples) = (params.voices.clone(), params.samples);
        let spools = self.spools.clone();
        let laying = tokio::task::spawn_blocking(move || {
            let paths: Vec<_> = decoded.iter().flat_map(Decoded::paths).collect();
            let file = spools.temporary()?;
            write_track(&voices, &paths, samples, BufWriter::new(file.as_file()))?;
            Ok::<_, io::Error>(file)
        });
        let laid_out = laying.await.unwrap_or_else(|panic| Err(io::Error::other(panic)));
        laid_out.map_err(|error| io_failed("laying out the voices", &error))
    }

    /// Renders the track with a corrected gain until its loudness is near the target. The loudness is measured after the music and the limiter.
    async fn even_out(
        &self,
        track: &Track,
        target: f64,
        cancel: &CancelSignal,
        progress: &ProgressSink,
    ) -> Result<Made, GenerateError> {
        let mut gain = 0.0;
        let mut round = 0;
        loop {
            round += 1;
            let at = |round: u32| 0.4 + 0.6 * f64::from(round) / f64::from(ROUNDS + 1);
            let (progress, step) = (progress.clone(), "evening out the loudness");
            let part = Part { progress, from: at(round - 1), to: at(round), step };
            let made = self.render_track(track, gain, cancel, part).await?;
            let directory = made.path.parent().map(Path::to_owned).unwrap_or_default();
            let measured = tokio::task::spawn_blocking(move || measured(&directory.join(LOUDNESS))).await;
            let found = measured.ok().and_then(Result::ok).flatten().unwrap_or(SILENCE);
            let miss = target - found;
            let is_right = (-ABOVE..=BELOW).contains(&miss);
            if found <= SILENCE || is_right || round > ROUNDS || gain + miss > MOST_GAIN {
                return Ok(made);
            }
            // Aim a little low, as every player turns down a track above the target.
            gain += miss - 0.3;
        }
    }

    async fn render_track(
        &self,
        track: &Track,
        gain: f64,
        cancel: &CancelSignal,
        part: Part,
    ) -> Result<Made, GenerateError> {
        let (track, length) = (track.clone(), Size::of_samples(track.samples));
        let prepare = move |_: &Path, output: &Path| Ok(track.arguments(gain, output));
        self.run("wav", length, prepare, cancel.clone(), Some(part)).await
    }
}

/// Turns the failure of a run that could not read a sound into a refusal of the request. The message quotes the program's own.
fn unreadable(what: &str, error: GenerateError) -> GenerateError {
    match error {
        GenerateError::Failed(failure)
            if failure.error.message.contains(" exited with ") && failure.class == Class::Unknown =>
        {
            let message = format!("{what} cannot be decoded: {}", failure.error.message);
            refused(message, "name another sound")
        }
        other => other,
    }
}

/// The files of decoded voices, in a directory that is removed when this is dropped.
struct Decoded {
    made: Made,
    count: usize,
}

impl Decoded {
    fn paths(&self) -> impl Iterator<Item = PathBuf> {
        (0..self.count).map(|index| self.made.path.with_file_name(name(index)))
    }
}

fn name(index: usize) -> String {
    format!("voice{index}.pcm")
}

/// Returns the arguments that decode each voice to a file of its own. None of them is the run's output file, which must not be empty, as the file
/// of a voice without samples is.
fn decode_arguments(paths: &[PathBuf], directory: &Path) -> Vec<String> {
    let mut arguments = begin();
    for path in paths {
        arguments.extend(words("-protocol_whitelist file,pipe -i"));
        arguments.push(file(path));
    }
    for index in 0..paths.len() {
        arguments.extend(words(&format!("-map {index}:a:0 -ac 1 -ar 48000 -c:a pcm_s16le -f s16le")));
        arguments.push(file(&directory.join(name(index))));
    }
    arguments
}

/// Writes the samples of a track: each voice at its sample, and silence between. A voice is cut where the next one begins.
fn write_track(
    voices: &[PlacedVoice],
    paths: &[PathBuf],
    samples: u64,
    mut track: impl io::Write,
) -> io::Result<()> {
    let mut at = 0;
    for (index, (voice, path)) in voices.iter().zip(paths).enumerate() {
        let next = voices.get(index + 1).map_or(samples, |next| next.at_sample);
        at += write_silence(&mut track, voice.at_sample.saturating_sub(at))?;
        let most =
            next.saturating_sub(at).min(voice.samples.unwrap_or(u64::MAX)).min(samples.saturating_sub(at));
        let mut speech = BufReader::new(File::open(path)?).take(most * 2);
        at += io::copy(&mut speech, &mut track)? / 2;
    }
    write_silence(&mut track, samples.saturating_sub(at))?;
    track.flush()
}

fn write_silence(track: &mut impl io::Write, samples: u64) -> io::Result<u64> {
    io::copy(&mut io::repeat(0).take(samples * 2), track)?;
    Ok(samples)
}

/// The file of all voices, the music under them, and the length of the track.
#[derive(Debug, Clone)]
struct Track {
    voices: PathBuf,
    music: Option<(Music, PathBuf)>,
    samples: u64,
}

impl Track {
    /// Returns the arguments that mix the track, cut or pad it to exactly its length, and write its loudness to a file.
    fn arguments(&self, gain: f64, output: &Path) -> Vec<String> {
        let mut arguments = begin();
        arguments.extend(words("-protocol_whitelist file,pipe -f s16le -ar 48000 -ac 1 -i"));
        arguments.push(file(&self.voices));
        if let Some((_, path)) = &self.music {
            arguments
                .extend(words("-stream_loop -1 -protocol_whitelist file,pipe -f s16le -ar 48000 -ac 2 -i"));
            arguments.push(file(&path.with_file_name(MUSIC)));
        }
        arguments.extend(["-filter_complex".to_owned(), self.graph(gain)]);
        arguments.extend(words("-map [out] -map_metadata -1 -c:a pcm_s16le -f wav"));
        arguments.push(file(output));
        arguments
    }

    fn graph(&self, gain: f64) -> String {
        let Self { samples, .. } = self;
        let mixed = match &self.music {
            None => "[0:a]aformat=sample_fmts=fltp:channel_layouts=mono".to_owned(),
            Some((music, _)) => ducked(music.db, *samples),
        };
        let all = samples + LIMITER_DELAY;
        format!(
            "{mixed},volume={gain:.3}dB,apad=whole_len={all},{LIMITER},atrim=start_sample={LIMITER_DELAY}:end_sample={all},\
             asetpts=PTS-STARTPTS,ebur128=metadata=1,ametadata=mode=print:key=lavfi.r128.I:file={LOUDNESS}[out]"
        )
    }
}

/// Returns the filters that mix voices and music. The music is quieter while somebody speaks, and fades in and out.
fn ducked(db: f64, samples: u64) -> String {
    let seconds = samples as f64 / 48_000.0;
    let (fade_in, fade_out) = (1.5_f64.min(seconds / 4.0), 3.0_f64.min(seconds / 4.0));
    let from = seconds - fade_out;
    format!(
        "[0:a]aformat=sample_fmts=fltp:channel_layouts=stereo,asplit=2[voice][key];\
         [1:a]aformat=sample_fmts=fltp:channel_layouts=stereo,atrim=end_sample={samples},\
         afade=t=in:d={fade_in:.3},afade=t=out:st={from:.3}:d={fade_out:.3},volume={db}dB[music];\
         [music][key]sidechaincompress=threshold=0.02:ratio=4:attack=20:release=400[quiet];\
         [voice][quiet]amix=inputs=2:duration=first:dropout_transition=0:normalize=0"
    )
}

/// Returns the loudness of the whole track in LUFS: the last measurement in the file. `None` if the file has none.
fn measured(path: &Path) -> io::Result<Option<f64>> {
    let text = fs::read_to_string(path)?;
    let last = text.lines().rev().find_map(|line| line.strip_prefix("lavfi.r128.I="));
    Ok(last.and_then(|number| number.trim().parse().ok()))
}

#[cfg(test)]
mod tests {
    use reel_protocol::Digest;

    use super::*;

    #[test]
    fn voices_stand_at_their_samples_and_end_where_the_next_begins() {
        let directory = tempfile::tempdir().unwrap();
        let paths = [3_usize, 10].map(|count| {
            let path = directory.path().join(format!("{count}.pcm"));
            fs::write(&path, [count as u8, 0].repeat(count)).unwrap();
            path
        });
        let place =
            |at_sample, samples| PlacedVoice { voice: Digest::from_bytes([0; 32]), at_sample, samples };
        let track = |voices: &[PlacedVoice], samples| {
            let mut track = Vec::new();
            write_track(voices, &paths, samples, &mut track).unwrap();
            track.chunks(2).map(|sample| sample[0]).collect::<Vec<_>>()
        };
        assert_eq!(track(&[place(1, None), place(6, None)], 12), [0, 3, 3, 3, 0, 0, 10, 10, 10, 10, 10, 10]);
        assert_eq!(track(&[place(0, None), place(2, Some(1))], 5), [3, 3, 10, 0, 0]);
        assert_eq!(track(&[], 2), [0, 0]);
    }
}
