//! Describes in one line why a task waits or why a provider is not asked. Pure.

use std::time::Duration;

use reel_protocol::{
    ErrorCode, TaskState, TaskView, Timestamp, WaitReason,
    methods::{DaemonStatusResult, ProviderSummary},
};

use crate::units;

/// Shortest time until the next try that counts as long. The reason is printed once more when the time has become that long.
const LONG: Duration = Duration::from_secs(30);

/// The text for a task that waits for an equal request. It may come from another run, which was interrupted. Waiting for it avoids paying twice.
const EQUAL_REQUEST: &str = "an equal request is under way already (reel ls)";

/// The reason why a task waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Why {
    /// The text about the reason, without the task.
    pub words: String,
    /// The time until the next try; None if the wait has no known end.
    pub left: Option<Duration>,
    /// Identifies the reason, to recognise a change: the wait reason, and an error code or the cause of an equal request.
    cause: (WaitReason, Option<String>),
}

impl Why {
    /// Describes why a task waits; None if it does not wait. If it waits for a provider or a retry, the text is the error of its last attempt. If it
    /// waits for an equal request and `status` is given, the text also says what that request waits for.
    pub fn of(task: &TaskView, status: Option<&DaemonStatusResult>, now: Timestamp) -> Option<Self> {
        let is_waiting = matches!(task.state, TaskState::Queued | TaskState::Waiting);
        let reason = task.wait_reason.filter(|_| is_waiting)?;
        let error = task.error.as_ref().filter(|_| is_of_an_attempt(reason));
        let mut words = match error {
            Some(error) if is_of_another_provider(reason, &error.code) => {
                let name = task.provider.as_deref().unwrap_or("the provider");
                format!("{}; then {name} {}", error.message, provider(reason, None, now))
            }
            Some(error) => error.message.clone(),
            None if reason == WaitReason::EqualRequest => EQUAL_REQUEST.to_owned(),
            None => reason.text().to_owned(),
        };
        let mut code = error.map(|error| error.code.clone());
        if reason == WaitReason::EqualRequest
            && let Some((behind, cause)) = status.and_then(|status| behind(task, status, now))
        {
            words = format!("{words}, and {behind}");
            code = Some(cause.text().to_owned());
        }
        Some(Self { words, left: time_left(task, now), cause: (reason, code) })
    }

    /// Returns the reason in one line. `what_waits` names a task or a batch.
    pub fn line(&self, what_waits: &str) -> String {
        // The time comes first, because a narrow terminal cuts the end of the line.
        let next = match self.left {
            Some(left) if left < Duration::from_secs(1) => ", next try now".to_owned(),
            Some(left) => format!(", next try in {}", units::age(left)),
            None => String::new(),
        };
        format!("{what_waits} waits{next}: {}", self.words)
    }

    /// Removes the error code, so that two different errors for the same reason compare as equal.
    pub fn forget_code(&mut self) {
        self.cause.1 = None;
    }

    /// Returns the wait reason of the wire.
    pub fn reason(&self) -> WaitReason {
        self.cause.0
    }
}

/// Describes in one line why a task waits; None if it does not wait.
pub fn why_it_waits(task: &TaskView, now: Timestamp) -> Option<String> {
    Why::of(task, None, now).map(|why| why.line(&format!("task {}", task.id)))
}

/// Returns what an equal request most likely waits for: a pause of the whole queue, or the provider of both.
fn behind(task: &TaskView, status: &DaemonStatusResult, now: Timestamp) -> Option<(String, WaitReason)> {
    if let Some(reason) = status.wait_reason {
        return Some((reason.text().to_owned(), reason));
    }
    let name = task.provider.as_ref()?;
    let ProviderSummary { wait_reason, waits_until, .. } = status.providers.get(name)?;
    let reason = wait_reason.filter(|reason| *reason != WaitReason::Provider)?;
    Some((format!("{name} {}", provider(reason, *waits_until, now)), reason))
}

