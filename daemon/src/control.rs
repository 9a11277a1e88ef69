//! Requests of the sessions to `main`, which alone owns the configuration, the logging and the end of the process.

use std::time::Duration;

use reel_protocol::methods::ReloadResult;
use tokio::sync::{mpsc, oneshot};

/// Capacity of the channel. People and scripts send such requests one at a time.
const WAITING: usize = 16;

/// A request to `main`. Each request is answered. If the sender of the answer is dropped, `main` has ended.
#[derive(Debug)]
pub enum ControlRequest {
    /// Stops the daemon. The answer is sent when the stop has begun, not when it is over.
    Shutdown {
        /// How long running tasks may take to end. None for the default time.
        drain: Option<Duration>,
        /// Receives the answer.
        answer: oneshot::Sender<()>,
    },
    /// Reads the configuration file again.
    Reload {
        /// Receives the changes, or the reason why the file is invalid.
        answer: oneshot::Sender<Result<ReloadResult, String>>,
    },
    /// Uses another log filter until the next start.
    SetLogFilter {
        /// The filter, such as `reeld::tasks=debug,info`.
        filter: String,
        /// Receives the reason if the filter is invalid.
        answer: oneshot::Sender<Result<(), String>>,
    },
}

/// `main` does not receive requests any more: the daemon is ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the daemon is stopping")]
pub struct ControlClosed;

/// The handle by which sessions send requests to `main`. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Control(mpsc::Sender<ControlRequest>);

/// Creates a handle for the sessions, and the receiver for `main`.
pub fn channel() -> (Control, mpsc::Receiver<ControlRequest>) {
    let (sender, receiver) = mpsc::channel(WAITING);
    (Control(sender), receiver)
}

impl Control {
    /// Stops the daemon. Returns once the stop has begun.
    pub async fn shutdown(&self, drain: Option<Duration>) -> Result<(), ControlClosed> {
        self.ask(|answer| ControlRequest::Shutdown { drain, answer }).await
    }

    /// Reads the configuration again. The inner error says why the file is invalid.
    pub async fn reload(&self) -> Result<Result<ReloadResult, String>, ControlClosed> {
        self.ask(|answer| ControlRequest::Reload { answer }).await
    }

    /// Changes the log filter. The inner error says why the filter is invalid.
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
