//! The numbers that bound what one side may make the other hold.

/// Largest line or frame of an ordinary request, in bytes, its newline not counted.
pub const LINE_BYTES: usize = 1024 * 1024;

/// Largest line or frame of `task.submit_batch`, in bytes: 1,000 tasks with long prompts. No answer is larger.
pub const LARGE_LINE_BYTES: usize = 16 * 1024 * 1024;

/// Deepest nesting of arrays and objects that free-form JSON may have; the parsers of most languages stop near 128.
pub const JSON_DEPTH: usize = 64;

/// Longest piece of an `artifact.put` in bytes: in base64 it fits into the line of an ordinary request.
pub const PUT_BYTES: usize = 512 * 1024;

/// Longest `artifact.read` in bytes.
pub const READ_BYTES: u64 = 4 * 1024 * 1024;

/// Most tasks that one `task.submit_batch` may hold.
pub const BATCH_TASKS: usize = 10_000;

/// Most ids that one `task.wait` may name.
pub const WAIT_IDS: usize = 1_000;

/// Most rows that one `task.list` answers.
pub const LIST_ROWS: u32 = 1_000;

/// Most bytes of params, metadata and texts of outputs in one answer of `task.list` and `task.wait`, unless it shows a single task.
pub const PAGE_BYTES: usize = 2 * 1024 * 1024;

/// Requests of one connection that may be unanswered before the daemon stops reading from it.
pub const IN_FLIGHT: usize = 256;

/// Connections that the daemon serves at once; the next one is told so and closed.
pub const CONNECTIONS: usize = 1_024;

/// Subscriptions of one connection.
pub const SUBSCRIPTIONS: usize = 64;

/// Most tasks that a subscription or `after` may name.
pub const NAMED_TASKS: usize = 1_000;

/// Events that a subscriber may fall behind before its subscription is dropped.
pub const EVENTS_BEHIND: usize = 1_024;

/// Longest `name`, `client`, `request_id` and `provider` in bytes.
pub const NAME_BYTES: usize = 256;

/// Longest text or JSON that an output shows in its `text`, in bytes.
pub const INLINE_TEXT_BYTES: u64 = 64 * 1024;

/// Most bytes that the messages of one `text.chat` have together; with their escapes they fit a line.
pub const CHAT_BYTES: usize = 512 * 1024;

/// Longest prompt in bytes; providers cut far earlier, and a task keeps its prompt for as long as the history does.
pub const PROMPT_BYTES: usize = 64 * 1024;
