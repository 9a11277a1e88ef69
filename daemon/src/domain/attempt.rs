//! The handles that a running attempt gets: a cancel signal, a sink for its progress, and a sink that journals its remote job.

use std::{fmt, path::PathBuf, sync::Arc};

use futures_util::future::BoxFuture;
use tokio::sync::watch;

use super::RemoteJob;

/// Turns true when the attempt must stop. An attempt waits on it, or reads it between two steps.
pub type CancelSignal = watch::Receiver<bool>;

/// Receives the progress of an attempt and the first parts of its result. Cheap to clone.
#[derive(Clone)]
pub struct ProgressSink {
    report: Arc<dyn Fn(f64, String) + Send + Sync>,
    show: Arc<dyn Fn(Piece) + Send + Sync>,
}

/// A part of a result that is shown before the attempt ends. The result never depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// A piece of a text that the model is writing.
    Text {
        /// The number of bytes of the text before this piece.
        offset: u64,
        /// The text of the piece.
        text: String,
    },
    /// A preview of a picture that is not finished.
    Preview {
        /// The number of the preview, counted from 0.
        number: u64,
        /// The path of the preview's file, which exists until the attempt ends.
        path: PathBuf,
    },
}

/// Journals the remote job of an attempt. Cheap to clone.
#[derive(Clone)]
pub struct JobSink(Arc<dyn Fn(Option<RemoteJob>) -> BoxFuture<'static, bool> + Send + Sync>);

impl ProgressSink {
    /// Returns a sink that passes each report on to this function, which must not block.
    pub fn new(report: impl Fn(f64, String) + Send + Sync + 'static) -> Self {
        Self { report: Arc::new(report), show: Arc::new(|_| ()) }
    }

    /// Returns the same sink, which also passes parts of the result on to that function. It must not block either.
    #[must_use]
    pub fn with_pieces(self, show: impl Fn(Piece) + Send + Sync + 'static) -> Self {
        Self { show: Arc::new(show), ..self }
    }

    /// Reports the fraction that is done, from 0 to 1, and what the attempt does. A report may be dropped, because the next one replaces it.
    pub fn report(&self, fraction: f64, message: impl Into<String>) {
        (self.report)(fraction, message.into());
    }

    /// Sends a piece of the text that the model is writing; `offset` is the number of bytes before it. A piece may be dropped, because the result
    /// contains the whole text.
    pub fn write(&self, offset: u64, text: impl Into<String>) {
        (self.show)(Piece::Text { offset, text: text.into() });
    }

    /// Sends the path of a preview's file, which must exist until the attempt ends. A preview may be dropped too.
    pub fn preview(&self, number: u64, path: PathBuf) {
        (self.show)(Piece::Preview { number, path });
    }
}

impl JobSink {
    /// Returns a sink that passes each job on to this function. The function returns whether the job is on disk.
    pub fn new(
        remember: impl Fn(Option<RemoteJob>) -> BoxFuture<'static, bool> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(remember))
    }

    /// Journals what the provider holds for the attempt; None once it holds nothing. Returns whether that is on disk.
    pub async fn remember(&self, job: Option<RemoteJob>) -> bool {
        (self.0)(job).await
    }
}

impl fmt::Debug for ProgressSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProgressSink")
    }
}

impl fmt::Debug for JobSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JobSink")
    }
}
