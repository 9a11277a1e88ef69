//! What a job makes: pictures or a video. Pure.

use crate::domain::{ImageRequest, InputFile, VideoRequest};

/// The work of a job at a service.
#[derive(Debug, Clone)]
pub enum JobWork {
    /// The job makes pictures.
    Image(ImageRequest),
    /// The job makes a video.
    Video(VideoRequest),
}

impl JobWork {
    /// Returns the name of the service, which is also the key of its model in the configuration.
    pub const fn service(&self) -> &'static str {
        match self {
            Self::Image(_) => "image",
            Self::Video(_) => "video",
        }
    }

    /// Returns the model that the request names, if it names one.
    pub fn model(&self) -> Option<&str> {
        match self {
            Self::Image(request) => request.params.model.as_deref(),
            Self::Video(request) => request.params.model.as_deref(),
        }
    }

    /// Returns the files of the pictures that the job starts from.
    pub fn inputs(&self) -> &[InputFile] {
        match self {
            Self::Image(request) => &request.inputs,
            Self::Video(request) => &request.inputs,
        }
    }

    /// Returns how many files are requested.
    pub const fn count(&self) -> u32 {
        match self {
            Self::Image(request) => request.params.n,
            Self::Video(_) => 1,
        }
    }
}
