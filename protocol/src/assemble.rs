//! The params of `video.assemble`.

use serde::{Deserialize, Serialize};

use crate::{CameraMove, Digest, FilmFormat, Music};

/// The film that shall be assembled of media in the store. Unknown fields are refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssembleParams {
    /// What is shown and heard when.
    pub timeline: AssembleTimeline,
}

/// What a film shows and lets hear, shot by shot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssembleTimeline {
    /// The size and the rate of the frames.
    pub format: FilmFormat,
    /// How long a shot dissolves into the next one, in seconds, from 0 (a cut) to 5.
    #[serde(default = "usual_transition")]
    pub transition_s: f64,
    /// The shots, in the film's order; at least 1.
    pub shots: Vec<AssembledShot>,
    /// Music under the voices, if any.
    #[serde(default)]
    pub music: Option<Music>,
    /// The loudness in LUFS, from -40 to -5.
    #[serde(default = "usual_loudness")]
    pub loudness: f64,
    /// What becomes of the shots' subtitles.
    #[serde(default)]
    pub subtitles: AssembledSubtitles,
}

/// A shot of a timeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssembledShot {
    /// The name of the shot, for the names of the steps; its number if absent.
    #[serde(default)]
    pub id: Option<String>,
    /// A picture (`image/*`) or a clip (`video/*`) of the store.
    pub visual: Digest,
    /// The number of frames from the shot's beginning to that of the next one; more than a dissolve has.
    pub frames: u64,
    /// The move over a picture.
    #[serde(default)]
    pub camera: CameraMove,
    /// A sound (`audio/*`) of the store.
    #[serde(default)]
    pub voice: Option<Digest>,
    /// When the voice begins, in seconds from the shot's beginning.
    #[serde(default)]
    pub voice_at_s: f64,
    /// The words that are shown while the voice speaks, or, without a voice, for the whole shot.
    #[serde(default)]
    pub subtitle: Option<String>,
}

/// What becomes of subtitles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AssembledSubtitles {
    /// They are drawn into the frames.
    Burn,
    /// They are a track that a player shows or hides.
    Track,
    /// They are left out.
    #[default]
    None,
}

const fn usual_transition() -> f64 {
    0.4
}

const fn usual_loudness() -> f64 {
    crate::AudioMixParams::LOUDNESS
}
