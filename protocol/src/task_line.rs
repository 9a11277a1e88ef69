//! The line that answers with a task, ready but for what differs each time: whose request it was, the task's number and its times.

use serde_json::value::RawValue;

use crate::{TaskId, TaskView, Timestamp, rpc};

/// A task that was over as it came, such as a result of the cache; its answer is copied together rather than written field by field.
#[derive(Debug)]
pub struct TaskLine {
    /// What stands behind the number, behind the first time and behind the second one.
    parts: [String; 3],
}

/// What stands before the number; the id of the request is not in an object of its own.
const HEAD: &str = r#"{"id":"#;

impl TaskLine {
    /// The line of all tasks that differ from this one in their number and times only. None for one whose times differ from each other, or
    /// that is written otherwise than is expected here.
    pub fn of(task: &TaskView) -> Option<Self> {
        let (id, at) = (task.id, task.created_at);
        let line = written(RawValue::NULL, task)?;
        let (_, rest) = line.split_once(&format!("{HEAD}{id}"))?;
        // Before the first of these names no text is free to hold it: a quote inside of one is escaped.
        let (before, rest) = rest.split_once(&format!(r#""created_at":"{at}""#))?;
        let (between, after) = rest.split_once(&format!(r#""finished_at":"{at}""#))?;
        let parts = [
            format!(r#"{before}"created_at":""#),
            format!(r#""{between}"finished_at":""#),
            format!(r#""{after}"#),
        ];
        let ready = Self { parts };
        let (id, at) = (TaskId(id.0 / 2 + 1), Timestamp::from_unix_ms(at.unix_ms() / 2 + 1));
        let other = TaskView { id, created_at: at, finished_at: Some(at), ..task.clone() };
        (ready.write(RawValue::NULL, id, at) == written(RawValue::NULL, &other)?.as_bytes()).then_some(ready)
    }

    /// The line that answers `request` with the task of this number, which came and was over at that time.
    pub fn write(&self, request: &RawValue, id: TaskId, at: Timestamp) -> Vec<u8> {
        let (time, [behind_id, behind_created, rest]) = (at.text(), &self.parts);
        let length: usize = self.parts.iter().map(String::len).sum();
        let mut bytes = Vec::with_capacity(length + request.get().len() + 128);
        rpc::begin_success(&mut bytes, request);
        bytes.extend_from_slice(HEAD.as_bytes());
        // Writing to memory cannot fail.
        let _ = serde_json::to_writer(&mut bytes, &id);
        for piece in [behind_id.as_bytes(), &time, behind_created.as_bytes(), &time, rest.as_bytes()] {
            bytes.extend_from_slice(piece);
        }
        bytes
    }
}

fn written(request: &RawValue, task: &TaskView) -> Option<String> {
    String::from_utf8(rpc::success_line(request, task).ok()?).ok()
}
