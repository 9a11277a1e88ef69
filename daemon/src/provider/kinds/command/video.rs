//! Videos made by a program.

use tokio::sync::watch;

use super::CommandProvider;
use crate::{
    domain::{CancelSignal, Class, Failure, VideoCapabilities, VideoRequest},
    provider::{
        GenerateError, Generated,
        command::{CommandDefinition, Placeholder, Values},
    },
};

/// Params of a video, each with the placeholder that passes it to the program. A definition without the placeholder does not support the param.
const PARAMS: &[(&str, Placeholder)] =
    &[("image", Placeholder::InputImage), ("fps", Placeholder::Fps), ("seed", Placeholder::Seed)];

/// Returns which params of videos a program with this definition supports.
pub(super) fn capabilities(definition: &CommandDefinition) -> VideoCapabilities {
    let untold = PARAMS.iter().filter(|(_, placeholder)| !definition.honours(*placeholder));
    // No placeholder passes a second picture or the fields of `extra`.
    let ignored = untold.map(|(name, _)| *name).chain(["last_image", "extra"]).collect();
    VideoCapabilities { ignored, ..VideoCapabilities::default() }
}

impl CommandProvider {
    /// Runs the program once to make a video.
    pub(super) async fn film(
        &self,
        request: &VideoRequest,
        cancel: CancelSignal,
    ) -> Result<Generated, GenerateError> {
        let (_nobody, never) = watch::channel(false);
        // A paid run is not cancelled: its result is cached for the next equal request.
        let cancel = if self.config.is_paid { never } else { cancel };
        let values = self.video_values(request).map_err(GenerateError::Failed)?;
        let video = self.make_media(values, cancel, "video/").await?;
        Ok(Generated { artifacts: vec![video], notes: Vec::new(), cost_microusd: None })
    }

    fn video_values(&self, request: &VideoRequest) -> Result<Values, Failure> {
        let (params, definition) = (&request.params, &self.definition);
        let size = params.size();
        let path = request.inputs.first().and_then(|input| input.path.to_str());
        let given = [
            (Placeholder::Prompt, Some(params.prompt.clone())),
            (Placeholder::Duration, params.duration_s.map(|seconds| seconds.to_string())),
            (Placeholder::Fps, params.fps.map(|fps| fps.to_string())),
            (Placeholder::Width, size.map(|(width, _)| width.to_string())),
            (Placeholder::Height, size.map(|(_, height)| height.to_string())),
            (Placeholder::Seed, Some(request.seed.to_string())),
            (Placeholder::InputImage, path.map(str::to_owned)),
            (Placeholder::Model, params.model.clone().or_else(|| definition.model.clone())),
        ];
        let mut values = Values::default();
        for (placeholder, value) in given {
            let Some(value) = value else { continue };
            let is_a_wish =
                matches!(placeholder, Placeholder::Duration | Placeholder::Width | Placeholder::Height);
            if is_a_wish && !definition.honours(placeholder) {
                let message = format!("{} cannot be told a {}", self.config.name, placeholder.name());
                return Err(Failure::new(Class::Invalid, message, "leave it out, or name another provider"));
            }
            values.set(placeholder, value);
        }
        Ok(values)
    }
}
