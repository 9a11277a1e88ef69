//! The channels through which a running attempt reports its progress and has remote jobs journaled.

use actix::{Handler, Message, Recipient, ResponseFuture};
use tokio::sync::oneshot;

use super::{TaskTracker, requests::Reply};
use crate::{
    domain::{JobSink, Piece, ProgressSink, RemoteJob},
    store::StoreError,
    tasks::machine::{Event, RunId},
};

/// Reports the progress of an attempt. Reports are dropped if the mailbox is full.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct ReportProgress {
    run: RunId,
    fraction: f64,
    message: String,
}

/// Reports a piece of the result that an attempt is making. Reports are dropped if the mailbox is full.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct ReportPiece {
    run: RunId,
    piece: Piece,
}

/// Journals the remote job that a provider holds for an attempt, or with None that it holds none. The answer is sent after the commit.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), StoreError>")]
pub(super) struct RememberJob {
    run: RunId,
    job: Option<RemoteJob>,
}

/// Returns the progress sink of an attempt. If the mailbox is full, a report is dropped. The next one replaces it.
pub(super) fn progress_sink(
    tracker: Recipient<ReportProgress>,
    pieces: Recipient<ReportPiece>,
    run: RunId,
) -> ProgressSink {
    ProgressSink::new(move |fraction, message| {
        let _ = tracker.try_send(ReportProgress { run, fraction, message });
    })
    .with_pieces(move |piece| {
        let _ = pieces.try_send(ReportPiece { run, piece });
    })
}

pub(super) fn job_sink(tracker: Recipient<RememberJob>, run: RunId) -> JobSink {
    JobSink::new(move |job| {
        let sent = tracker.send(RememberJob { run, job });
        Box::pin(async move {
            let outcome = sent.await.unwrap_or(Err(StoreError::Closed));
            if let Err(error) = &outcome {
                tracing::error!(%error, "what the provider holds for a task could not be journaled");
            }
            outcome.is_ok()
        })
    })
}

impl Handler<ReportProgress> for TaskTracker {
    type Result = ();

    fn handle(&mut self, report: ReportProgress, ctx: &mut Self::Context) {
        let ReportProgress { run, fraction, message } = report;
        self.feed(ctx, Event::Progress { run, fraction, message });
    }
}

impl Handler<ReportPiece> for TaskTracker {
    type Result = ();

    fn handle(&mut self, ReportPiece { run, piece }: ReportPiece, ctx: &mut Self::Context) {
        self.feed(ctx, Event::Showed { run, piece });
    }
}

impl Handler<RememberJob> for TaskTracker {
    type Result = ResponseFuture<Result<(), StoreError>>;

    fn handle(&mut self, RememberJob { run, job }: RememberJob, ctx: &mut Self::Context) -> Self::Result {
        let (reply, answer) = oneshot::channel();
        let request = self.requests.add(Reply::Job(reply));
        self.feed(ctx, Event::RememberJob { request, run, job });
        Box::pin(async move { answer.await.unwrap_or(Err(StoreError::Closed)) })
    }
}
