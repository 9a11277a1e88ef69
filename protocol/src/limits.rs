//! The limits of the wire, which bound what one side may make the other hold.

/// Largest line or frame of a request, in bytes, without its newline or its length. A larger one is answered with `request_too_large`.
pub const LINE_BYTES: usize = 1024 * 1024;

/// Largest line or frame of `task.submit_batch`, in bytes: 1,000 tasks with long prompts. It is the largest answer as well: a request for more is
/// answered with `request_too_large`.
pub const LARGE_LINE_BYTES: usize = 16 * 1024 * 1024;

/// Deepest nesting of arrays and objects in free-form JSON, such as `params`, `metadata` and `extra`. The parsers of most languages stop near 128
/// levels.
pub const JSON_DEPTH: usize = 64;

/// Largest piece of a file in one `artifact.put`, in bytes. In base64 it fits into the line of an ordinary request. A larger one is `invalid_params`.
pub const PUT_BYTES: usize = 512 * 1024;

/// Largest `length` of `artifact.read`, in bytes. A larger one is `invalid_params`.
pub const READ_BYTES: u64 = 4 * 1024 * 1024;

/// Most tasks of one `task.submit_batch`. More are `invalid_params`.
pub const BATCH_TASKS: usize = 10_000;

/// Most ids of one `task.wait`, and most tasks of its answer. More ids are `invalid_params`.
pub const WAIT_IDS: usize = 1_000;

/// Most tasks of one answer of `task.list`, and its largest `limit`.
pub const LIST_ROWS: u32 = 1_000;

/// Most bytes of params, metadata and texts of outputs in one answer of `task.list` or `task.wait`. Its first task is shown whole in any case.
pub const PAGE_BYTES: usize = 2 * 1024 * 1024;

/// Most unanswered requests of one connection. The daemon then reads no further from it until some are answered.
pub const IN_FLIGHT: usize = 256;

/// Most connections at once. A further one closes the connection that has been idle the longest. If none has been idle for a second, the further one
/// is answered with `too_many_connections` and closed.
pub const CONNECTIONS: usize = 1_024;

/// Most subscriptions of one connection. A further one is answered with `too_many_subscriptions`.
pub const SUBSCRIPTIONS: usize = 64;

/// Most tasks that `after` or a subscription's `task_ids` may name, and most digests of `artifact.remove`. More are `invalid_params`.
pub const NAMED_TASKS: usize = 1_000;

/// Events by which a subscriber may fall behind before its subscription is dropped.
pub const EVENTS_BEHIND: usize = 1_024;

/// Longest `kind`, `name`, `client`, `request_id` and `provider`, in bytes. A longer or empty one is `invalid_params`.
pub const NAME_BYTES: usize = 256;

/// Largest text or JSON whose content an output has in its `text`, in bytes.
pub const INLINE_TEXT_BYTES: u64 = 64 * 1024;

/// Most bytes of `prompt`, `system` and `messages` of one `text.chat` together. With their escapes they fit a line. More are `invalid_params`.
pub const CHAT_BYTES: usize = 512 * 1024;

/// Longest prompt, and longest text to speak or to translate, in bytes. Providers cut far earlier, and a task keeps its prompt for as long as it is
/// in the history.
pub const PROMPT_BYTES: usize = 64 * 1024;