/// Describes why a provider is not asked, and for how long. The text continues a sentence that begins with the provider's name.
pub fn provider(reason: WaitReason, until: Option<Timestamp>, now: Timestamp) -> String {
    let seconds = until.map(|until| (until.since(now).as_millis() as u64).div_ceil(1000).max(1));
    let time =
        seconds.map(|seconds| format!(", tried again in {}", units::age(Duration::from_secs(seconds))));
    let words = match reason {
        WaitReason::Provider => "is busy",
        WaitReason::ProviderRate => "has used up the requests of this minute",
        WaitReason::ProviderPause => "asked for a pause",
        WaitReason::ProviderDown => "failed several times in a row",
        WaitReason::ProviderUnreachable => "cannot be reached",
        WaitReason::ProviderLoading => "is loading",
        other => other.text(),
    };
    words.to_owned() + &time.unwrap_or_default()
}

/// Returns the time until the next try; None if the wait has no known end.
fn time_left(task: &TaskView, now: Timestamp) -> Option<Duration> {
    let reason = task.wait_reason?;
    if !is_of_an_attempt(reason) && reason != WaitReason::ProviderRate {
        return None;
    }
    task.not_before.map(|at| at.since(now))
}

/// Describes in a few words for a table why a task waits; None if it only waits for its turn.
pub fn in_short(task: &TaskView, now: Timestamp) -> Option<String> {
    let reason = task.wait_reason?;
    let words = match reason {
        WaitReason::Turn | WaitReason::Slots | WaitReason::Provider | WaitReason::Unknown => return None,
        WaitReason::Dependencies => {
            let after: Vec<String> = task.after.iter().take(3).map(ToString::to_string).collect();
            format!("after {}{}", after.join(" "), if task.after.len() > after.len() { " …" } else { "" })
        }
        WaitReason::EqualRequest => "equal request".to_owned(),
        WaitReason::Paused => "paused".to_owned(),
        WaitReason::Stopping => "daemon stops".to_owned(),
        WaitReason::Memory => "memory".to_owned(),
        WaitReason::Retry => match task.error.as_ref().map(|error| error.code.as_str()) {
            Some("rate_limited") => "rate limited".to_owned(),
            _ => "failed once".to_owned(),
        },
        WaitReason::ProviderRate => "requests per minute".to_owned(),
        WaitReason::ProviderPause => "provider's pause".to_owned(),
        WaitReason::ProviderDown => "provider is down".to_owned(),
        WaitReason::ProviderUnreachable => "unreachable".to_owned(),
        WaitReason::ProviderLoading => "loading".to_owned(),
        WaitReason::ProviderMissing => "not configured".to_owned(),
    };
    let left = time_left(task, now).map(|left| format!(", {}", units::age(left)));
    Some(words + &left.unwrap_or_default())
}

/// The reason that was printed last for a wait.
#[derive(Debug, Default)]
pub struct LastReportedReason {
    cause: Option<(WaitReason, Option<String>)>,
    is_long: bool,
    /// The short-lived reason that the previous check found, if any.
    passing: Option<WaitReason>,
    was_passing_noted: bool,
}

impl LastReportedReason {
    /// Returns the text to print after the reason, or None if nothing is new. A reason is printed once, and again when the time until the next try
    /// has become long.
    pub fn ending(&mut self, why: &Why) -> Option<&'static str> {
        if !may_last(why.reason()) {
            return self.passing(why.reason()).then_some("");
        }
        self.passing = None;
        let is_known = self.cause.as_ref() == Some(&why.cause);
        let was_long = is_known && self.is_long;
        let is_long = was_long || why.left.is_some_and(|left| left >= LONG);
        (self.cause, self.is_long) = (Some(why.cause.clone()), is_long);
        let is_news = !is_known || is_long != was_long;
        // The daemon's longest pause between two tries of such a provider is one minute.
        let is_unserved =
            matches!(why.reason(), WaitReason::ProviderUnreachable | WaitReason::ProviderLoading);
        let ending = if is_long && is_unserved { "; tried again every 60 s from now on" } else { "" };
        is_news.then_some(ending)
    }

    /// Whether to print a reason that usually ends by itself. It is printed once, if two checks in a row found it. It is not printed after a
    /// longer-lasting reason, because a provider is briefly busy or ready between two tries.
    fn passing(&mut self, reason: WaitReason) -> bool {
        let is_still_there = self.passing.replace(reason) == Some(reason);
        let is_news = is_still_there && self.cause.is_none() && !self.was_passing_noted;
        self.was_passing_noted |= is_news;
        is_news
    }
}

