//! The subscriptions of one connection: each one a small task that reads the hub and fills the session's bounded queue of lines.
//!
//! Nobody waits for a slow reader: its queue fills, its task stops reading the hub, and the hub counts what it misses.

use std::{
    collections::{HashMap, HashSet},
    rc::Rc,
    sync::Arc,
};

use reel_protocol::{
    BatchId, ErrorCode, RpcError, TaskId,
    limits::{EVENTS_BEHIND, SUBSCRIPTIONS},
    methods::{SubscribeParams, Topic},
};
use tokio::{
    sync::{
        broadcast::{self, error::RecvError},
        mpsc::{self, error::TrySendError},
    },
    task::JoinHandle,
};

use super::{
    encoding::Encoding,
    event_lines::{EventLines, dropped_line},
};
use crate::events::{EventHub, Happening};

/// The table.
pub(super) struct Subscriptions {
    running: HashMap<u64, Forwarder>,
    last_number: u64,
    queue: mpsc::Sender<Vec<u8>>,
}

/// Ends its task when dropped.
struct Forwarder(JoinHandle<()>);

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Subscriptions {
    /// None yet; `queue` takes the lines.
    pub(super) fn new(queue: mpsc::Sender<Vec<u8>>) -> Self {
        Self { running: HashMap::new(), last_number: 0, queue }
    }

    /// Begins one; answers its number and the number of the last event before it.
    pub(super) fn begin(
        &mut self,
        hub: &EventHub,
        lines: Rc<EventLines>,
        encoding: Encoding,
        params: SubscribeParams,
    ) -> Result<(u64, u64), RpcError> {
        self.forget_ended();
        if self.running.len() >= SUBSCRIPTIONS {
            let message = format!("this connection has {SUBSCRIPTIONS} subscriptions, as many as it may");
            return Err(RpcError::new(ErrorCode::TooManySubscriptions, message)
                .hint("end one with events.unsubscribe, or name more topics and tasks in one"));
        }
        self.last_number += 1;
        let subscription = self.last_number;
        let (seq, receiver) = hub.listen();
        let filter = EventFilter::new(params);
        let forwarded = Subscription { number: subscription, filter, seq, lines, encoding };
        let forward = forward(forwarded, receiver, self.queue.clone());
        self.running.insert(subscription, Forwarder(tokio::task::spawn_local(forward)));
        Ok((subscription, seq))
    }

    /// Ends one; lines of it that already wait still go out.
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

    /// Those that a slow reader lost leave their place.
    fn forget_ended(&mut self) {
        self.running.retain(|_, forwarder| !forwarder.0.is_finished());
    }
}

struct Subscription {
    number: u64,
    filter: EventFilter,
    /// The last event that was seen.
    seq: u64,
    lines: Rc<EventLines>,
    encoding: Encoding,
}

async fn forward(
    mut subscription: Subscription,
    mut events: broadcast::Receiver<Arc<Happening>>,
    queue: mpsc::Sender<Vec<u8>>,
) {
    loop {
        let line = match events.recv().await {
            Ok(happening) => {
                subscription.seq = happening.seq;
                if !subscription.filter.wants(&happening) {
                    continue;
                }
                subscription.lines.line(subscription.encoding, subscription.number, &happening)
            }
            Err(RecvError::Lagged(missed)) => return subscription.drop_out(&queue, missed).await,
            Err(RecvError::Closed) => return,
        };
        // The queue closes only with the session, which aborts this task anyway.
        let missed = match queue.try_send(line) {
            Ok(()) => continue,
            Err(TrySendError::Closed(_)) => return,
            Err(TrySendError::Full(line)) => {
                let before = events.len();
                if queue.send(line).await.is_err() {
                    return;
                }
                // What stood there before is a burst, which a fast reader takes as well; what came while its queue was full is its own delay.
                if events.len().saturating_sub(before) < EVENTS_BEHIND {
                    continue;
                }
                events.len() as u64
            }
        };
        return subscription.drop_out(&queue, missed).await;
    }
}

impl Subscription {
    /// Tells the reader that it was too slow, as the last line of its subscription.
    async fn drop_out(self, queue: &mpsc::Sender<Vec<u8>>, missed: u64) {
        let line = dropped_line(self.encoding, self.number, self.filter.first_topic(), self.seq, missed);
        let _ = queue.send(line).await;
    }
}

/// Which events a subscription wants. Pure.
struct EventFilter {
    topics: Vec<Topic>,
    task_ids: Option<HashSet<TaskId>>,
    batch: Option<BatchId>,
}

impl EventFilter {
    fn new(params: SubscribeParams) -> Self {
        let task_ids = params.task_ids.map(HashSet::from_iter);
        Self { topics: params.topics, task_ids, batch: params.batch }
    }

    fn wants(&self, happening: &Happening) -> bool {
        if !self.topics.contains(&happening.topic) {
            return false;
        }
        let Some(task) = &happening.task else { return true };
        self.task_ids.as_ref().is_none_or(|ids| ids.contains(&task.id))
            && self.batch.is_none_or(|batch| task.batch == Some(batch))
    }

    fn first_topic(&self) -> Topic {
        self.topics.first().copied().unwrap_or(Topic::Daemon)
    }
}

#[cfg(test)]
mod tests {
    use reel_protocol::{Progress, TaskState, methods::TaskEvent};

    use super::*;

    fn happening(topic: Topic, task: Option<(u64, Option<u64>)>) -> Happening {
        let task = task.map(|(id, batch)| TaskEvent {
            id: TaskId(id),
            rev: 1,
            kind: "debug.noop".into(),
            name: None,
            client: "c".into(),
            batch: batch.map(BatchId),
            state: TaskState::Queued,
            hold_reason: None,
            progress: Progress::default(),
            source: None,
            error: None,
        });
        Happening { task, ..Happening::plain(1, topic, "changed") }
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
        ] {
            let filter = EventFilter::new(serde_json::from_str(json).unwrap());
            let [one, two, three] = &tasks;
            assert_eq!([&memory, one, two, three].map(|happening| filter.wants(happening)), wanted, "{json}");
        }
    }
}
