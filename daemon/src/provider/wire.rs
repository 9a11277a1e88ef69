//! The wire format of one kind of service, the only part of a remote provider that differs between kinds. Pure.
//!
//! Attempts, limits, failure classes, deadlines, keys and files are the same for all kinds and are in `remote`.

use reel_protocol::{ChatParams, SpeechParams};
use reqwest::{StatusCode, Url, header::HeaderMap};
use serde_json::Value;

use super::{
    VoiceList,
    chat::{ChatAnswer, StructuredOutput},
    form::Form,
    http::{Document, Node},
    jobs::JobWire,
};
use crate::{
    config::Settings,
    domain::{Class, ImageRequest},
};

/// A POST request that makes pictures, speech or a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// The path that is appended to the provider's base URL.
    pub path: &'static str,
    /// The value of the header `Content-Type`, such as `application/json`.
    pub content_type: String,
    /// The bytes of the body.
    pub body: Vec<u8>,
}

impl Submission {
    /// Returns a request with a body of JSON.
    pub fn json(path: &'static str, body: Vec<u8>) -> Self {
        Self { path, content_type: "application/json".to_owned(), body }
    }

    /// Returns a request with a body of the type `multipart/form-data`.
    pub fn form(path: &'static str, form: Form) -> Self {
        let (content_type, body) = form.finish();
        Self { path, content_type, body }
    }
}

/// A picture that is sent to a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputPicture {
    /// The media type, such as `image/png`.
    pub media_type: String,
    /// The extension of a file of that type, such as `png`.
    pub extension: String,
    /// The bytes of the file.
    pub bytes: Vec<u8>,
}

/// Where a picture of an answer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// The picture is in the answer itself.
    Inside {
        /// The index of the picture among those of the answer, from 0.
        number: usize,
        /// The address of the same picture, if the answer has one too. It is used if the embedded text is empty, as some servers send it.
        or_at: Option<Url>,
    },
    /// The picture is not in the answer. It must be fetched from this address.
    At(Url),
}

impl Item {
    /// Returns the index among the pictures that the answer contains. None for one that must be fetched.
    pub const fn number(&self) -> Option<usize> {
        match self {
            Self::Inside { number, .. } => Some(*number),
            Self::At(_) => None,
        }
    }
}

/// Why an answer contains no result, in the words of the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The class of the failure, which decides what is done next.
    pub class: Class,
    /// The message of the service, or a description if it sent none. It may be long, and may contain the key.
    pub message: String,
}

/// The form in which a service wants the mask of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaskForm {
    /// As the request has it. Its transparent parts may change.
    AsGiven,
    /// A picture without transparency, whose white parts may change.
    White,
    /// A picture whose transparent parts may change, also if the request has one without transparency, whose white parts may change.
    Transparent,
}

/// The requests and answers of one kind of service, as pure functions.
pub trait Wire: Send + Sync + std::fmt::Debug {
    /// Returns the request for new pictures.
    fn submission(&self, request: &ImageRequest, model: Option<&str>, settings: &Settings) -> Submission;

    /// Returns the request for pictures that are made from `inputs`: the pictures that the params name, then the mask. None if this kind of service
    /// takes no pictures.
    fn edit(
        &self,
        _: &ImageRequest,
        _model: Option<&str>,
        _settings: &Settings,
        _inputs: Vec<InputPicture>,
    ) -> Option<Submission> {
        None
    }

    /// Returns the request for speech, whose answer is a sound file. None if this kind of service makes no speech.
    fn speech(
        &self,
        _params: &SpeechParams,
        _model: Option<&str>,
        _settings: &Settings,
    ) -> Option<Submission> {
        None
    }

    /// Returns the request for an answer in a chat. None if this kind of service has no chats. URLs are relative to `base`. For a request with a schema,
    /// the service is asked in the way `at_most`, or in the configured way if that asks less of it.
    fn chat(
        &self,
        _params: &ChatParams,
        _model: Option<&str>,
        _base: &Url,
        _settings: &Settings,
        _at_most: StructuredOutput,
    ) -> Option<Submission> {
        None
    }

    /// Returns the way in which the service is asked next, if these words of a refusal mean that it does not support how it was asked for JSON: in the
    /// way `at_most` or the configured one. None if they mean something else, or if there is no other way.
    fn chat_after(
        &self,
        _words: &str,
        _settings: &Settings,
        _at_most: StructuredOutput,
    ) -> Option<StructuredOutput> {
        None
    }

    /// Whether a streamed answer of a chat is one JSON value on each line, instead of server-sent events.
    fn is_in_lines(&self) -> bool {
        false
    }

    /// Adds the content of one JSON value to `answer`. The value is a whole answer or one event of a stream.
    fn read_chat(&self, _value: &Value, _answer: &mut ChatAnswer) {}

    /// Returns the wire format of the jobs for work of this service, such as `video`. None if such work is no job.
    fn jobs(&self, _service: &str) -> Option<&dyn JobWire> {
        None
    }

    /// Whether the service takes no pictures to start from that are in shades of grey.
    fn wants_colour(&self) -> bool {
        false
    }

    /// Returns the form in which the service wants the mask of a request.
    fn mask_form(&self) -> MaskForm {
        MaskForm::AsGiven
    }

    /// Returns the value of the header `Authorization` for this key.
    fn authorization(&self, key: &str) -> String {
        format!("Bearer {key}")
    }

    /// Returns the name of the JSON field whose texts are always decoded as pictures, whatever they begin with.
    fn picture_field(&self) -> &'static str;

    /// Returns the pictures that an answer contains or refers to, whatever else it says. URLs are relative to `base`.
    fn items(&self, document: &Document, base: &Url) -> Vec<Item>;

    /// Returns the index of an unfinished picture in an event of a stream, among the pictures of the answer. None if the event is anything else.
    fn preview(&self, _: &Node) -> Option<usize> {
        None
    }

    /// Returns what an answer without a result means. Its status may be one of success.
    fn refusal(&self, status: StatusCode, headers: &HeaderMap, document: &Document) -> Refusal;

    /// Returns the cost that an answer reports, in millionths of a US dollar. None if it reports none.
    fn cost_microusd(&self, headers: &HeaderMap, document: &Document) -> Option<u64>;

    /// Returns the voices that a request may name.
    fn voices(&self) -> VoiceList {
        VoiceList::none("this kind of service does not speak")
    }

    /// Returns a path that can be requested without cost, and that is answered with 401 if the key is wrong.
    fn check_path(&self) -> &'static str;

    /// Whether the answer to the path of the check is a list of models. Services that make pictures may be without this path.
    fn lists_models(&self) -> bool {
        true
    }

    /// Returns what the answer to a check says about the service, if anything. The error says why it cannot serve all of these services.
    fn described(&self, _: &Document, _services: &[String]) -> Result<Option<String>, String> {
        Ok(None)
    }
}
