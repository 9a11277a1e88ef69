//! The params of `story.make`, and the report that its outputs contain.

use serde::{Deserialize, Serialize};

use crate::{Cost, Digest, JsonText, TaskError, TaskId};

/// The params of `story.make`. Unknown fields are `invalid_params`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct StoryMakeParams {
    /// The project file as JSON, an object. Its fields `music`, `picture_file`, `voice_file`, `clip_file` and `sheet` (of characters and places) hold digests of artifacts in
    /// the store (`artifact.put`) where the file holds paths. One that the store does not have is `artifact_not_found`.
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::Object"))]
    pub project: JsonText,
    /// The language of the text as a BCP 47 tag. If absent, it is that of the project, or is detected by the letters of the text.
    #[serde(default)]
    pub language: Option<String>,
    /// The last stage to carry out; `film` if absent.
    #[serde(default)]
    pub until: Option<StoryStage>,
    /// The ids of the shots to work on; all if absent, and an empty list is `invalid_params`. With it no film is joined.
    #[serde(default)]
    pub only: Option<Vec<String>>,
    /// The parts that are made anew although the cache has them; none if absent.
    #[serde(default)]
    pub redo: Vec<StoryRedo>,
    /// Whether a film is joined although shots failed; false if absent. A card that names the shot is shown in place of a missing picture, and silence of about the
    /// right length is played in place of a missing voice.
    #[serde(default)]
    pub allow_missing: bool,
    /// Most US dollars that the steps of this task may cost together, 0 to 1,000,000; no limit if absent. With a limit, a step without a known price
    /// fails with `over_budget`.
    #[serde(default)]
    pub budget_usd: Option<f64>,
    /// Whether the film is made without subtitles or titles in its frames if no font has all of their letters. False if absent: the task then fails
    /// with `no_font` before any provider is asked.
    #[serde(default)]
    pub allow_unburnt: bool,
}

impl StoryMakeParams {
    /// The error code of a task with shots that are not complete. What was made is among the task's outputs.
    pub const SHOTS_MISSING: &str = "shots_missing";
    /// The error code of a task that has everything but the film, because `ffmpeg` is not installed.
    pub const NO_RENDERER: &str = "no_renderer";
    /// The error code of a task that shall draw subtitles whose letters no installed font has.
    pub const NO_FONT: &str = "no_font";
    /// The error code of a task whose next step would cost more than `budget_usd` allows, or has no known price.
    pub const OVER_BUDGET: &str = "over_budget";
}

/// A stage of the work on a story. Each includes the stages before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum StoryStage {
    /// The shots are checked and placed by estimated lengths. No provider is asked.
    Storyboard,
    /// The voices are spoken.
    Voices,
    /// The pictures are made.
    Pictures,
    /// The clips are made from pictures, for the shots that have one.
    Clips,
    /// The shots are rendered and joined.
    Film,
}

/// A part of a shot that is made anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct StoryRedo {
    /// The id of the shot. One that the project does not have is `invalid_params`.
    pub id: String,
    /// The part of the shot.
    pub stage: StoryPart,
}

/// The parts of a shot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum StoryPart {
    /// The spoken text.
    Voice,
    /// The picture of the shot.
    Picture,
    /// The clip that is made from the picture.
    Clip,
    /// The frames of the shot, without the dissolves.
    Render,
}

/// The report of `story.make`, which is an output of the type `application/json`. A task that failed has it as well, unless it failed before its
/// first step. Later versions may have more fields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StoryReport {
    /// The project as it was used, with the ids of all shots.
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::Object"))]
    pub project: JsonText,
    /// The shots, in the order of the film.
    pub shots: Vec<ShotReport>,
    /// The steps that belong to no shot and have ended: sheets of characters and places, dissolves, the sound and the joining.
    pub steps: Vec<StepReport>,
    /// The number of frames of the film, or of the film that would be made.
    pub frames: u64,
    /// The duration of the film in seconds.
    pub duration_s: f64,
    /// Whether `frames` and the times are estimates, because voices are missing.
    pub is_estimate: bool,
    /// What is less than was requested, in the order in which it was found out.
    pub downgrades: Vec<Downgrade>,
    /// The cost of all steps with the state `made`; null if the cost of one is unknown.
    pub cost: Option<Cost>,
}

/// A shot in a report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ShotReport {
    /// The id of the shot.
    pub id: String,
    /// When the shot begins, in seconds from the beginning of the film.
    pub start_s: f64,
    /// The duration of the shot in seconds.
    pub duration_s: f64,
    /// When its voice begins, in seconds from the beginning of the film.
    pub speech_start_s: f64,
    /// The duration of its voice in seconds; 0 for a silent shot.
    pub speech_s: f64,
    /// The step of its voice; null for a silent shot.
    pub voice: Option<StepReport>,
    /// The step of its picture; null if the project supplies a clip and no picture.
    pub picture: Option<StepReport>,
    /// The step of its clip; null if it has none.
    pub clip: Option<StepReport>,
    /// The step of its frames, which makes a silent video of this shot alone; null if no film is made.
    pub render: Option<StepReport>,
}

/// A step in a report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StepReport {
    /// The name of the step, such as `voice/a1`.
    pub step: String,
    /// How the step ended.
    pub state: StepState,
    /// The task that carried it out; null if no task was accepted for it.
    pub task: Option<TaskId>,
    /// The digest of the artifact that it made or that the project supplies; null if there is none.
    pub digest: Option<Digest>,
    /// The media type of the artifact; null if there is none.
    pub media_type: Option<String>,
    /// The absolute path of the artifact's file in the daemon's own store; null if there is none. Read it, never change it.
    pub path: Option<String>,
    /// The provider that made the artifact; null if none did.
    pub provider: Option<String>,
    /// Why the step failed or is held; null otherwise.
    pub error: Option<TaskError>,
    /// The cost of the step; null if it is unknown, and in any state but `made`.
    #[serde(default)]
    pub cost: Option<Cost>,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// A provider made the result, for this step or for an equal task in flight.
    Made,
    /// The cache had the result.
    Cached,
    /// The project supplies the result.
    Supplied,
    /// The step was not carried out, because of `until` or `only`.
    Skipped,
    /// The step failed, or its task was cancelled.
    Failed,
    /// The task of the step is held, and a person must decide: `reel release` may pay again, `reel cancel` gives up.
    Held,
    /// Something that the step needs is missing.
    Blocked,
    /// A state that this version of the crate does not know.
    #[serde(other)]
    #[cfg_attr(feature = "schema", schemars(skip))]
    Unknown,
}

/// Something in the result that is less than was requested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Downgrade {
    /// The stable name: `draft_pictures`, `draft_voices`, `no_sheet`, `no_renderer` or `no_font`.
    pub code: String,
    /// What it means and what to do about it, for a person.
    pub message: String,
}
