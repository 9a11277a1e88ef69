//! The handlers of `events.*`. They change the subscriptions of the connection.

use reel_protocol::{
    RpcError,
    methods::{Empty, SubscribeParams, SubscribeResult, UnsubscribeParams},
};

use crate::ipc::{connection::Connection, router::Router, validate};

pub(in crate::ipc) fn subscribe(
    router: &Router,
    connection: &mut Connection,
    params: SubscribeParams,
) -> Result<SubscribeResult, RpcError> {
    validate::subscribe(&params)?;
    connection.subscribe(router, params)
}

pub(in crate::ipc) fn unsubscribe(
    connection: &mut Connection,
    params: UnsubscribeParams,
) -> Result<Empty, RpcError> {
    connection.subscriptions.end(params.subscription)?;
    Ok(Empty {})
}
