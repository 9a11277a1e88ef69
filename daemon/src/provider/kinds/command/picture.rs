//! Makes pictures with a program: one run for each picture.

use tokio::sync::watch;

use super::CommandProvider;
use crate::{
    cache::{Body, NewArtifact},
    domain::{CancelSignal, Class, Facts, Failure, ImageRequest, InputFile},
    memory::Holder,
    provider::{
        GenerateError, Generated,
        command::{CommandDefinition, CommandError, Placeholder, Values},
        inspect::{InspectError, Inspected},
        notes::{Beside, notes},
    },
};

/// How much the input picture is changed if the request does not say it, from 0 to 1.
const STRENGTH: f64 = 0.6;

impl CommandProvider {
    /// Runs the program once for each picture. If a later run fails, the pictures that were made are returned with a note.
    pub(super) async fn draw(
        &self,
        request: &ImageRequest,
        cancel: CancelSignal,
        report: impl Fn(f64),
    ) -> Result<Generated, GenerateError> {
        let params = &request.params;
        let (_nobody, never) = watch::channel(false);
        // A paid run is not cancelled: its result is cached for the next equal request.
        let cancel = if self.config.is_paid { never } else { cancel };
        let (mut pictures, mut seen, mut beside) = (Vec::new(), Vec::new(), Beside::default());
        for index in 0..params.n {
            if index > 0 {
                report(f64::from(index) / f64::from(params.n));
            }
            match self.draw_one(values(&self.definition, request, index), cancel.clone()).await {
                Ok((picture, inspected)) => {
                    pictures.push(picture);
                    seen.push(inspected);
                }
                Err(GenerateError::Failed(failure)) if !pictures.is_empty() => {
                    beside.missing = Some(failure.error.message);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        let notes = notes(&self.config.name, params, &seen, &beside);
        Ok(Generated { artifacts: pictures, notes, cost_microusd: None })
    }

    async fn draw_one(
        &self,
        values: Values,
        cancel: CancelSignal,
    ) -> Result<(NewArtifact, Inspected), GenerateError> {
        let commands = &self.equipment.commands;
        let made = commands.make(&self.config.name, &self.definition, values, cancel).await;
        let made = made.map_err(|error| match error {
            CommandError::Stopped => GenerateError::Stopped,
            CommandError::Failed(failure) => GenerateError::Failed(failure),
        })?;
        let failed = |failure| GenerateError::Failed(failure);
        let spooled = self.spool(made).await.map_err(failed)?;
        let inspected = self.equipment.inspector.inspect(spooled).await;
        let (spooled, inspected) = inspected.map_err(|error| failed(self.no_picture(&error)))?;
        let reservation = self.equipment.budget.reserve(Holder::Body, spooled.memory_bytes());
        let reservation = reservation.map_err(|over| failed(self.over_memory(&over.to_string())))?;
        let facts = Facts::new(inspected.media_type, inspected.extension);
        let facts = match (inspected.width, inspected.height) {
            (Some(width), Some(height)) => facts.with_pixels(width, height),
            _ => facts,
        };
        Ok((NewArtifact { body: Body::Spooled(spooled), reservation: Some(reservation), facts }, inspected))
    }

    fn no_picture(&self, error: &InspectError) -> Failure {
        if let InspectError::OverMemory(over) = error {
            return self.over_memory(&over.to_string());
        }
        let message = format!("{} exited with 0 and its file is wrong: {error}", self.definition.program);
        Failure::new(
            self.class(Class::Unknown),
            message,
            "run it by hand: its arguments may not fit its version",
        )
    }
}

/// Returns the values of the placeholders for one of the pictures of a request, which are counted from 0.
fn values(definition: &CommandDefinition, request: &ImageRequest, index: u32) -> Values {
    let params = &request.params;
    let mut prompt = params.prompt.clone();
    if let Some(suffix) = request.style_suffix.filter(|suffix| !suffix.is_empty()) {
        prompt = format!("{prompt}, {suffix}");
    }
    let usual_strength = (!request.inputs.is_empty()).then_some(STRENGTH);
    let strength = params.strength.or(usual_strength);
    let given = [
        (Placeholder::Prompt, Some(prompt)),
        (Placeholder::NegativePrompt, request.negative_prompt()),
        (Placeholder::Width, Some(params.width.to_string())),
        (Placeholder::Height, Some(params.height.to_string())),
        (Placeholder::Seed, Some(request.seed.wrapping_add(index.into()).to_string())),
        (Placeholder::Steps, params.steps.map(|steps| steps.to_string())),
        (Placeholder::Guidance, params.guidance.map(|guidance| guidance.to_string())),
        (Placeholder::Strength, strength.map(|strength| strength.to_string())),
        (Placeholder::Model, params.model.clone().or_else(|| definition.model.clone())),
        (Placeholder::InputImage, path(request.inputs.first())),
        (Placeholder::Mask, path(request.inputs.get(params.input_images.len()))),
    ];
    let mut values = Values::default();
    for (placeholder, value) in given {
        if let Some(value) = value {
            values.set(placeholder, value);
        }
    }
    values
}

/// Returns the path of a file that the program reads; `None` if it is not UTF-8, as a template cannot contain it unchanged.
fn path(input: Option<&InputFile>) -> Option<String> {
    input.and_then(|input| input.path.to_str()).map(str::to_owned)
}
