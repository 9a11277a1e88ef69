//! The fields of a project, which are the same in TOML and JSON.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{
    camera::Camera,
    subtitle_style::{SubtitleOutline, SubtitlePosition, SubtitleSize},
    timeline::Transition,
};

/// The version of the format.
pub const VERSION: u32 = 1;
/// The speaker of a shot that names none.
pub const NARRATOR: &str = "narrator";

/// A story with everything that its film is made from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Project {
    /// The version of the format, which must be 1.
    pub version: u32,
    /// The file of the story that the shots were split from; None if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub story: Option<StoryFile>,
    /// The settings that all shots share.
    #[serde(default)]
    pub video: Video,
    /// The voice of each speaker. Keys are speakers, values are names of a provider's voices.
    #[serde(default)]
    pub voices: BTreeMap<String, String>,
    /// The characters of the story.
    #[serde(default)]
    pub characters: Vec<Character>,
    /// The places at which the story happens.
    #[serde(default)]
    pub places: Vec<Place>,
    /// The scenes, in the order of the story.
    #[serde(default)]
    pub scenes: Vec<Scene>,
    /// The shots, in the film's order.
    #[serde(default)]
    pub shots: Vec<Shot>,
}

/// The file of a story, as it was when it was split.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoryFile {
    /// Its path, relative to the directory of the project file.
    pub file: String,
    /// The digest of its bytes, which shows whether it changed after it was split.
    pub digest: String,
}

/// The settings that all shots share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Video {
    /// The film's size in pixels.
    pub size: FrameSize,
    /// The frame rate, in frames a second.
    pub fps: u32,
    /// The style of the pictures.
    pub style: String,
    /// The language of the text, as a BCP 47 tag; empty to detect it from the characters.
    pub language: String,
    /// The transition from one shot to the next, for shots that do not set their own.
    pub transition: Transition,
    /// The length of a dissolve, in seconds.
    pub transition_s: f64,
    /// The forms in which subtitles are made.
    pub subtitles: Vec<Subtitles>,
    /// The height of a line of burnt subtitles.
    pub subtitle_size: SubtitleSize,
    /// Where burnt subtitles are in the frame.
    pub subtitle_position: SubtitlePosition,
    /// How burnt subtitles are set off from the picture.
    pub subtitle_outline: SubtitleOutline,
    /// A file with background music; empty for none.
    pub music: String,
    /// The level of the music, in decibels.
    pub music_db: f64,
    /// The loudness of the film, in LUFS.
    pub loudness: f64,
    /// Whether a picture of each character and place is made first and sent with the pictures of its shots, where the provider takes such pictures.
    pub sheets: bool,
    /// The film's title, which is shown over the first shot before its narration; empty for none.
    pub title: String,
    /// The text that is shown over the last shot after its narration; empty for none.
    pub end_card: String,
    /// Whether the title of each scene is shown over its first shot before the narration.
    pub chapter_titles: bool,
    /// How long each of these is shown, in seconds.
    pub title_s: f64,
}

impl Default for Video {
    fn default() -> Self {
        Self {
            size: FrameSize { width: 1920, height: 1080 },
            fps: 30,
            style: "cinematic".to_owned(),
            language: String::new(),
            transition: Transition::Dissolve,
            transition_s: 0.4,
            subtitles: vec![Subtitles::Burn, Subtitles::Srt],
            subtitle_size: SubtitleSize::default(),
            subtitle_position: SubtitlePosition::default(),
            subtitle_outline: SubtitleOutline::default(),
            music: String::new(),
            music_db: -18.0,
            loudness: -14.0,
            sheets: true,
            title: String::new(),
            end_card: String::new(),
            chapter_titles: false,
            title_s: 3.0,
        }
    }
}

/// A size in pixels. Both sides are even. It is written as `1920x1080`; `16:9`, `9:16` and `1:1` are accepted too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameSize {
    /// The width in pixels.
    pub width: u32,
    /// The height in pixels.
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

