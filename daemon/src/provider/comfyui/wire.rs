//! The parts of the interface of services that ComfyUI has in common with them: a preview of the request, and the words of an error.

use reqwest::{StatusCode, Url, header::HeaderMap};
use serde_json::{Value, json};

use super::{settings::ComfySettings, values::of_image};
use crate::{
    config::Settings,
    domain::{Class, ImageRequest},
    provider::{
        http::Document,
        wire::{Item, MaskForm, Refusal, Submission, Wire},
        words::words,
    },
};

/// What a preview of a request shows in place of names that only an attempt knows.
const UNKNOWN: &str = "(known when it is sent)";

/// The wire format of ComfyUI.
#[derive(Debug)]
pub struct ComfyWire;

impl Wire for ComfyWire {
    fn submission(&self, request: &ImageRequest, model: Option<&str>, settings: &Settings) -> Submission {
        let settings = settings.get::<ComfySettings>().cloned().unwrap_or_default();
        let params = &request.params;
        let names = vec![UNKNOWN.to_owned(); params.input_images.len() + usize::from(params.mask.is_some())];
        let workflow = settings.for_image(!params.input_images.is_empty(), params.mask.is_some());
        let model = model.or_else(|| ComfySettings::is_shipped(workflow).then_some(UNKNOWN));
        let values = of_image(workflow, request, model, &names).unwrap_or_default();
        let body: Value = json!({ "prompt": workflow.fill(&values, "reel/(the id of the job)") });
        Submission::json("prompt", body.to_string().into_bytes())
    }

    /// The node that loads a mask takes a picture without transparency for one where nothing may change.
    fn mask_form(&self) -> MaskForm {
        MaskForm::Transparent
    }

    fn picture_field(&self) -> &'static str {
        ""
    }

    fn items(&self, _: &Document, _: &Url) -> Vec<Item> {
        Vec::new()
    }

    fn refusal(&self, status: StatusCode, _: &HeaderMap, document: &Document) -> Refusal {
        let class = match status.as_u16() {
            401 | 403 => Class::Auth,
            400..=499 => Class::Invalid,
            _ => Class::Unknown,
        };
        Refusal { class, message: words(document).unwrap_or_else(|| "the server gave no reason".to_owned()) }
    }

    fn cost_microusd(&self, _: &HeaderMap, _: &Document) -> Option<u64> {
        None
    }

    fn check_path(&self) -> &'static str {
        "system_stats"
    }
}
