//! What the sessions ask of main, which alone owns the configuration, the logging and the end of the process.

use std::time::Duration;

use reel_protocol::methods::ReloadResult;
use tokio::sync::{mpsc, oneshot};

/// Requests that may wait: people and scripts send them one at a time.
const WAITING: usize = 16;

/// What main is asked; each is answered, and a dropped answer means that main has ended.
#[derive(Debug)]
pub enum ControlRequest {
    /// Stop. Answered when the stop has begun, not when it is over.
    Shutdown {
        /// How long running tasks may take to end; the configured time if None.
        drain: Option<Duration>,
        /// Where to answer.
        answer: oneshot::Sender<()>,
    },
    /// Read the configuration file again.
    Reload {
        /// Where to answer: what changed, or why the file does not hold.
        answer: oneshot::Sender<Result<ReloadResult, String>>,
    },
    /// Log by another filter until the next start.
    SetLogFilter {
        /// Such as `reeld::tasks=debug,info`.
        filter: String,
        /// Where to answer: why the filter does not hold.
        answer: oneshot::Sender<Result<(), String>>,
    },
}

/// Main no longer listens: the daemon is ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the daemon is stopping")]
pub struct ControlClosed;

/// Where sessions ask; cheap to clone.
#[derive(Debug, Clone)]
pub struct Control(mpsc::Sender<ControlRequest>);

/// A handle for the sessions, and main's end of it.
pub fn channel() -> (Control, mpsc::Receiver<ControlRequest>) {
    let (sender, receiver) = mpsc::channel(WAITING);
    (Control(sender), receiver)
}

impl Control {
    /// Asks for the daemon's end; answers when it has begun.
    pub async fn shutdown(&self, drain: Option<Duration>) -> Result<(), ControlClosed> {
        self.ask(|answer| ControlRequest::Shutdown { drain, answer }).await
    }

    /// Has the configuration read again; the inner error says why the file does not hold.
    pub async fn reload(&self) -> Result<Result<ReloadResult, String>, ControlClosed> {
        self.ask(|answer| ControlRequest::Reload { answer }).await
    }

    /// Changes what is logged; the inner error says why the filter does not hold.
    pub async fn set_log_filter(&self, filter: String) -> Result<Result<(), String>, ControlClosed> {
        self.ask(|answer| ControlRequest::SetLogFilter { filter, answer }).await
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<T>) -> ControlRequest,
    ) -> Result<T, ControlClosed> {
        let (answer, answered) = oneshot::channel();
        self.0.send(request(answer)).await.map_err(|_| ControlClosed)?;
        answered.await.map_err(|_| ControlClosed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_is_answered_and_an_ended_main_is_an_error() {
        let (control, mut requests) = channel();
        let main = async {
            let Some(ControlRequest::SetLogFilter { filter, answer }) = requests.recv().await else {
                panic!("no request");
            };
            answer.send(Err(format!("{filter} is no filter"))).unwrap();
            drop(requests);
        };
        let (answer, ()) = tokio::join!(control.set_log_filter("x".into()), main);
        assert_eq!(answer, Ok(Err("x is no filter".into())));
        assert_eq!(control.shutdown(None).await, Err(ControlClosed));
        assert!(control.reload().await.is_err());
    }
}
