//! Sends progress events, at most ten a second for each task. The last progress is always sent.

use std::time::Duration;

use reel_protocol::{TaskId, methods::PartialEvent};

use super::{Effect, Machine, RunId, Surroundings, timers::Timer};
use crate::domain::Piece;

/// Shortest time between two progress events of one task.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// Longest message, in bytes. It is shown on one line beside a bar.
const MESSAGE_BYTES: usize = 200;

impl<S: Surroundings> Machine<S> {
    pub(super) fn progress(&mut self, run: RunId, fraction: f64, message: &str) {
        let Some(leader) = self.runs.get(&run).and_then(|run| run.leader) else { return };
        let fraction = if fraction.is_finite() { fraction.clamp(0.0, 1.0) } else { 0.0 };
        let message = message.get(..message.floor_char_boundary(MESSAGE_BYTES)).unwrap_or_default();
        for member in self.flights.members(leader) {
            let Some(task) = self.live.get_mut(&member) else { continue };
            task.progress.fraction = fraction;
            message.clone_into(&mut task.progress.message);
            self.tell_progress(member);
        }
    }

    /// Sends a piece of a result as an event of each task that shares the attempt.
    pub(super) fn showed(&mut self, run: RunId, piece: &Piece) {
        let Some(leader) = self.runs.get(&run).and_then(|run| run.leader) else { return };
        for id in self.flights.members(leader) {
            let Some(task) = self.live.get(&id) else { continue };
            let (offset, text, preview_path) = match piece {
                Piece::Text { offset, text } => (*offset, text.clone(), None),
                Piece::Preview { number, path } => {
                    (*number, String::new(), Some(path.to_string_lossy().into_owned()))
                }
            };
            let partial = PartialEvent { id, batch: task.batch, index: 0, offset, text, preview_path };
            self.effects.push(Effect::TellPartial(Box::new(partial)));
        }
    }

    fn tell_progress(&mut self, id: TaskId) {
        let now = self.now.moment;
        let Some(task) = self.live.get_mut(&id) else { return };
        let due = task.last_progress_event.map_or(now, |last| last + PROGRESS_EVERY);
        if due <= now {
            task.last_progress_event = Some(now);
            let event = Box::new(task.event(None, None));
            self.effects.push(Effect::Tell { event: "progress", task: event });
        } else if !task.has_progress_timer {
            task.has_progress_timer = true;
            self.timers.add(due, Timer::Progress(id));
        }
    }

    pub(super) fn tell_delayed_progress(&mut self, id: TaskId) {
        if let Some(task) = self.live.get_mut(&id) {
            task.has_progress_timer = false;
            self.tell_progress(id);
        }
    }
}
