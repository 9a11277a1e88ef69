//! The images API, the speech API and the chat API of `OpenAI`, and of the servers that speak them. Pure.
//!
//! Sources: openai-openapi `openapi.yaml` (`CreateImageRequest`, `ImagesResponse`, `CreateSpeechRequest`, `Error`), openai-python `_base_client.py` for what its SDK
//! retries, and `LiteLLM`'s and stable-diffusion.cpp's answers as seen.

mod chat;
mod items;
mod pictures;
mod videos;

use std::{sync::Arc, time::SystemTime};

use reel_protocol::{ChatParams, SpeechFormat, SpeechParams, methods::VoiceInfo};
use reqwest::{StatusCode, Url, header::HeaderMap};
use serde_json::{Map, Value, json};

use self::chat::ChatSettings;
use crate::{
    config::{KindConfig, KindSection, ProviderConfig, Section, Settings},
    domain::{
        ChatCapabilities, Class, ImageCapabilities, ImageRequest, LONGEST_WAIT, SpeechCapabilities,
        VideoCapabilities,
    },
    provider::{
        Equipment, Kind, Provider, VoiceList,
        chat::ChatAnswer,
        http::{Document, Node, retry_after, should_retry},
        jobs::JobWire,
        remote::RemoteProvider,
        wire::{InputPicture, Item, Refusal, Submission, Wire},
        words::words,
    },
};

/// The address of the service that gave the kind its name.
const ADDRESS: &str = "https://api.openai.com/v1";

/// The voice where neither a request nor the configuration names one: the API asks for one, and every model of it has this one.
const VOICE: &str = "alloy";

/// The voices of the speech API (openai-openapi, `VoiceIdsShared`); not every model has all of them.
const VOICES: [&str; 13] = [
    "alloy", "ash", "ballad", "cedar", "coral", "echo", "fable", "marin", "nova", "onyx", "sage", "shimmer",
    "verse",
];

/// What a gateway answers that lost the service behind it after it had asked: that may go on, and charge. `LiteLLM` answers 408 where it
/// gave up waiting, others 504, and Cloudflare 524; 502 and 520 also say that the service hung up in the middle of its answer.
const LOST_BEHIND: [u16; 5] = [408, 502, 504, 520, 524];
/// The same in words, for gateways that answer 500 to everything: `litellm.Timeout`, `APIConnectionError`, `timeout_error`.
const LOST_WORDS: [&str; 6] = [
    "timeout",
    "timed out",
    "connection error",
    "connectionerror",
    "connection reset",
    "server disconnected",
];

/// What the pictures cost in US dollars, as `LiteLLM` says it for models of its price list.
const COST_HEADER: &str = "x-litellm-response-cost";
/// Most that one call is believed to cost.
const MOST_DOLLARS: f64 = 10_000.0;
/// Errors within errors that are looked at.
const MAX_ERROR_DEPTH: usize = 4;
/// Errors of a list that are looked at.
const MAX_ERRORS: usize = 4;

/// The kind `openai`.
#[derive(Debug)]
pub struct Openai;

/// What only this kind reads of its section.
#[derive(Debug, Clone, PartialEq, Eq)]
struct OpenaiSettings {
    /// The voice where a request names none.
    voice: String,
    chat: ChatSettings,
}

impl KindSection for Openai {
    fn name(&self) -> &'static str {
        "openai"
    }

    fn keys(&self) -> &'static [&'static str] {
        &["base_url", "api_key", "voice", "job_timeout_s", "structured_output", "stream"]
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
        };
        Some(KindConfig { settings: Settings::new(settings), ..remote?.into() })
    }
}

impl Kind for Openai {
    fn adapter_version(&self) -> &'static str {
        "1"
    }

    /// Which sizes the API takes depends on the model, and the service says so.
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
            own_fields: chat::OWN_FIELDS,
            structured_output: chat_settings(&config.own.settings).structured.name(),
        }
    }

    /// Which sizes and lengths the API takes depends on the model, and the service says so.
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

fn default_voice(settings: &Settings) -> &str {
    settings.get::<OpenaiSettings>().map_or(VOICE, |settings| &settings.voice)
}

/// Words in a message that a gateway passed on, where its own code says less: `LiteLLM` gives 400 and `invalid_request_error` for these.
const MODERATED_WORDS: [&str; 6] = [
    "contentpolicyviolation",
    "content_policy_violation",
    "moderation_blocked",
    "safety_violations=[",
    "rejected by the safety system",
    "result of our safety system",
];
/// The same of what is used up; `LiteLLM` gives 429 and `throttling_error` for these.
const QUOTA_WORDS: [&str; 7] = [
    "insufficient_quota",
    "exceeded your current quota",
    "billing hard limit",
    "billing_hard_limit",
    "insufficient balance",
    "insufficient credits",
    "余额不足",
];
/// What says of the same message that it is the rate of a minute after all: Google words both alike.
const RATE_WORDS: [&str; 4] = ["retry in", "try again in", "per minute", "perminute"];

/// The parts of an error that decide; all of them are missing somewhere.
#[derive(Default)]
struct Reason {
    words: Option<String>,
    kind: String,
    code: String,
}

impl Wire for Openai {
    fn submission(&self, request: &ImageRequest, model: Option<&str>) -> Submission {
        pictures::request(request, model)
    }

    fn edit(
        &self,
        request: &ImageRequest,
        model: Option<&str>,
        inputs: Vec<InputPicture>,
    ) -> Option<Submission> {
        Some(pictures::edit(request, model, inputs))
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
        // Some models know no speed, and refuse the field.
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
    ) -> Option<Submission> {
        Some(chat::request(params, model, base, chat_settings(settings)))
    }

