//! One request from its text to its answer: typed params in, one encoded line out.

use futures_util::future::{FutureExt, LocalBoxFuture};
use reel_protocol::{
    ErrorCode, Method, RpcError,
    limits::LARGE_LINE_BYTES,
    rpc::{self, Request},
};
use serde::Serialize;
use serde_json::value::RawValue;
use tracing::{debug, error};

use super::{errors, fields, router::Router};
use crate::{
    memory::{Budget, Holder, Reservation},
    tasks::Caller,
};

/// Params and answers beyond this stand in the memory budget, and such params are parsed off this thread: at 16 MiB that takes a tenth of a
/// second, which every other connection would wait.
const LARGE_BYTES: usize = 64 * 1024;

/// Who asks, and whom a handler may ask.
pub(super) struct Asker {
    /// The rooms.
    pub(super) router: Router,
    /// The connection's name and number.
    pub(super) caller: Caller,
}

/// What goes back to the peer.
pub(super) struct Answer {
    /// The whole line; empty for a notification, which gets none.
    pub(super) line: Vec<u8>,
    /// Its share of the memory budget, if it is large.
    pub(super) reservation: Option<Reservation>,
    /// What its request was expected to bring.
    pub(super) expected_bytes: usize,
}

impl Answer {
    /// A line that stands in no budget.
    pub(super) fn line(line: Vec<u8>) -> Self {
        Self { line, reservation: None, expected_bytes: 0 }
    }

    /// An error; `id` is None where it could not be read.
    pub(super) fn failure(id: Option<&RawValue>, failure: &RpcError) -> Self {
        Self::line(rpc::failure_line(id, failure).unwrap_or_else(|error| {
            error!(%error, "an error could not be encoded");
            Vec::new()
        }))
    }

    /// The outcome of a request; nothing for a notification.
    fn new<T: Serialize>(budget: &Budget, id: Option<&RawValue>, outcome: Result<T, RpcError>) -> Self {
        let Some(id) = id else {
            if let Err(error) = outcome {
                debug!(%error, "a notification failed");
            }
            return Self::line(Vec::new());
        };
        match outcome.and_then(|result| Self::success(budget, id, &result)) {
            Ok(answer) => answer,
            Err(error) => Self::failure(Some(id), &error),
        }
    }

    fn success<T: Serialize>(budget: &Budget, id: &RawValue, result: &T) -> Result<Self, RpcError> {
        let line = rpc::success_line(id, result)
            .map_err(|error| errors::internal(format!("the answer could not be encoded: {error}")))?;
        if line.len() > LARGE_LINE_BYTES {
            let message = format!("the answer would be larger than {LARGE_LINE_BYTES} bytes");
            return Err(RpcError::new(ErrorCode::RequestTooLarge, message)
                .hint("ask for fewer at once: a smaller `limit`, fewer `ids`"));
        }
        let reserve = || budget.reserve(Holder::Response, line.len() as u64).map_err(errors::over_budget);
        let reservation = (line.len() > LARGE_BYTES).then(reserve).transpose()?;
        Ok(Self { line, reservation, expected_bytes: 0 })
    }
}

/// What a request leads to.
pub(super) enum Reply {
    /// The answer itself.
    Now(Answer),
    /// It comes when this is done; dropping this gives up waiting for it, not what was accepted.
    Later {
        /// Gives the answer.
        work: LocalBoxFuture<'static, Answer>,
        /// How large it may be, where that is much: such requests are taken only while answers have room.
        expected_bytes: usize,
    },
}

impl Reply {
    /// The same, with the size that its answer may have.
    pub(super) fn expecting(mut self, bytes: usize) -> Self {
        if let Self::Later { expected_bytes, .. } = &mut self {
            *expected_bytes = bytes;
        }
        self
    }
}

/// A request with the router that got it.
pub(super) struct Call<'a> {
    /// The router.
    pub(super) router: &'a Router,
    /// The request.
    pub(super) request: Request<'a>,
}

