//! The fields of a project, equal in TOML and JSON.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::camera::Camera;

/// The version of the format.
pub const VERSION: u32 = 1;
/// The voice that speaks where a shot names none.
pub const NARRATOR: &str = "narrator";

/// A story on its way to a film.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Project {
    /// The format's version, 1.
    pub version: u32,
    /// The story that the shots came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub story: Option<StoryFile>,
    /// What all shots share.
    #[serde(default)]
    pub video: Video,
    /// The voice of each speaker, by the names of a provider's voices.
    #[serde(default)]
    pub voices: BTreeMap<String, String>,
    /// Who appears.
    #[serde(default)]
    pub characters: Vec<Character>,
    /// Where the story happens.
    #[serde(default)]
    pub places: Vec<Place>,
    /// The scenes.
    #[serde(default)]
    pub scenes: Vec<Scene>,
    /// The shots, in the film's order.
    #[serde(default)]
    pub shots: Vec<Shot>,
}

/// The story's file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoryFile {
    /// Its name, beside the project file.
    pub file: String,
    /// The digest of its bytes, which tells whether it was changed since it was split.
    pub digest: String,
}

/// What all shots share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Video {
    /// The film's size in pixels.
    pub size: FrameSize,
    /// Frames a second.
    pub fps: u32,
    /// The pictures' style.
    pub style: String,
    /// The language of the text, by BCP 47; empty where its characters tell it.
    pub language: String,
    /// How a shot changes to the next one.
    pub transition: Change,
    /// Seconds of a dissolve.
    pub transition_s: f64,
    /// The forms of subtitles that are made.
    pub subtitles: Vec<Subtitles>,
    /// A file with music; empty for none.
    pub music: String,
    /// The music's level in decibels.
    pub music_db: f64,
    /// The film's loudness in LUFS.
    pub loudness: f64,
}

impl Default for Video {
    fn default() -> Self {
        Self {
            size: FrameSize { width: 1920, height: 1080 },
            fps: 30,
            style: "cinematic".to_owned(),
            language: String::new(),
            transition: Change::Dissolve,
            transition_s: 0.4,
            subtitles: vec![Subtitles::Burn, Subtitles::Srt],
            music: String::new(),
            music_db: -18.0,
            loudness: -14.0,
        }
    }
}

/// A size in pixels, both sides even. It is written as `1920x1080`; `16:9`, `9:16` and `1:1` are read too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameSize {
    /// Pixels of a row.
    pub width: u32,
    /// Pixels of a column.
    pub height: u32,
}

impl FromStr for FrameSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let size = match text {
            "16:9" => (1920, 1080),
            "9:16" => (1080, 1920),
            "1:1" => (1080, 1080),
            _ => {
                let sides = text.split_once(['x', 'X', '×']);
                let sides =
                    sides.and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
                sides.ok_or_else(|| format!("the size `{text}` is none: write WIDTHxHEIGHT such as \"1920x1080\", or 16:9, 9:16 or 1:1"))?
            }
        };
        let (width, height): (u32, u32) = size;
        let is_side = |side: u32| (64..=4096).contains(&side) && side.is_multiple_of(2);
        if is_side(width) && is_side(height) {
            Ok(Self { width, height })
        } else {
            Err(format!(
                "the size `{text}` is not possible: both sides must be even, and from 64 to 4096 pixels"
            ))
        }
    }
}

impl fmt::Display for FrameSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

impl Serialize for FrameSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FrameSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// How a film changes from one shot to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// From one frame to the next.
    Cut,
    /// Over the frames of a transition.
    Dissolve,
}

/// How the film changes from the shot before to this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ShotChange {
    /// As the whole film does.
    #[default]
    #[serde(rename = "")]
    Usual,
    /// From one frame to the next.
    Cut,
    /// Over the frames of a transition.
    Dissolve,
}

/// A form of subtitles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Subtitles {
    /// Drawn into the picture.
    Burn,
    /// A track of the film that a player shows or hides.
    Track,
    /// A file beside the film.
    Srt,
}

/// Who appears.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Character {
    /// The id that shots name.
    pub id: String,
    /// The name in the story.
    #[serde(default)]
    pub name: String,
    /// The look, in the words of a prompt.
    #[serde(default)]
    pub look: String,
    /// The voice; empty for the narrator's.
    #[serde(default)]
    pub voice: String,
    /// An own picture of the character.
    #[serde(default)]
    pub sheet: String,
}

/// Where the story happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The id that scenes name.
    pub id: String,
    /// The look, in the words of a prompt.
    #[serde(default)]
    pub look: String,
}

/// A scene.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scene {
    /// The id that shots name.
    pub id: String,
    /// The heading in the story.
    #[serde(default)]
    pub title: String,
    /// The id of the place.
    #[serde(default)]
    pub place: String,
}

/// What is spoken over one picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shot {
    /// The id, which never changes. A shot without one is given one.
    #[serde(default)]
    pub id: String,
    /// The id of the scene.
    #[serde(default)]
    pub scene: String,
    /// What is spoken and subtitled; empty for a silent shot.
    pub text: String,
    /// What is spoken in its place.
    #[serde(default)]
    pub speak: String,
    /// What is subtitled in its place.
    #[serde(default)]
    pub subtitle: String,
    /// Who speaks: a name of `voices`, or the id of a character.
    #[serde(default = "narrator")]
    pub speaker: String,
    /// The ids of the characters in the picture.
    #[serde(default)]
    pub characters: Vec<String>,
    /// The picture's prompt, without its style and the looks of characters and place.
    #[serde(default)]
    pub picture: String,
    /// An own picture, which wins.
    #[serde(default)]
    pub picture_file: String,
    /// An own recording, which wins.
    #[serde(default)]
    pub voice_file: String,
    /// An own video, which wins.
    #[serde(default)]
    pub clip_file: String,
    /// The move over the picture.
    #[serde(default)]
    pub camera: Camera,
    /// Whether a video is generated from the picture.
    #[serde(default)]
    pub clip: bool,
    /// The prompt of that video.
    #[serde(default)]
    pub motion: String,
    /// The least seconds of the shot.
    #[serde(default)]
    pub min_s: f64,
    /// Seconds that the picture stays behind the speech.
    #[serde(default)]
    pub hold_s: f64,
    /// How the film changes to this shot.
    #[serde(default)]
    pub transition: ShotChange,
    /// Another number is another picture of the same prompt.
    #[serde(default)]
    pub sample: u64,
    /// Whether splitting the story anew leaves the shot as it is.
    #[serde(default)]
    pub locked: bool,
}

fn narrator() -> String {
    NARRATOR.to_owned()
}
