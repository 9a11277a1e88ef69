//! The subscriptions of one connection. Each is a task that reads events from the hub and sends them to the session's bounded queue.
//!
//! No other part of the daemon waits for a slow reader. When its queue is full, its task stops reading from the hub, and in the end the subscription
//! is dropped with a last event that says how many events were missed. The ids that a subscription names are reserved in the memory budget.

use std::collections::HashMap;

use reel_protocol::{
    BatchId, ErrorCode, RpcError, TaskId,
    limits::SUBSCRIPTIONS,
    methods::{Event, SUBSCRIPTION_DROPPED, SubscribeParams, Topic},
};
use tokio::{sync::mpsc, task::JoinHandle};

use super::{encoding::Encoding, errors};
use crate::{
    events::{self, EventHub, Listener, Missed, PartialsWanted},
    memory::{Budget, Holder, Reservation},
};

/// The approximate memory of a subscription without the ids that it names, in bytes: its task, and its entries in the hub and in the table.
const SUBSCRIPTION_BYTES: u64 = 2 * 1024;

/// The subscriptions of one connection.
pub(super) struct Subscriptions {
    running: HashMap<u64, Forwarder>,
    last_number: u64,
    queue: mpsc::Sender<Vec<u8>>,
}

/// The values that the subscriptions of all connections share.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    /// The hub from which events are received.
    pub(super) hub: &'a EventHub,
    /// The memory budget in which subscriptions are reserved.
    pub(super) budget: &'a Budget,
}

/// The task of a subscription. It is aborted when this is dropped.
struct Forwarder(JoinHandle<()>);

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Subscriptions {
    /// Returns a table without subscriptions. Encoded events are sent to `queue`.
    pub(super) fn new(queue: mpsc::Sender<Vec<u8>>) -> Self {
        Self { running: HashMap::new(), last_number: 0, queue }
    }

    /// Begins a subscription. Returns its number and the sequence number of the last event before it.
    pub(super) fn begin(
        &mut self,
        source: Source<'_>,
        encoding: Encoding,
        params: SubscribeParams,
    ) -> Result<(u64, u64), RpcError> {
        self.forget_ended();
        if self.running.len() >= SUBSCRIPTIONS {
            let message = format!("this connection has {SUBSCRIPTIONS} subscriptions, as many as it may");
            return Err(RpcError::new(ErrorCode::TooManySubscriptions, message)
                .hint("end one with events.unsubscribe, or name more topics and tasks in one"));
        }
        let filter = EventFilter::new(params);
        let held_bytes = SUBSCRIPTION_BYTES + filter.held_bytes();
        let reservation =
            source.budget.reserve(Holder::Subscription, held_bytes).map_err(errors::over_budget)?;
        self.last_number += 1;
        let number = self.last_number;
        let (seq, listener) = source.hub.listen();
        let partials = filter.partial.then(|| source.hub.want_partials());
        let subscription =
            Subscription { number, filter, seq, encoding, _partials: partials, _reservation: reservation };
        let forward = forward(subscription, listener, self.queue.clone());
        self.running.insert(number, Forwarder(tokio::task::spawn_local(forward)));
        Ok((number, seq))
    }

    /// Whether there is no subscription.
    pub(super) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Ends a subscription. Its events that are already in the queue are still sent.
    pub(super) fn end(&mut self, subscription: u64) -> Result<(), RpcError> {
        self.forget_ended();
        let ended = self.running.remove(&subscription);
        ended.map(drop).ok_or_else(|| {
            RpcError::new(
                ErrorCode::SubscriptionNotFound,
                format!("no subscription {subscription} on this connection"),
            )
            .hint("subscriptions end with their connection, with events.unsubscribe, and when their reader is too slow")
        })
    }

    /// Removes the subscriptions that were dropped because their reader was too slow.
    fn forget_ended(&mut self) {
        self.running.retain(|_, forwarder| !forwarder.0.is_finished());
    }
}

struct Subscription {
    number: u64,
    filter: EventFilter,
    /// The sequence number of the last event that was read from the hub.
    seq: u64,
    encoding: Encoding,
    _partials: Option<PartialsWanted>,
    _reservation: Reservation,
}

/// Forwards events until the reader is too slow, and then sends the event `subscription_dropped` as the last one.
async fn forward(mut subscription: Subscription, mut listener: Listener, queue: mpsc::Sender<Vec<u8>>) {
    let Missed(missed) = subscription.missed(&mut listener, &queue).await;
    // The hub need not keep events for this subscription while its reader is slow.
    drop(listener);
    let Subscription { number, filter, seq, encoding, .. } = subscription;
    let dropped = events::Event::plain(seq, filter.first_topic(), SUBSCRIPTION_DROPPED);
    let line = encoding.event(&Event { missed: Some(missed), ..event(number, &dropped) });
    // Frees the filter, which may be large, before the wait.
    drop(filter);
    // The queue closes only with the session, which aborts this task anyway.
    let _ = queue.send(line).await;
}

impl Subscription {
    /// Forwards events until the reader is too slow. Returns how many events it has missed then.
    async fn missed(&mut self, listener: &mut Listener, queue: &mpsc::Sender<Vec<u8>>) -> Missed {
        loop {
            let happening = match listener.next().await {
                Ok(happening) if self.filter.wants(&happening) => happening,
                Ok(happening) => {
                    self.seq = happening.seq;
                    continue;
                }
                Err(missed) => return missed,
            };
            let before = listener.waiting();
            let room = tokio::select! { biased;
                room = queue.reserve() => room,
                () = listener.falls_behind(before) => return Missed(1 + listener.waiting()),
            };
            // The event is encoded only when the queue has room. A slow reader thus uses no memory except for its position in the hub.
            let Ok(room) = room else { return Missed(0) };
            room.send(self.encoding.event(&event(self.number, &happening)));
            self.seq = happening.seq;
        }
    }
}

