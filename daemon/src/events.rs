//! What happened, for whoever listens: one hub that rooms tell and sessions forward.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, Ordering},
};

use reel_protocol::{
    limits::BATCH_TASKS,
    methods::{MemoryEvent, ReloadEvent, TaskEvent, Topic},
};
use tokio::sync::broadcast;

/// Events that the hub keeps for listeners that have not had their turn yet: all that one handler may tell at once, which for the largest
/// batch is an event for each task, and as many again meanwhile. A place is 32 bytes, a megabyte in all, which is taken when somebody listens for
/// the first time; events themselves are kept only while somebody is behind.
const KEPT: usize = (2 * BATCH_TASKS).next_power_of_two();

/// Something that happened.
#[derive(Debug, Clone)]
pub struct Happening {
    /// Grows by one with each event of this daemon's life.
    pub seq: u64,
    /// What it is about.
    pub topic: Topic,
    /// Such as `progress`.
    pub event: &'static str,
    /// On topic `task`.
    pub task: Option<TaskEvent>,
    /// On topic `memory`.
    pub memory: Option<MemoryEvent>,
    /// With `reloaded` and `reload_failed`.
    pub reload: Option<ReloadEvent>,
}

impl Happening {
    /// One without more words.
    pub fn plain(seq: u64, topic: Topic, event: &'static str) -> Self {
        Self { seq, topic, event, task: None, memory: None, reload: None }
    }
}

/// Where rooms tell what happened; cheap to clone. Nobody waits for a listener; one that falls too far behind is told how many it missed.
#[derive(Debug, Clone, Default)]
pub struct EventHub(Arc<Hub>);

#[derive(Debug, Default)]
struct Hub {
    sender: OnceLock<broadcast::Sender<Arc<Happening>>>,
    seq: AtomicU64,
}

impl EventHub {
    /// Tells of a task.
    pub fn task(&self, event: &'static str, task: impl FnOnce() -> TaskEvent) {
        self.tell(|seq| Happening { task: Some(task()), ..Happening::plain(seq, Topic::Task, event) });
    }

    /// Tells of memory.
    pub fn memory(&self, event: &'static str, memory: MemoryEvent) {
        self.tell(|seq| Happening { memory: Some(memory), ..Happening::plain(seq, Topic::Memory, event) });
    }

    /// Tells of anything that needs no more words.
    pub fn plain(&self, topic: Topic, event: &'static str) {
        self.tell(|seq| Happening::plain(seq, topic, event));
    }

    /// Tells of a reading of the configuration.
    pub fn reload(&self, event: &'static str, reload: ReloadEvent) {
        self.tell(|seq| Happening { reload: Some(reload), ..Happening::plain(seq, Topic::Daemon, event) });
    }

    /// Listens from now on; answers the number of the last event before.
    pub fn listen(&self) -> (u64, broadcast::Receiver<Arc<Happening>>) {
        let Hub { sender, seq } = &*self.0;
        let sender = sender.get_or_init(|| broadcast::channel(KEPT).0);
        (seq.load(Ordering::Relaxed), sender.subscribe())
    }

    fn tell(&self, happening: impl FnOnce(u64) -> Happening) {
        let Hub { sender, seq } = &*self.0;
        let seq = seq.fetch_add(1, Ordering::Relaxed) + 1;
        // Building an event costs copies of names; most of the time nobody listens.
        if let Some(sender) = sender.get()
            && sender.receiver_count() > 0
        {
            // It fails only when the last listener left in between.
            let _ = sender.send(Arc::new(happening(seq)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_heard_is_counted_and_takes_no_room() {
        let hub = EventHub::default();
        hub.plain(Topic::Daemon, "first");
        assert!(hub.0.sender.get().is_none());
        let (seq, mut heard) = hub.clone().listen();
        assert_eq!(seq, 1);
        hub.plain(Topic::Daemon, "second");
        let happening = heard.try_recv().unwrap();
        assert_eq!((happening.seq, happening.event), (2, "second"));
    }
}
