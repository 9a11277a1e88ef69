//! `service.*` and `provider.*`, answered by the task tracker, the services and the provider gateway.

use std::sync::Arc;

use reel_protocol::{
    RpcError, TaskSpec,
    methods::{
        Empty, ProviderCheckParams, ProviderCheckResult, ProviderListResult, ServiceCall, ServiceCallParams,
        ServiceStatusResult,
    },
};
use tokio::sync::oneshot;

use crate::{
    ipc::{
        answers::Asked,
        call::{Asker, Call, Reply},
        connection::Connection,
        errors,
        router::ask,
        validate,
    },
    provider::{CheckNamed, GetProviders},
    service::GetServiceStatus,
    tasks::{CallService, Called, Known},
};

/// Answers again what was answered before, and else asks the tracker. Where something is still to be answered, everything goes by the
/// tracker: what was asked first comes to pass first.
pub(in crate::ipc) fn call(connection: &Connection, call: Call<'_>) -> Reply {
    let answers = call.router.answers();
    if connection.is_answered
        && let Some(answer) = answers.again(call.router, &connection.caller.client, &call.request)
    {
        return Reply::Now(answer);
    }
    let client = &connection.caller.client;
    let (asked, known) = (Asked::of(client, &call.request), answers.known(client, &call.request));
    call.later::<ServiceCall, _>(&connection.caller, |asker, params| async move {
        let Called { task, known } = ask_tracker(asker, params, known).await?;
        if let (Some(asked), Some(known)) = (asked, known) {
            answers.keep(asked, known, &task);
        }
        Ok(task)
    })
}

async fn ask_tracker(
    asker: Asker,
    params: ServiceCallParams,
    known: Option<Arc<Known>>,
) -> Result<Called, RpcError> {
    validate::service_call(&params)?;
    let ServiceCallParams { service, method, params, provider, cache, timeout_s } = params;
    let kind = [service.as_str(), ".", method.as_str()].concat();
    let spec = TaskSpec { kind, params, provider, cache, ..TaskSpec::default() };
    validate::spec(&spec)?;
    // Dropped with this request where its connection ends.
    let (_here, gone) = oneshot::channel();
    let message =
        CallService { caller: asker.caller, spec, known, timeout: timeout_s.map(|seconds| seconds.0), gone };
    ask(&asker.router.recipients().call_service, message).await?.map_err(errors::task)
}

pub(in crate::ipc) async fn status(asker: Asker, _: Empty) -> Result<ServiceStatusResult, RpcError> {
    ask(&asker.router.recipients().get_service_status, GetServiceStatus).await
}

pub(in crate::ipc) async fn providers(asker: Asker, _: Empty) -> Result<ProviderListResult, RpcError> {
    let providers = ask(&asker.router.recipients().get_providers, GetProviders).await?;
    Ok(ProviderListResult { providers })
}

pub(in crate::ipc) async fn check(
    asker: Asker,
    params: ProviderCheckParams,
) -> Result<ProviderCheckResult, RpcError> {
    validate::name("name", &params.name)?;
    if let Some(result) =
        ask(&asker.router.recipients().check_provider, CheckNamed(params.name.clone())).await?
    {
        return Ok(result);
    }
    let providers = ask(&asker.router.recipients().get_providers, GetProviders).await?;
    Err(errors::no_provider(&params.name, providers.iter().map(|provider| provider.name.as_str())))
}
