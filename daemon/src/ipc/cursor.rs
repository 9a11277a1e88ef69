//! The cursor of a list: an opaque text for clients, which encodes the last id of the previous page. Pure.

use reel_protocol::{ErrorCode, MAX_ID, RpcError, TaskId};

/// The first character of each cursor, so that later kinds of cursors can be told apart.
const PREFIX: &str = "t";

/// Returns the cursor for the page that follows `last`.
pub(super) fn encode(last: TaskId) -> String {
    format!("{PREFIX}{last}")
}

/// Returns the last id of the previous page.
pub(super) fn decode(cursor: &str) -> Result<TaskId, RpcError> {
    let digits =
        cursor.strip_prefix(PREFIX).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    digits.and_then(|digits| digits.parse().ok()).filter(|id: &TaskId| id.0 <= MAX_ID).ok_or_else(|| {
        RpcError::new(ErrorCode::InvalidParams, "`cursor` is none that task.list answered")
            .hint("send `next_cursor` of the answer before, as it is; leave it out for the first page")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_anything_else_is_refused() {
        for id in [0, 1, MAX_ID] {
            assert_eq!(decode(&encode(TaskId(id))), Ok(TaskId(id)));
        }
        for bad in ["", "t", "7", "t-1", "t+1", "t 1", "t9007199254740992", "t99999999999999999999999", "x1"]
        {
            assert!(decode(bad).is_err(), "{bad:?}");
        }
    }
}
