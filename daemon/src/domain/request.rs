//! The requests to providers: a variant for each kind of work that a provider can do.

use reel_protocol::{
    AudioMixParams, ChatParams, ImageParams, RenderJoinParams, RenderShotParams, RenderTransitionParams,
    SpeechParams, VideoParams,
};

use super::InputFile;

/// A request to a provider. Its params are checked and have their defaults.
#[derive(Debug, Clone)]
pub enum ServiceRequest {
    /// A request of `image.generate`.
    Image(ImageRequest),
    /// A request of `voice.speak`.
    Speech(SpeechParams),
    /// A request of `text.chat`.
    Chat(ChatParams),
    /// A request of `video.generate`.
    Video(VideoRequest),
    /// A request of `render.*` or `audio.mix`.
    Render(RenderRequest),
}

/// A step that assembles a film.
#[derive(Debug, Clone)]
pub struct RenderRequest {
    /// The work to do, with its params.
    pub work: RenderWork,
    /// The files that the params name, in the order of the params. A file occurs as often as it is named.
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

/// The kind of work, with its params.
#[derive(Debug, Clone)]
pub enum RenderWork {
    /// Render the frames and subtitles of one shot, for `render.shot`.
    Shot(RenderShotParams),
    /// Render the transition from one shot to the next, for `render.transition`.
    Transition(RenderTransitionParams),
    /// Mix the sound of a whole film, for `audio.mix`.
    Mix(AudioMixParams),
    /// Join shots, transitions and sound to a film, for `render.join`.
    Join(RenderJoinParams),
}

/// A request for pictures.
#[derive(Debug, Clone)]
pub struct ImageRequest {
    /// The params. Their style names are checked too.
    pub params: ImageParams,
    /// The seed to use if the params name none.
    pub seed: u64,
    /// The text that the style adds to the prompt, for providers that read text.
    pub style_suffix: Option<&'static str>,
    /// The text that the style adds to the negative prompt, where the provider takes one.
    pub style_negative: Option<&'static str>,
    /// The input pictures, followed by the mask if the params name one.
    pub inputs: Vec<InputFile>,
}

impl ImageRequest {
    /// Returns the negative prompt for providers that take one: that of the request, and what the style adds.
    pub fn negative_prompt(&self) -> Option<String> {
        let own = self.params.negative_prompt.as_deref().filter(|text| !text.trim().is_empty());
        let parts: Vec<&str> = own.into_iter().chain(self.style_negative).collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

impl ServiceRequest {
    /// Returns the same request with the files of its input artifacts.
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

/// A request for a video.
#[derive(Debug, Clone)]
pub struct VideoRequest {
    /// The params as planned: checked, with defaults applied.
    pub params: VideoParams,
    /// The seed to use if the params name none.
    pub seed: u64,
    /// The first picture, then the last picture, if the params name them.
    pub inputs: Vec<InputFile>,
}
