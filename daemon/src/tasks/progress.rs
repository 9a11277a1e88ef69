//! How the tracker tells how far a task is: at most ten times a second for each, and always the last word.

use std::time::Duration;

use actix::{AsyncContext, Context, Recipient};
use reel_protocol::TaskId;
use tokio::time::Instant;

use super::{ReportProgress, TaskTracker};
use crate::domain::ProgressSink;

/// The shortest time between two progress events of one task.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// Longest message in bytes: it is shown on one line beside a bar.
const MESSAGE_BYTES: usize = 200;

/// Where the run with this number reports how far it is; a report that finds the mailbox full is dropped, as the next one says more.
pub(super) fn progress_sink(tracker: Recipient<ReportProgress>, run: u64) -> ProgressSink {
    ProgressSink::new(move |fraction, message| {
        let _ = tracker.try_send(ReportProgress { run, fraction, message });
    })
}

impl TaskTracker {
    pub(super) fn progress(&mut self, ctx: &mut Context<Self>, report: &ReportProgress) {
        let Some(leader) = self.runs.get(&report.run).and_then(|run| run.leader) else { return };
        let fraction = if report.fraction.is_finite() { report.fraction.clamp(0.0, 1.0) } else { 0.0 };
        let message =
            report.message.get(..report.message.floor_char_boundary(MESSAGE_BYTES)).unwrap_or_default();
        for member in self.flights.members(leader) {
            let Some(task) = self.live.get_mut(&member) else { continue };
            task.progress.fraction = fraction;
            message.clone_into(&mut task.progress.message);
            self.tell_progress(ctx, member);
        }
    }

    fn tell_progress(&mut self, ctx: &mut Context<Self>, id: TaskId) {
        let now = Instant::now();
        let Some(task) = self.live.get_mut(&id) else { return };
        let due = task.told.map_or(now, |told| told + PROGRESS_EVERY);
        if due <= now {
            task.told = Some(now);
            let event = task.event(None, None);
            self.parts.events.task("progress", || event);
        } else if !task.is_telling {
            task.is_telling = true;
            ctx.run_later(due - now, move |tracker, ctx| {
                if let Some(task) = tracker.live.get_mut(&id) {
                    task.is_telling = false;
                    tracker.tell_progress(ctx, id);
                }
            });
        }
    }
}
