//! The state of one server that reel starts and stops, and what follows from each event. Pure: the caller passes the time in.

use std::time::Duration;

use tokio::time::Instant;

/// How long a server that an earlier daemon started is waited for before it is started again: it may still load its model.
const RESTORED_PATIENCE: Duration = Duration::from_mins(2);
/// A call that makes no connection within this time after the last such call belongs to a task that waited while the server was given up. A later one
/// has the server started anew. It is longer than a connection may take.
const GIVEN_UP: Duration = Duration::from_secs(30);

/// The times of a server's configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times {
    /// How long the server must be idle before it is stopped. None if it never is.
    pub stop_after: Option<Duration>,
    /// How long a server is waited for whose start command was run.
    pub patience: Duration,
}

/// The state of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// reel has not started the server. It may run nevertheless.
    Left,
    /// The start command was run at this time, and the server could not be reached since.
    Starting(Instant),
    /// The start command was run, and the server could not be reached for so long that tasks do not wait for it. The last call failed at this time.
    Silent(Instant),
    /// The start command failed, for this reason. It is not run again before the server was reached.
    StartFailed(String),
    /// An earlier daemon has started the server, and this one has not reached it yet. It is given up at this time.
    Restored(Instant),
    /// reel has started the server, and it was reached. No task has used it since this time.
    Up(Instant),
    /// The server was idle for long enough. No attempt may begin while the tracker is asked whether a task wants it.
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
    /// Whether a task wants the server: the answer to [`Order::Ask`], or a no to [`Order::Start`].
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
    /// Run the stop command.
    Stop,
    /// Let attempts begin, at once.
    Open,
}

impl State {
    /// Returns the state of a server that an earlier daemon has started and not stopped.
    pub fn restored(now: Instant) -> Self {
        Self::Restored(now + RESTORED_PATIENCE)
    }

    /// Whether reel has started the server, and has neither stopped it nor seen it fail to start.
    pub const fn is_ours(&self) -> bool {
        matches!(self, Self::Starting(_) | Self::Restored(_) | Self::Up(_) | Self::Idle | Self::Stopping)
    }

    /// Whether the keeper must try to connect, to notice that the server can be reached.
    pub const fn is_probed(&self) -> bool {
        matches!(self, Self::Starting(_) | Self::Silent(_) | Self::StartFailed(_) | Self::Restored(_))
    }

