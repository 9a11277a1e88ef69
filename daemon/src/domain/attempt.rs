//! What a running attempt is handed: whether to stop, where to report how far it is, and where to leave what a provider holds for it.

use std::{fmt, sync::Arc};

use futures_util::future::BoxFuture;
use tokio::sync::watch;

use super::RemoteJob;

/// Whether an attempt shall stop; true means stop. An attempt waits on it, or reads it between two steps.
pub type CancelSignal = watch::Receiver<bool>;

/// Where an attempt reports how far it is, and what it has written so far; cheap to clone.
#[derive(Clone)]
pub struct ProgressSink {
    report: Arc<dyn Fn(f64, String) + Send + Sync>,
    write: Arc<dyn Fn(u64, String) + Send + Sync>,
}

/// Where an attempt has its remote job journaled; cheap to clone.
#[derive(Clone)]
pub struct JobSink(Arc<dyn Fn(Option<RemoteJob>) -> BoxFuture<'static, bool> + Send + Sync>);

impl ProgressSink {
    /// Passes each report on to this function, which must not block.
    pub fn new(report: impl Fn(f64, String) + Send + Sync + 'static) -> Self {
        Self { report: Arc::new(report), write: Arc::new(|_, _| ()) }
    }

    /// The same, which passes pieces of texts on to that function, which must not block either.
    #[must_use]
    pub fn with_texts(self, write: impl Fn(u64, String) + Send + Sync + 'static) -> Self {
        Self { write: Arc::new(write), ..self }
    }

    /// Reports a fraction from 0 to 1 and what is done now. A report may be dropped, as the next one says more.
    pub fn report(&self, fraction: f64, message: impl Into<String>) {
        (self.report)(fraction, message.into());
    }

    /// Tells a piece of the text that is being written, behind so many bytes of it. A piece may be dropped: the result has all of it.
    pub fn write(&self, offset: u64, text: impl Into<String>) {
        (self.write)(offset, text.into());
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
