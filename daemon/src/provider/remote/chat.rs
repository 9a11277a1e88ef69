//! Chats. The model answers with a text or with tool calls, and either becomes an artifact; or the response says why there is no answer.

use std::{
    cell::Cell,
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use reel_protocol::{ChatParams, JsonText, TaskError, TaskNote};
use reqwest::{StatusCode, header::HeaderMap};
use serde_json::json;

use super::{RemoteProvider, failures::shown};
use crate::{
    cache::{Body, NewArtifact},
    domain::{CancelSignal, Class, Facts, Failure, ProgressSink},
    provider::{
        GenerateError, Generated, Permit,
        chat::{ChatAnswer, ChatBody, ChatReader, CheckedText, MAX_ANSWER_BYTES, StructuredOutput},
        http::{Chunks, Document, Exchange},
        wire::{Submission, Wire},
    },
    secret::Secret,
};

/// Memory for reading an answer, in bytes: the body, the parsed answer, and the text.
const READING_BYTES: u64 = 3 * MAX_ANSWER_BYTES as u64;

/// Shortest time between two text pieces that are reported. Progress reports have the same limit.
const TOLD_EVERY: Duration = Duration::from_millis(100);

/// The answer of a model, with its metadata and the notes for the task.
struct Answered {
    text: String,
    facts: Facts,
    notes: Vec<TaskNote>,
    cost_microusd: Option<u64>,
    /// How the text violates the requested schema; None if it fits or no schema was requested.
    violation: Option<String>,
}

/// The head of the response, and the API key to remove from the service's own words.
struct Head<'a> {
    status: StatusCode,
    headers: HeaderMap,
    key: Option<&'a Secret>,
}

impl RemoteProvider {
    /// Asks a model for the next message of one conversation. An answer that violates its schema is returned as [`GenerateError::Flawed`].
    pub(super) async fn chat(
        &self,
        params: &ChatParams,
        permit: Option<Permit>,
        cancel: CancelSignal,
        progress: &ProgressSink,
    ) -> Result<Generated, GenerateError> {
        let mut share = self.ready(1, READING_BYTES).map_err(GenerateError::Failed)?;
        let has_left = Cell::new(false);
        let leaves = || {
            has_left.set(true);
            if let Some(permit) = &permit {
                permit.leaves();
            }
        };
        let asking = self.ask_model(params, progress, leaves);
        let answered = self.unless_stopped(permit.as_ref(), cancel, &has_left, asking).await?;
        drop(permit);
        let Answered { text, facts, notes, cost_microusd, violation } = answered;
        let reservation = Some(share.split(text.len() as u64));
        let artifact = NewArtifact { body: Body::Held(text.into_bytes()), reservation, facts };
        let generated = Generated { artifacts: vec![artifact], notes, cost_microusd };
        match violation {
            None => Ok(generated),
            Some(violation) => Err(GenerateError::Flawed(Box::new(generated), self.mismatch(&violation))),
        }
    }

    /// The task's error when a model answered and the answer violates the schema.
    fn mismatch(&self, violation: &str) -> TaskError {
        let again =
            if self.config.is_paid { "reel retry asks, and pays, again" } else { "reel retry asks again" };
        TaskError {
            code: ChatParams::SCHEMA_MISMATCH.to_owned(),
            message: format!(
                "{} answered, and the answer does not fit the schema: {violation}",
                self.config.name
            ),
            hint: Some(format!(
                "the answer is kept with the task, reel show prints it, reel fetch writes it to a file; {again}"
            )),
            retryable: true,
            provider_status: None,
        }
    }

