//! The values that a program gets to make a picture. Pure.

use crate::{
    domain::{ImageRequest, InputFile},
    provider::command::{CommandDefinition, Placeholder, Values},
};

/// How much the input picture is changed if the request does not say it, from 0 to 1.
const STRENGTH: f64 = 0.6;

/// Returns the values of the placeholders for one of the pictures of a request, which are counted from 0.
pub(super) fn values(definition: &CommandDefinition, request: &ImageRequest, index: u32) -> Values {
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
