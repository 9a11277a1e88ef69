//! The native API of `sd-server`, the server of stable-diffusion.cpp. Pictures and videos are jobs there. Pure.
//!
//! Source: stable-diffusion.cpp `examples/server/api.md`, `routes_sdcpp.cpp` and `async_jobs.cpp`.

mod check;
mod jobs;
mod requests;
#[cfg(test)]
mod tests;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use reqwest::{StatusCode, Url, header::HeaderMap};

use crate::{
    config::{KindConfig, KindSection, ProviderConfig, Section, Settings},
    domain::{Class, ImageCapabilities, ImageRequest, LONGEST_WAIT, VideoCapabilities},
    provider::{
        Equipment, Kind, Provider,
        http::{Document, Node, retry_after},
        jobs::JobWire,
        remote::RemoteProvider,
        wire::{InputPicture, Item, MaskForm, Refusal, Submission, Wire},
        words::words,
    },
};

/// The default `base_url`: the address on which `sd-server` listens.
const ADDRESS: &str = "http://127.0.0.1:1234";
/// The path of the native API. It may also be the end of `base_url`.
const API: &str = "/sdcpp/v1";
/// The name of the field that has a picture or a video as base64.
const FILE: &str = "b64_json";

/// The kind `sdcpp`, whose instances are servers of stable-diffusion.cpp.
#[derive(Debug)]
pub struct Sdcpp;

/// How a server uses the pictures that a request starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum InputUse {
    /// The first picture is changed, within its mask and by `strength`. The field is `init_image`.
    #[default]
    Init,
    /// Models that edit by instruction look at the pictures. The field is `ref_images`.
    Reference,
}

/// The settings of a `[providers.NAME]` section that only this kind has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct SdcppSettings {
    input_use: InputUse,
}

impl SdcppSettings {
    fn of(settings: &Settings) -> Self {
        settings.get::<Self>().copied().unwrap_or_default()
    }
}

impl KindSection for Sdcpp {
    fn name(&self) -> &'static str {
        "sdcpp"
    }

    fn keys(&self) -> &'static [&'static str] {
        &["base_url", "api_key", "job_timeout_s", "input_use"]
    }

    fn services(&self) -> &'static [&'static str] {
        &["image", "video"]
    }

    fn is_paid(&self) -> bool {
        false
    }

    fn read(&self, section: &mut Section<'_>) -> Option<KindConfig> {
        let input_use = match section.text("input_use").as_deref() {
            None | Some("init") => InputUse::Init,
            Some("reference") => InputUse::Reference,
            Some(_) => section.wrong("input_use", "\"init\" or \"reference\"").unwrap_or_default(),
        };
        let mut remote = section.remote(ADDRESS)?;
        let path = remote.base_url.path().trim_end_matches('/').to_owned();
        remote.base_url.set_path(path.strip_suffix(API).unwrap_or(&path));
        Some(KindConfig { settings: Settings::new(SdcppSettings { input_use }), ..remote.into() })
    }
}

impl Kind for Sdcpp {
    fn adapter_version(&self) -> &'static str {
        "2"
    }

    fn image(&self, config: &ProviderConfig) -> ImageCapabilities {
        let base = ImageCapabilities {
            sides: 64..=4_096,
            own_fields: requests::OWN_IMAGE_FIELDS,
            max_inputs: 1,
            ..ImageCapabilities::default()
        };
        match SdcppSettings::of(&config.own.settings).input_use {
            InputUse::Init => base,
            InputUse::Reference => {
                ImageCapabilities { ignored: vec!["mask", "strength"], max_inputs: usize::MAX, ..base }
            }
        }
    }

    fn video(&self, _: &ProviderConfig) -> VideoCapabilities {
        VideoCapabilities {
            own_fields: requests::OWN_VIDEO_FIELDS,
            sides: 64..=4_096,
            ..VideoCapabilities::default()
        }
    }

    fn build(&self, config: &ProviderConfig, equipment: &Equipment) -> Option<Arc<dyn Provider>> {
        RemoteProvider::build(config, equipment, Arc::new(Self))
    }
}

impl Wire for Sdcpp {
    fn submission(&self, request: &ImageRequest, _: Option<&str>, settings: &Settings) -> Submission {
        let body = requests::image(request, SdcppSettings::of(settings).input_use, Vec::new());
        Submission::json("sdcpp/v1/img_gen", body)
    }

    fn edit(
        &self,
        request: &ImageRequest,
        _: Option<&str>,
        settings: &Settings,
        inputs: Vec<InputPicture>,
    ) -> Option<Submission> {
        let body = requests::image(request, SdcppSettings::of(settings).input_use, inputs);
        Some(Submission::json("sdcpp/v1/img_gen", body))
    }

    fn jobs(&self, _: &str) -> Option<&dyn JobWire> {
        Some(self)
    }

    /// The server refuses pictures in shades of grey.
    fn wants_colour(&self) -> bool {
        true
    }

    /// The server ignores transparency: it decodes a mask to shades of grey.
    fn mask_form(&self) -> MaskForm {
        MaskForm::White
    }

    fn picture_field(&self) -> &'static str {
        FILE
    }

    /// Takes the files of `result` only: a job that is under way may contain previews elsewhere.
    fn items(&self, document: &Document, _: &Url) -> Vec<Item> {
        let results = document.roots.iter().flat_map(|root| root.all("result"));
        results.flat_map(files).map(|number| Item::Inside { number, or_at: None }).collect()
    }

    fn refusal(&self, status: StatusCode, headers: &HeaderMap, document: &Document) -> Refusal {
        let wait = retry_after(headers, SystemTime::now()).map(|wait| wait.min(LONGEST_WAIT));
        let message = words(document).unwrap_or_else(|| "the service gave no reason".to_owned());
        Refusal { class: class_of(status, wait), message }
    }

    fn cost_microusd(&self, _: &HeaderMap, _: &Document) -> Option<u64> {
        None
    }

    fn check_path(&self) -> &'static str {
        "sdcpp/v1/capabilities"
    }

    /// The server has the one model with which it was started.
    fn lists_models(&self) -> bool {
        false
    }

    fn described(&self, document: &Document, services: &[String]) -> Result<Option<String>, String> {
        check::described(document, services)
    }
}

/// The numbers of the files in a result: that of a video, or those of the pictures.
fn files(result: &Node) -> Vec<usize> {
    let file = |node: &Node| {
        node.all(FILE).find_map(|file| if let Node::Picture(number) = file { Some(*number) } else { None })
    };
    let images = result.all("images").flat_map(Node::inside).filter_map(file);
    file(result).into_iter().chain(images).collect()
}

fn class_of(status: StatusCode, wait: Option<Duration>) -> Class {
    match status.as_u16() {
        401 | 403 | 407 => Class::Auth,
        410 => Class::Gone,
        // The queue of the server is full.
        429 => Class::RateLimited(wait),
        // A proxy lost the answer of the server behind it.
        408 | 502 | 504 => Class::Ambiguous,
        500.. => Class::Transient(wait),
        400.. => Class::Invalid,
        _ => Class::Unknown,
    }
}
