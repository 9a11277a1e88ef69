//! The specification of the wire, and its types in Rust.
//!
//! [reference]: mod@reference
//! [kinds of tasks]: reference/index.html#kinds-of-tasks
//! [`audio.mix`]: AudioMixParams
//! [`debug.fail`]: DebugFailParams
//! [`debug.noop`]: DebugNoopParams
//! [`debug.progress`]: DebugProgressParams
//! [`debug.sleep`]: DebugSleepParams
//! [`image.generate`]: ImageParams
//! [`render.join`]: RenderJoinParams
//! [`render.shot`]: RenderShotParams
//! [`render.transition`]: RenderTransitionParams
//! [`story.make`]: StoryMakeParams
//! [`story.storyboard`]: StoryboardParams
//! [`text.chat`]: ChatParams
//! [`translate.text`]: TranslateParams
//! [`video.assemble`]: AssembleParams
//! [`video.generate`]: VideoParams
//! [`voice.speak`]: SpeechParams
//! [`StoryReport`]: StoryReport
//! [`StoryboardReport`]: StoryboardReport
//! [`binary`]: mod@binary
//! [`endpoint`]: mod@endpoint
//! [`limits`]: mod@limits
//! [`preface`]: mod@preface
//!
// The links above come first, so here they lead to the types. In the file, the same links lead to the files beside it.
#![doc = include_str!("specification.md")]

pub mod binary;
pub mod endpoint;
pub mod frame;
pub mod limits;
pub mod line;
pub mod methods;
pub mod preface;
#[doc = include_str!("reference.md")]
pub mod reference {}
pub mod rpc;
#[cfg(feature = "schema")]
pub mod schema;

mod assemble;
mod bytes;
mod chat;
mod cost;
mod debug;
mod error;
mod field_names;
mod ids;
mod image;
mod json_text;
mod note;
mod printable;
mod read_json;
mod render;
mod seconds;
mod speech;
mod story;
mod storyboard;
mod task;
mod timestamp;
mod translate;
mod video;
mod wait_reason;

pub use self::{
    assemble::{AssembleParams, AssembleTimeline, AssembledShot, AssembledSubtitles, AssembledTitle},
    bytes::Bytes,
    chat::ChatParams,
    cost::Cost,
    debug::{DebugFailParams, DebugNoopParams, DebugProgressParams, DebugSleepParams},
    error::{ErrorCode, ErrorData, RpcError},
    field_names::field_names,
    ids::{BatchId, Digest, DigestError, MAX_ID, TaskId},
    image::ImageParams,
    json_text::{JsonText, JsonTextError},
    methods::Method,
    note::TaskNote,
    printable::{is_unprintable, printable},
    read_json::{JsonError, read_json},
    render::{
        AudioMixParams, BurntCue, BurntOutline, BurntPosition, BurntStyle, BurntTitle, CameraMove,
        FilmFormat, FilmedVisual, JoinedClip, Music, PlacedVoice, RenderJoinParams, RenderShotParams,
        RenderTransitionParams, SubtitleTrack,
    },
    seconds::Seconds,
    speech::{SpeechFormat, SpeechParams},
    story::{
        Downgrade, ShotReport, StepReport, StepState, StoryMakeParams, StoryPart, StoryRedo, StoryReport,
        StoryStage,
    },
    storyboard::{StoryCharacter, StoryPlace, StoryboardChunk, StoryboardParams, StoryboardReport},
    task::{CacheMode, HoldReason, Output, Progress, Source, TaskError, TaskSpec, TaskState, TaskView},
    timestamp::Timestamp,
    translate::TranslateParams,
    video::VideoParams,
    wait_reason::WaitReason,
};

/// The version of this specification, which `hello` answers. It grows only with an incompatible change.
pub const PROTOCOL: u32 = 1;

#[cfg(test)]
mod binary_tests;
#[cfg(test)]
mod specification_tests;
