//! What is to be said about the results of a task.

use serde::{Deserialize, Serialize};

/// Something about a task that succeeded, which a person or a program should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskNote {
    /// One of the codes of this type; a newer daemon may have others.
    pub code: String,
    /// What it is.
    pub message: String,
}

impl TaskNote {
    /// Fewer results were made than were asked for.
    pub const FEWER_OUTPUTS: &str = "fewer_outputs";
    /// More results were made than were asked for.
    pub const MORE_OUTPUTS: &str = "more_outputs";
    /// A picture has another size than was asked for.
    pub const OTHER_SIZE: &str = "other_size";
    /// A picture is kept as it came, as it could not be decoded.
    pub const NOT_DECODED: &str = "not_decoded";
    /// The provider reported an error beside the results.
    pub const PROVIDER_MESSAGE: &str = "provider_message";

    /// Another provider made it, as one that comes before it in the order was not used.
    pub const OTHER_PROVIDER: &str = "other_provider";

    /// The answer of a chat ends where its tokens were used up.
    pub const TRUNCATED: &str = "truncated";

    /// It only stands in for what was asked for, such as silence for speech.
    pub const DRAFT: &str = "draft";

    /// A note with one of these codes.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into() }
    }
}
