//! What a provider is asked to make: a variant for each service that needs one.

use reel_protocol::{ChatParams, ImageParams, SpeechParams, VideoParams};

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
}

/// A video to make.
#[derive(Debug, Clone)]
pub struct VideoRequest {
    /// As planned: the params are checked and have their defaults.
    pub params: VideoParams,
    /// The seed to use where the params name none.
    pub seed: u64,
}