impl Call<'_> {
    /// Answers at once, from what the connection itself knows.
    pub(super) fn now<M: Method>(
        self,
        handler: impl FnOnce(M::Params) -> Result<M::Result, RpcError>,
    ) -> Reply {
        let outcome = parse::<M>(self.request.params).and_then(handler);
        Reply::Now(Answer::new(self.router.budget(), self.request.id, outcome))
    }

    /// Answers by asking the rooms.
    pub(super) fn later<M, F>(
        self,
        caller: &Caller,
        handler: impl FnOnce(Asker, M::Params) -> F + 'static,
    ) -> Reply
    where
        M: Method,
        M::Params: Send + 'static,
        F: Future<Output = Result<M::Result, RpcError>> + 'static,
    {
        if self.request.params.len() > LARGE_BYTES {
            return self.later_large::<M, F>(caller, handler);
        }
        let params = match parse::<M>(self.request.params) {
            Ok(params) => params,
            Err(error) => return self.refuse(error),
        };
        let asker = Asker { router: self.router.clone(), caller: caller.clone() };
        let id = self.request.id.map(ToOwned::to_owned);
        let budget = self.router.budget().clone();
        let work = handler(asker, params);
        let work = async move { Answer::new(&budget, id.as_deref(), work.await) }.boxed_local();
        Reply::Later { work, expected_bytes: 0 }
    }

    fn later_large<M, F>(
        self,
        caller: &Caller,
        handler: impl FnOnce(Asker, M::Params) -> F + 'static,
    ) -> Reply
    where
        M: Method,
        M::Params: Send + 'static,
        F: Future<Output = Result<M::Result, RpcError>> + 'static,
    {
        let budget = self.router.budget().clone();
        // Twice: the text, and about as much for what it is parsed into.
        let reservation = match budget.reserve(Holder::Request, self.request.params.len() as u64 * 2) {
            Ok(reservation) => reservation,
            Err(error) => return self.refuse(errors::over_budget(error)),
        };
        let asker = Asker { router: self.router.clone(), caller: caller.clone() };
        let id = self.request.id.map(ToOwned::to_owned);
        let text = self.request.params.to_owned();
        let work = async move {
            let parsed = tokio::task::spawn_blocking(move || parse::<M>(&text)).await;
            let outcome = match parsed {
                Ok(Ok(params)) => handler(asker, params).await,
                Ok(Err(error)) => Err(error),
                Err(error) => Err(errors::internal(format!("the params could not be parsed: {error}"))),
            };
            drop(reservation);
            Answer::new(&budget, id.as_deref(), outcome)
        };
        Reply::Later { work: work.boxed_local(), expected_bytes: 0 }
    }

    /// Answers an error.
    pub(super) fn refuse(self, error: RpcError) -> Reply {
        Reply::Now(Answer::new::<()>(self.router.budget(), self.request.id, Err(error)))
    }
}

/// The params of a method; serde would also take a struct's fields from an array by their positions, which no later version could keep.
fn parse<M: Method>(text: &str) -> Result<M::Params, RpcError> {
    let invalid = |message: String| {
        let names = fields::names::<M::Params>();
        let hint = match names {
            [] => format!("{} takes an empty object", M::NAME),
            _ => format!("the fields of {} are {}", M::NAME, names.join(", ")),
        };
        RpcError::new(ErrorCode::InvalidParams, message).hint(hint)
    };
    if !text.starts_with('{') {
        return Err(invalid("`params` must be an object".to_owned()));
    }
    serde_json::from_str(text).map_err(|error| invalid(format!("the params do not fit {}: {error}", M::NAME)))
}

#[cfg(test)]
mod tests {
    use reel_protocol::methods::{DaemonStatus, TaskGet};

    use super::*;

    #[test]
    fn params_are_named_and_a_misfit_says_where_and_what_fits() {
        assert!(parse::<TaskGet>(r#"{"id":1,"unknown":2}"#).is_ok());
        for (text, message) in [
            ("[1]", "`params` must be an object"),
            ("1", "`params` must be an object"),
            ("{}", "the params do not fit task.get: missing field `id` at line 1 column 2"),
            (
                r#"{"id":-1}"#,
                "the params do not fit task.get: invalid value: integer `-1`, expected u64 at line 1 column 8",
            ),
        ] {
            let error = parse::<TaskGet>(text).unwrap_err();
            assert_eq!(error.message, message);
            assert_eq!(error.data.hint.as_deref(), Some("the fields of task.get are id"));
        }
        assert_eq!(
            parse::<DaemonStatus>("[]").unwrap_err().data.hint.as_deref(),
            Some("daemon.status takes an empty object")
        );
    }

    #[test]
    fn a_large_answer_stands_in_the_budget_or_is_refused() {
        let budget = Budget::new(200_000);
        let id = RawValue::from_string("1".into()).unwrap();
        let answer = |bytes: usize| Answer::new(&budget, Some(&*id), Ok("x".repeat(bytes)));
        let large = answer(150_000);
        assert_eq!(large.reservation.as_ref().map(Reservation::bytes), Some(large.line.len() as u64));
        assert!(String::from_utf8(answer(150_000).line).unwrap().contains("over_memory"));
        assert!(String::from_utf8(answer(LARGE_LINE_BYTES).line).unwrap().contains("request_too_large"));
        assert!(answer(10).reservation.is_none());
        assert!(Answer::new(&budget, None, Ok("x")).line.is_empty());
    }
}
