//! The state of one server that reel starts and stops, and what follows from each event. Pure: the caller passes the time in.

use std::time::Duration;

use tokio::time::Instant;

/// How often a start command that fails is run before the server is given up.
const MAX_TRIES: u32 = 3;
/// The pause before a start command that has failed is run again is this part of the patience: 15 seconds of 15 minutes.
const PAUSES_IN_PATIENCE: u32 = 60;
/// A call that makes no connection within this time after the last such call belongs to a task that waited while the server was given up. A later one
/// has the server started anew. It is longer than a connection may take by default.
const GIVEN_UP: Duration = Duration::from_secs(15);

/// The times of a server's configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times {
    /// How long the server must be idle before it is stopped. None if it never is.
    pub stop_after: Option<Duration>,
    /// How long a server is waited for whose start command was run.
    pub patience: Duration,
}

/// The start of a server that was down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Start {
    /// When the command was first run. The patience counts from this time.
    pub since: Instant,
    /// How often the command was run.
    pub tries: u32,
}

/// The state of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// reel has not started the server. It may run nevertheless.
    Left,
    /// The start command was run, and the server could not be reached since.
    Starting(Start),
    /// The start command failed, for this reason. It is run again at the time `again`.
    Failed { start: Start, reason: String, again: Instant },
    /// The server could not be started, so tasks do not wait for it. The last call failed at `last`.
    GivenUp {
        last: Instant,
        /// How the last start command failed. None if none has failed, and the server could not be reached for too long.
        reason: Option<String>,
    },
    /// reel has started the server, and it was reached. No task has used it since this time.
    Up(Instant),
    /// The server is about to be stopped. No attempt may begin while it is found out whether it is used or wanted.
    Idle,
    /// The stop command runs.
    Stopping,
    /// reel has stopped the server.
    Stopped,
}

/// An event that concerns a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// A call made no connection.
    Unreached,
    /// The server answered, or accepted a connection.
    Reached,
    /// The start command ended. The error says how it failed.
    StartEnded(Result<(), String>),
    /// The time has passed. `is_used` says whether an attempt is in flight.
    Tick { is_used: bool },
    /// The memory of this machine is critically short, and the server cannot be asked to unload its models.
    MemoryShort,
    /// Whether the server is wanted: the answer to [`Order::Ask`] and [`Order::AskUsed`], or a no to [`Order::Start`].
    Wanted(bool),
    /// The stop command ended. The error says how it failed.
    StopEnded(Result<(), String>),
}

/// What the keeper must do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Run the start command if a task wants the server.
    Start,
    /// Let no attempt begin, and ask whether a task runs at the server or waits for it.
    Ask,
    /// Let no attempt begin, and ask whether a task runs at the server. One that waits for it cannot start while memory is short.
    AskUsed,
    /// Run the stop command.
    Stop,
    /// Let attempts begin, at once.
    Open,
}

impl State {
    /// Whether reel is starting the server or has started it, so that it stops the server later.
    pub const fn is_ours(&self) -> bool {
        matches!(self, Self::Starting(_) | Self::Up(_) | Self::Idle | Self::Stopping)
    }

    /// Whether the keeper must try to connect, to notice that the server can be reached.
    pub const fn is_probed(&self) -> bool {
        matches!(self, Self::Starting(_) | Self::Failed { .. } | Self::GivenUp { .. })
    }

