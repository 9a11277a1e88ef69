//! What a running attempt is handed: whether to stop, where to report how far it is, and where to leave what a provider holds for it.

use std::{fmt, path::PathBuf, sync::Arc};

use futures_util::future::BoxFuture;
use tokio::sync::watch;

use super::RemoteJob;

/// Whether an attempt shall stop; true means stop. An attempt waits on it, or reads it between two steps.
pub type CancelSignal = watch::Receiver<bool>;

/// Where an attempt reports how far it is, and what it has written so far; cheap to clone.
#[derive(Clone)]
pub struct ProgressSink {
    report: Arc<dyn Fn(f64, String) + Send + Sync>,
    show: Arc<dyn Fn(Piece) + Send + Sync>,
}

/// What an attempt shows of its result before the result is there. The result never depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// A piece of a text that is being written.
    Text {
        /// Bytes of the text before the piece.
        offset: u64,
        /// The piece.
        text: String,
    },
    /// A picture that is not finished.
    Preview {
        /// The number of the preview, from 0 on.
        number: u64,
        /// Where its file is until the attempt ends.
        path: PathBuf,
    },
}

/// Where an attempt has its remote job journaled; cheap to clone.
#[derive(Clone)]
pub struct JobSink(Arc<dyn Fn(Option<RemoteJob>) -> BoxFuture<'static, bool> + Send + Sync>);

impl ProgressSink {
    /// Passes each report on to this function, which must not block.
    pub fn new(report: impl Fn(f64, String) + Send + Sync + 'static) -> Self {
        Self { report: Arc::new(report), show: Arc::new(|_| ()) }
    }

    /// The same, which passes pieces of the result on to that function, which must not block either.
    #[must_use]
    pub fn with_pieces(self, show: impl Fn(Piece) + Send + Sync + 'static) -> Self {
        Self { show: Arc::new(show), ..self }
    }

    /// Reports a fraction from 0 to 1 and what is done now. A report may be dropped, as the next one says more.
    pub fn report(&self, fraction: f64, message: impl Into<String>) {
        (self.report)(fraction, message.into());
    }

    /// Tells a piece of the text that is being written, behind so many bytes of it. A piece may be dropped: the result has all of it.
    pub fn write(&self, offset: u64, text: impl Into<String>) {
        (self.show)(Piece::Text { offset, text: text.into() });
    }

    /// Tells where the file of a preview is, which stays until the attempt ends. It may be dropped as well.
    pub fn preview(&self, number: u64, path: PathBuf) {
        (self.show)(Piece::Preview { number, path });
    }
}

impl JobSink {
    /// Passes each job on to this function, whose answer says whether the job is on disk.
    pub fn new(
        remember: impl Fn(Option<RemoteJob>) -> BoxFuture<'static, bool> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(remember))
    }

    /// Journals what the provider holds for the attempt; None once the provider holds nothing any more. Returns whether it is on disk.
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
