//! The responses of the chat API, either whole or as a stream of events.

use serde_json::{Value, json};

use super::{
    director,
    http::{Body, Response},
};

/// A request to the chat API.
#[derive(Debug)]
pub(super) struct Chat {
    /// The text of the last message.
    pub(super) prompt: String,
    messages: Value,
    model: String,
    is_stream: bool,
    has_usage: bool,
}

impl Chat {
    /// Parses the JSON body of a request; None if a required field is missing.
    pub(super) fn read(body: &Value) -> Option<Self> {
        let message = body["messages"].as_array()?.last()?;
        message["role"].as_str()?;
        let prompt = match &message["content"] {
            Value::String(text) => text.clone(),
            Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
            _ => String::new(),
        };
        Some(Self {
            prompt,
            messages: body["messages"].clone(),
            model: body["model"].as_str()?.to_owned(),
            is_stream: body["stream"] == true,
            has_usage: body["stream_options"]["include_usage"] == true,
        })
    }

    /// Returns the text of the model's response.
    fn text(&self) -> String {
        if self.model.starts_with(director::MODEL) {
            return director::answer(&self.model, &self.messages);
        }
        format!("You asked: {}", self.prompt)
    }

    fn usage(&self) -> Value {
        let (asked, answered) =
            (self.prompt.split_whitespace().count(), self.text().split_whitespace().count());
        json!({ "prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered })
    }

    /// Returns the response without any fault.
    pub(super) fn good(&self) -> Response {
        if self.is_stream {
            return Response::new(200, "text/event-stream", Body::from(self.events().into_bytes()));
        }
        let message = json!({ "role": "assistant", "content": self.text(), "refusal": null });
        Response::json(
            200,
            &json!({
                "id": "chatcmpl-1", "object": "chat.completion", "created": 1_700_000_000, "model": self.model,
                "choices": [{ "index": 0, "message": message, "logprobs": null, "finish_reason": "stop" }],
                "usage": self.usage(),
            }),
        )
    }

    /// Returns an event for each word, one for the end, and one for the token counts if the request asked for them.
    fn events(&self) -> String {
        let event = |choices: Value, usage: Value| {
            let chunk = json!({
                "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_700_000_000,
                "model": self.model, "choices": choices, "usage": usage,
            });
            format!("data: {chunk}\n\n")
        };
        let choice =
            |delta: Value, finish: Value| json!([{ "index": 0, "delta": delta, "finish_reason": finish }]);
        let mut events =
            event(choice(json!({ "role": "assistant", "content": "" }), Value::Null), Value::Null);
        for word in self.text().split_inclusive(' ') {
            events += &event(choice(json!({ "content": word }), Value::Null), Value::Null);
        }
        events += &event(choice(json!({}), json!("stop")), Value::Null);
        if self.has_usage {
            events += &event(json!([]), self.usage());
        }
        events + "data: [DONE]\n\n"
    }
}