    /// Returns the next state and what must be done.
    #[expect(clippy::match_same_arms, reason = "the arms are a table, in the order of the states")]
    pub fn handle(self, event: Event, times: Times, now: Instant) -> (Self, Option<Order>) {
        match (self, event) {
            // A server that was up has crashed or was stopped by somebody else: this is a new down period.
            (Self::Left | Self::Up(_) | Self::Stopped, Event::Unreached) => Self::start(now, 1),
            // The call that made no connection was a check, or its task was cancelled.
            (Self::Starting(_), Event::Wanted(false)) => (Self::Left, None),
            (Self::Starting(_), Event::Reached) => (Self::Up(now), Some(Order::Open)),
            (Self::Starting(start), Event::StartEnded(Err(reason))) if start.tries >= MAX_TRIES => {
                Self::give_up(Some(reason), now)
            }
            // The next attempt begins at once, so that the waiting tasks show the failure.
            (Self::Starting(start), Event::StartEnded(Err(reason))) => {
                let again = now + times.patience / PAUSES_IN_PATIENCE;
                (Self::Failed { start, reason, again }, Some(Order::Open))
            }
            (Self::Starting(start), Event::Tick { .. }) if times.is_over(start, now) => {
                Self::give_up(None, now)
            }
            (Self::Failed { start, reason, .. }, Event::Tick { .. }) if times.is_over(start, now) => {
                Self::give_up(Some(reason), now)
            }
            (Self::Failed { start, again, .. }, Event::Tick { .. }) if now >= again => {
                Self::start(start.since, start.tries + 1)
            }
            (Self::GivenUp { last, reason }, Event::Unreached) if now.duration_since(last) < GIVEN_UP => {
                (Self::GivenUp { last: now, reason }, None)
            }
            (Self::GivenUp { .. }, Event::Unreached) => Self::start(now, 1),
            (Self::GivenUp { last, .. }, Event::StartEnded(Err(reason))) => {
                (Self::GivenUp { last, reason: Some(reason) }, None)
            }
            (Self::GivenUp { reason: None, .. }, Event::Reached) => (Self::Up(now), Some(Order::Open)),
            // Somebody else has started it.
            (Self::Failed { .. } | Self::GivenUp { .. }, Event::Reached) => (Self::Left, Some(Order::Open)),
            (Self::Stopped, Event::Reached) => (Self::Left, None),
            // The server ran in the foreground of the start command and has ended, or the command failed because another one runs.
            (Self::Up(_), Event::StartEnded(Err(_))) => (Self::Left, None),
            (Self::Idle, Event::StartEnded(Err(_))) => (Self::Left, Some(Order::Open)),
            (Self::Up(_), Event::Tick { is_used: true }) => (Self::Up(now), None),
            (Self::Up(since), Event::Tick { is_used: false })
                if times.stop_after.is_some_and(|after| now.duration_since(since) >= after) =>
            {
                (Self::Idle, Some(Order::Ask))
            }
            (Self::Up(_), Event::MemoryShort) if times.stop_after.is_some() => {
                (Self::Idle, Some(Order::AskUsed))
            }
            (Self::Idle, Event::Wanted(true)) => (Self::Up(now), Some(Order::Open)),
            (Self::Idle, Event::Wanted(false)) => (Self::Stopping, Some(Order::Stop)),
            (Self::Stopping, Event::StopEnded(Ok(()))) => (Self::Stopped, Some(Order::Open)),
            // It is stopped again after another idle time.
            (Self::Stopping, Event::StopEnded(Err(_))) => (Self::Up(now), Some(Order::Open)),
            (state, _) => (state, None),
        }
    }

    const fn start(since: Instant, tries: u32) -> (Self, Option<Order>) {
        (Self::Starting(Start { since, tries }), Some(Order::Start))
    }

    /// The tasks that wait for the server fail at their next attempt, which begins at once.
    const fn give_up(reason: Option<String>, now: Instant) -> (Self, Option<Order>) {
        (Self::GivenUp { last: now, reason }, Some(Order::Open))
    }
}

