//! Free queries about a service: the list of its models, and a preview of the requests that an attempt would send.

use std::{collections::BTreeMap, time::Duration};

use reel_protocol::{JsonText, methods::PlannedRequest};
use reqwest::Method;
use serde_json::Value;

use super::RemoteProvider;
use crate::{
    domain::{Class, Failure, ServiceRequest},
    memory::Holder,
    provider::{
        http::{Document, Reach},
        wire::Submission,
    },
};

/// Largest list of models that is read, in bytes: routers list hundreds of models with a long description of each.
const MAX_LIST_BYTES: usize = 4 * 1024 * 1024;
/// Most models that are returned.
const MAX_MODELS: usize = 10_000;
/// Longest name of a model, in bytes.
const MAX_NAME_BYTES: usize = 1_024;
/// How long the list is waited for. A person waits for it.
const LIST: Duration = Duration::from_secs(30);

impl RemoteProvider {
    /// Requests the list of models. Returns None if the service has no such list (404, 405 or 501), or if its kind has none.
    pub async fn list_models(&self) -> Result<Option<Vec<String>>, Failure> {
        if !self.wire.lists_models() {
            return Ok(None);
        }
        match tokio::time::timeout(LIST, self.ask_for_list()).await {
            Ok(listed) => listed,
            Err(_) => Err(self.bad_answer("the list of models did not come within 30 seconds")),
        }
    }

    async fn ask_for_list(&self) -> Result<Option<Vec<String>>, Failure> {
        let key = self.key().await?;
        let over = |over: crate::memory::OverBudget| {
            Failure::new(Class::Transient(None), over.to_string(), "reel memory shows who holds what")
        };
        let _share = self.equipment.budget.reserve(Holder::Body, MAX_LIST_BYTES as u64).map_err(over)?;
        let request = self.request(Method::GET, self.url(self.wire.check_path()), key.as_ref())?;
        let exchange = self.equipment.http.send(request, Reach::Anywhere, || {}).await;
        let exchange = exchange.map_err(|error| self.not_answered(error))?;
        let (status, headers) = (exchange.response.status(), exchange.response.headers().clone());
        let body = exchange.beginning(MAX_LIST_BYTES).await;
        if status.is_success() {
            return models(&body).map(Some).ok_or_else(|| {
                self.bad_answer("the answer is not a list of models; providers check says more")
            });
        }
        if matches!(status.as_u16(), 404 | 405 | 501) {
            return Ok(None);
        }
        let document = Document::of_error(body.get(..64 * 1024).unwrap_or(&body));
        Err(self.refused(self.wire.refusal(status, &headers, &document), status, key.as_ref()))
    }

    /// Returns the requests that an attempt would send, with the key masked. Empty for videos and films, and if this kind does not support the
    /// service.
    pub(in crate::provider) fn planned_requests(&self, request: &ServiceRequest) -> Vec<PlannedRequest> {
        let model = |own: Option<&str>, service| own.or(self.config.model_for(service)).map(str::to_owned);
        let submission = match request {
            ServiceRequest::Image(image) => {
                let model = model(image.params.model.as_deref(), "image");
                Some(self.wire.submission(image, model.as_deref(), &self.config.own.settings))
            }
            ServiceRequest::Speech(params) => {
                let model = model(params.model.as_deref(), "voice");
                self.wire.speech(params, model.as_deref(), &self.config.own.settings)
            }
            ServiceRequest::Chat(params) => {
                let model = model(params.model.as_deref(), "text");
                self.chat_request(params, model.as_deref(), self.accepted_way())
            }
            // The submission of a video job depends on its input pictures, and they are not read here.
            ServiceRequest::Video(_) | ServiceRequest::Render(_) => None,
        };
        let planned = |Submission { path, body, .. }: Submission| {
            let has_key = self.remote.api_key.is_some();
            let value = self.wire.authorization("key");
            let scheme = value.split(' ').next().unwrap_or_default();
            let authorization = has_key.then(|| ("authorization".to_owned(), format!("{scheme} ***")));
            PlannedRequest {
                method: Method::POST.to_string(),
                url: self.url(path).to_string(),
                headers: authorization.into_iter().collect::<BTreeMap<_, _>>(),
                body: String::from_utf8(body).ok().and_then(|text| JsonText::parse(text).ok()),
            }
        };
        submission.map(planned).into_iter().collect()
    }
}

/// Reads the names in a list of models: `{"data": [{"id": …}]}`, as `OpenAI` and most others write it, `{"models": …}`, or a plain list. Returns
/// them sorted; None if the body is no such list.
fn models(body: &[u8]) -> Option<Vec<String>> {
    let document: Value = serde_json::from_slice(body).ok()?;
    let list = document.get("data").or_else(|| document.get("models")).unwrap_or(&document).as_array()?;
    let name = |model: &Value| {
        let name = ["id", "name"].into_iter().find_map(|key| model.get(key)).unwrap_or(model);
        name.as_str().filter(|name| !name.is_empty() && name.len() <= MAX_NAME_BYTES).map(str::to_owned)
    };
    let mut names: Vec<String> = list.iter().filter_map(name).take(MAX_MODELS).collect();
    names.sort();
    names.dedup();
    Some(names)
}

#[cfg(test)]
mod tests {
    use super::models;

    #[test]
    fn the_lists_of_most_servers_are_read() {
        for body in [
            r#"{"object":"list","data":[{"id":"b","object":"model"},{"id":"a"},{"id":"b"}]}"#,
            r#"{"models":[{"name":"a"},{"name":"b"}]}"#,
            r#"[{"id":"a"},"b",{"id":7},{"id":""}]"#,
        ] {
            assert_eq!(models(body.as_bytes()).unwrap(), ["a", "b"], "{body}");
        }
        for body in ["<html>", "{}", r#"{"data":{}}"#, r#"{"data":[{"id":"a"}"#] {
            assert_eq!(models(body.as_bytes()), None, "{body}");
        }
    }
}
