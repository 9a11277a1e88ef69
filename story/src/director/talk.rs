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

/// How a provider is told the form of the answer. A way that it refuses is not tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rung {
    /// It is sent the JSON Schema, and enforces it.
    Schema,
    /// It is told to answer with JSON, and the schema is in the prompt.
    Json,
    /// The schema is in the prompt only.
    Words,
}

/// A request to a language model.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    /// The name of the request, such as `shots/2/repair/1`. It is unique in the work.
    pub name: String,
    /// The instructions.
    pub system: String,
    /// The messages, the oldest first.
    pub messages: Vec<Message>,
    /// The JSON Schema of the answer; None for a text.
    pub schema: Option<Value>,
    /// How the provider is told the schema.
    pub rung: Rung,
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
    Ask(Box<Ask>),
    /// The request with this name failed.
    Failed(String),
}

/// The conversation so far.
pub(super) struct Talk<'a> {
    answer: &'a dyn Fn(&str) -> Option<Answer>,
    rung: Rung,
}

impl<'a> Talk<'a> {
    pub fn new(answer: &'a dyn Fn(&str) -> Option<Answer>) -> Self {
        Self { answer, rung: Rung::Schema }
    }

    /// Returns the answer to a request for JSON. The inner error is the reason if the provider refuses the request in every form.
    pub fn ask(
        &mut self,
        name: &str,
        system: &str,
        messages: &[Message],
        schema: &Value,
    ) -> Result<Result<String, String>, Stop> {
        loop {
            let rung = self.rung;
            let (suffix, next) = match rung {
                Rung::Schema => ("", Some(Rung::Json)),
                Rung::Json => ("/json", Some(Rung::Words)),
                Rung::Words => ("/words", None),
            };
            let name = format!("{name}{suffix}");
            let words = if rung == Rung::Schema { String::new() } else { prompts::schema_words(schema) };
            let ask = || Ask {
                name: name.clone(),
                system: format!("{system}{words}"),
                messages: messages.to_vec(),
                schema: Some(schema.clone()),
                rung,
            };
            match (self.answer)(&name) {
                None => return Err(Stop::Ask(Box::new(ask()))),
                Some(Answer::Text(text)) => return Ok(Ok(text)),
                Some(Answer::Failed) => return Err(Stop::Failed(name)),
                Some(Answer::Declined(why)) => return Ok(Err(why)),
                Some(Answer::Refused(why)) => match next {
                    Some(next) => self.rung = next,
                    None => return Ok(Err(why)),
                },
            }
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
            None => Err(Stop::Ask(Box::new(Ask {
                name: name.to_owned(),
                system: system.to_owned(),
                messages: vec![Message::User(request.to_owned())],
                schema: None,
                rung: Rung::Words,
            }))),
            Some(Answer::Text(text)) => Ok(Ok(text)),
            Some(Answer::Refused(why) | Answer::Declined(why)) => Ok(Err(why)),
            Some(Answer::Failed) => Err(Stop::Failed(name.to_owned())),
        }
    }
}