/// Whether a wait for this reason may last. Other reasons end by themselves when other tasks finish.
pub fn may_last(reason: WaitReason) -> bool {
    !matches!(reason, WaitReason::Turn | WaitReason::Slots | WaitReason::Provider | WaitReason::Unknown)
}

/// Whether an error is that of a provider that the task has left. The wait for the next provider must not hide it.
fn is_of_another_provider(reason: WaitReason, code: &str) -> bool {
    is_refusal(code) && matches!(reason, WaitReason::ProviderDown | WaitReason::ProviderUnreachable)
}

/// Whether a provider refused a task for its key or its quota.
pub fn is_refusal(code: &str) -> bool {
    [ErrorCode::KeyMissing, ErrorCode::ProviderAuth, ErrorCode::QuotaExceeded]
        .into_iter()
        .any(|refusal| refusal.name() == code)
}

fn is_of_an_attempt(reason: WaitReason) -> bool {
    matches!(
        reason,
        WaitReason::Retry
            | WaitReason::ProviderPause
            | WaitReason::ProviderDown
            | WaitReason::ProviderUnreachable
            | WaitReason::ProviderLoading
    )
}

#[cfg(test)]
mod tests {
    use reel_protocol::{TaskId, methods::CacheStatsResult};

    use super::*;

    const STATUS: &str = r#"{"pid":1,"version":"0.1.0","uptime_s":1.0,"is_auto_started":false,"is_paused":false,"tasks":{},"memory":{"level":"normal","resident_bytes":1,"limit_bytes":2},"cache":CACHE,"providers":{"studio":{"running":0,"max_concurrent":2}},"connections":1,"socket":"s","home":"h","config":"c"}"#;

    const TASK: &str = r#"{"id":7,"rev":3,"kind":"image.generate","name":null,"state":"queued","hold_reason":null,"wait_reason":"turn","priority":0,"client":"reel","batch":null,"after":[],"progress":{"fraction":0.0,"message":""},"provider":"studio","model":null,"attempts":1,"source":null,"created_at":"2026-11-23T20:00:00.000Z","started_at":null,"finished_at":null,"not_before":"2026-11-23T20:01:00.000Z","params":{"prompt":"a"},"outputs":[],"error":{"code":"provider_unavailable","message":"studio cannot be reached: refused","hint":"h","retryable":true,"provider_status":null},"cost":null,"metadata":null}"#;

    fn waiting(reason: WaitReason) -> TaskView {
        TaskView { wait_reason: Some(reason), ..serde_json::from_str(TASK).unwrap() }
    }

    fn after(task: &TaskView, seconds: u64) -> Timestamp {
        Timestamp::from_unix_ms(task.created_at.unix_ms() + seconds * 1000)
    }

    #[test]
    fn the_next_try_goes_before_the_attempts_own_words() {
        for (reason, seconds, words) in [
            (
                WaitReason::ProviderUnreachable,
                48,
                "task 7 waits, next try in 12 s: studio cannot be reached: refused",
            ),
            (
                WaitReason::ProviderUnreachable,
                60,
                "task 7 waits, next try now: studio cannot be reached: refused",
            ),
            (WaitReason::Paused, 48, "task 7 waits: the queue is paused (reel resume)"),
            (
                WaitReason::ProviderMissing,
                48,
                "task 7 waits: its provider is not configured (reel config edit, or reel cancel)",
            ),
        ] {
            let task = waiting(reason);
            assert_eq!(why_it_waits(&task, after(&task, seconds)).as_deref(), Some(words));
        }
        let mut task = waiting(WaitReason::ProviderUnreachable);
        let error = task.error.as_mut().unwrap();
        (error.code, error.message) = ("provider_auth".to_owned(), "first: the key is wrong".to_owned());
        assert_eq!(
            why_it_waits(&task, after(&task, 48)).as_deref(),
            Some("task 7 waits, next try in 12 s: first: the key is wrong; then studio cannot be reached")
        );
        let task = TaskView { state: TaskState::Running, ..waiting(WaitReason::Turn) };
        assert_eq!(why_it_waits(&task, after(&task, 48)), None);
    }

