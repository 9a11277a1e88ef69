//! What one kind of service says on the wire: the only part of a provider that differs from kind to kind. Pure.
//!
//! Attempts, limits, classes, deadlines, keys and files are the same for all and live in `remote`.

use reqwest::{StatusCode, Url, header::HeaderMap};

use super::{PictureRequest, class::Class};

/// A request to make pictures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// Behind the provider's address.
    pub path: &'static str,
    /// JSON.
    pub body: Vec<u8>,
}

/// Where a picture of an answer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// It stood in the answer, and was taken out of it.
    Taken {
        /// Which of the texts that were taken out.
        text: usize,
        /// Where it lies as well; some servers write an empty text beside it.
        or_at: Option<Url>,
    },
    /// It lies there.
    At(Url),
}

/// Why there is no picture, as the service says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What kind.
    pub class: Class,
    /// The service's own words, or what can be told without them. Nobody has looked at them: they may be long, and repeat the key.
    pub message: String,
}

/// One kind of service.
pub trait Wire: Send + Sync + std::fmt::Debug {
    /// The request for some pictures.
    fn submission(&self, request: &PictureRequest, model: Option<&str>) -> Submission;

    /// The field whose texts are pictures in base64.
    fn picture_field(&self) -> &'static str;

    /// The pictures of an answer with a status of success, with their numbers in the place of its texts. URLs are relative to `base`.
    fn items(&self, document: &[u8], base: &Url) -> Result<Vec<Item>, Refusal>;

    /// What an answer means whose status is none of success.
    fn refusal(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Refusal;

    /// A path that answers without costing anything, and with 401 where the key is wrong.
    fn check_path(&self) -> &'static str;
}