    /// Returns the next state and what must be done.
    #[expect(clippy::match_same_arms, reason = "the arms are a table, in the order of the states")]
    pub fn handle(self, event: Event, times: Times, now: Instant) -> (Self, Option<Order>) {
        match (self, event) {
            // A server that was up has crashed or was stopped by somebody else: this is a new down period.
            (Self::Left | Self::Up(_) | Self::Stopped, Event::Unreached) => {
                (Self::Starting(now), Some(Order::Start))
            }
            (Self::Starting(_) | Self::Silent(_) | Self::Restored(_), Event::Reached) => {
                (Self::Up(now), Some(Order::Open))
            }
            // No task wants it after all: the call that made no connection was a check.
            (Self::Starting(_), Event::Wanted(false)) => (Self::Left, None),
            // The tasks that wait for it fail at their next attempt, which begins at once.
            (Self::Starting(since), Event::Tick { .. }) if now.duration_since(since) >= times.patience => {
                (Self::Silent(now), Some(Order::Open))
            }
            (Self::Silent(last), Event::Unreached) if now.duration_since(last) < GIVEN_UP => {
                (Self::Silent(now), None)
            }
            (Self::Silent(_), Event::Unreached) => (Self::Starting(now), Some(Order::Start)),
            // Somebody else has started it.
            (Self::StartFailed(_), Event::Reached) => (Self::Left, Some(Order::Open)),
            (Self::Stopped, Event::Reached) => (Self::Left, None),
            (Self::Starting(_) | Self::Silent(_), Event::StartEnded(Err(reason))) => {
                (Self::StartFailed(reason), None)
            }
            // The server ran in the foreground of the start command and has ended, or the command failed because another one runs.
            (Self::Up(_), Event::StartEnded(Err(_))) => (Self::Left, None),
            (Self::Idle, Event::StartEnded(Err(_))) => (Self::Left, Some(Order::Open)),
            (Self::Restored(until), Event::Tick { .. }) if now >= until => (Self::Left, None),
            (Self::Up(_), Event::Tick { is_used: true }) => (Self::Up(now), None),
            (Self::Up(since), Event::Tick { is_used: false })
                if times.stop_after.is_some_and(|after| now.duration_since(since) >= after) =>
            {
                (Self::Idle, Some(Order::Ask))
            }
            (Self::Idle, Event::Wanted(true)) => (Self::Up(now), Some(Order::Open)),
            (Self::Idle, Event::Wanted(false)) => (Self::Stopping, Some(Order::Stop)),
            (Self::Stopping, Event::StopEnded(Ok(()))) => (Self::Stopped, Some(Order::Open)),
            // It is stopped again after another idle time.
            (Self::Stopping, Event::StopEnded(Err(_))) => (Self::Up(now), Some(Order::Open)),
            (state, _) => (state, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: Times =
        Times { stop_after: Some(Duration::from_mins(10)), patience: Duration::from_mins(15) };

    #[test]
    fn each_event_has_its_effect_in_each_state() {
        let now = Instant::now();
        let ago = |seconds| now.checked_sub(Duration::from_secs(seconds)).unwrap();
        let failed = || State::StartFailed("no unit".to_owned());
        let error = || Err("no unit".to_owned());
        let tick = |is_used| Event::Tick { is_used };
        for (state, event, expected, order) in [
            // Down.
            (State::Left, Event::Unreached, State::Starting(now), Some(Order::Start)),
            (State::Left, Event::Reached, State::Left, None),
            (State::Left, tick(false), State::Left, None),
            // Starting: once for each down period.
            (State::Starting(now), Event::Unreached, State::Starting(now), None),
            (State::Starting(now), Event::StartEnded(Ok(())), State::Starting(now), None),
            (State::Starting(now), tick(false), State::Starting(now), None),
            (State::Starting(now), Event::Wanted(false), State::Left, None),
            (State::Starting(now), Event::Reached, State::Up(now), Some(Order::Open)),
            (State::Starting(now), Event::StartEnded(error()), failed(), None),
            // It does not answer.
            (State::Starting(ago(899)), tick(false), State::Starting(ago(899)), None),
            (State::Starting(ago(900)), tick(false), State::Silent(now), Some(Order::Open)),
            (State::Silent(ago(29)), Event::Unreached, State::Silent(now), None),
            (State::Silent(ago(30)), Event::Unreached, State::Starting(now), Some(Order::Start)),
            (State::Silent(ago(900)), tick(false), State::Silent(ago(900)), None),
            (State::Silent(now), Event::StartEnded(Ok(())), State::Silent(now), None),
            (State::Silent(now), Event::StartEnded(error()), failed(), None),
            (State::Silent(ago(900)), Event::Reached, State::Up(now), Some(Order::Open)),
            (failed(), Event::Unreached, failed(), None),
            (failed(), Event::Reached, State::Left, Some(Order::Open)),
            // Started by an earlier daemon.
            (State::Restored(now), Event::Unreached, State::Restored(now), None),
            (State::Restored(now), Event::Reached, State::Up(now), Some(Order::Open)),
            (State::Restored(now), tick(false), State::Left, None),
            (State::restored(now), tick(false), State::restored(now), None),
            // Up.
            (State::Up(ago(5)), Event::Reached, State::Up(ago(5)), None),
            (State::Up(ago(900)), tick(true), State::Up(now), None),
            (State::Up(ago(599)), tick(false), State::Up(ago(599)), None),
            (State::Up(ago(5)), Event::Unreached, State::Starting(now), Some(Order::Start)),
            (State::Up(ago(5)), Event::StartEnded(Ok(())), State::Up(ago(5)), None),
            (State::Up(ago(5)), Event::StartEnded(error()), State::Left, None),
            // Idle.
            (State::Up(ago(600)), tick(false), State::Idle, Some(Order::Ask)),
            (State::Idle, tick(false), State::Idle, None),
            (State::Idle, Event::Unreached, State::Idle, None),
            (State::Idle, Event::Wanted(true), State::Up(now), Some(Order::Open)),
            (State::Idle, Event::Wanted(false), State::Stopping, Some(Order::Stop)),
            (State::Idle, Event::StartEnded(error()), State::Left, Some(Order::Open)),
            // Stopping.
            (State::Stopping, Event::Unreached, State::Stopping, None),
            (State::Stopping, Event::StartEnded(error()), State::Stopping, None),
            (State::Stopping, Event::StopEnded(Ok(())), State::Stopped, Some(Order::Open)),
            (State::Stopping, Event::StopEnded(error()), State::Up(now), Some(Order::Open)),
            (State::Stopped, Event::Unreached, State::Starting(now), Some(Order::Start)),
            (State::Stopped, Event::Reached, State::Left, None),
            // An answer that comes after the server was given up.
            (State::Left, Event::Wanted(false), State::Left, None),
        ] {
            let case = format!("{state:?} {event:?}");
            assert_eq!(state.handle(event, TIMES, now), (expected, order), "{case}");
        }
        let (state, order) =
            State::Up(ago(900)).handle(tick(false), Times { stop_after: None, ..TIMES }, now);
        assert_eq!((state, order), (State::Up(ago(900)), None), "a server without `stop` is never stopped");
    }
}
