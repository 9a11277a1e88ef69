//! The kind `a1111`: the API of AUTOMATIC1111's web UI, of Forge, and of servers that copied it. They draw pictures on a machine of the user.
//!
//! Sources: stable-diffusion-webui `modules/api/api.py`, `modules/api/models.py`, `modules/progress.py` and `modules/shared_state.py`, and
//! stable-diffusion.cpp `examples/server/routes_sdapi.cpp`.

mod answer;
mod models;
mod request;
mod server;
mod settings;
mod watch;

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::{StatusCode, Url, header::HeaderMap};

use self::{answer::RunInfo, server::WebUi, settings::WebUiSettings};
use crate::{
    config::{KindConfig, KindSection, ProviderConfig, Section, Settings},
    domain::{ImageCapabilities, ImageRequest},
    provider::{
        Equipment, Kind, Provider,
        http::Document,
        wire::{InputPicture, Item, MaskForm, Refusal, Submission, Wire},
    },
};

/// The default `base_url`: the address on which the web UI listens by default.
const ADDRESS: &str = "http://127.0.0.1:7860";

/// The path of the list of models, which every copy of the API has.
const MODELS: &str = "sdapi/v1/sd-models";

/// The kind `a1111`.
#[derive(Debug)]
pub struct A1111;

impl KindSection for A1111 {
    fn name(&self) -> &'static str {
        "a1111"
    }

    fn keys(&self) -> &'static [&'static str] {
        &["base_url", "api_key", "sampler", "scheduler", "steps", "cfg_scale", "batch_size"]
    }

    fn services(&self) -> &'static [&'static str] {
        &["image"]
    }

    fn is_paid(&self) -> bool {
        false
    }

    /// The server runs one request at a time, and queues all others.
    fn max_concurrent(&self) -> u32 {
        1
    }

    fn read(&self, section: &mut Section<'_>) -> Option<KindConfig> {
        let remote = section.remote(ADDRESS);
        let settings = Settings::new(WebUiSettings::read(section));
        Some(KindConfig { settings, ..remote?.into() })
    }
}

impl Kind for A1111 {
    fn adapter_version(&self) -> &'static str {
        "1"
    }

    fn image(&self, _: &ProviderConfig) -> ImageCapabilities {
        // Of several pictures, the server would change each, and not combine them.
        ImageCapabilities { own_fields: request::OWN_FIELDS, max_inputs: 1, ..ImageCapabilities::default() }
    }

    /// The settings that change pictures are part of cache keys, and so of the address.
    fn address(&self, config: &ProviderConfig) -> String {
        let base = config.own.remote.as_ref().map(|remote| remote.base_url.to_string()).unwrap_or_default();
        let settings = config.own.settings.get::<WebUiSettings>();
        format!("{base}{}", settings.map(WebUiSettings::key).unwrap_or_default())
    }

    fn build(&self, config: &ProviderConfig, equipment: &Equipment) -> Option<Arc<dyn Provider>> {
        config.own.remote.as_ref()?;
        Some(Arc::new(WebUi::new(config, equipment)))
    }
}

/// The wire format of one attempt, which also keeps what the answer says of its run.
#[derive(Debug, Default)]
struct RunWire {
    /// The id by which the server knows the run. None for requests that are only shown.
    task_id: Option<String>,
    info: Mutex<Option<RunInfo>>,
    /// Whether the server knows no rounds, so that all pictures of a request are made at once.
    has_no_rounds: AtomicBool,
}

impl RunWire {
    fn new(task_id: String) -> Self {
        Self { task_id: Some(task_id), ..Self::default() }
    }

    /// Has all pictures of a request made at once.
    fn avoid_rounds(&self) {
        self.has_no_rounds.store(true, Ordering::Relaxed);
    }

    fn request(
        &self,
        request: &ImageRequest,
        model: Option<&str>,
        settings: &Settings,
        inputs: Vec<InputPicture>,
    ) -> Submission {
        let mut settings = settings.get::<WebUiSettings>().cloned().unwrap_or_default();
        if self.has_no_rounds.load(Ordering::Relaxed) {
            settings.batch_size = u32::MAX;
        }
        request::request(request, model, &settings, self.task_id.as_deref(), inputs)
    }

    /// Returns what the answer said of its run. None before an answer.
    fn info(&self) -> Option<RunInfo> {
        self.info.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Wire for RunWire {
    fn submission(&self, request: &ImageRequest, model: Option<&str>, settings: &Settings) -> Submission {
        self.request(request, model, settings, Vec::new())
    }

    fn edit(
        &self,
        request: &ImageRequest,
        model: Option<&str>,
        settings: &Settings,
        inputs: Vec<InputPicture>,
    ) -> Option<Submission> {
        Some(self.request(request, model, settings, inputs))
    }

    /// The server of stable-diffusion.cpp silently leaves out pictures in shades of grey.
    fn wants_colour(&self) -> bool {
        true
    }

    fn mask_form(&self) -> MaskForm {
        MaskForm::White
    }

    /// The key is `USER:PASSWORD`, as in the server's option `--api-auth`.
    fn authorization(&self, key: &str) -> String {
        format!("Basic {}", STANDARD.encode(key))
    }

    fn picture_field(&self) -> &'static str {
        "images"
    }

    fn items(&self, document: &Document, _: &Url) -> Vec<Item> {
        let info = RunInfo::of(document);
        let items = answer::items(document, &info);
        *self.info.lock().unwrap_or_else(PoisonError::into_inner) = Some(info);
        items
    }

    fn refusal(&self, status: StatusCode, headers: &HeaderMap, document: &Document) -> Refusal {
        answer::refusal(status, headers, document)
    }

    fn cost_microusd(&self, _: &HeaderMap, _: &Document) -> Option<u64> {
        None
    }

    fn check_path(&self) -> &'static str {
        MODELS
    }
}
