//! Builds requests for pictures: `images/generations` in JSON, and `images/edits` as a form that contains the input pictures. Pure.
//!
//! Source: openai-openapi `openapi.yaml` (`CreateImageRequest`, `CreateImageEditRequest`), and openai-python for the names of the form's files.

use serde_json::{Map, Value, json};

use crate::{
    domain::ImageRequest,
    provider::{
        form::Form,
        wire::{InputPicture, Submission},
    },
};

/// Builds a request for pictures from a prompt alone.
pub(super) fn request(request: &ImageRequest, model: Option<&str>, partial_images: u32) -> Submission {
    let body = Value::Object(fields(request, model, partial_images));
    Submission::json("images/generations", body.to_string().into_bytes())
}

/// Builds a request for pictures from other pictures. `inputs` has the pictures that the params name, followed by the mask if there is one.
pub(super) fn edit(
    request: &ImageRequest,
    model: Option<&str>,
    partial_images: u32,
    inputs: Vec<InputPicture>,
) -> Submission {
    let mut form = Form::default();
    for (name, value) in fields(request, model, partial_images) {
        match value {
            Value::String(text) => form.text(&name, &text),
            other => form.text(&name, &other.to_string()),
        }
    }
    let count = request.params.input_images.len();
    let name = if count == 1 { "image" } else { "image[]" };
    for (number, input) in inputs.into_iter().enumerate() {
        let (name, file) = if number < count {
            (name, format!("image-{}.{}", number + 1, input.extension))
        } else {
            ("mask", format!("mask.{}", input.extension))
        };
        form.file(name, &file, &input.media_type, input.bytes);
    }
    Submission::form("images/edits", form)
}

/// The fields that both requests have in common.
fn fields(request: &ImageRequest, model: Option<&str>, partial_images: u32) -> Map<String, Value> {
    let params = &request.params;
    let mut prompt = params.prompt.clone();
    if let Some(suffix) = request.style_suffix.filter(|suffix| !suffix.is_empty()) {
        prompt = format!("{prompt}, {suffix}");
    }
    // The API has no field for a negative prompt. Models that read sentences understand it in the prompt.
    if let Some(negative) = params.negative_prompt.as_deref().filter(|text| !text.trim().is_empty()) {
        prompt = format!("{prompt}. Avoid: {negative}");
    }
    let mut fields = Map::new();
    if let Some(model) = model {
        fields.insert("model".to_owned(), json!(model));
    }
    fields.insert("prompt".to_owned(), json!(prompt));
    fields.insert("n".to_owned(), json!(params.n));
    fields.insert("size".to_owned(), json!(format!("{}x{}", params.width, params.height)));
    // A stream contains one picture, and the models before the GPT ones cannot stream.
    if partial_images > 0 && params.n == 1 && !model.is_some_and(|model| model.starts_with("dall-e")) {
        fields.insert("stream".to_owned(), json!(true));
        fields.insert("partial_images".to_owned(), json!(partial_images));
    }
    let extra = params.extra.as_ref().and_then(|extra| extra.decode::<Map<String, Value>>().ok());
    fields.extend(extra.unwrap_or_default());
    fields
}