    async fn ask_model(
        &self,
        params: &ChatParams,
        progress: &ProgressSink,
        leaves: impl Fn(),
    ) -> Result<Answered, Failure> {
        let key = self.key().await?;
        let model = params.model.as_deref().or(self.config.model_for("text"));
        let exchange = self.asked(params, model, key.as_ref(), progress, leaves).await?;
        let (status, headers) = (exchange.response.status(), exchange.response.headers().clone());
        let wire = Arc::clone(&self.wire);
        let sink = progress.clone();
        let read = exchange.read_with(|_| (), move |chunks| Ok(read(chunks, &*wire, &sink))).await;
        let head = Head { status, headers, key: key.as_ref() };
        let schema = params.schema.as_ref();
        let answered = self.read(read).and_then(|(body, cut)| self.answered(body, cut, &head));
        let answered = answered.map(|answered| answered.against(schema));
        answered.map_err(|failure| failure.status(status.as_u16()))
    }

    /// Sends the request, and returns the response if its status code is a success. A service that refuses the way in which it is asked for JSON is asked
    /// in the next way, and in that way from then on. It answers such a request with an error before it does any work.
    async fn asked(
        &self,
        params: &ChatParams,
        model: Option<&str>,
        key: Option<&Secret>,
        progress: &ProgressSink,
        leaves: impl Fn(),
    ) -> Result<Exchange, Failure> {
        loop {
            let way = self.accepted_way();
            let submission = self.chat_request(params, model, way).ok_or_else(|| {
                let message = format!("{} makes no texts", self.config.name);
                Failure::new(Class::Invalid, message, "reel providers shows what each one serves")
            })?;
            let failure = match self.post(submission, key, progress, &leaves).await {
                Ok(exchange) => return Ok(exchange),
                Err(failure) => failure,
            };
            let is_refused = params.schema.is_some() && failure.class == Class::Invalid;
            let settings = &self.config.own.settings;
            let next = self.wire.chat_after(&failure.error.message, settings, way).filter(|_| is_refused);
            let Some(next) = next else { return Err(failure) };
            let (name, next_name) = (&self.config.name, next.name());
            tracing::info!(
                "{name} refuses how it was asked for JSON, so it is asked with structured_output = \"{next_name}\" from now on: {}",
                failure.error.message
            );
            let mut accepted = self.structured_output.lock().unwrap_or_else(PoisonError::into_inner);
            *accepted = next.max(*accepted);
        }
    }

    pub(super) fn chat_request(
        &self,
        params: &ChatParams,
        model: Option<&str>,
        way: StructuredOutput,
    ) -> Option<Submission> {
        self.wire.chat(params, model, &self.remote.base_url, &self.config.own.settings, way)
    }

