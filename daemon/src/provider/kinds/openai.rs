//! The images, speech, chat and videos APIs of `OpenAI`, and of servers that speak them. Pure.
//!
//! Sources: openai-openapi `openapi.yaml` (`CreateImageRequest`, `ImagesResponse`, `CreateSpeechRequest`, `Error`), openai-python `_base_client.py`
//! for the statuses that its SDK retries, and observed responses of `LiteLLM` and stable-diffusion.cpp.

mod chat;
mod items;
mod pictures;
pub(super) mod refusals;
mod videos;

use std::sync::Arc;

use reel_protocol::{ChatParams, SpeechFormat, SpeechParams, methods::VoiceInfo};
use reqwest::{StatusCode, Url, header::HeaderMap};
use serde_json::{Map, Value, json};

use self::chat::ChatSettings;
use crate::{
    config::{KindConfig, KindSection, ProviderConfig, Section, Settings},
    domain::{ChatCapabilities, ImageCapabilities, ImageRequest, SpeechCapabilities, VideoCapabilities},
    provider::{
        Equipment, Kind, Provider, VoiceList,
        chat::{ChatAnswer, StructuredOutput},
        http::{Document, Node},
        jobs::JobWire,
        remote::RemoteProvider,
        wire::{InputPicture, Item, Refusal, Submission, Wire},
    },
};

/// The default `base_url`: the service that gave the kind its name.
const ADDRESS: &str = "https://api.openai.com/v1";

/// The default voice, if neither the request nor the configuration names one. The API requires a voice, and all of its models have this one.
const VOICE: &str = "alloy";

/// The voices of the speech API (openai-openapi, `VoiceIdsShared`); not every model has all of them.
const VOICES: [&str; 13] = [
    "alloy", "ash", "ballad", "cedar", "coral", "echo", "fable", "marin", "nova", "onyx", "sage", "shimmer",
    "verse",
];

/// Header with the cost of the pictures in US dollars. `LiteLLM` sends it for models of its price list.
const COST_HEADER: &str = "x-litellm-response-cost";
/// Largest cost of one call that is believed, in US dollars.
const MOST_DOLLARS: f64 = 10_000.0;
/// Most previews of one picture (openai-openapi, `PartialImages`).
const MAX_PARTIAL_IMAGES: u32 = 3;

/// The kind `openai`, whose instances speak the API of `OpenAI`.
#[derive(Debug)]
pub struct Openai;

/// The settings of a `[providers.NAME]` section that only this kind has.
#[derive(Debug, Clone, PartialEq, Eq)]
struct OpenaiSettings {
    /// The voice if a request names none.
    voice: String,
    chat: ChatSettings,
    /// How many previews of a picture are requested, 0 to 3; 0 requests a response that is not a stream.
    partial_images: u32,
}

impl KindSection for Openai {
    fn name(&self) -> &'static str {
        "openai"
    }

    fn keys(&self) -> &'static [&'static str] {
        &["base_url", "api_key", "voice", "job_timeout_s", "structured_output", "stream", "partial_images"]
    }

    fn services(&self) -> &'static [&'static str] {
        &["image", "voice", "text", "video"]
    }

    fn is_paid(&self) -> bool {
        true
    }

    fn read(&self, section: &mut Section<'_>) -> Option<KindConfig> {
        let remote = section.remote(ADDRESS);
        let base = remote.as_ref().map(|remote| &remote.base_url);
        let settings = OpenaiSettings {
            voice: section.text("voice").unwrap_or_else(|| VOICE.to_owned()),
            chat: ChatSettings::read(section, base),
            partial_images: section.whole("partial_images", 0..=MAX_PARTIAL_IMAGES).unwrap_or(0),
        };
        Some(KindConfig { settings: Settings::new(settings), ..remote?.into() })
    }
}

impl Kind for Openai {
    fn adapter_version(&self) -> &'static str {
        "1"
    }

    /// The accepted sizes depend on the model, so the service checks them.
    fn image(&self, _: &ProviderConfig) -> ImageCapabilities {
        ImageCapabilities {
            ignored: vec!["seed", "steps", "guidance", "strength"],
            own_fields: &[
                "model",
                "prompt",
                "n",
                "size",
                "image",
                "image[]",
                "mask",
                "stream",
                "partial_images",
            ],
            ..ImageCapabilities::default()
        }
    }

    fn speech(&self, config: &ProviderConfig) -> SpeechCapabilities {
        SpeechCapabilities {
            voice: Some(default_voice(&config.own.settings).to_owned()),
            own_fields: &["model", "input", "voice", "response_format", "speed", "stream_format"],
            ..SpeechCapabilities::default()
        }
    }

    fn chat(&self, config: &ProviderConfig) -> ChatCapabilities {
        ChatCapabilities {
            ignored: Vec::new(),
            own_fields: chat::OWN_FIELDS,
            structured_output: chat_settings(&config.own.settings).structured.name(),
        }
    }

    /// The accepted sizes and lengths depend on the model, so the service checks them.
    fn video(&self, _: &ProviderConfig) -> VideoCapabilities {
        VideoCapabilities {
            ignored: vec!["last_image", "fps", "seed"],
            own_fields: &["model", "prompt", "seconds", "size", "input_reference"],
            ..VideoCapabilities::default()
        }
    }

    fn build(&self, config: &ProviderConfig, equipment: &Equipment) -> Option<Arc<dyn Provider>> {
        RemoteProvider::build(config, equipment, Arc::new(Self))
    }
}

