//! The params of `render.shot`, `render.transition`, `render.join` and `audio.mix`: the steps that make a film of pictures, clips and voices.
//!
//! Frames are counted from 0 within their shot, and samples at 48 kHz within the film. Unknown fields are refused.

use serde::{Deserialize, Serialize};

use crate::Digest;

/// How the camera moves over a still picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CameraMove {
    /// The whole picture is shown, at rest.
    Still,
    /// The view moves towards the middle.
    #[default]
    In,
    /// The view moves away from the middle.
    Out,
    /// The view moves to the left.
    Left,
    /// The view moves to the right.
    Right,
    /// The view moves up.
    Up,
    /// The view moves down.
    Down,
}

/// The size and the rate of a film's frames. All clips of a film have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilmFormat {
    /// Pixels of a row: even, from 64 to 4096.
    pub width: u32,
    /// Rows of pixels: even, from 64 to 4096.
    pub height: u32,
    /// Frames a second: from 1 to 120.
    pub fps: u32,
}

/// A run of frames that show one picture or clip of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilmedVisual {
    /// A picture (`image/*`), over which the camera moves, or a clip (`video/*`), which is fitted to the shot.
    pub visual: Digest,
    /// The move over a picture; a clip ignores it.
    #[serde(default)]
    pub camera: CameraMove,
    /// The shot's frame with which the run begins.
    #[serde(default)]
    pub first_frame: u64,
    /// The number of frames of the whole shot, with those of the transition behind it. A clip is fitted to it: it is slowed down by a
    /// quarter at most, and its last frame stands for the rest. A picture does not need it.
    #[serde(default)]
    pub shot_frames: Option<u64>,
}

/// Words that are drawn into frames.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BurntCue {
    /// The first frame of the shot that shows the words.
    pub first_frame: u64,
    /// The number of frames that show them.
    pub frames: u64,
    /// One or two lines.
    pub lines: Vec<String>,
}

/// The params of `render.shot`: a clip without sound of exactly so many frames, as `video/mp4` (H.264, yuv420p, BT.709).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenderShotParams {
    /// The film's format.
    pub format: FilmFormat,
    /// What is shown.
    pub show: FilmedVisual,
    /// The number of frames of the clip; at least 1.
    pub frames: u64,
    /// Subtitles that are drawn into the frames, by the frames of the shot.
    #[serde(default)]
    pub subtitles: Vec<BurntCue>,
}

/// The params of `render.transition`: a clip without sound in which one shot dissolves into the next, in the form of `render.shot`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenderTransitionParams {
    /// The film's format.
    pub format: FilmFormat,
    /// The shot that ends.
    pub from: FilmedVisual,
    /// The shot that begins.
    pub to: FilmedVisual,
    /// The number of frames of the clip; at least 1.
    pub frames: u64,
}

/// A voice and its place in the film.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlacedVoice {
    /// A sound of the store (`audio/*`).
    pub voice: Digest,
    /// The sample of the film at which it begins.
    pub at_sample: u64,
    /// The most samples of it that are heard; all of them if absent.
    #[serde(default)]
    pub samples: Option<u64>,
}

/// Music under the voices: repeated as often as needed, lowered while somebody speaks, and faded in and out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Music {
    /// A sound of the store (`audio/*`).
    pub digest: Digest,
    /// The level in decibels, from -60 to 0.
    pub db: f64,
}

/// The params of `audio.mix`: the sound of a film as `audio/wav`, 48 kHz, with exactly so many samples in each channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AudioMixParams {
    /// The length in samples; at least 1.
    pub samples: u64,
    /// The voices, in the order of their places.
    #[serde(default)]
    pub voices: Vec<PlacedVoice>,
    /// The music, if any.
    #[serde(default)]
    pub music: Option<Music>,
    /// The loudness in LUFS after music, from -40 to -5. Silence stays silence.
    #[serde(default = "default_loudness")]
    pub loudness: f64,
}

/// A clip of a film, with the number of its frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinedClip {
    /// A clip of `render.shot` or `render.transition`.
    pub clip: Digest,
    /// The number of its frames.
    pub frames: u64,
}

/// Subtitles that a player shows or hides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubtitleTrack {
    /// The subtitles as SRT.
    pub srt: String,
    /// Their language, by BCP 47.
    #[serde(default)]
    pub language: Option<String>,
}

/// The params of `render.join`: the film as `video/mp4`, of the clips as they are and the sound encoded once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenderJoinParams {
    /// The film's format.
    pub format: FilmFormat,
    /// The clips, in their order; at least 1.
    pub clips: Vec<JoinedClip>,
    /// The sound of `audio.mix`; a film without sound if absent.
    #[serde(default)]
    pub audio: Option<Digest>,
    /// A track of subtitles, if any.
    #[serde(default)]
    pub subtitles: Option<SubtitleTrack>,
}

const fn default_loudness() -> f64 {
    AudioMixParams::LOUDNESS
}

impl AudioMixParams {
    /// The usual loudness of films on the network, in LUFS.
    pub const LOUDNESS: f64 = -14.0;
}