impl Times {
    fn is_over(self, start: Start, now: Instant) -> bool {
        now.duration_since(start.since) >= self.patience
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: Times =
        Times { stop_after: Some(Duration::from_mins(10)), patience: Duration::from_mins(15) };

    fn assert_table(now: Instant, table: impl IntoIterator<Item = (State, Event, State, Option<Order>)>) {
        for (state, event, expected, order) in table {
            let case = format!("{state:?} {event:?}");
            assert_eq!(state.handle(event, TIMES, now), (expected, order), "{case}");
        }
    }

    fn before(now: Instant, seconds: u64) -> Instant {
        now.checked_sub(Duration::from_secs(seconds)).unwrap()
    }

    fn error() -> Result<(), String> {
        Err("no unit".to_owned())
    }

    const fn tick(is_used: bool) -> Event {
        Event::Tick { is_used }
    }

    #[test]
    fn a_server_that_is_down_is_started_and_given_up_if_that_fails() {
        let now = Instant::now();
        let ago = |seconds| before(now, seconds);
        let in_s = |seconds| now + Duration::from_secs(seconds);
        let why = || "no unit".to_owned();
        let starting = |since, tries| State::Starting(Start { since, tries });
        let failed =
            |since, tries, again| State::Failed { start: Start { since, tries }, reason: why(), again };
        let silent = |last| State::GivenUp { last, reason: None };
        let broken = |last| State::GivenUp { last, reason: Some(why()) };
        let (start, open) = (Some(Order::Start), Some(Order::Open));
        let table = [
            // Down.
            (State::Left, Event::Unreached, starting(now, 1), start),
            (State::Left, Event::Reached, State::Left, None),
            (State::Left, tick(false), State::Left, None),
            (State::Left, Event::MemoryShort, State::Left, None),
            // Starting: once for each down period.
            (starting(now, 1), Event::Unreached, starting(now, 1), None),
            (starting(now, 1), Event::StartEnded(Ok(())), starting(now, 1), None),
            (starting(now, 1), tick(false), starting(now, 1), None),
            (starting(now, 1), Event::Wanted(false), State::Left, None),
            (starting(now, 1), Event::Reached, State::Up(now), open),
            (starting(now, 1), Event::MemoryShort, starting(now, 1), None),
            // The start command fails.
            (starting(ago(9), 1), Event::StartEnded(error()), failed(ago(9), 1, in_s(15)), open),
            (failed(ago(9), 1, in_s(1)), Event::Unreached, failed(ago(9), 1, in_s(1)), None),
            (failed(ago(9), 1, in_s(1)), tick(false), failed(ago(9), 1, in_s(1)), None),
            (failed(ago(9), 1, now), tick(false), starting(ago(9), 2), start),
            (failed(ago(900), 1, in_s(1)), tick(false), broken(now), open),
            (failed(ago(9), 1, in_s(1)), Event::Reached, State::Left, open),
            (starting(ago(30), 3), Event::StartEnded(error()), broken(now), open),
            (broken(ago(14)), Event::Unreached, broken(now), None),
            (broken(ago(15)), Event::Unreached, starting(now, 1), start),
            (broken(ago(900)), tick(false), broken(ago(900)), None),
            (broken(now), Event::Reached, State::Left, open),
            // It does not answer.
            (starting(ago(899), 1), tick(false), starting(ago(899), 1), None),
            (starting(ago(900), 1), tick(false), silent(now), open),
            (silent(ago(14)), Event::Unreached, silent(now), None),
            (silent(ago(15)), Event::Unreached, starting(now, 1), start),
            (silent(ago(900)), tick(false), silent(ago(900)), None),
            (silent(now), Event::StartEnded(Ok(())), silent(now), None),
            (silent(ago(9)), Event::StartEnded(error()), broken(ago(9)), None),
            (silent(ago(900)), Event::Reached, State::Up(now), open),
        ];
        assert_table(now, table);
    }

    #[test]
    fn a_server_that_is_idle_is_stopped_unless_it_is_wanted() {
        let now = Instant::now();
        let ago = |seconds| before(now, seconds);
        let starting = |since, tries| State::Starting(Start { since, tries });
        let (start, open) = (Some(Order::Start), Some(Order::Open));
        let table = [
            // Up.
            (State::Up(ago(5)), Event::Reached, State::Up(ago(5)), None),
            (State::Up(ago(900)), tick(true), State::Up(now), None),
            (State::Up(ago(599)), tick(false), State::Up(ago(599)), None),
            (State::Up(ago(5)), Event::Unreached, starting(now, 1), start),
            (State::Up(ago(5)), Event::StartEnded(Ok(())), State::Up(ago(5)), None),
            (State::Up(ago(5)), Event::StartEnded(error()), State::Left, None),
            // Idle.
            (State::Up(ago(600)), tick(false), State::Idle, Some(Order::Ask)),
            (State::Up(ago(5)), Event::MemoryShort, State::Idle, Some(Order::AskUsed)),
            (State::Idle, tick(false), State::Idle, None),
            (State::Idle, Event::Unreached, State::Idle, None),
            (State::Idle, Event::Wanted(true), State::Up(now), open),
            (State::Idle, Event::Wanted(false), State::Stopping, Some(Order::Stop)),
            (State::Idle, Event::StartEnded(error()), State::Left, open),
            // Stopping.
            (State::Stopping, Event::Unreached, State::Stopping, None),
            (State::Stopping, Event::StartEnded(error()), State::Stopping, None),
            (State::Stopping, Event::StopEnded(Ok(())), State::Stopped, open),
            (State::Stopping, Event::StopEnded(error()), State::Up(now), open),
            (State::Stopped, Event::Unreached, starting(now, 1), start),
            (State::Stopped, Event::Reached, State::Left, None),
            // An answer that comes after the server was given up.
            (State::Left, Event::Wanted(false), State::Left, None),
        ];
        assert_table(now, table);
        for event in [tick(false), Event::MemoryShort] {
            let (state, order) = State::Up(ago(900)).handle(event, Times { stop_after: None, ..TIMES }, now);
            assert_eq!(
                (state, order),
                (State::Up(ago(900)), None),
                "a server without `stop` is never stopped"
            );
        }
    }
}
