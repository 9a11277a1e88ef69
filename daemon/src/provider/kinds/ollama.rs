//! The kind `ollama`: Ollama's own chat API. Its server runs language models on a machine of the user.
//!
//! Sources: Ollama's `docs/api.md` and `api/types.go` (`ChatRequest`, `ChatResponse`, `PullRequest`, `ProgressResponse`, `StatusError`).

mod answer;
mod pull;
mod request;
mod server;
mod settings;

use std::sync::Arc;

use reel_protocol::ChatParams;
use reqwest::{StatusCode, Url, header::HeaderMap};
use serde_json::Value;

use self::{server::OllamaServer, settings::OllamaSettings};
use super::openai::refusals;
use crate::{
    config::{KindConfig, KindSection, ProviderConfig, Section, Settings},
    domain::{ChatCapabilities, Class, ImageRequest},
    provider::{
        Equipment, Kind, Provider,
        chat::{ChatAnswer, StructuredOutput},
        http::Document,
        remote::RemoteProvider,
        wire::{Item, Refusal, Submission, Wire},
    },
};

/// The default `base_url`: the address on which the server listens by default.
const ADDRESS: &str = "http://127.0.0.1:11434";

/// The path of the list of models, which the server answers without cost.
const TAGS: &str = "api/tags";

/// Words of an error that remains until a person changes something: the model does not fit into memory, or the server cannot run it.
const LASTING_WORDS: [&str; 6] = [
    "requires more system memory",
    "out of memory",
    "unable to load model",
    "unknown model architecture",
    "unsupported model",
    "requires a newer version",
];

/// The kind `ollama`, whose instances speak Ollama's own API.
#[derive(Debug)]
pub struct Ollama;

impl KindSection for Ollama {
    fn name(&self) -> &'static str {
        "ollama"
    }

    fn keys(&self) -> &'static [&'static str] {
        &["base_url", "api_key", "keep_alive", "think", "options", "pull"]
    }

    fn services(&self) -> &'static [&'static str] {
        &["text"]
    }

    fn is_paid(&self) -> bool {
        false
    }

    /// The server runs as many requests at once as `OLLAMA_NUM_PARALLEL` says, which is 1 by default, and queues all others.
    fn max_concurrent(&self) -> u32 {
        1
    }

    fn read(&self, section: &mut Section<'_>) -> Option<KindConfig> {
        let remote = section.remote(ADDRESS);
        let settings = OllamaSettings::read(section);
        let mut warnings = Vec::new();
        if !section.has("model") && !section.has("models") {
            warnings.push("no model is set, so each request must name one".to_owned());
        }
        Some(KindConfig { settings: Settings::new(settings), warnings, ..remote?.into() })
    }
}

impl Kind for Ollama {
    fn adapter_version(&self) -> &'static str {
        "1"
    }

    fn chat(&self, _: &ProviderConfig) -> ChatCapabilities {
        ChatCapabilities {
            // The API has no such field.
            ignored: vec!["tool_choice"],
            own_fields: request::OWN_FIELDS,
            structured_output: "format",
        }
    }

    /// The settings that change answers are part of cache keys, and so of the address.
    fn address(&self, config: &ProviderConfig) -> String {
        let base = config.own.remote.as_ref().map(|remote| remote.base_url.to_string()).unwrap_or_default();
        let settings = config.own.settings.get::<OllamaSettings>();
        format!("{base}{}", settings.map(OllamaSettings::key).unwrap_or_default())
    }

    fn build(&self, config: &ProviderConfig, equipment: &Equipment) -> Option<Arc<dyn Provider>> {
        let settings = config.own.settings.get::<OllamaSettings>()?.clone();
        let remote = RemoteProvider::new(config, equipment, Arc::new(Self))?;
        Some(Arc::new(OllamaServer::new(remote, settings)))
    }
}

impl Wire for Ollama {
    /// The server makes no pictures, and the kind serves only texts, so this request is never sent.
    fn submission(&self, _: &ImageRequest, _: Option<&str>, _: &Settings) -> Submission {
        Submission::json("api/chat", b"{}".to_vec())
    }

    fn chat(
        &self,
        params: &ChatParams,
        model: Option<&str>,
        _: &Url,
        settings: &Settings,
        _: StructuredOutput,
    ) -> Option<Submission> {
        Some(request::request(params, model, settings.get::<OllamaSettings>()?))
    }

    fn is_in_lines(&self) -> bool {
        true
    }

    fn read_chat(&self, value: &Value, answer: &mut ChatAnswer) {
        answer::read(value, answer);
    }

    fn picture_field(&self) -> &'static str {
        ""
    }

    fn items(&self, _: &Document, _: &Url) -> Vec<Item> {
        Vec::new()
    }

    fn refusal(&self, status: StatusCode, headers: &HeaderMap, document: &Document) -> Refusal {
        // An error in the middle of a stream comes after the status 200, and means what it would mean with the status 500.
        let status = if status.is_success() { StatusCode::INTERNAL_SERVER_ERROR } else { status };
        let refusal = refusals::refusal(status, headers, document);
        let words = refusal.message.to_lowercase();
        // The server answers 500 to an option of a wrong type, which is a mistake of the request.
        if words.starts_with("option \"") && words.contains("must be of type") {
            return Refusal { class: Class::Invalid, ..refusal };
        }
        if status.is_server_error() && LASTING_WORDS.iter().any(|lasting| words.contains(lasting)) {
            return Refusal { class: Class::Unknown, ..refusal };
        }
        refusal
    }

    fn cost_microusd(&self, _: &HeaderMap, _: &Document) -> Option<u64> {
        None
    }

    fn check_path(&self) -> &'static str {
        TAGS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_that_remains_is_not_tried_again_and_others_are() {
        for (status, body, class) in [
            (400, r#"{"error":"\"llama3.2\" does not support thinking"}"#, Class::Invalid),
            (401, r#"{"error":"unauthorized"}"#, Class::Auth),
            (404, r#"{"error":"model \"x\" not found, try pulling it first"}"#, Class::Invalid),
            (429, r#"{"error":"too many requests"}"#, Class::RateLimited(None)),
            (
                503,
                r#"{"error":"server busy, please try again.  maximum pending requests exceeded"}"#,
                Class::Transient(None),
            ),
            (
                500,
                r#"{"error":"llama runner process has terminated: exit status 2"}"#,
                Class::Transient(None),
            ),
            (
                200,
                r#"{"error":"an error was encountered while running the model: unexpected EOF"}"#,
                Class::Transient(None),
            ),
            (
                500,
                r#"{"error":"model requires more system memory (8.4 GiB) than is available (3.2 GiB)"}"#,
                Class::Unknown,
            ),
            (500, r#"{"error":"option \"num_ctx\" must be of type integer"}"#, Class::Invalid),
            (500, r#"{"error":"CUDA error: out of memory"}"#, Class::Unknown),
        ] {
            let document = Document::of_error(body.as_bytes());
            let status = StatusCode::from_u16(status).unwrap();
            let refusal = Ollama.refusal(status, &HeaderMap::new(), &document);
            assert_eq!(refusal.class, class, "{body}");
            let error: Value = serde_json::from_str(body).unwrap();
            assert_eq!(refusal.message, error["error"].as_str().unwrap());
        }
    }
}
