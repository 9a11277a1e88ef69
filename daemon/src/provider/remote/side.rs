//! Requests that a kind sends beside its attempts, to its own server and without cost: versions, lists, progress.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use reqwest::{
    Method,
    header::{CONTENT_TYPE, HeaderValue},
};
use serde_json::Value;

use super::RemoteProvider;
use crate::{
    domain::{Class, Failure},
    memory::Holder,
    provider::{
        Equipment, Machines,
        http::{Document, Exchange, Reach},
    },
};

/// Largest answer that is read, in bytes.
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// How long an answer is waited for.
const WAIT: Duration = Duration::from_secs(30);
/// Largest error body that is read, in bytes.
const MAX_ERROR_BYTES: usize = 64 * 1024;

impl RemoteProvider {
    /// Whether the server may be asked to unload its models because the memory of this machine is short. A paid server is elsewhere, even if its
    /// address is that of a tunnel.
    pub fn may_unload(&self) -> bool {
        self.remote.is_here() && !self.config.is_paid
    }

    /// Has a server of this machine stopped that reel has started and can stop, because memory is short. This is for servers without a request that frees
    /// memory.
    pub fn stop_for_memory(&self) {
        if self.may_unload() {
            self.equipment.machines.memory_is_short(&self.config.name);
        }
    }

    /// Returns the same provider for requests that must not have the server started if it cannot be reached.
    pub fn without_machine(&self) -> Self {
        let equipment = Equipment { machines: Machines::default(), ..self.equipment.clone() };
        Self {
            config: self.config.clone(),
            remote: self.remote.clone(),
            wire: Arc::clone(&self.wire),
            structured_output: Mutex::new(self.accepted_way()),
            equipment,
        }
    }

    /// Logs that the server was asked to unload its models, or why it could not be asked.
    pub fn report_unloaded(&self, outcome: Result<(), String>) {
        let provider = &self.config.name;
        match outcome {
            Ok(()) => {
                tracing::info!(%provider, "memory is critically short, so the server was asked to unload its models");
            }
            Err(reason) => {
                tracing::info!(%provider, reason, "memory is critically short, and the server could not be asked to unload its models");
            }
        }
    }

    /// Sends a request with a JSON body, or without a body, and returns the JSON of its answer. An error status is a failure. The answer is waited
    /// for at most 30 seconds.
    pub async fn ask_beside(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let asked = tokio::time::timeout(WAIT, self.value_beside(method, path, body)).await;
        asked.unwrap_or_else(|_| {
            Err(self.bad_answer(&format!("no answer to /{path} within {} seconds", WAIT.as_secs())))
        })
    }

    async fn value_beside(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let over = |over: crate::memory::OverBudget| {
            Failure::new(Class::Transient(None), over.to_string(), "reel memory shows who holds what")
        };
        let _share = self.equipment.budget.reserve(Holder::Body, MAX_BYTES as u64).map_err(over)?;
        let exchange = self.send_beside(method, path, body).await?;
        let body = exchange.beginning(MAX_BYTES).await;
        serde_json::from_slice(&body).map_err(|_| {
            self.bad_answer(&format!("the answer to /{path} is no JSON; is base_url the server's address?"))
        })
    }

    /// Sends a request with a JSON body, or without a body, and returns the response, whose body is still to be read. An error status is a failure.
    pub async fn send_beside(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Exchange, Failure> {
        let key = self.key().await?;
        let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        let mut url = self.url(path);
        url.set_query(query);
        let mut request = self.request(method, url, key.as_ref())?;
        if let Some(body) = body {
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            *request.body_mut() = Some(body.to_string().into());
        }
        let exchange = self.equipment.http.send(request, Reach::Anywhere, || {}).await;
        let exchange = exchange.map_err(|error| self.not_answered(error))?;
        let (status, headers) = (exchange.response.status(), exchange.response.headers().clone());
        if status.is_success() {
            return Ok(exchange);
        }
        let document = Document::of_error(&exchange.beginning(MAX_ERROR_BYTES).await);
        Err(self.refused(self.wire.refusal(status, &headers, &document), status, key.as_ref()))
    }
}
