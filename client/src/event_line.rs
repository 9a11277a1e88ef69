//! Formats an event of the daemon as one line: text for people, or a JSON object for JSON Lines. Pure.

use reel_client::Followed;
use reel_protocol::{
    HoldReason, Source, TaskId, TaskState, TaskView, Timestamp,
    methods::{Event, MemoryEvent, MemoryStatusResult, TaskEvent, Topic},
};
use serde::Serialize;

use crate::{commands::status::level, table, tasks, units};

/// One line of output. Its JSON is nearly the same as the params of an `event` notification.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EventLine {
    /// The time at which the client received the event.
    pub time: Timestamp,
    /// The subject of the event.
    pub topic: Topic,
    /// The event's name on the wire. The client adds `present` for the current state, at the start and after lost events, and `disconnected` for a
    /// lost connection to the daemon.
    pub event: String,
    /// The task's id, in events of tasks.
    pub id: Option<TaskId>,
    /// The state of the task after the event.
    pub task: Option<TaskEvent>,
    /// The state of memory after the event.
    pub memory: Option<MemoryEvent>,
    /// Number of events that were lost.
    pub missed: Option<u64>,
}

impl EventLine {
    /// Makes a line of something that was received at the time `now`.
    pub fn new(told: Followed, now: Timestamp) -> Self {
        let line = |topic, event: &str| Self {
            time: now,
            topic,
            event: event.to_owned(),
            id: None,
            task: None,
            memory: None,
            missed: None,
        };
        match told {
            Followed::Task(view) => {
                Self { id: Some(view.id), task: Some(standing(*view)), ..line(Topic::Task, "present") }
            }
            Followed::Removed(id) => Self { id: Some(id), ..line(Topic::Task, "removed") },
            Followed::Memory(status) => {
                let MemoryStatusResult { level, resident_bytes, .. } = *status;
                let memory = MemoryEvent { level, resident_bytes, freed_bytes: None };
                Self { memory: Some(memory), ..line(Topic::Memory, "present") }
            }
            Followed::Event(event) => {
                let Event { topic, event, task, memory, missed, .. } = *event;
                let id = task.as_ref().map(|task| task.id);
                Self { id, task, memory, missed, ..line(topic, &event) }
            }
            Followed::Missed(missed) => {
                Self { missed: Some(missed), ..line(Topic::Daemon, "subscription_dropped") }
            }
            Followed::Disconnected => line(Topic::Daemon, "disconnected"),
        }
    }

    /// Returns the text of a line that belongs on stderr, such as for a lost connection; None if this line is data.
    pub fn note(&self) -> Option<String> {
        match (self.event.as_str(), self.missed) {
            ("disconnected", _) => Some("the connection to the daemon was lost; connecting again".to_owned()),
            (_, Some(1)) => Some("1 event was missed".to_owned()),
            (_, Some(missed)) => Some(format!("{missed} events were missed")),
            _ => None,
        }
    }

    /// Returns the line for people: the UTC time of day, the subject, its state, and the task's title.
    pub fn text(&self, title: &str) -> String {
        let what = match (&self.task, &self.memory, self.id) {
            (Some(task), ..) if self.event != "removed" => {
                format!("task {} {} {}", task.id, task.kind, state(task))
            }
            (_, Some(memory), _) => self::memory(&self.event, memory),
            (.., Some(id)) => format!("task {id} removed"),
            _ => self.event.clone(),
        };
        let time = self.time.to_string();
        // The text has this format: `2026-11-23T12:34:56.789Z`.
        let time = time.get(11..19).unwrap_or_default();
        let title = if title.is_empty() { String::new() } else { format!(" · {title}") };
        table::one_line(&format!("{time}Z {what}{title}"))
    }
}

/// Converts a task that was read into the form that an event has.
fn standing(view: TaskView) -> TaskEvent {
    TaskEvent {
        id: view.id,
        rev: view.rev,
        kind: view.kind,
        name: view.name,
        client: view.client,
        batch: view.batch,
        parent: view.parent,
        step: view.step,
        state: view.state,
        hold_reason: view.hold_reason,
        progress: view.progress,
        source: view.source,
        error: view.error,
    }
}

