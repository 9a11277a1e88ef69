//! What a provider is asked to make: a variant for each service that needs one.

use reel_protocol::{
    AudioMixParams, ChatParams, ImageParams, RenderJoinParams, RenderShotParams, RenderTransitionParams,
    SpeechParams, VideoParams,
};

use super::InputFile;

/// One request of a service, checked and with its defaults applied.
#[derive(Debug, Clone)]
pub enum ServiceRequest {
    /// `image.generate`.
    Image(ImageRequest),
    /// `voice.speak`, as planned: the params are checked and have their defaults.
    Speech(SpeechParams),
    /// `text.chat`, as planned: the params are checked.
    Chat(ChatParams),
    /// `video.generate`.
    Video(VideoRequest),
    /// `render.*` and `audio.mix`.
    Render(RenderRequest),
}

/// A step of the assembly of a film, as planned: the params are checked.
#[derive(Debug, Clone)]
pub struct RenderRequest {
    /// What is to be made.
    pub work: RenderWork,
    /// The files that the params name, in the order of the params, each as often as it is named.
    pub inputs: Vec<InputFile>,
}

impl RenderRequest {
    /// Returns the memory that `ffmpeg` may hold while it renders frames of so many pixels, in bytes. 287 MB were measured at 1080p.
    pub const fn memory_bytes(pixels: u64) -> u64 {
        const BASE_BYTES: u64 = 96 * 1024 * 1024;
        const PIXEL_BYTES: u64 = 128;
        BASE_BYTES + pixels * PIXEL_BYTES
    }
}

/// What is to be made of which files.
#[derive(Debug, Clone)]
pub enum RenderWork {
    /// The frames and subtitles of one shot, for `render.shot`.
    Shot(RenderShotParams),
    /// The passage from one shot to the next, for `render.transition`.
    Transition(RenderTransitionParams),
    /// The sound of a whole film, for `audio.mix`.
    Mix(AudioMixParams),
    /// A film of shots, passages and sound, for `render.join`.
    Join(RenderJoinParams),
}

/// Pictures to make.
#[derive(Debug, Clone)]
pub struct ImageRequest {
    /// As planned: defaults and style names are checked.
    pub params: ImageParams,
    /// The seed to use where the params name none.
    pub seed: u64,
    /// What the style adds to the prompt, for providers that read text.
    pub style_suffix: Option<&'static str>,
    /// The pictures to start from, and the mask behind them where the params name one.
    pub inputs: Vec<InputFile>,
}

impl ServiceRequest {
    /// The same request with the files of the artifacts that it starts from.
    #[must_use]
    pub fn with_inputs(mut self, inputs: Vec<InputFile>) -> Self {
        match &mut self {
            Self::Image(request) => request.inputs = inputs,
            Self::Video(request) => request.inputs = inputs,
            Self::Render(request) => request.inputs = inputs,
            Self::Speech(_) | Self::Chat(_) => {}
        }
        self
    }
}

/// A video to make.
#[derive(Debug, Clone)]
pub struct VideoRequest {
    /// As planned: the params are checked and have their defaults.
    pub params: VideoParams,
    /// The seed to use where the params name none.
    pub seed: u64,
    /// The first picture, and the last one behind it, where the params name them.
    pub inputs: Vec<InputFile>,
}
