//! The params of `video.assemble`.

use serde::{Deserialize, Serialize};

use crate::{BurntStyle, CameraMove, Digest, FilmFormat, Music};

/// The params of `video.assemble`, which makes a film of media in the store. Unknown fields are `invalid_params`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AssembleParams {
    /// What the film shows and plays, and when.
    pub timeline: AssembleTimeline,
}

/// What a film shows and plays, shot by shot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AssembleTimeline {
    /// The size and the rate of the film's frames.
    pub format: FilmFormat,
    /// The duration of the dissolve from each shot to the next one in seconds, from 0 (a cut) to 5; 0.4 if absent.
    #[serde(default = "usual_transition")]
    pub transition_s: f64,
    /// The shots, in the order of the film: 1 to 2,000.
    pub shots: Vec<AssembledShot>,
    /// The music under the voices; none if absent.
    #[serde(default)]
    pub music: Option<Music>,
    /// The loudness of the film in LUFS, from -40 to -5; -14 if absent.
    #[serde(default = "usual_loudness")]
    pub loudness: f64,
    /// Where the shots' subtitles are put; nowhere (`none`) if absent.
    #[serde(default)]
    pub subtitles: AssembledSubtitles,
    /// The appearance of subtitles that are drawn into the frames; the usual one if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subtitle_style: Option<BurntStyle>,
}

/// A shot of a film.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AssembledShot {
    /// The name of the shot in the names of its steps: 1 to 64 bytes, without a slash, and different for each shot. `s` and the number of the shot if
    /// absent, from `s1`.
    #[serde(default)]
    pub id: Option<String>,
    /// The digest of a picture (`image/*`) or a clip (`video/*`) in the store. A digest that the store does not have is `artifact_not_found`; with
    /// any other medium the task fails with `invalid_params`.
    pub visual: Digest,
    /// The number of frames from the beginning of the shot to that of the next one. It is larger than that of a dissolve, and at most an hour.
    pub frames: u64,
    /// How the camera moves over a picture; `in` if absent. A clip ignores it.
    #[serde(default)]
    pub camera: CameraMove,
    /// The digest of a sound (`audio/*`) in the store; no voice if absent.
    #[serde(default)]
    pub voice: Option<Digest>,
    /// When the voice begins, in seconds from the beginning of the shot and within it; 0 if absent.
    #[serde(default)]
    pub voice_at_s: f64,
    /// The text that is shown while the voice speaks, or for the whole shot without a voice; at most 10,000 bytes. None if absent.
    #[serde(default)]
    pub subtitle: Option<String>,
    /// The titles that are drawn into the frames of the shot, at most 100, wherever subtitles are put; none if absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub titles: Vec<AssembledTitle>,
}

/// A title over a shot, such as that of the film over its first shot or a text at its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AssembledTitle {
    /// The text, with at most 1,000 bytes; none if absent. It may have line breaks.
    #[serde(default)]
    pub title: Option<String>,
    /// The title of a chapter, with at most 1,000 bytes: in smaller letters below the title, or in the middle without a title. None if absent, and
    /// then there must be a title.
    #[serde(default)]
    pub chapter: Option<String>,
    /// When the title appears, in seconds from the beginning of the shot and within it; 0 if absent. It is not shown during the dissolve into the
    /// shot.
    #[serde(default)]
    pub at_s: f64,
    /// How long it is shown, in seconds; to the end of the shot if absent.
    #[serde(default)]
    pub seconds: Option<f64>,
}

/// Where the subtitles of a film are put.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum AssembledSubtitles {
    /// The subtitles are drawn into the frames.
    Burn,
    /// The subtitles are a track of the file, which a player shows or hides.
    Track,
    /// The film has no subtitles.
    #[default]
    None,
}

const fn usual_transition() -> f64 {
    0.4
}

const fn usual_loudness() -> f64 {
    crate::AudioMixParams::LOUDNESS
}
