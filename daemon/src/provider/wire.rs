//! What one kind of service says on the wire: the only part of a provider that differs from kind to kind. Pure.
//!
//! Attempts, limits, classes, deadlines, keys and files are the same for all and live in `remote`.

use reel_protocol::{ChatParams, SpeechParams};
use reqwest::{StatusCode, Url, header::HeaderMap};
use serde_json::Value;

use super::{
    VoiceList,
    chat::ChatAnswer,
    form::Form,
    http::{Document, Node},
    jobs::JobWire,
};
use crate::{
    config::Settings,
    domain::{Class, ImageRequest},
};

/// A request to make pictures, speech or a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// The path behind the provider's address.
    pub path: &'static str,
    /// What the body is, such as `application/json`.
    pub content_type: String,
    /// The bytes of the body.
    pub body: Vec<u8>,
}

impl Submission {
    /// A request whose body is JSON.
    pub fn json(path: &'static str, body: Vec<u8>) -> Self {
        Self { path, content_type: "application/json".to_owned(), body }
    }

    /// A request whose body is a form.
    pub fn form(path: &'static str, form: Form) -> Self {
        let (content_type, body) = form.finish();
        Self { path, content_type, body }
    }
}

/// A picture that a service is sent.
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
        /// Its number among the pictures of the answer.
        number: usize,
        /// Where it lies as well; some servers write an empty text beside it.
        or_at: Option<Url>,
    },
    /// The picture is at this address.
    At(Url),
}

impl Item {
    /// Its number among the pictures of the answer, if it is one of them.
    pub const fn number(&self) -> Option<usize> {
        match self {
            Self::Inside { number, .. } => Some(*number),
            Self::At(_) => None,
        }
    }
}

/// Why there is no picture, as the service says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The class of the refusal, which decides what is done next.
    pub class: Class,
    /// The service's own words, or what can be told without them. They may be long, and repeat the key.
    pub message: String,
}

/// What one kind of service says on the wire, as pure functions.
pub trait Wire: Send + Sync + std::fmt::Debug {
    /// The request for some pictures.
    fn submission(&self, request: &ImageRequest, model: Option<&str>, settings: &Settings) -> Submission;

    /// The request for pictures that are made from others: those that the params name, and the mask behind them. None where this kind of
    /// service takes none.
    fn edit(
        &self,
        _: &ImageRequest,
        _model: Option<&str>,
        _settings: &Settings,
        _inputs: Vec<InputPicture>,
    ) -> Option<Submission> {
        None
    }

    /// The request for speech, which is answered with a sound file as it is. None where this kind of service does not speak.
    fn speech(
        &self,
        _params: &SpeechParams,
        _model: Option<&str>,
        _settings: &Settings,
    ) -> Option<Submission> {
        None
    }

    /// The request for an answer of a chat. None where this kind of service has no chats. URLs are relative to `base`.
    fn chat(
        &self,
        _params: &ChatParams,
        _model: Option<&str>,
        _base: &Url,
        _settings: &Settings,
    ) -> Option<Submission> {
        None
    }

    /// Adds to the answer of a chat what a JSON value says: all of it, or one event of a stream.
    fn read_chat(&self, _value: &Value, _answer: &mut ChatAnswer) {}

    /// How this kind of service takes jobs. None where it takes none.
    fn jobs(&self) -> Option<&dyn JobWire> {
        None
    }

    /// The field whose texts are pictures, whatever they begin with.
    fn picture_field(&self) -> &'static str;

    /// The pictures that an answer holds or names, whatever else it says. URLs are relative to `base`.
    fn items(&self, document: &Document, base: &Url) -> Vec<Item>;

    /// The number of the unfinished picture in a value of a stream, among the pictures of the answer; None where the value is anything else.
    fn preview(&self, _: &Node) -> Option<usize> {
        None
    }

    /// What an answer without a picture means, also one with a status of success.
    fn refusal(&self, status: StatusCode, headers: &HeaderMap, document: &Document) -> Refusal;

    /// What an answer says that its pictures cost, in millionths of a US dollar.
    fn cost_microusd(&self, headers: &HeaderMap, document: &Document) -> Option<u64>;

    /// The voices that a request may name.
    fn voices(&self) -> VoiceList {
        VoiceList::none("this kind of service does not speak")
    }

    /// A path that answers without costing anything, and with 401 where the key is wrong.
    fn check_path(&self) -> &'static str;
}
