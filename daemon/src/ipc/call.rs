//! One request from its bytes to its answer: typed params in, one encoded message out.

use futures_util::future::{FutureExt, LocalBoxFuture};
use reel_protocol::{ErrorCode, Method, RpcError, binary::Message, limits::LARGE_LINE_BYTES};
use tracing::debug;

use super::{
    encoding::{Encoding, Misfit, Params, Request, RequestId},
    errors, fields,
    router::Router,
};
use crate::{
    memory::{Budget, Holder, Reservation},
    tasks::Caller,
};

/// Params beyond this are reserved in the memory budget and parsed off this thread: at 16 MiB that takes a tenth of a second, which every
/// other connection would wait.
const LARGE_BYTES: usize = 64 * 1024;
/// Answers beyond this are reserved one by one, and refused where the budget has no room; smaller ones are always given, and reserved together
/// while they wait for a slow reader.
const LARGE_ANSWER_BYTES: usize = 8 * 1024;

/// Who asks, and whom a handler may ask.
pub(super) struct Asker {
    /// The rooms.
    pub(super) router: Router,
    /// The connection's name and number.
    pub(super) caller: Caller,
}

/// What goes back to the peer.
pub(super) struct Answer {
    /// The whole line or frame; empty for a notification, which gets none.
    pub(super) message: Message,
    /// Its share of the memory budget, if it is large.
    pub(super) reservation: Option<Reservation>,
    /// What its request was expected to bring.
    pub(super) expected_bytes: usize,
}

impl Answer {
    /// Bytes that stand in no budget.
    pub(super) fn bytes(bytes: Vec<u8>) -> Self {
        Self { message: Message { bytes, block: None }, reservation: None, expected_bytes: 0 }
    }

    /// An error; `id` is None where it could not be read.
    pub(super) fn failure(encoding: Encoding, id: Option<&RequestId>, failure: &RpcError) -> Self {
        Self::bytes(encoding.failure(id, failure))
    }

    /// The outcome of a request; nothing for a notification.
    fn new<M: Method>(
        budget: &Budget,
        encoding: Encoding,
        id: Option<&RequestId>,
        outcome: Result<M::Result, RpcError>,
    ) -> Self {
        let outcome = match id {
            Some(id) => outcome.and_then(|result| Self::success::<M>(budget, id, &result)),
            None => outcome.map(|_| Self::bytes(Vec::new())),
        };
        outcome.unwrap_or_else(|error| Self::refusal(encoding, id, &error))
    }

    fn refusal(encoding: Encoding, id: Option<&RequestId>, error: &RpcError) -> Self {
        if id.is_none() {
            debug!(%error, "a notification failed");
            return Self::bytes(Vec::new());
        }
        Self::failure(encoding, id, error)
    }

    fn success<M: Method>(budget: &Budget, id: &RequestId, result: &M::Result) -> Result<Self, RpcError> {
        Self::of_message(budget, id.success::<M>(result))
    }

    /// A result that was written, if there is room for it.
    pub(super) fn of_message(budget: &Budget, message: Result<Message, String>) -> Result<Self, RpcError> {
        let message =
            message.map_err(|error| errors::internal(format!("the answer could not be encoded: {error}")))?;
        if message.len() > LARGE_LINE_BYTES {
            let message = format!("the answer would be larger than {LARGE_LINE_BYTES} bytes");
            return Err(RpcError::new(ErrorCode::RequestTooLarge, message)
                .hint("ask for fewer at once: a smaller `limit`, fewer `ids`"));
        }
        let reserve = || budget.reserve(Holder::Response, message.len() as u64).map_err(errors::over_budget);
        let reservation = (message.len() > LARGE_ANSWER_BYTES).then(reserve).transpose()?;
        Ok(Self { message, reservation, expected_bytes: 0 })
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
        let Self { router, request: Request { encoding, id, params, .. } } = self;
        let outcome = parse::<M>(&params).and_then(handler);
        Reply::Now(Answer::new::<M>(router.budget(), encoding, id.as_ref(), outcome))
    }

    /// Answers by asking the rooms.
    pub(super) fn later<M, F>(
        self,
        caller: &Caller,
        handler: impl FnOnce(Asker, M::Params) -> F + 'static,
    ) -> Reply
    where
        M: Method + 'static,
        M::Params: Send + 'static,
        F: Future<Output = Result<M::Result, RpcError>> + 'static,
    {
        if self.request.params.len() > LARGE_BYTES {
            return self.later_large::<M, F>(caller, handler);
        }
        let params = match parse::<M>(&self.request.params) {
            Ok(params) => params,
            Err(error) => return self.refuse(&error),
        };
        let Self { router, request: Request { encoding, id, .. } } = self;
        let asker = Asker { router: router.clone(), caller: caller.clone() };
        let budget = router.budget().clone();
        let work = handler(asker, params);
        let work = async move { Answer::new::<M>(&budget, encoding, id.as_ref(), work.await) }.boxed_local();
        Reply::Later { work, expected_bytes: 0 }
    }

