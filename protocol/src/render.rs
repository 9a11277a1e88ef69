//! The params of `render.shot`, `render.transition`, `render.join` and `audio.mix`: the steps that make a film from pictures, clips and voices.
//!
//! Frames are counted from 0 within their shot, and samples at 48 kHz within the film. Unknown fields are `invalid_params`. If `ffmpeg` is not
//! installed, these kinds are refused with `no_provider`. A digest that the store does not have is `artifact_not_found`; with a medium of another type
//! the task fails with `invalid_params`.

use serde::{Deserialize, Serialize};

use crate::Digest;

/// How the camera moves over a still picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum CameraMove {
    /// The view does not move. The picture covers the frame, and what does not have its proportions is cut off evenly.
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

/// The size and the rate of a film's frames. They are the same for all clips of a film.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FilmFormat {
    /// The width in pixels: even, from 64 to 4096.
    pub width: u32,
    /// The height in pixels: even, from 64 to 4096.
    pub height: u32,
    /// Frames per second, from 1 to 120.
    pub fps: u32,
}

/// A run of frames that shows one picture or clip of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FilmedVisual {
    /// The digest of a picture (`image/*`), over which the camera moves, or of a clip (`video/*`), which is fitted to the shot.
    pub visual: Digest,
    /// How the camera moves over a picture; `in` if absent. A clip ignores it.
    #[serde(default)]
    pub camera: CameraMove,
    /// The frame of the shot with which the run begins; 0 if absent.
    #[serde(default)]
    pub first_frame: u64,
    /// The number of frames of the whole shot, those of the dissolve behind it included. The run must be within it, else `invalid_params`. A clip is
    /// fitted to it: the clip is slowed down by a quarter at most, and its last frame is repeated for the rest. If absent, a clip is fitted to the
    /// end of the run. A picture does not need it.
    #[serde(default)]
    pub shot_frames: Option<u64>,
    /// The number of frames at the beginning of the shot for which a clip stays at its first frame, such as while a title is shown; 0 if absent, and at
    /// most an hour. A picture ignores it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub still_frames: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A subtitle that is drawn into frames.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BurntCue {
    /// The frame of the shot from which the subtitle is shown.
    pub first_frame: u64,
    /// The number of frames that show it; at least 1.
    pub frames: u64,
    /// The lines of text, at least one, with at most 2,000 bytes together.
    pub lines: Vec<String>,
}

/// Where subtitles are in the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum BurntPosition {
    /// The subtitles are near the lower edge; in an upright frame they are higher, above the controls of players.
    #[default]
    Bottom,
    /// The subtitles are in the middle.
    Middle,
    /// The subtitles are near the upper edge.
    Top,
}

/// How subtitles are set off from the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum BurntOutline {
    /// The letters have a dark edge.
    #[default]
    On,
    /// The letters are on a dark box, through which the picture is seen.
    Box,
    /// The letters have no edge.
    None,
}

/// The appearance of subtitles that are drawn into frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BurntStyle {
    /// The height of a line in pixels, from 8 to a tenth of the frame's height, and drawn with at most a ninth of its width. If absent, it follows from the proportions of the frame.
    #[serde(default)]
    pub size: Option<u32>,
    /// Where the subtitles are; `bottom` if absent.
    #[serde(default)]
    pub position: BurntPosition,
    /// How the letters are set off from the picture; `on` if absent.
    #[serde(default)]
    pub outline: BurntOutline,
}

/// A title that is drawn into the middle of frames. It appears and disappears gradually. It is large if it is short; a long one is broken into lines
/// and made smaller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BurntTitle {
    /// The frame of the shot from which the title is shown.
    pub first_frame: u64,
    /// The number of frames that show it; at least 1.
    pub frames: u64,
    /// The text, with at most 1,000 bytes; none if absent. It may have line breaks.
    #[serde(default)]
    pub title: Option<String>,
    /// The title of a chapter, with at most 1,000 bytes: in smaller letters below the title, or in the middle without a title. None if absent, and
    /// then there must be a title.
    #[serde(default)]
    pub chapter: Option<String>,
}

/// The params of `render.shot`, which makes a clip without sound of exactly `frames` frames: `video/mp4` (H.264, yuv420p, BT.709).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RenderShotParams {
    /// The format of the film.
    pub format: FilmFormat,
    /// What the clip shows.
    pub show: FilmedVisual,
    /// The number of frames of the clip: at least 1, and at most an hour.
    pub frames: u64,
    /// The subtitles that are drawn into the frames, at most 500; none if absent. Letters that no installed font has fail the task with `no_font`.
    #[serde(default)]
    pub subtitles: Vec<BurntCue>,
    /// The appearance of the subtitles; the usual one if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subtitle_style: Option<BurntStyle>,
    /// The titles that are drawn into the frames, at most 100; none if absent. Their letters are looked up like those of subtitles.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub titles: Vec<BurntTitle>,
}

/// The params of `render.transition`, which makes a clip without sound in which one shot dissolves into the next. Its format is that of
/// `render.shot`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RenderTransitionParams {
    /// The format of the film.
    pub format: FilmFormat,
    /// The end of the first shot.
    pub from: FilmedVisual,
    /// The beginning of the second shot.
    pub to: FilmedVisual,
    /// The number of frames of the clip: at least 1, and at most an hour.
    pub frames: u64,
}

/// A voice at its place in a film.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PlacedVoice {
    /// The digest of a sound (`audio/*`) in the store.
    pub voice: Digest,
    /// The sample of the film at which the voice begins, which is below [`AudioMixParams::samples`].
    pub at_sample: u64,
    /// Most samples of the voice that are played; all if absent.
    #[serde(default)]
    pub samples: Option<u64>,
}

/// Music under the voices. It is repeated as often as needed, lowered while somebody speaks, and faded in and out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Music {
    /// The digest of a sound (`audio/*`) in the store.
    pub digest: Digest,
    /// The level of the music in decibels, from -60 to 0.
    pub db: f64,
}

/// The params of `audio.mix`, which makes the sound of a film: `audio/wav` at 48 kHz, with exactly `samples` samples in each channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AudioMixParams {
    /// The length in samples: at least 1, and at most four hours.
    pub samples: u64,
    /// The voices, at most 4,000, in the order in which they begin; none if absent.
    #[serde(default)]
    pub voices: Vec<PlacedVoice>,
    /// The music; none if absent.
    #[serde(default)]
    pub music: Option<Music>,
    /// The loudness with the music, in LUFS, from -40 to -5; -14 if absent. Silence stays silence.
    #[serde(default = "default_loudness")]
    pub loudness: f64,
}

/// A clip of a film.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct JoinedClip {
    /// The digest of a clip that `render.shot` or `render.transition` made.
    pub clip: Digest,
    /// The number of frames of the clip: at least 1, and at most an hour.
    pub frames: u64,
}

/// A track of subtitles, which a player shows or hides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SubtitleTrack {
    /// The subtitles in the format SRT.
    pub srt: String,
    /// The language of the subtitles as a BCP 47 tag; unknown if absent.
    #[serde(default)]
    pub language: Option<String>,
}

/// The params of `render.join`, which makes the film as `video/mp4`. The clips are joined as they are, and the sound is encoded once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RenderJoinParams {
    /// The format of the film.
    pub format: FilmFormat,
    /// The clips, in their order: 1 to 4,000.
    pub clips: Vec<JoinedClip>,
    /// The digest of the sound, as `audio.mix` makes it; a film without sound if absent.
    #[serde(default)]
    pub audio: Option<Digest>,
    /// The track of subtitles; none if absent.
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
