//! Events as messages. What is the same for all subscribers is encoded once, as one event may go to a thousand of them.

use std::{cell::RefCell, rc::Rc};

use reel_protocol::methods::{MemoryEvent, ReloadEvent, TaskEvent, Topic};
use serde::Serialize;

use super::encoding::Encoding;
use crate::events::Happening;

/// Encoded events that are kept. Subscribers run one after another, each through all that happened meanwhile: rarely more than this.
const KEPT: usize = 256;

/// Encodes events; shared by the subscriptions of one thread.
pub(super) struct EventLines {
    /// By the event's number modulo the length.
    json: RefCell<Vec<Option<Kept>>>,
    binary: RefCell<Vec<Option<Kept>>>,
}

#[derive(Clone)]
struct Kept {
    seq: u64,
    bytes: Rc<[u8]>,
}

/// The members of [`reel_protocol::methods::Event`] that follow `subscription`, in their order.
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
        Self { json: RefCell::new(vec![None; KEPT]), binary: RefCell::new(vec![None; KEPT]) }
    }
}

impl EventLines {
    /// The message of one event for one subscription; nothing where it cannot be written.
    pub(super) fn line(&self, encoding: Encoding, subscription: u64, happening: &Happening) -> Vec<u8> {
        let shared = self.shared(encoding, happening);
        if shared.is_empty() { Vec::new() } else { encoding.event(subscription, &shared) }
    }

    /// The event's members after the subscription.
    fn shared(&self, encoding: Encoding, happening: &Happening) -> Rc<[u8]> {
        let encode = || Rc::<[u8]>::from(encoding.shared(&Shared::of(happening)));
        let mut kept = match encoding {
            Encoding::Json => self.json.borrow_mut(),
            Encoding::Binary => self.binary.borrow_mut(),
        };
        let Some(place) = kept.get_mut(happening.seq as usize % KEPT) else { return encode() };
        match place {
            Some(kept) if kept.seq == happening.seq => Rc::clone(&kept.bytes),
            _ => {
                let bytes = encode();
                *place = Some(Kept { seq: happening.seq, bytes: Rc::clone(&bytes) });
                bytes
            }
        }
    }
}

impl<'a> Shared<'a> {
    fn of(happening: &'a Happening) -> Self {
        let Happening { seq, topic, event, task, memory, reload } = happening;
        Self { seq: *seq, topic: *topic, event, task, memory, reload, missed: None }
    }
}

/// The last message of a subscription whose reader was too slow.
pub(super) fn dropped_line(
    encoding: Encoding,
    subscription: u64,
    topic: Topic,
    seq: u64,
    missed: u64,
) -> Vec<u8> {
    let (event, missed) = ("subscription_dropped", Some(missed));
    let shared = Shared { seq, topic, event, task: &None, memory: &None, reload: &None, missed };
    let shared = encoding.shared(&shared);
    encoding.event(subscription, &shared)
}

#[cfg(test)]
mod tests {
    use reel_protocol::{
        binary,
        frame::LENGTH_BYTES,
        methods::{EVENT, Event, MemoryLevel},
        rpc,
    };

    use super::*;

    /// The event in a message, which must be what the protocol's own encoder would write.
    fn read(encoding: Encoding, message: Vec<u8>) -> Event {
        match encoding {
            Encoding::Json => {
                let Ok(rpc::Incoming::Notification { params, .. }) = rpc::Incoming::parse(&message) else {
                    panic!("no notification")
                };
                let event: Event = serde_json::from_str(params.get()).unwrap();
                assert_eq!(message, rpc::notification_line(EVENT, &event).unwrap());
                event
            }
            Encoding::Binary => {
                let body = bytes::Bytes::from(message).slice(LENGTH_BYTES..);
                let Ok(binary::Incoming::Event(event)) = binary::Incoming::parse(&body) else {
                    panic!("no event")
                };
                *event
            }
        }
    }

    #[test]
    fn a_message_is_the_notification_of_the_specification_in_both_encodings() {
        let lines = EventLines::default();
        let memory = MemoryEvent { level: MemoryLevel::High, resident_bytes: 7, freed_bytes: None };
        // The second number falls on the same place as the first.
        for seq in [1, 1 + KEPT as u64, 1] {
            let happening =
                Happening { memory: Some(memory), ..Happening::plain(seq, Topic::Memory, "trimmed") };
            let expected = Event {
                subscription: 9,
                seq,
                topic: Topic::Memory,
                event: "trimmed".into(),
                task: None,
                memory: Some(memory),
                reload: None,
                missed: None,
            };
            for encoding in [Encoding::Json, Encoding::Binary, Encoding::Json, Encoding::Binary] {
                assert_eq!(read(encoding, lines.line(encoding, 9, &happening)), expected);
            }
        }
        for encoding in [Encoding::Json, Encoding::Binary] {
            let event = read(encoding, dropped_line(encoding, 9, Topic::Task, 5, 3));
            assert_eq!((event.missed, event.event.as_str(), event.seq), (Some(3), "subscription_dropped", 5));
        }
    }
}
