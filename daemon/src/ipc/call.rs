//! Carries out one request: it parses the params to their type, calls the handler, and encodes the response.

use futures_util::future::{FutureExt, LocalBoxFuture};
use reel_protocol::{
    ErrorCode, Method, RpcError, TaskSpec, binary::Message, field_names, limits::LARGE_LINE_BYTES,
    methods::ServiceCall,
};
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

/// Params that are longer, in bytes, are reserved in the memory budget and parsed on a blocking thread. Parsing 16 MiB takes a tenth of a second,
/// during which no other connection would be served.
const LARGE_BYTES: usize = 64 * 1024;
/// Responses that are larger, in bytes, have a reservation each, and are refused if the memory budget is full. Smaller ones are always sent; while
/// they wait for a slow reader, they share one reservation.
const LARGE_ANSWER_BYTES: usize = 8 * 1024;

/// The context of a handler: who sent the request, and the rooms that the handler may ask.
pub(super) struct Asker {
    /// The recipients of all rooms.
    pub(super) router: Router,
    /// The client's name and the number of its connection.
    pub(super) caller: Caller,
}

/// A response to the peer.
pub(super) struct Answer {
    /// The whole line or frame. It is empty for a notification, which gets no response.
    pub(super) message: Message,
    /// The reservation in the memory budget, if the message is large.
    pub(super) reservation: Option<Reservation>,
    /// The response size that was assumed when the request was accepted, in bytes. 0 if none was.
    pub(super) expected_bytes: usize,
}

impl Answer {
    /// Returns a response of these bytes without a reservation.
    pub(super) fn bytes(bytes: Vec<u8>) -> Self {
        Self { message: Message { bytes, block: None }, reservation: None, expected_bytes: 0 }
    }

    /// Returns an error response. `id` is None if the id of the request could not be read.
    pub(super) fn failure(encoding: Encoding, id: Option<&RequestId>, failure: &RpcError) -> Self {
        Self::bytes(encoding.failure(id, failure))
    }

    /// Encodes the outcome of a request. The response is empty for a notification.
    fn new<M: Method>(
        budget: &Budget,
        encoding: Encoding,
        id: Option<&RequestId>,
        outcome: Result<M::Result, RpcError>,
    ) -> Self {
        let outcome = match id {
            Some(id) => outcome.and_then(|result| Self::success::<M>(budget, id, result)),
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

    fn success<M: Method>(budget: &Budget, id: &RequestId, result: M::Result) -> Result<Self, RpcError> {
        Self::of_message(budget, id.success::<M>(result))
    }

    /// Wraps an encoded result. It is an error if the message is too large or the memory budget has no room for it.
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

/// How a request is answered.
pub(super) enum Reply {
    /// The response is ready.
    Now(Answer),
    /// The response is ready when this future ends. Dropping the future stops the wait, but not work that was accepted.
    Later {
        /// The future that returns the response.
        work: LocalBoxFuture<'static, Answer>,
        /// How large the response may be, in bytes, if it may be large. Such requests are accepted only while the outbox has room for their
        /// responses.
        expected_bytes: usize,
    },
}

impl Reply {
    /// Returns the same reply with this expected response size.
    pub(super) fn expecting(mut self, bytes: usize) -> Self {
        if let Self::Later { expected_bytes, .. } = &mut self {
            *expected_bytes = bytes;
        }
        self
    }
}

/// A request and the router that received it.
pub(super) struct Call<'a> {
    /// The router, which knows the recipients of all rooms.
    pub(super) router: &'a Router,
    /// The request, whose params are not parsed yet.
    pub(super) request: Request<'a>,
}

impl Call<'_> {
    /// Answers immediately, with what the connection itself knows.
    pub(super) fn now<M: Method>(
        self,
        handler: impl FnOnce(M::Params) -> Result<M::Result, RpcError>,
    ) -> Reply {
        let Self { router, request: Request { encoding, id, params, .. } } = self;
        let outcome = parse::<M>(&params).and_then(handler);
        Reply::Now(Answer::new::<M>(router.budget(), encoding, id.as_ref(), outcome))
    }

    /// Answers later, by asking the rooms.
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
        // The reservation is twice the length: for the bytes, and for the values that they are parsed into, which are about as large.
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

    /// Answers with an error.
    pub(super) fn refuse(self, error: &RpcError) -> Reply {
        Reply::Now(Answer::refusal(self.request.encoding, self.request.id.as_ref(), error))
    }
}

/// Parses the params of a method. A field that looks like a mistyped one is refused: without its `request_id`, a repeated submit may pay twice.
fn parse<M: Method>(params: &Params<'_>) -> Result<M::Params, RpcError> {
    if let Params::Json(text) = params
        && let Some((field, near)) = fields::mistyped::<M::Params>(text)
    {
        let message = format!("{} has no field {field}", M::NAME);
        return Err(RpcError::new(ErrorCode::InvalidParams, message).hint(format!("did you mean {near}?")));
    }
    // Who sends such a field to `service.call` relies on it, for example on a `request_id` that protects from a second payment.
    if let Params::Json(text) = params
        && M::NAME == ServiceCall::NAME
        && let Some(field) = fields::of_another::<M::Params, TaskSpec>(text)
    {
        let message = format!("{} has no field {field}: it is a field of task.submit", M::NAME);
        return Err(RpcError::new(ErrorCode::InvalidParams, message).hint("use task.submit and task.wait"));
    }
    params.read().map_err(|misfit| {
        let message = match misfit {
            Misfit::NoObject => "`params` must be an object".to_owned(),
            Misfit::Unreadable(why) => format!("the params do not fit {}: {why}", M::NAME),
        };
        let names = field_names::<M::Params>();
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
            ("{}", "the params do not fit task.get: missing field `id`"),
            (r#"{"id":-1}"#, "the params do not fit task.get: id: -1, expected a whole number below 2^53"),
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
