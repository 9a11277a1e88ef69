//! Notes about the results of a task.

use serde::{Deserialize, Serialize};

/// Something that a person or a program should know about the results of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TaskNote {
    /// The stable name of the note: one of the constants of this type. Later versions may have more.
    pub code: String,
    /// What the note says, for a person.
    pub message: String,
}

impl TaskNote {
    /// Fewer results were made than were requested.
    pub const FEWER_OUTPUTS: &str = "fewer_outputs";
    /// More results were made than were requested.
    pub const MORE_OUTPUTS: &str = "more_outputs";
    /// A picture has another size than was requested.
    pub const OTHER_SIZE: &str = "other_size";
    /// A picture could not be decoded, and is kept as it was received.
    pub const NOT_DECODED: &str = "not_decoded";
    /// The provider reported an error in addition to the results.
    pub const PROVIDER_MESSAGE: &str = "provider_message";

    /// A provider that comes first in the order was not used, and another one made the results.
    pub const OTHER_PROVIDER: &str = "other_provider";

    /// The answer of a chat ends because its tokens were used up.
    pub const TRUNCATED: &str = "truncated";

    /// The result is only a draft of what was requested, such as silence in place of speech.
    pub const DRAFT: &str = "draft";

    /// Returns a note with one of these codes.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into() }
    }
}
