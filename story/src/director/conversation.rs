//! One conversation with a provider of texts: what is asked, in which way, and what was answered.

use serde_json::Value;

use super::prompts;

/// A message of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// What the user says.
    User(String),
    /// What the model answered before.
    Assistant(String),
}

impl Message {
    /// The words of the message.
    pub fn text(&self) -> &str {
        match self {
            Self::User(text) | Self::Assistant(text) => text,
        }
    }
}

/// A request to a language model.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The name of the request, such as `shots/2/repair/1`. It is unique in the work.
    pub name: String,
    /// The instructions that come before the messages.
    pub system: String,
    /// The messages, the oldest first.
    pub messages: Vec<Message>,
    /// The JSON Schema that the provider is sent; None for a text, and for a provider that refuses schemas. The instructions then have it.
    pub schema: Option<Value>,
    /// The number of the attempt, from 0. It tells equal requests apart, so that the second is not answered with the first one's answer.
    pub attempt: u32,
}

/// The outcome of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The model's words.
    Text(String),
    /// The provider refused the form of the request, and says why. It may accept another form.
    Refused(String),
    /// The provider declined to answer this request, and says why, such as for its content.
    Declined(String),
    /// The request failed for a reason that has nothing to do with what was asked.
    Failed,
}

/// Why the work cannot go on now.
pub(super) enum Stop {
    /// This has not been asked yet.
    Request(Box<Request>),
    /// The request with this name failed.
    Failed(String),
}

/// The conversation so far.
pub(super) struct Conversation<'a> {
    answer: &'a dyn Fn(&str) -> Option<Answer>,
    /// Whether the provider refuses schemas. It is then not sent any again.
    refuses_schemas: bool,
}

impl<'a> Conversation<'a> {
    pub fn new(answer: &'a dyn Fn(&str) -> Option<Answer>) -> Self {
        Self { answer, refuses_schemas: false }
    }

    /// Returns the answer to a request for JSON. The inner error is the reason if the provider refuses the request with a schema and without one.
    pub fn ask(
        &mut self,
        name: &str,
        system: &str,
        messages: &[Message],
        schema: &Value,
        attempt: u32,
    ) -> Result<Result<String, String>, Stop> {
        let in_words = format!("{name}/words");
        let request = |name: &str, system: String, schema: Option<Value>| {
            let (name, messages) = (name.to_owned(), messages.to_vec());
            Stop::Request(Box::new(Request { name, system, messages, schema, attempt }))
        };
        if !self.refuses_schemas {
            match (self.answer)(name) {
                None => return Err(request(name, system.to_owned(), Some(schema.clone()))),
                Some(Answer::Text(text)) => return Ok(Ok(text)),
                Some(Answer::Failed) => return Err(Stop::Failed(name.to_owned())),
                Some(Answer::Declined(why)) => return Ok(Err(why)),
                Some(Answer::Refused(_)) => {}
            }
        }
        match (self.answer)(&in_words) {
            None => Err(request(&in_words, format!("{system}{}", prompts::schema_words(schema)), None)),
            Some(Answer::Text(text)) => {
                // The provider takes the request, so it was the schema that it refused.
                self.refuses_schemas = true;
                Ok(Ok(text))
            }
            Some(Answer::Failed) => Err(Stop::Failed(in_words)),
            Some(Answer::Refused(why) | Answer::Declined(why)) => Ok(Err(why)),
        }
    }

    /// Returns the answer to a request for a text. The inner error is the reason if the provider refuses it.
    pub fn ask_for_text(
        &self,
        name: &str,
        system: &str,
        request: &str,
    ) -> Result<Result<String, String>, Stop> {
        match (self.answer)(name) {
            None => Err(Stop::Request(Box::new(Request {
                name: name.to_owned(),
                system: system.to_owned(),
                messages: vec![Message::User(request.to_owned())],
                schema: None,
                attempt: 0,
            }))),
            Some(Answer::Text(text)) => Ok(Ok(text)),
            Some(Answer::Refused(why) | Answer::Declined(why)) => Ok(Err(why)),
            Some(Answer::Failed) => Err(Stop::Failed(name.to_owned())),
        }
    }
}
