//! Events as lines. What is the same for all subscribers is encoded once, as one event may go to a thousand of them.

use std::{cell::RefCell, rc::Rc};

use reel_protocol::{
    methods::{EVENT, Event, MemoryEvent, ReloadEvent, TaskEvent, Topic},
    rpc,
};
use serde::Serialize;
use tracing::error;

use crate::events::Happening;

/// Encoded events that are kept. Subscribers run one after another, each through all that happened meanwhile: rarely more than this.
const KEPT: usize = 256;

/// Encodes events; shared by the subscriptions of one thread.
pub(super) struct EventLines {
    /// By the event's number modulo the length.
    kept: RefCell<Vec<Option<Kept>>>,
}

#[derive(Clone)]
struct Kept {
    seq: u64,
    text: Rc<str>,
}

/// The members of [`Event`] that follow `subscription`, in their order.
#[derive(Serialize)]
struct Shared<'a> {
    seq: u64,
    topic: Topic,
    event: &'a str,
    task: &'a Option<TaskEvent>,
    memory: &'a Option<MemoryEvent>,
    reload: &'a Option<ReloadEvent>,
    missed: Option<u64>,
}

impl Default for EventLines {
    fn default() -> Self {
        Self { kept: RefCell::new(vec![None; KEPT]) }
    }
}

impl EventLines {
    /// The line of one event for one subscription.
    pub(super) fn line(&self, subscription: u64, happening: &Happening) -> Vec<u8> {
        let shared = self.shared(happening);
        format!(
            r#"{{"jsonrpc":"2.0","method":"{EVENT}","params":{{"subscription":{subscription},{shared}}}{}"#,
            "}\n"
        )
        .into_bytes()
    }

    /// The event's members, without the braces around them.
    fn shared(&self, happening: &Happening) -> Rc<str> {
        let mut kept = self.kept.borrow_mut();
        let Some(place) = kept.get_mut(happening.seq as usize % KEPT) else { return encode(happening) };
        match place {
            Some(kept) if kept.seq == happening.seq => Rc::clone(&kept.text),
            _ => {
                let text = encode(happening);
                *place = Some(Kept { seq: happening.seq, text: Rc::clone(&text) });
                text
            }
        }
    }
}

fn encode(happening: &Happening) -> Rc<str> {
    let Happening { seq, topic, event, task, memory, reload } = happening;
    let shared = Shared { seq: *seq, topic: *topic, event, task, memory, reload, missed: None };
    let text = serde_json::to_string(&shared).unwrap_or_else(|error| {
        error!(%error, seq, "an event could not be encoded");
        format!(r#"{{"seq":{seq},"topic":"daemon","event":"unreadable"}}"#)
    });
    text.trim_start_matches('{').strip_suffix('}').unwrap_or_default().into()
}

/// The last line of a subscription whose reader was too slow.
pub(super) fn dropped_line(subscription: u64, topic: Topic, seq: u64, missed: u64) -> Vec<u8> {
    let event = Event {
        subscription,
        seq,
        topic,
        event: "subscription_dropped".to_owned(),
        task: None,
        memory: None,
        reload: None,
        missed: Some(missed),
    };
    rpc::notification_line(EVENT, &event).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use reel_protocol::{methods::MemoryLevel, rpc::Incoming};

    use super::*;

    #[test]
    fn a_line_is_the_notification_of_the_specification() {
        let lines = EventLines::default();
        let memory = MemoryEvent { level: MemoryLevel::High, resident_bytes: 7, freed_bytes: None };
        // The second number falls on the same place as the first.
        for seq in [1, 1 + KEPT as u64, 1] {
            let happening =
                Happening { memory: Some(memory), ..Happening::plain(seq, Topic::Memory, "trimmed") };
            let event = Event {
                subscription: 9,
                seq,
                topic: Topic::Memory,
                event: "trimmed".into(),
                task: None,
                memory: Some(memory),
                reload: None,
                missed: None,
            };
            let expected = rpc::notification_line(EVENT, &event).unwrap();
            for _ in 0..2 {
                assert_eq!(lines.line(9, &happening), expected);
            }
        }
        let Ok(Incoming::Notification { params, .. }) = Incoming::parse(&dropped_line(9, Topic::Task, 5, 3))
        else {
            panic!("no notification");
        };
        let event: Event = serde_json::from_str(params.get()).unwrap();
        assert_eq!((event.missed, event.event.as_str(), event.seq), (Some(3), "subscription_dropped", 5));
    }
}
