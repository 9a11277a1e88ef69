//! The params of `story.make`, and the report that is one of its outputs.

use serde::{Deserialize, Serialize};

use crate::{Cost, Digest, JsonText, TaskError, TaskId};

/// The params of `story.make`. Unknown fields are refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoryMakeParams {
    /// The project file as JSON, an object. Its fields `music`, `picture_file`, `voice_file`, `clip_file` and `sheet` hold digests of the store
    /// (`artifact.put`) where the file holds paths.
    pub project: JsonText,
    /// The language of the text, by BCP 47; found out by its characters if absent.
    #[serde(default)]
    pub language: Option<String>,
    /// The last stage to carry out; the film if absent.
    #[serde(default)]
    pub until: Option<StoryStage>,
    /// The ids of the shots to work on; all if absent. No film is joined where shots are left out.
    #[serde(default)]
    pub only: Option<Vec<String>>,
    /// What is made anew, though the cache has it.
    #[serde(default)]
    pub redo: Vec<StoryRedo>,
    /// Whether a film is joined though shots failed: each has a card of its length in its place.
    #[serde(default)]
    pub allow_missing: bool,
    /// The most that the steps of this task may cost together, in US dollars; without a bound if absent. A step without a known price is
    /// refused then.
    #[serde(default)]
    pub budget_usd: Option<f64>,
    /// Whether a film without subtitles in its pictures is made where no font has the letters of the text. Without it the task fails before
    /// anything is asked for.
    #[serde(default)]
    pub allow_unburnt: bool,
}

impl StoryMakeParams {
    /// The code of the error of a task whose film lacks shots. What was made is among the task's outputs.
    pub const SHOTS_MISSING: &str = "shots_missing";
    /// The code of the error of a task that has everything but the film, as `ffmpeg` is not installed.
    pub const NO_RENDERER: &str = "no_renderer";
    /// The code of the error of a task that was to burn subtitles for which no font is installed.
    pub const NO_FONT: &str = "no_font";
    /// The code of the error of a task whose steps cost more than `budget_usd`.
    pub const OVER_BUDGET: &str = "over_budget";
}

/// A part of the work on a story.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoryStage {
    /// The shots are checked and placed by estimated lengths, and nothing is asked for.
    Storyboard,
    /// The voices are spoken.
    Voices,
    /// The pictures are made, and the voices.
    Pictures,
    /// The clips are made of pictures, and all before.
    Clips,
    /// The shots are rendered and joined.
    Film,
}

/// What of a shot is made anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoryRedo {
    /// The shot's id.
    pub id: String,
    /// What of it.
    pub stage: StoryPart,
}

/// What a shot consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoryPart {
    /// The spoken text.
    Voice,
    /// The picture.
    Picture,
    /// The clip that is made of the picture.
    Clip,
    /// The frames of the shot, without the transitions.
    Render,
}

/// The report of `story.make`, an output as `application/json`. It is there where the task failed, too. Fields are only added.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoryReport {
    /// The project as it was used, with the ids of all shots.
    pub project: JsonText,
    /// The shots, in the film's order.
    pub shots: Vec<ShotReport>,
    /// The film's steps that belong to no shot: transitions, the sound and the joining.
    pub steps: Vec<StepReport>,
    /// The frames of the film, or of what would be one.
    pub frames: u64,
    /// The length in seconds.
    pub duration_s: f64,
    /// Whether lengths were estimated, as voices are missing.
    pub is_estimate: bool,
    /// What is less than was asked for, in the order in which it was found out.
    pub downgrades: Vec<Downgrade>,
    /// What the steps of this task cost together; absent where the cost of one is not known.
    pub cost: Option<Cost>,
}

/// A shot in a report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShotReport {
    /// The shot's id.
    pub id: String,
    /// When it begins in the film, in seconds.
    pub start_s: f64,
    /// How long it lasts, in seconds.
    pub duration_s: f64,
    /// When its voice begins in the film, in seconds.
    pub speech_start_s: f64,
    /// How long its voice lasts, in seconds; 0 for a silent shot.
    pub speech_s: f64,
    /// Its voice; absent for a silent shot.
    pub voice: Option<StepReport>,
    /// Its picture; absent where it has an own clip.
    pub picture: Option<StepReport>,
    /// Its clip, if it has one.
    pub clip: Option<StepReport>,
    /// The video of this shot alone, silent; absent until frames are rendered.
    pub render: Option<StepReport>,
}

/// A step in a report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// The step's name, such as `voice/a1`.
    pub step: String,
    /// What became of it.
    pub state: StepState,
    /// The task that carried it out, if any.
    pub task: Option<TaskId>,
    /// What it made, or what was supplied.
    pub digest: Option<Digest>,
    /// The media type of that.
    pub media_type: Option<String>,
    /// The file of that in the daemon's own store: read it, never change it.
    pub path: Option<String>,
    /// The provider that made it.
    pub provider: Option<String>,
    /// Why it failed.
    pub error: Option<TaskError>,
    /// What it cost, where that is known; absent too where nothing was made now.
    #[serde(default)]
    pub cost: Option<Cost>,
}

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// A provider made it now.
    Made,
    /// An earlier result was used.
    Cached,
    /// The project supplies it.
    Supplied,
    /// It was not asked for, by `until` or `only`.
    Skipped,
    /// It failed.
    Failed,
    /// A person must decide about its task: `reel release` may pay again, `reel cancel` gives up.
    Held,
    /// Something that it needs is missing.
    Blocked,
    /// A state of a newer daemon.
    #[serde(other)]
    Unknown,
}

/// Something that is less than was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Downgrade {
    /// What it is: `draft_pictures`, `draft_voices`, `no_renderer` or `no_font`.
    pub code: String,
    /// What it means, and what to do about it.
    pub message: String,
}
