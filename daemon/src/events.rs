//! What happened, for whoever listens: one hub that rooms tell and sessions forward.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use reel_protocol::{
    limits::EVENTS_BEHIND,
    methods::{MemoryEvent, TaskEvent, Topic},
};
use tokio::sync::broadcast;

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
}

/// Where rooms tell what happened; cheap to clone. A listener that falls [`EVENTS_BEHIND`] behind is told how many it missed, and nobody
/// waits for it.
#[derive(Debug, Clone)]
pub struct EventHub {
    sender: broadcast::Sender<Arc<Happening>>,
    seq: Arc<AtomicU64>,
}

impl Default for EventHub {
    fn default() -> Self {
        Self { sender: broadcast::channel(EVENTS_BEHIND).0, seq: Arc::default() }
    }
}

impl EventHub {
    /// Tells of a task.
    pub fn task(&self, event: &'static str, task: impl FnOnce() -> TaskEvent) {
        self.tell(|seq| Happening { seq, topic: Topic::Task, event, task: Some(task()), memory: None });
    }

    /// Tells of memory.
    pub fn memory(&self, event: &'static str, memory: MemoryEvent) {
        self.tell(|seq| Happening { seq, topic: Topic::Memory, event, task: None, memory: Some(memory) });
    }

    /// Tells of anything that needs no more words.
    pub fn plain(&self, topic: Topic, event: &'static str) {
        self.tell(|seq| Happening { seq, topic, event, task: None, memory: None });
    }

    /// Listens from now on; answers the number of the last event before.
    pub fn listen(&self) -> (u64, broadcast::Receiver<Arc<Happening>>) {
        (self.seq.load(Ordering::Relaxed), self.sender.subscribe())
    }

    fn tell(&self, happening: impl FnOnce(u64) -> Happening) {
        let seq = self.seq.fetch_add(1, Ordering::Relaxed) + 1;
        // Building an event costs copies of names; most of the time nobody listens.
        if self.sender.receiver_count() > 0 {
            // It fails only when the last listener left in between.
            let _ = self.sender.send(Arc::new(happening(seq)));
        }
    }
}
