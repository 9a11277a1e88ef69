//! The values that a request gives to the inputs of a workflow. Pure.

use std::collections::BTreeMap;

use reel_protocol::JsonText;
use serde_json::{Map, Value, json};

use super::workflow::{IMAGES, Workflow};
use crate::domain::{ImageRequest, VideoRequest};

/// The values of a request, by the name of the param.
pub type Values = BTreeMap<String, Value>;

/// Collects values for one workflow.
struct Setter<'a> {
    workflow: &'a Workflow,
    values: Values,
}

impl Setter<'_> {
    /// Sets a param that every request has. A workflow without a place for it keeps its own value.
    fn offer(&mut self, name: &str, value: impl Into<Value>) {
        if self.workflow.takes(name) {
            self.values.insert(name.to_owned(), value.into());
        }
    }

    /// Sets a param that the request names. A workflow without a place for it would make something else.
    fn set(&mut self, name: &str, value: Option<impl Into<Value>>) -> Result<(), String> {
        let Some(value) = value else { return Ok(()) };
        if !self.workflow.takes(name) {
            return Err(format!(
                "its workflow has no node with the title reel:{name}, and no patch for {name}"
            ));
        }
        self.values.insert(name.to_owned(), value.into());
        Ok(())
    }

    fn extra(&mut self, extra: Option<&JsonText>) -> Result<(), String> {
        let fields = extra.and_then(|extra| extra.decode::<Map<String, Value>>().ok()).unwrap_or_default();
        for (name, value) in fields {
            if !self.workflow.own_names().any(|own| own == name) {
                let known: Vec<_> = self.workflow.own_names().collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                return Err(format!("its workflow has no place for {name:?} of extra (it has: {known})"));
            }
            self.values.insert(name, value);
        }
        Ok(())
    }
}

/// Returns the values of a request for pictures. `inputs` are the server's names of the input pictures, followed by that of the mask. The error
/// names what the workflow has no place for.
pub fn of_image(
    workflow: &Workflow,
    request: &ImageRequest,
    model: Option<&str>,
    inputs: &[String],
) -> Result<Values, String> {
    let params = &request.params;
    let mut setter = Setter { workflow, values: Values::new() };
    let prompt = match request.style_suffix {
        Some(suffix) => format!("{}, {suffix}", params.prompt),
        None => params.prompt.clone(),
    };
    setter.offer("prompt", prompt);
    setter.offer("width", params.width);
    setter.offer("height", params.height);
    setter.offer("n", params.n);
    setter.offer("seed", request.seed);
    setter.set("seed", params.seed)?;
    setter.set("negative_prompt", request.negative_prompt())?;
    setter.set("steps", params.steps)?;
    setter.set("guidance", params.guidance)?;
    setter.set("strength", params.strength)?;
    if let Some(model) = model {
        setter.offer("model", model);
    }
    setter.set("model", params.model.clone())?;
    let (pictures, mask) =
        inputs.split_at(inputs.len() - usize::from(params.mask.is_some() && !inputs.is_empty()));
    if pictures.len() > IMAGES.len() {
        return Err(format!("it takes at most {} input pictures", IMAGES.len()));
    }
    for (name, picture) in IMAGES.iter().zip(pictures) {
        setter.set(name, Some(picture.clone()))?;
    }
    setter.set("mask", mask.first().cloned())?;
    setter.extra(params.extra.as_ref())?;
    Ok(setter.values)
}

/// Returns the values of a request for a video. `inputs` are the server's names of the first picture and of the last one, as far as the request has
/// them.
pub fn of_video(
    workflow: &Workflow,
    request: &VideoRequest,
    model: Option<&str>,
    inputs: &[String],
) -> Result<Values, String> {
    let params = &request.params;
    let mut setter = Setter { workflow, values: Values::new() };
    setter.offer("prompt", params.prompt.clone());
    setter.offer("seed", request.seed);
    setter.set("seed", params.seed)?;
    setter.set("width", params.width)?;
    setter.set("height", params.height)?;
    setter.set("fps", params.fps)?;
    if let Some(seconds) = params.duration_s {
        if workflow.takes("frames") && !workflow.takes("duration_s") {
            let fps = params.fps.map(f64::from).or_else(|| workflow.number("fps")).ok_or_else(|| {
                "its workflow counts frames, so a duration needs fps: give fps, or title the node with it reel:fps".to_owned()
            })?;
            // Models for videos make the first frame and a number of frames after it.
            setter.offer("frames", json!((seconds * fps).round() as u64 + 1));
        } else {
            setter.set("duration_s", Some(seconds))?;
        }
    }
    if let Some(model) = model {
        setter.offer("model", model);
    }
    setter.set("model", params.model.clone())?;
    let names = [("image", params.image.is_some()), ("last_image", params.last_image.is_some())];
    let given = names.into_iter().filter(|(_, is_given)| *is_given);
    for ((name, _), file) in given.zip(inputs) {
        setter.set(name, Some(file.clone()))?;
    }
    setter.extra(params.extra.as_ref())?;
    Ok(setter.values)
}