    pub(super) fn accepted_way(&self) -> StructuredOutput {
        *self.structured_output.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Turns a received body into an answer or a failure. `cut` is why the body ended early, if it did.
    fn answered(&self, body: ChatBody, cut: Option<String>, head: &Head<'_>) -> Result<Answered, Failure> {
        let ChatBody { answer, is_whole, is_too_large, beginning } = body;
        if is_too_large {
            return Err(self.bad_answer(&format!("the answer is larger than {MAX_ANSWER_BYTES} bytes")));
        }
        if let Some(error) = &answer.error {
            let failure = self.refused_answer(error.to_string().as_bytes(), head);
            // The model had begun to write, which a paid service may charge. `bad_answer` prevents an automatic retry.
            let is_repeated = matches!(failure.class, Class::Transient(_) | Class::RateLimited(_));
            return Err(if is_repeated && self.config.is_paid && answer.has_written {
                self.bad_answer(&format!("the answer broke off: {}", failure.error.message))
            } else {
                failure
            });
        }
        match cut {
            _ if is_whole && answer.has_begun => {
                let usage = usage_document(&answer);
                self.text(answer, head).map_err(|failure| self.charged(failure, &head.headers, &usage))
            }
            Some(cut) => Err(self.lost(&cut)),
            None if answer.has_begun => Err(self.lost("the answer ended before its end")),
            None if beginning.is_empty() => Err(self.bad_answer("the answer is empty")),
            None => Err(self.refused_answer(&beginning, head)),
        }
    }

    /// Turns a complete answer into a text or tool calls. Returns a failure if the model refused, was filtered, or wrote nothing.
    fn text(&self, answer: ChatAnswer, head: &Head<'_>) -> Result<Answered, Failure> {
        let usage = usage_document(&answer);
        let ChatAnswer { text, tool_calls, refusal, finish_reason, .. } = answer;
        let name = &self.config.name;
        let reason = finish_reason.as_deref().unwrap_or_default();
        let moderated = |message: String| {
            let hint = "change the prompt; asking the same again would be refused again";
            Failure::new(Class::Moderated, message, hint)
        };
        if let Some(words) = refusal.filter(|words| !words.trim().is_empty()) {
            return Err(moderated(format!("{name} refused to answer: {}", shown(&words, head.key))));
        }
        if reason == "content_filter" {
            return Err(moderated(format!("{name}'s filter of contents stopped the answer")));
        }
        if reason == "insufficient_system_resource" {
            return Err(self.bad_answer("the service had no resources left to finish the answer"));
        }
        if text.trim().is_empty() && tool_calls.is_empty() {
            return Err(self.bad_answer(match reason {
                "length" => "the tokens were used up before the answer's text began: raise max_tokens",
                _ => "the answer is empty",
            }));
        }
        let mut notes = Vec::new();
        if reason == "length" {
            let message = "the answer ends where its tokens were used up: raise max_tokens for all of it";
            notes.push(TaskNote::new(TaskNote::TRUNCATED, message));
        }
        let cost_microusd = self.cost_microusd(&head.headers, &usage);
        let (text, facts) = if tool_calls.is_empty() {
            (text, Facts::new("text/plain", "txt"))
        } else {
            let content = Some(text).filter(|text| !text.is_empty());
            let message = json!({ "role": "assistant", "content": content, "tool_calls": tool_calls });
            (message.to_string(), Facts::new("application/json", "json"))
        };
        Ok(Answered { text, facts, notes, cost_microusd, violation: None })
    }

    /// Turns a body without an answer into a failure: a web page, or a refusal in the service's words.
    fn refused_answer(&self, body: &[u8], head: &Head<'_>) -> Failure {
        let document = Document::of_error(body);
        let refusal = self.wire.refusal(head.status, &head.headers, &document);
        if document.is_web_page() {
            return self.web_page(&refusal, head.status, head.key);
        }
        self.charged(self.refused(refusal, head.status, head.key), &head.headers, &document)
    }
}

/// The `usage` object of an answer as a document, from which the cost is computed.
fn usage_document(answer: &ChatAnswer) -> Document {
    let usage = answer.usage.as_ref().map(|usage| json!({ "usage": usage }).to_string()).unwrap_or_default();
    Document::of_error(usage.as_bytes())
}

impl Answered {
    /// Extracts the JSON from a text that must fit a schema, and validates it. Tool calls are left unchanged.
    fn against(self, schema: Option<&JsonText>) -> Self {
        let Some(schema) = schema.filter(|_| self.facts.media_type == "text/plain") else { return self };
        let Self { text, facts, notes, cost_microusd, violation } = self;
        let CheckedText { text, facts, violation } = CheckedText { text, facts, violation }.against(schema);
        Self { text, facts, notes, cost_microusd, violation }
    }
}

/// Reads a body to its end, and reports the text while it arrives. Returns why the body was cut, if it was. Blocks on the body.
fn read(chunks: Chunks, wire: &dyn Wire, progress: &ProgressSink) -> (ChatBody, Option<String>) {
    let mut reader = ChatReader::new(wire);
    let (mut cut, mut told, mut told_at) = (None, 0, None::<Instant>);
    for chunk in chunks {
        match chunk {
            Ok(bytes) if reader.push(&bytes) => {}
            Ok(_) => break,
            Err(reason) => cut = Some(reason),
        }
        if told_at.is_none_or(|at| at.elapsed() >= TOLD_EVERY)
            && let Some(text) = reader.text().get(told..).filter(|text| !text.is_empty())
        {
            progress.write(told as u64, text);
            (told, told_at) = (reader.text().len(), Some(Instant::now()));
        }
    }
    (reader.finish(), cut)
}
