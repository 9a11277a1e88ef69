//! `service.*` and `provider.*`, answered by the task tracker, the services and the provider gateway.

use std::time::Duration;

use reel_protocol::{
    RpcError, TaskSpec, TaskView,
    methods::{
        Empty, ProviderCheckParams, ProviderCheckResult, ProviderListResult, ServiceCallParams,
        ServiceStatusResult,
    },
};
use tokio::sync::oneshot;

use crate::{
    ipc::{call::Asker, errors, router::ask, validate},
    provider::{CheckProvider, GetProviders},
    tasks::CallService,
};

/// How much longer than its timeout a call may take to be accepted: a disk that hangs must not keep its caller.
const ACCEPTANCE: Duration = Duration::from_secs(5);

pub(in crate::ipc) async fn call(asker: Asker, params: ServiceCallParams) -> Result<TaskView, RpcError> {
    validate::service_call(&params)?;
    let ServiceCallParams { service, method, params, provider, cache, timeout_s } = params;
    let kind = [service.as_str(), ".", method.as_str()].concat();
    let spec = TaskSpec { kind, params, provider, cache, ..TaskSpec::default() };
    validate::spec(&spec)?;
    // Dropped with this request where its connection ends.
    let (_here, gone) = oneshot::channel();
    let timeout = timeout_s.map(|seconds| seconds.0);
    let message = CallService { caller: asker.caller, spec, timeout, gone };
    let asked = ask(&asker.router.recipients().call_service, message);
    let Some(timeout) = timeout else { return asked.await?.map_err(errors::task) };
    // The tracker keeps the timeout of a task that it has accepted.
    match tokio::time::timeout(timeout.saturating_add(ACCEPTANCE), asked).await {
        Ok(answered) => answered?.map_err(errors::task),
        Err(_) => Err(errors::not_accepted_in_time()),
    }
}

pub(in crate::ipc) async fn status(asker: Asker, _: Empty) -> Result<ServiceStatusResult, RpcError> {
    Ok(asker.router.parts().services.status())
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
        ask(&asker.router.recipients().check_provider, CheckProvider(params.name.clone())).await?
    {
        return Ok(result);
    }
    let providers = ask(&asker.router.recipients().get_providers, GetProviders).await?;
    Err(errors::no_provider(&params.name, providers.iter().map(|provider| provider.name.as_str())))
}