    fn later_large<M, F>(
        self,
        caller: &Caller,
        handler: impl FnOnce(Asker, M::Params) -> F + 'static,
    ) -> Reply
    where
        M: Method + 'static,
        M::Params: Send + 'static,
        F: Future<Output = Result<M::Result, RpcError>> + 'static,
    {
        let budget = self.router.budget().clone();
        // Twice: the bytes, and about as much for what they are parsed into.
        let reservation = match budget.reserve(Holder::Request, self.request.params.len() as u64 * 2) {
            Ok(reservation) => reservation,
            Err(error) => return self.refuse(&errors::over_budget(error)),
        };
        let Self { router, request: Request { encoding, id, params, .. } } = self;
        let asker = Asker { router: router.clone(), caller: caller.clone() };
        let params = params.into_owned();
        let work = async move {
            let parsed = tokio::task::spawn_blocking(move || parse::<M>(&params)).await;
            let outcome = match parsed {
                Ok(Ok(params)) => handler(asker, params).await,
                Ok(Err(error)) => Err(error),
                Err(error) => Err(errors::internal(format!("the params could not be parsed: {error}"))),
            };
            drop(reservation);
            Answer::new::<M>(&budget, encoding, id.as_ref(), outcome)
        };
        Reply::Later { work: work.boxed_local(), expected_bytes: 0 }
    }

    /// Answers an error.
    pub(super) fn refuse(self, error: &RpcError) -> Reply {
        Reply::Now(Answer::refusal(self.request.encoding, self.request.id.as_ref(), error))
    }
}

/// The params of a method.
fn parse<M: Method>(params: &Params<'_>) -> Result<M::Params, RpcError> {
    params.read().map_err(|misfit| {
        let message = match misfit {
            Misfit::NoObject => "`params` must be an object".to_owned(),
            Misfit::Unreadable(why) => format!("the params do not fit {}: {why}", M::NAME),
        };
        let names = fields::names::<M::Params>();
        let hint = match names {
            [] => format!("{} takes an empty object", M::NAME),
            _ => format!("the fields of {} are {}", M::NAME, names.join(", ")),
        };
        RpcError::new(ErrorCode::InvalidParams, message).hint(hint)
    })
}

#[cfg(test)]
mod tests {
    use reel_protocol::methods::{ArtifactPath, ArtifactPathResult, DaemonStatus, TaskGet, TaskIdParams};
    use serde_json::value::RawValue;

    use super::*;

    #[test]
    fn params_are_named_and_a_misfit_says_where_and_what_fits() {
        let json = |text: &'static str| Params::Json(text.into());
        assert!(parse::<TaskGet>(&json(r#"{"id":1,"unknown":2}"#)).is_ok());
        for (text, message) in [
            ("[1]", "`params` must be an object"),
            ("1", "`params` must be an object"),
            ("{}", "the params do not fit task.get: missing field `id` at line 1 column 2"),
            (
                r#"{"id":-1}"#,
                "the params do not fit task.get: invalid value: integer `-1`, expected u64 at line 1 column 8",
            ),
        ] {
            let error = parse::<TaskGet>(&json(text)).unwrap_err();
            assert_eq!(error.message, message);
            assert_eq!(error.data.hint.as_deref(), Some("the fields of task.get are id"));
        }
        assert_eq!(
            parse::<DaemonStatus>(&json("[]")).unwrap_err().data.hint.as_deref(),
            Some("daemon.status takes an empty object")
        );
        let binary = |bytes: &'static [u8]| parse::<TaskGet>(&Params::Binary(bytes.into()));
        assert!(matches!(binary(&[7, 0, 0, 0, 0, 0, 0, 0]), Ok(TaskIdParams { id }) if id.0 == 7));
        for bytes in [&b""[..], &[7, 0, 0], &[7, 0, 0, 0, 0, 0, 0, 0, 1]] {
            let error = binary(bytes).unwrap_err();
            assert_eq!(error.data.code, "invalid_params");
            assert_eq!(error.data.hint.as_deref(), Some("the fields of task.get are id"));
        }
    }

    #[test]
    fn a_large_answer_stands_in_the_budget_or_is_refused() {
        let budget = Budget::new(640_000);
        let ids = [RequestId::Json(RawValue::from_string("1".into()).unwrap()), RequestId::Binary(1)];
        for (encoding, id) in [Encoding::Json, Encoding::Binary].into_iter().zip(ids) {
            let answer = |id: Option<&RequestId>, bytes: usize| {
                let result = ArtifactPathResult { path: "x".repeat(bytes) };
                Answer::new::<ArtifactPath>(&budget, encoding, id, Ok(result))
            };
            let text = |bytes| String::from_utf8_lossy(&answer(Some(&id), bytes).message.bytes).into_owned();
            let large = answer(Some(&id), 150_000);
            let reserved = large.reservation.as_ref().map(Reservation::bytes);
            assert_eq!(reserved, Some(large.message.len() as u64));
            assert!(text(150_000).contains("over_memory"));
            assert!(text(LARGE_LINE_BYTES - 4).contains("request_too_large"));
            assert!(answer(Some(&id), 10).reservation.is_none());
            assert!(answer(None, 10).message.is_empty());
        }
    }
}
