//! The event hub: rooms publish events, and sessions forward them to subscribers.

use std::{
    ops::Deref,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use reel_protocol::{
    limits::{BATCH_TASKS, EVENTS_BEHIND},
    methods::{MemoryEvent, PartialEvent, ProviderEvent, ReloadEvent, TaskEvent, Topic},
};
use tokio::sync::{
    broadcast::{self, error::RecvError},
    watch,
};

use crate::budget::{Budget, Holder, Reservation};

/// Capacity of the broadcast channel, in events. One handler may publish an event for each task of the largest batch at once, before any listener
/// runs, and as many again may follow meanwhile. A slot takes 32 bytes, a megabyte in all, which is allocated when somebody listens for the first
/// time. The events themselves are kept only while a listener is behind, and are reserved in the memory budget.
const CHANNEL_CAPACITY_EVENTS: usize = (2 * BATCH_TASKS).next_power_of_two();

/// An event before it is filtered and numbered for its subscribers.
#[derive(Debug, Clone)]
pub struct Event {
    /// The event's number. It grows by one with each event since the daemon started.
    pub seq: u64,
    /// The topic of the event.
    pub topic: Topic,
    /// The name of the event, such as `progress`.
    pub event: &'static str,
    /// Set on topic `task`.
    pub task: Option<TaskEvent>,
    /// Set on topic `memory`.
    pub memory: Option<MemoryEvent>,
    /// Set for `reloaded` and `reload_failed`.
    pub reload: Option<ReloadEvent>,
    /// Set on topic `provider`.
    pub provider: Option<ProviderEvent>,
    /// Set for `partial`.
    pub partial: Option<PartialEvent>,
}

impl Event {
    /// Creates an event without details.
    pub fn plain(seq: u64, topic: Topic, event: &'static str) -> Self {
        Self { seq, topic, event, task: None, memory: None, reload: None, provider: None, partial: None }
    }

    /// Returns about how many bytes the event takes while it waits.
    fn held_bytes(&self) -> u64 {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let task = self.task.as_ref().map_or(0, |task| {
            let error = task.error.as_ref();
            let error = error.map_or(0, |error| error.code.len() + error.message.len() + text(&error.hint));
            task.kind.len() + text(&task.name) + task.client.len() + task.progress.message.len() + error
        });
        let reload = self.reload.as_ref().map_or(0, |reload| {
            let keys = reload.changed.iter().chain(&reload.needs_restart);
            keys.map(String::len).sum::<usize>() + text(&reload.reason)
        });
        let provider = self.provider.as_ref().map_or(0, |it| it.name.len() + text(&it.model));
        let partial = self.partial.as_ref().map_or(0, |it| it.text.len());
        (size_of::<QueuedEvent>() + task + reload + provider + partial) as u64
    }
}

/// An event that waits for its listeners, with its reservation in the memory budget.
#[derive(Debug)]
pub struct QueuedEvent {
    inner: Event,
    _reservation: Reservation,
}

impl Deref for QueuedEvent {
    type Target = Event;

    fn deref(&self) -> &Event {
        &self.inner
    }
}

/// The hub to which rooms publish. Cheap to clone. Publishing never waits for a listener. A listener that falls too far behind learns how many events
/// it missed.
#[derive(Debug, Clone)]
pub struct EventHub(Arc<Hub>);

#[derive(Debug)]
struct Hub {
    /// None stands for an event for which the budget had no room. Every listener that receives it has missed the event.
    sender: OnceLock<broadcast::Sender<Option<Arc<QueuedEvent>>>>,
    seq: AtomicU64,
    /// Changes with every [`EVENTS_BEHIND`] events, and when the budget has no room for an event. It wakes listeners with a slow reader, which then
    /// check how far they are behind.
    milestone: watch::Sender<u64>,
    /// The number of subscriptions that want partial results. Partial results are frequent, so they are not published while this is 0.
    partials_wanted: AtomicUsize,
    budget: Budget,
}

/// A guard: partial results are published while it exists.
#[derive(Debug)]
pub struct PartialsWanted(Arc<Hub>);

impl Drop for PartialsWanted {
    fn drop(&mut self) {
        self.0.partials_wanted.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A receiver of all events.
#[derive(Debug)]
pub struct Listener {
    events: broadcast::Receiver<Option<Arc<QueuedEvent>>>,
    milestone: watch::Receiver<u64>,
}

/// The number of events that a listener missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missed(pub u64);

impl Default for EventHub {
    /// Creates a hub whose budget has no limit.
    fn default() -> Self {
        Self::new(Budget::new(u64::MAX))
    }
}

impl EventHub {
    /// Creates a hub that reserves waiting events in this budget.
    pub fn new(budget: Budget) -> Self {
        Self(Arc::new(Hub {
            sender: OnceLock::new(),
            seq: AtomicU64::new(0),
            milestone: watch::Sender::new(0),
            partials_wanted: AtomicUsize::new(0),
            budget,
        }))
    }

    /// Publishes an event of a task.
    pub fn task(&self, event: &'static str, task: impl FnOnce() -> TaskEvent) {
        self.publish(|seq| Event { task: Some(task()), ..Event::plain(seq, Topic::Task, event) });
    }

    /// Publishes a piece of a result that is being written, if a subscription wants it.
    pub fn partial(&self, partial: PartialEvent) {
        if self.0.partials_wanted.load(Ordering::Relaxed) == 0 {
            return;
        }
        self.publish(|seq| Event { partial: Some(partial), ..Event::plain(seq, Topic::Task, "partial") });
    }

    /// Publishes an event of the memory supervisor.
    pub fn memory(&self, event: &'static str, memory: MemoryEvent) {
        self.publish(|seq| Event { memory: Some(memory), ..Event::plain(seq, Topic::Memory, event) });
    }

    /// Publishes an event without details.
    pub fn plain(&self, topic: Topic, event: &'static str) {
        self.publish(|seq| Event::plain(seq, topic, event));
    }

    /// Publishes the outcome of reading the configuration.
    pub fn reload(&self, event: &'static str, reload: ReloadEvent) {
        self.publish(|seq| Event { reload: Some(reload), ..Event::plain(seq, Topic::Daemon, event) });
    }

    /// Publishes that a provider can be used again, or why it cannot.
    pub fn provider(&self, provider: impl FnOnce() -> ProviderEvent) {
        self.publish(|seq| Event {
            provider: Some(provider()),
            ..Event::plain(seq, Topic::Provider, "changed")
        });
    }

    /// Turns partial results on for as long as the returned guard exists.
    pub fn want_partials(&self) -> PartialsWanted {
        self.0.partials_wanted.fetch_add(1, Ordering::Relaxed);
        PartialsWanted(Arc::clone(&self.0))
    }

    /// Subscribes to future events. Returns the number of the last event before, and the listener.
    pub fn listen(&self) -> (u64, Listener) {
        let Hub { sender, seq, milestone, .. } = &*self.0;
        let sender = sender.get_or_init(|| broadcast::channel(CHANNEL_CAPACITY_EVENTS).0);
        (
            seq.load(Ordering::Relaxed),
            Listener { events: sender.subscribe(), milestone: milestone.subscribe() },
        )
    }

    fn publish(&self, event: impl FnOnce(u64) -> Event) {
        let Hub { sender, seq, milestone, budget, .. } = &*self.0;
        let seq = seq.fetch_add(1, Ordering::Relaxed) + 1;
        // Building an event copies names, and most of the time nobody listens.
        if let Some(sender) = sender.get()
            && sender.receiver_count() > 0
        {
            let event = event(seq);
            debug_assert!(
                event.topic.events().iter().any(|(name, _)| *name == event.event),
                "the specification has no event {} of topic {}",
                event.event,
                event.topic.name()
            );
            let reserved = budget.reserve(Holder::Event, event.held_bytes());
            let is_milestone = reserved.is_err() || seq.is_multiple_of(EVENTS_BEHIND as u64);
            let queued = reserved
                .ok()
                .map(|reservation| Arc::new(QueuedEvent { inner: event, _reservation: reservation }));
            // Sending fails only if the last listener was dropped in between.
            let _ = sender.send(queued);
            if is_milestone {
                milestone.send_replace(seq);
            }
        }
    }
}

impl Listener {
    /// Waits for the next event. A caller that missed events should drop the listener, because later events have gaps before them.
    pub async fn next(&mut self) -> Result<Arc<QueuedEvent>, Missed> {
        match self.events.recv().await {
            Ok(Some(event)) => Ok(event),
            Ok(None) => Err(Missed(1 + self.waiting())),
            Err(RecvError::Lagged(missed)) => Err(Missed(missed)),
            // The hub was dropped, so the daemon is ending.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }

    /// Returns the next event if one is waiting.
    pub fn try_next(&mut self) -> Option<Arc<QueuedEvent>> {
        self.events.try_recv().ok().flatten()
    }

    /// Returns the number of events that wait for this listener.
    pub fn waiting(&self) -> u64 {
        self.events.len() as u64
    }

    /// Waits until [`EVENTS_BEHIND`] more events wait than `before`. Events that already waited when the reader became slow are a burst, which a fast
    /// reader may have too.
    pub async fn falls_behind(&mut self, before: u64) {
        while self.waiting().saturating_sub(before) < EVENTS_BEHIND as u64 {
            if self.milestone.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn what_nobody_heard_is_counted_and_takes_no_room() {
        let hub = EventHub::default();
        hub.plain(Topic::Daemon, "reloaded");
        assert!(hub.0.sender.get().is_none());
        let (seq, mut heard) = hub.clone().listen();
        assert_eq!(seq, 1);
        hub.plain(Topic::Daemon, "stopping");
        let event = heard.try_next().unwrap();
        assert_eq!((event.seq, event.event), (2, "stopping"));
    }

    #[tokio::test]
    async fn events_that_wait_are_reserved_and_one_without_room_is_missed_by_all() {
        let budget = Budget::new(64 * 1024);
        let hub = EventHub::new(budget.clone());
        let (_, mut slow) = hub.listen();
        let (_, mut fast) = hub.listen();
        hub.plain(Topic::Daemon, "reloaded");
        let one = budget.reserved_bytes();
        assert!(one > 0);
        assert_eq!(fast.next().await.unwrap().seq, 1);
        let share = Holder::Event.share_bytes(budget.limit_bytes());
        let fitting = share / one - 1;
        for _ in 0..fitting {
            hub.plain(Topic::Daemon, "reloaded");
            fast.next().await.unwrap();
        }
        assert_eq!(budget.reserved_bytes(), one * (fitting + 1));
        hub.plain(Topic::Daemon, "reloaded");
        hub.plain(Topic::Daemon, "reloaded");
        assert!(matches!(fast.next().await, Err(Missed(2))));
        assert_eq!((slow.waiting(), slow.next().await.unwrap().seq), (fitting + 3, 1));
        drop((slow, fast));
        assert_eq!(budget.reserved_bytes(), 0);
    }

    #[tokio::test]
    async fn a_slow_listener_learns_when_it_falls_behind_and_a_burst_before_does_not_count() {
        let hub = EventHub::default();
        let (_, mut slow) = hub.listen();
        let publish = |count: usize| (0..count).for_each(|_| hub.plain(Topic::Daemon, "reloaded"));
        publish(EVENTS_BEHIND * 3 + 5);
        let before = slow.waiting();
        assert!(slow.falls_behind(before).now_or_never().is_none());
        publish(EVENTS_BEHIND - 6);
        assert!(slow.falls_behind(before).now_or_never().is_none());
        publish(6);
        assert!(slow.falls_behind(before).now_or_never().is_some());
    }
}
