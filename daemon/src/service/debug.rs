//! `debug.*`: tasks that use no provider, for authors of clients who test their error handling, and for the benches.

use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use reel_protocol::{
    DebugFailParams, DebugNoopParams, DebugProgressParams, DebugSleepParams, JsonError, JsonText, TaskError,
};

use super::{BadParams, LocalWork, RunEnd, Service, Work};
use crate::domain::{CancelSignal, ProgressSink};

/// The longest time of a task, in milliseconds: a day.
const MAX_MS: u64 = 24 * 3_600 * 1_000;

/// The most progress reports of one task.
const MAX_STEPS: u64 = 1_000_000;

/// The service `debug`: tasks that take time, fail or end at once, without a provider.
#[derive(Debug)]
pub(super) struct Debug;

impl Service for Debug {
    fn name(&self) -> &'static str {
        "debug"
    }

    fn methods(&self) -> &'static [&'static str] {
        &["noop", "sleep", "fail", "progress"]
    }

    fn check(&self, method: &str, params: &JsonText) -> Result<Work, BadParams> {
        check(method, params).map(|call| Work::InDaemon(Box::new(call)))
    }
}

impl LocalWork for Call {
    fn run(self: Box<Self>, cancel: CancelSignal, progress: ProgressSink) -> LocalBoxFuture<'static, RunEnd> {
        Box::pin(run(*self, cancel, progress))
    }
}

/// A call of the service `debug` with valid params.
#[derive(Debug, Clone)]
enum Call {
    /// The call ends at once.
    Noop,
    /// The call ends after this time.
    Sleep(Duration),
    /// The call fails.
    Fail {
        /// The code of the error.
        code: String,
        /// Whether the error is marked as retryable.
        is_retryable: bool,
    },
    /// The call reports its progress.
    Progress {
        /// The number of reports.
        steps: u64,
        /// The time from the start to the last report.
        span: Duration,
    },
}

/// Reads and checks the params of a method.
fn check(method: &str, params: &JsonText) -> Result<Call, BadParams> {
    let bad = |error: JsonError, fields: &str| {
        BadParams::new(
            format!("the params do not fit debug.{method}: {error}"),
            format!("the fields are {fields}"),
        )
    };
    let span = |ms: u64| match ms {
        0..=MAX_MS => Ok(Duration::from_millis(ms)),
        _ => Err(BadParams::new(format!("ms {ms} is more than a day"), "at most 86400000")),
    };
    match method {
        "noop" => params.decode::<DebugNoopParams>().map(|_| Call::Noop).map_err(|error| bad(error, "none")),
        "sleep" => params
            .decode::<DebugSleepParams>()
            .map_err(|error| bad(error, "ms"))
            .and_then(|sleep| span(sleep.ms).map(Call::Sleep)),
        "fail" => params
            .decode::<DebugFailParams>()
            .map(|fail| Call::Fail { code: fail.code, is_retryable: fail.retryable })
            .map_err(|error| bad(error, "code, retryable")),
        "progress" => params
            .decode::<DebugProgressParams>()
            .map_err(|error| bad(error, "steps, ms"))
            .and_then(|call| match call.steps {
                1..=MAX_STEPS => span(call.ms).map(|span| Call::Progress { steps: call.steps, span }),
                steps => Err(BadParams::new(
                    format!("steps {steps} is not from 1 to {MAX_STEPS}"),
                    "10 is a good start",
                )),
            }),
        _ => Err(BadParams::new(
            format!("there is no debug.{method}"),
            "the methods are noop, sleep, fail and progress",
        )),
    }
}

/// Carries out a call until it ends or is cancelled.
async fn run(call: Call, mut cancel: CancelSignal, progress: ProgressSink) -> RunEnd {
    let work = async {
        match call {
            Call::Noop => RunEnd::Done,
            Call::Sleep(span) => {
                tokio::time::sleep(span).await;
                RunEnd::Done
            }
            Call::Fail { code, is_retryable } => RunEnd::failed(TaskError {
                message: format!("debug.fail was asked to fail with {code}"),
                code,
                hint: None,
                retryable: is_retryable,
                provider_status: None,
            }),
            Call::Progress { steps, span } => {
                for step in 1..=steps {
                    tokio::time::sleep(span / u32::try_from(steps).unwrap_or(u32::MAX)).await;
                    progress.report(step as f64 / steps as f64, format!("step {step} of {steps}"));
                }
                RunEnd::Done
            }
        }
    };
    tokio::select! {
        biased;
        end = work => end,
        // The sender is dropped only with the tracker, and then nobody waits for the end.
        _ = cancel.wait_for(|is_cancelled| *is_cancelled) => RunEnd::Stopped,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn params_are_checked_for_each_method() {
        let check =
            |method: &str, json: &str| check(method, &JsonText::parse(json.to_owned()).unwrap()).is_ok();
        for (method, json, expected) in [
            ("noop", "{}", true),
            ("noop", r#"{"x":1}"#, false),
            ("sleep", r#"{"ms":5}"#, true),
            ("sleep", r#"{"ms":99999999999}"#, false),
            ("sleep", "{}", false),
            ("fail", "{}", true),
            ("progress", r#"{"steps":0,"ms":1}"#, false),
            ("progress", r#"{"steps":3,"ms":1}"#, true),
            ("nap", "{}", false),
        ] {
            assert_eq!(check(method, json), expected, "{method} {json}");
        }
    }
}