/// Converts an event to its form in the protocol.
fn event(subscription: u64, happening: &events::Event) -> Event {
    let events::Event { seq, topic, event, task, memory, reload, provider, partial } = happening;
    Event {
        subscription,
        seq: *seq,
        topic: *topic,
        event: (*event).to_owned(),
        task: task.clone(),
        memory: *memory,
        reload: reload.clone(),
        provider: provider.clone(),
        partial: partial.clone(),
        missed: None,
    }
}

/// The filter that decides which events a subscription receives. Pure.
struct EventFilter {
    topics: Vec<Topic>,
    /// Sorted and without duplicates.
    task_ids: Option<Box<[TaskId]>>,
    batch: Option<BatchId>,
    partial: bool,
    steps: bool,
}

impl EventFilter {
    fn new(params: SubscribeParams) -> Self {
        let SubscribeParams { topics: named, task_ids, batch, partial, steps } = params;
        // Each topic is kept once, however often it is named.
        let mut topics = Vec::new();
        for topic in named {
            if !topics.contains(&topic) {
                topics.push(topic);
            }
        }
        let task_ids = task_ids.map(|mut ids| {
            ids.sort_unstable();
            ids.dedup();
            ids.into_boxed_slice()
        });
        Self { topics, task_ids, batch, partial, steps }
    }

    fn held_bytes(&self) -> u64 {
        self.task_ids.as_deref().map_or(0, size_of_val) as u64
    }

    fn wants(&self, happening: &events::Event) -> bool {
        if !self.topics.contains(&happening.topic) {
            return false;
        }
        let (id, parent, of_batch) = match (&happening.task, &happening.partial) {
            (Some(task), _) => (task.id, task.parent.filter(|_| self.steps), task.batch),
            (None, Some(partial)) if self.partial => (partial.id, None, partial.batch),
            (None, Some(_)) => return false,
            (None, None) => return true,
        };
        let is_named =
            |ids: &[TaskId]| [Some(id), parent].iter().flatten().any(|id| ids.binary_search(id).is_ok());
        self.task_ids.as_deref().is_none_or(is_named)
            && self.batch.is_none_or(|batch| of_batch == Some(batch))
    }

    fn first_topic(&self) -> Topic {
        self.topics.first().copied().unwrap_or(Topic::Daemon)
    }
}

#[cfg(test)]
mod tests {
    use reel_protocol::{
        Progress, TaskState,
        methods::{PartialEvent, TaskEvent},
    };

    use super::*;

    fn happening(topic: Topic, task: Option<(u64, Option<u64>)>) -> events::Event {
        let task = task.map(|(id, batch)| TaskEvent {
            id: TaskId(id),
            rev: 1,
            kind: "debug.noop".into(),
            name: None,
            client: "c".into(),
            batch: batch.map(BatchId),
            parent: Some(TaskId(9)),
            step: Some("voice/a1".into()),
            state: TaskState::Queued,
            hold_reason: None,
            progress: Progress::default(),
            source: None,
            error: None,
        });
        events::Event { task, ..events::Event::plain(1, topic, "changed") }
    }

    #[test]
    fn a_filter_takes_its_topics_and_of_tasks_only_those_that_fit_all_it_names() {
        let memory = happening(Topic::Memory, None);
        let tasks = [(1, None), (1, Some(5)), (2, Some(5))].map(|task| happening(Topic::Task, Some(task)));
        for (json, wanted) in [
            (r#"{"topics":["memory"]}"#, [true, false, false, false]),
            (r#"{"topics":["task"]}"#, [false, true, true, true]),
            (r#"{"topics":["task","memory"],"task_ids":[1]}"#, [true, true, true, false]),
            (r#"{"topics":["task"],"batch":5}"#, [false, false, true, true]),
            (r#"{"topics":["task"],"batch":5,"task_ids":[1]}"#, [false, false, true, false]),
            (r#"{"topics":["task"],"task_ids":[]}"#, [false, false, false, false]),
            (r#"{"topics":["task"],"task_ids":[9]}"#, [false, false, false, false]),
            (r#"{"topics":["task"],"task_ids":[9],"steps":true}"#, [false, true, true, true]),
        ] {
            let filter = EventFilter::new(serde_json::from_str(json).unwrap());
            let [one, two, three] = &tasks;
            assert_eq!([&memory, one, two, three].map(|happening| filter.wants(happening)), wanted, "{json}");
        }
        let (id, batch) = (TaskId(1), Some(BatchId(5)));
        let piece = PartialEvent { id, batch, index: 0, offset: 0, text: "a".into(), preview_path: None };
        let piece = events::Event { partial: Some(piece), ..events::Event::plain(1, Topic::Task, "partial") };
        for (json, wanted) in [
            (r#"{"topics":["task"]}"#, false),
            (r#"{"topics":["task"],"partial":true}"#, true),
            (r#"{"topics":["memory"],"partial":true}"#, false),
            (r#"{"topics":["task"],"task_ids":[2],"partial":true}"#, false),
            (r#"{"topics":["task"],"batch":5,"task_ids":[1],"partial":true}"#, true),
            (r#"{"topics":["task"],"batch":6,"partial":true}"#, false),
        ] {
            let filter = EventFilter::new(serde_json::from_str(json).unwrap());
            assert_eq!(filter.wants(&piece), wanted, "{json}");
        }
    }
}
