//! The handlers of `service.*` and `provider.*`. They ask the task tracker, the services and the provider gateway.

use std::time::Duration;

use reel_protocol::{
    RpcError, TaskSpec, TaskView,
    methods::{
        DryRunParams, DryRunResult, Empty, ProviderCheckParams, ProviderCheckResult, ProviderListResult,
        ProviderModelsParams, ProviderModelsResult, ProviderVoicesParams, ProviderVoicesResult,
        ServiceCallParams, ServiceStatusResult,
    },
};
use tokio::sync::oneshot;

use crate::{
    domain::Cost,
    ipc::{call::Asker, errors, router::ask, validate},
    provider::{CheckProvider, GetProviders, ListModels, ListVoices, PreviewRequests},
    service::{Preview, preview},
    tasks::{CallService, Trial, TryTask},
};

/// How much longer than its timeout a call may take to be accepted. A disk that hangs must not block the caller for ever.
const ACCEPTANCE: Duration = Duration::from_secs(5);

pub(in crate::ipc) async fn call(asker: Asker, params: ServiceCallParams) -> Result<TaskView, RpcError> {
    validate::service_call(&params)?;
    let ServiceCallParams { service, method, params, provider, cache, timeout_s } = params;
    let kind = [service.as_str(), ".", method.as_str()].concat();
    let spec = TaskSpec { kind, params, provider, cache, ..TaskSpec::default() };
    validate::spec(&spec)?;
    // This sender is dropped with the future when the connection ends. The tracker then stops waiting.
    let (_here, gone) = oneshot::channel();
    let timeout = timeout_s.map(|seconds| seconds.0);
    let message = CallService { caller: asker.caller, spec, timeout, gone };
    let asked = ask(&asker.router.recipients().call_service, message);
    let Some(timeout) = timeout else { return asked.await?.map_err(errors::task) };
    // Once the tracker has accepted the task, it applies the timeout itself.
    match tokio::time::timeout(timeout.saturating_add(ACCEPTANCE), asked).await {
        Ok(answered) => answered?.map_err(errors::task),
        Err(_) => Err(errors::not_accepted_in_time()),
    }
}

pub(in crate::ipc) async fn status(asker: Asker, _: Empty) -> Result<ServiceStatusResult, RpcError> {
    Ok(asker.router.parts().services.status())
}

pub(in crate::ipc) async fn providers(asker: Asker, _: Empty) -> Result<ProviderListResult, RpcError> {
    let providers =
        ask(&asker.router.recipients().get_providers, GetProviders { with_conditions: true }).await?;
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
    Err(unknown(&asker, &params.name).await?)
}

/// Returns the error of a name that no provider has. It suggests the most similar name.
async fn unknown(asker: &Asker, name: &str) -> Result<RpcError, RpcError> {
    let providers =
        ask(&asker.router.recipients().get_providers, GetProviders { with_conditions: false }).await?;
    Ok(errors::no_provider(name, providers.iter().map(|provider| provider.name.as_str())))
}

pub(in crate::ipc) async fn models(
    asker: Asker,
    params: ProviderModelsParams,
) -> Result<ProviderModelsResult, RpcError> {
    validate::name("name", &params.name)?;
    match ask(&asker.router.recipients().list_models, ListModels(params.name.clone())).await? {
        Some(listed) => listed.map_err(errors::failure),
        None => Err(unknown(&asker, &params.name).await?),
    }
}

pub(in crate::ipc) async fn voices(
    asker: Asker,
    params: ProviderVoicesParams,
) -> Result<ProviderVoicesResult, RpcError> {
    if let Some(name) = &params.name {
        validate::name("name", name)?;
    }
    match ask(&asker.router.recipients().list_voices, ListVoices(params.name.clone())).await? {
        Some(listed) => listed.map_err(errors::failure),
        None => Err(unknown(&asker, params.name.as_deref().unwrap_or_default()).await?),
    }
}

pub(in crate::ipc) async fn dry_run(asker: Asker, params: DryRunParams) -> Result<DryRunResult, RpcError> {
    let DryRunParams { kind, params, provider, cache } = params;
    let spec = TaskSpec { kind, params, provider, cache, ..TaskSpec::default() };
    validate::spec(&spec)?;
    let tried = ask(&asker.router.recipients().try_task, TryTask { spec: spec.clone() }).await?;
    let Trial { plan, cached } = tried.map_err(errors::task)?;
    let Some(first) = plan.candidates.first() else {
        // The steps of a workflow, and a task that starts from another one's result, have no price yet.
        let is_open = plan.is_workflow || !plan.references.is_empty();
        return Ok(without_provider((!is_open).then(|| Cost::NOTHING.shown())));
    };
    let owned = |text: &Option<std::sync::Arc<str>>| text.as_deref().map(str::to_owned);
    let billing = Some(if first.is_paid { "paid" } else { "free" }.to_owned());
    let others = plan.candidates.iter().skip(1).filter(|other| other.is_alternative);
    let others = others.map(|other| other.provider.to_string()).collect();
    if let Some(made) = cached {
        let (provider, model) = (Some(made.provider.clone()), made.model.clone());
        let cost = Some(Cost::NOTHING.shown());
        return Ok(DryRunResult {
            provider,
            model,
            billing,
            others,
            is_cached: true,
            cost,
            requests: Vec::new(),
        });
    }
    let mut result = DryRunResult {
        provider: Some(first.provider.to_string()),
        model: owned(&first.model),
        billing,
        others,
        is_cached: false,
        cost: None,
        requests: Vec::new(),
    };
    if let Some(Preview { quantity, request }) = preview(&spec.kind, &plan.params, cache, &first.key) {
        result.cost = first.cost(None, &quantity).map(Cost::shown);
        if let Some(request) = request {
            let asked = PreviewRequests { provider: first.provider.to_string(), request };
            result.requests = ask(&asker.router.recipients().preview_requests, asked).await?;
        }
    }
    Ok(result)
}

/// Returns the result for work that no provider is planned for: the daemon does it at no cost, or its cost is not known yet.
fn without_provider(cost: Option<reel_protocol::Cost>) -> DryRunResult {
    DryRunResult {
        provider: None,
        model: None,
        billing: None,
        others: Vec::new(),
        is_cached: false,
        cost,
        requests: Vec::new(),
    }
}