fn chat_settings(settings: &Settings) -> ChatSettings {
    settings.get::<OpenaiSettings>().map_or_else(ChatSettings::default, |settings| settings.chat)
}

fn partial_images(settings: &Settings) -> u32 {
    settings.get::<OpenaiSettings>().map_or(0, |settings| settings.partial_images)
}

fn default_voice(settings: &Settings) -> &str {
    settings.get::<OpenaiSettings>().map_or(VOICE, |settings| &settings.voice)
}

impl Wire for Openai {
    fn submission(&self, request: &ImageRequest, model: Option<&str>, settings: &Settings) -> Submission {
        pictures::request(request, model, partial_images(settings))
    }

    fn edit(
        &self,
        request: &ImageRequest,
        model: Option<&str>,
        settings: &Settings,
        inputs: Vec<InputPicture>,
    ) -> Option<Submission> {
        Some(pictures::edit(request, model, partial_images(settings), inputs))
    }

    fn speech(&self, params: &SpeechParams, model: Option<&str>, settings: &Settings) -> Option<Submission> {
        let mut body = Map::new();
        if let Some(model) = model {
            body.insert("model".to_owned(), json!(model));
        }
        body.insert("input".to_owned(), json!(params.text));
        let voice = params.voice.as_deref().unwrap_or_else(|| default_voice(settings));
        body.insert("voice".to_owned(), json!(voice));
        if let Some(format) = params.format.map(SpeechFormat::name) {
            body.insert("response_format".to_owned(), json!(format));
        }
        // Some models have no speed, and refuse the field.
        if params.speed.to_bits() != 1.0_f64.to_bits() {
            body.insert("speed".to_owned(), json!(params.speed));
        }
        let extra = params.extra.as_ref().and_then(|extra| extra.decode::<Map<String, Value>>().ok());
        body.extend(extra.unwrap_or_default());
        Some(Submission::json("audio/speech", Value::Object(body).to_string().into_bytes()))
    }

    fn chat(
        &self,
        params: &ChatParams,
        model: Option<&str>,
        base: &Url,
        settings: &Settings,
        at_most: StructuredOutput,
    ) -> Option<Submission> {
        Some(chat::request(params, model, base, chat_settings(settings).at_most(at_most)))
    }

    fn chat_after(
        &self,
        words: &str,
        settings: &Settings,
        at_most: StructuredOutput,
    ) -> Option<StructuredOutput> {
        let asked = chat_settings(settings).at_most(at_most).structured;
        if chat::refuses_response_format(words) { asked.next() } else { None }
    }

    fn read_chat(&self, value: &Value, answer: &mut ChatAnswer) {
        chat::read(value, answer);
    }

    fn jobs(&self, service: &str) -> Option<&dyn JobWire> {
        (service == "video").then_some(self)
    }

    fn picture_field(&self) -> &'static str {
        "b64_json"
    }

    fn preview(&self, value: &Node) -> Option<usize> {
        items::preview(value)
    }

    fn items(&self, document: &Document, base: &Url) -> Vec<Item> {
        items::items(document, base)
    }

    fn refusal(&self, status: StatusCode, headers: &HeaderMap, document: &Document) -> Refusal {
        refusals::refusal(status, headers, document)
    }

    fn cost_microusd(&self, headers: &HeaderMap, document: &Document) -> Option<u64> {
        // A number outside this range is in another unit, or implausible.
        let is_plausible = |dollars: &f64| (0.0..=MOST_DOLLARS).contains(dollars);
        let header = headers.get(COST_HEADER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let header = header.filter(is_plausible);
        let of = |node: &Node| node.all("cost").filter_map(Node::number).find(is_plausible);
        let of_root = |root: &Node| of(root).or_else(|| root.all("usage").find_map(of));
        // A gateway that does not know the model's price may send 0 in the header, so the body comes before that.
        let positive = header.filter(|dollars| *dollars > 0.0);
        let dollars = positive.or_else(|| document.roots.iter().find_map(of_root)).or(header)?;
        Some((dollars * 1e6).round() as u64)
    }

    fn voices(&self) -> VoiceList {
        let voice = |id: &&str| VoiceInfo { id: (*id).to_owned(), ..VoiceInfo::default() };
        let note = "the voices that OpenAI documents; another server may have others";
        VoiceList { voices: VOICES.iter().map(voice).collect(), note: Some(note.to_owned()) }
    }

    fn check_path(&self) -> &'static str {
        "models"
    }
}

#[cfg(test)]
mod tests;