fn state(task: &TaskEvent) -> String {
    let name = task.state.name();
    match task.state {
        TaskState::Running if task.progress.fraction > 0.0 || !task.progress.message.is_empty() => {
            let message = &task.progress.message;
            format!("{name} {} {message}", tasks::percent(task.progress.fraction)).trim_end().to_owned()
        }
        TaskState::Held if task.hold_reason == Some(HoldReason::User) => format!("{name} by you"),
        TaskState::Held => {
            format!("{name}: {}", task.hold_reason.map_or("unknown", HoldReason::name).replace('_', " "))
        }
        TaskState::Succeeded => match task.source {
            Some(Source::Cache) => format!("{name}, from the cache"),
            Some(Source::Shared) => format!("{name}, made for an equal request"),
            _ => name.to_owned(),
        },
        TaskState::Failed => match &task.error {
            Some(error) => format!("{name}: {}", error.message),
            None => name.to_owned(),
        },
        _ => name.to_owned(),
    }
}

fn memory(event: &str, memory: &MemoryEvent) -> String {
    let now = format!("memory {}, {} resident", level(memory.level), units::bytes(memory.resident_bytes));
    match memory.freed_bytes {
        Some(freed) => format!("{now}, {} given back", units::bytes(freed)),
        None if event == "present" => now,
        None => format!("{now}, level changed"),
    }
}

#[cfg(test)]
mod tests {
    use reel_protocol::{Progress, TaskError, methods::MemoryLevel};

    use super::*;

    fn task(state: TaskState) -> TaskEvent {
        TaskEvent {
            id: TaskId(7),
            rev: 3,
            kind: "image.generate".to_owned(),
            name: None,
            client: "reel".to_owned(),
            batch: None,
            parent: None,
            step: None,
            state,
            hold_reason: None,
            progress: Progress::default(),
            source: None,
            error: None,
        }
    }

    fn event(topic: Topic, event: &str, task: Option<TaskEvent>, memory: Option<MemoryEvent>) -> EventLine {
        let event = Event {
            subscription: 1,
            seq: 9,
            topic,
            event: event.to_owned(),
            task,
            memory,
            reload: None,
            provider: None,
            partial: None,
            missed: None,
        };
        EventLine::new(Followed::Event(Box::new(event)), Timestamp::from_unix_ms(1_700_000_000_123))
    }

    #[test]
    fn a_task_is_told_on_one_line() {
        use TaskState::{Cancelled, Failed, Held, Queued, Running, Succeeded};
        let error = serde_json::from_str::<TaskError>(
            r#"{"code":"x","message":"no\nroom","hint":null,"retryable":false,"provider_status":null}"#,
        );
        let progress = Progress { fraction: 0.58, message: "treatment".to_owned() };
        for (task, title, expected) in [
            (
                TaskEvent { progress, ..task(Running) },
                "a harbour\nin the rain",
                "running 58 % treatment · a harbour in the rain",
            ),
            (task(Running), "", "running"),
            (task(Queued), "", "queued"),
            (task(Cancelled), "", "cancelled"),
            (
                TaskEvent { hold_reason: Some(HoldReason::OutcomeUnknown), ..task(Held) },
                "",
                "held: outcome unknown",
            ),
            (TaskEvent { source: Some(Source::Made), ..task(Succeeded) }, "x", "succeeded · x"),
            (TaskEvent { source: Some(Source::Cache), ..task(Succeeded) }, "", "succeeded, from the cache"),
            (TaskEvent { error: error.ok(), ..task(Failed) }, "", "failed: no room"),
        ] {
            let line = event(Topic::Task, "changed", Some(task), None);
            assert_eq!(line.text(title), format!("22:13:20Z task 7 image.generate {expected}"));
            assert_eq!(line.note(), None);
        }
        let removed = event(Topic::Task, "removed", Some(task(Succeeded)), None);
        assert_eq!(removed.text(""), "22:13:20Z task 7 removed");
    }

    #[test]
    fn memory_and_gaps_are_told_too() {
        let memory =
            |freed_bytes| MemoryEvent { level: MemoryLevel::High, resident_bytes: 850 << 20, freed_bytes };
        for (name, freed, expected) in [
            ("present", None, ""),
            ("pressure_changed", None, ", level changed"),
            ("trimmed", Some(150 << 20), ", 150 MB given back"),
        ] {
            let line = event(Topic::Memory, name, None, Some(memory(freed)));
            assert_eq!(line.text(""), format!("22:13:20Z memory high, 850 MB resident{expected}"));
        }
        let now = Timestamp::from_unix_ms(1_700_000_000_123);
        let missed = EventLine::new(Followed::Missed(42), now);
        assert_eq!(missed.note().as_deref(), Some("42 events were missed"));
        assert_eq!(
            serde_json::to_string(&missed).ok().as_deref(),
            Some(
                r#"{"time":"2023-11-14T22:13:20.123Z","topic":"daemon","event":"subscription_dropped","id":null,"task":null,"memory":null,"missed":42}"#
            )
        );
        assert!(EventLine::new(Followed::Disconnected, now).note().is_some());
    }
}