    fn read_chat(&self, value: &Value, answer: &mut ChatAnswer) {
        chat::read(value, answer);
    }

    fn jobs(&self) -> Option<&dyn JobWire> {
        Some(self)
    }

    fn picture_field(&self) -> &'static str {
        "b64_json"
    }

    fn items(&self, document: &Document, base: &Url) -> Vec<Item> {
        items::items(document, base)
    }

    fn refusal(&self, status: StatusCode, headers: &HeaderMap, document: &Document) -> Refusal {
        let reason = Reason::of(document);
        let wait = retry_after(headers, SystemTime::now());
        let class = match (reason.class_of_words(wait.is_some()), should_retry(headers)) {
            (Some(Class::RateLimited(_)), _) => limited(wait),
            (Some(class), _) => class,
            (None, _) if status.is_server_error() && reason.is_of_a_lost_answer() => Class::Ambiguous,
            (None, is_worth_it) => match class_of_status(status) {
                Class::RateLimited(_) => limited(wait),
                // The service knows better than its status.
                Class::Transient(_) if is_worth_it == Some(false) => Class::Unknown,
                Class::Transient(_) => Class::Transient(wait.map(|wait| wait.min(LONGEST_WAIT))),
                class => class,
            },
        };
        let message = reason.words.unwrap_or_else(|| "said no more".to_owned());
        // What follows is where in a gateway's program it happened.
        let message = message.split("Traceback (most recent").next().unwrap_or_default().trim().to_owned();
        Refusal { class, message }
    }

    fn cost_microusd(&self, headers: &HeaderMap, document: &Document) -> Option<u64> {
        let header = headers.get(COST_HEADER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let of = |node: &Node| node.all("cost").find_map(Node::number);
        let of_root = |root: &Node| of(root).or_else(|| root.all("usage").find_map(of));
        let dollars: f64 = header.or_else(|| document.roots.iter().find_map(of_root))?;
        // Beyond, it is another unit or nonsense.
        (0.0..=MOST_DOLLARS).contains(&dollars).then(|| (dollars * 1e6).round() as u64)
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

fn limited(wait: Option<std::time::Duration>) -> Class {
    match wait {
        Some(wait) if wait > LONGEST_WAIT => Class::QuotaWindow(Some(wait)),
        wait => Class::RateLimited(wait),
    }
}

fn class_of_status(status: StatusCode) -> Class {
    match status.as_u16() {
        401 | 403 | 407 => Class::Auth,
        402 => Class::Quota,
        410 => Class::Gone,
        429 => Class::RateLimited(None),
        status if LOST_BEHIND.contains(&status) => Class::Ambiguous,
        // The first two are among those that the SDK repeats.
        409 | 425 | 500.. => Class::Transient(None),
        400.. => Class::Invalid,
        _ => Class::Unknown,
    }
}

impl Reason {
    fn of(document: &Document) -> Self {
        let of = |node: &Node, name: &str| {
            node.all(name).find_map(|value| match value {
                Node::Text(text) => Some(text.clone()),
                // A code is a number at some servers.
                Node::Number(number) => Some(number.to_string()),
                _ => None,
            })
        };
        // Of the innermost error that has one.
        let first = |name: &str| {
            let roots = document.roots.iter().flat_map(|root| errors_of(root, 0));
            roots.filter_map(|error| of(error, name)).next_back().unwrap_or_default()
        };
        Self { words: words(document), kind: first("type"), code: first("code") }
    }

    /// What `code`, `type` and the message say, where they say more than the status.
    fn class_of_words(&self, has_wait: bool) -> Option<Class> {
        let is = |words: &[&str]| words.iter().any(|word| self.code == *word || self.kind == *word);
        if is(&["moderation_blocked", "content_policy_violation", "content_filter"])
            || self.says(&MODERATED_WORDS)
        {
            return Some(Class::Moderated);
        }
        let is_rate = || has_wait || self.says(&RATE_WORDS);
        if is(&["insufficient_quota", "billing_hard_limit_reached", "billing_not_active"])
            || (self.says(&QUOTA_WORDS) && !is_rate())
        {
            return Some(Class::Quota);
        }
        // `LiteLLM` without a database answers the third to every key that is not its own.
        if is(&["invalid_api_key", "auth_error", "no_db_connection", "authentication_error"]) {
            return Some(Class::Auth);
        }
        is(&["rate_limit_exceeded", "throttling_error"]).then_some(Class::RateLimited(None))
    }

    /// Whether the service was asked on our behalf, and what came of it is not known.
    fn is_of_a_lost_answer(&self) -> bool {
        self.says(&LOST_WORDS)
    }

    fn says(&self, parts: &[&str]) -> bool {
        let texts = [self.kind.as_str(), &self.code, self.words.as_deref().unwrap_or_default()];
        texts.iter().any(|text| {
            let text = text.to_lowercase();
            parts.iter().any(|part| text.contains(part))
        })
    }
}

/// A value and the errors inside of it, from the outermost to the innermost.
fn errors_of(node: &Node, depth: usize) -> Vec<&Node> {
    let mut errors = vec![node];
    let inner = ["error", "errors", "detail"].into_iter().flat_map(|name| node.all(name));
    let items = if let Node::List(items) = node { items.as_slice() } else { &[] };
    if depth < MAX_ERROR_DEPTH {
        errors
            .extend(inner.chain(items.iter().take(MAX_ERRORS)).flat_map(|inner| errors_of(inner, depth + 1)));
    }
    errors
}

#[cfg(test)]
mod tests;