    #[test]
    fn an_equal_request_waits_for_what_keeps_the_first_one() {
        let now = Timestamp::from_unix_ms(1_700_000_000_000);
        let task = TaskView { error: None, ..waiting(WaitReason::EqualRequest) };
        let cache = serde_json::to_string(&CacheStatsResult::default()).unwrap();
        let mut status: DaemonStatusResult = serde_json::from_str(&STATUS.replace("CACHE", &cache)).unwrap();
        let line = |status: &DaemonStatusResult| Why::of(&task, Some(status), now).unwrap().line("the batch");
        let equal = format!("the batch waits: {EQUAL_REQUEST}");
        assert_eq!(line(&status), equal);
        let studio = status.providers.get_mut("studio").unwrap();
        studio.wait_reason = Some(WaitReason::ProviderUnreachable);
        studio.waits_until = Some(Timestamp::from_unix_ms(now.unix_ms() + 12_000));
        assert_eq!(line(&status), format!("{equal}, and studio cannot be reached, tried again in 12 s"));
        status.wait_reason = Some(WaitReason::Paused);
        assert_eq!(line(&status), format!("{equal}, and the queue is paused (reel resume)"));
    }

    #[test]
    fn a_table_has_a_few_words_and_the_seconds() {
        for (reason, words) in [
            (WaitReason::ProviderUnreachable, Some("unreachable, 12 s")),
            (WaitReason::ProviderLoading, Some("loading, 12 s")),
            (WaitReason::ProviderPause, Some("provider's pause, 12 s")),
            (WaitReason::Retry, Some("failed once, 12 s")),
            (WaitReason::Paused, Some("paused")),
            (WaitReason::EqualRequest, Some("equal request")),
            (WaitReason::Dependencies, Some("after 3 4 5 …")),
            (WaitReason::Turn, None),
        ] {
            let task = TaskView { after: [3, 4, 5, 6].map(TaskId).into(), ..waiting(reason) };
            assert_eq!(in_short(&task, after(&task, 48)).as_deref(), words, "{reason:?}");
        }
    }

    #[test]
    fn a_reason_is_said_once_and_once_more_when_its_pauses_are_long() {
        let mut said = LastReportedReason::default();
        let unreachable = waiting(WaitReason::ProviderUnreachable);
        let paused = waiting(WaitReason::Paused);
        for (task, seconds, ending) in [
            (&unreachable, 48, Some("")),
            (&unreachable, 49, None),
            (&unreachable, 20, Some("; tried again every 60 s from now on")),
            (&unreachable, 50, None),
            (&unreachable, 5, None),
            (&paused, 0, Some("")),
            (&paused, 0, None),
            (&unreachable, 50, Some("")),
        ] {
            let why = Why::of(task, None, after(task, seconds)).unwrap();
            assert_eq!(said.ending(&why), ending, "{seconds}");
        }
        let busy = waiting(WaitReason::Provider);
        let ending = |said: &mut LastReportedReason, task: &TaskView| {
            said.ending(&Why::of(task, None, after(task, 50)).unwrap())
        };
        let mut first_busy = LastReportedReason::default();
        let found: Vec<_> = [&busy, &busy, &busy, &unreachable, &busy, &busy, &unreachable]
            .map(|task| ending(&mut first_busy, task))
            .into();
        assert_eq!(found, [None, Some(""), None, Some(""), None, None, None]);
        let mut other = unreachable.clone();
        other.error.as_mut().unwrap().code = "other".to_owned();
        assert_eq!(said.ending(&Why::of(&other, None, after(&other, 50)).unwrap()), Some(""));
    }
}