/// The transition from the previous shot to this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ShotTransition {
    /// The transition of the whole film, as in [`Video::transition`].
    #[default]
    #[serde(rename = "")]
    Usual,
    /// The next shot follows without a transition.
    Cut,
    /// The next shot is blended in during a transition.
    Dissolve,
}

/// A form in which subtitles are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Subtitles {
    /// They are drawn into the picture.
    Burn,
    /// They are a track of the film, which a player shows or hides.
    Track,
    /// They are an SRT file beside the film.
    Srt,
}

/// A character of the story.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Character {
    /// The id by which shots refer to it.
    pub id: String,
    /// The character's name in the story.
    #[serde(default)]
    pub name: String,
    /// The appearance, as words of a prompt.
    #[serde(default)]
    pub look: String,
    /// The name of a provider's voice; empty for the narrator's.
    #[serde(default)]
    pub voice: String,
    /// The file of a picture of the character, which is sent with the pictures of its shots; empty to have one made.
    #[serde(default)]
    pub sheet: String,
}

/// A place at which the story happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The id by which scenes refer to it.
    pub id: String,
    /// The appearance, as words of a prompt.
    #[serde(default)]
    pub look: String,
    /// The file of a picture of the place, which is sent with the pictures of its shots; empty to have one made.
    #[serde(default)]
    pub sheet: String,
}

/// A scene of the story.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scene {
    /// The id by which shots refer to it.
    pub id: String,
    /// The heading in the story; empty for none.
    #[serde(default)]
    pub title: String,
    /// The id of its place; empty for none.
    #[serde(default)]
    pub place: String,
}

/// A shot of the film: one picture and what is spoken over it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shot {
    /// The id, which never changes. A shot without an id is given one.
    #[serde(default)]
    pub id: String,
    /// The id of its scene; empty for none.
    #[serde(default)]
    pub scene: String,
    /// The text that is spoken and shown in subtitles; empty for a silent shot.
    pub text: String,
    /// The text that is spoken in place of `text`; empty for `text`.
    #[serde(default)]
    pub speak: String,
    /// The text that subtitles show in place of `text`; empty for `text`.
    #[serde(default)]
    pub subtitle: String,
    /// The speaker: a key of [`Project::voices`], or the id of a character.
    #[serde(default = "narrator")]
    pub speaker: String,
    /// The ids of the characters in the picture.
    #[serde(default)]
    pub characters: Vec<String>,
    /// The prompt of the picture, without the style and the looks of characters and place; empty for `text`.
    #[serde(default)]
    pub picture: String,
    /// The file of a picture that is used in place of a generated one; empty for none.
    #[serde(default)]
    pub picture_file: String,
    /// The file of a recording that is used in place of generated speech; empty for none.
    #[serde(default)]
    pub voice_file: String,
    /// The file of a video that is used in place of a picture; empty for none.
    #[serde(default)]
    pub clip_file: String,
    /// The camera move over the picture.
    #[serde(default)]
    pub camera: Camera,
    /// Whether a video is generated from the picture.
    #[serde(default)]
    pub clip: bool,
    /// The prompt of the generated video; empty for the prompt of the picture.
    #[serde(default)]
    pub motion: String,
    /// The shot whose picture the generated video ends with: `next` or an id; empty for none.
    #[serde(default)]
    pub last_picture: String,
    /// The minimum length of the shot, in seconds.
    #[serde(default)]
    pub min_s: f64,
    /// How long the picture is shown after the speech, in seconds.
    #[serde(default)]
    pub hold_s: f64,
    /// The transition from the previous shot to this one.
    #[serde(default)]
    pub transition: ShotTransition,
    /// Another number gives another picture of the same prompt.
    #[serde(default)]
    pub sample: u64,
    /// Whether the shot stays unchanged when the story is split again.
    #[serde(default)]
    pub locked: bool,
}

fn narrator() -> String {
    NARRATOR.to_owned()
}
