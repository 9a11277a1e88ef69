//! The handlers of `hello` and `daemon.*`. They use the router's own values, and ask the rooms and the main task.

use reel_protocol::{
    PROTOCOL, RpcError,
    methods::{
        DaemonStatusResult, Empty, HelloParams, HelloResult, LogLevelParams, METHODS, MemorySummary,
        ProviderSummary, ReloadResult, ShutdownParams,
    },
};

use crate::{
    cache::GetCacheStats,
    ipc::{
        call::Asker,
        connection::Connection,
        errors,
        router::{Router, ask},
        validate,
    },
    memory::GetMemoryStatus,
    provider::GetProviders,
    tasks::GetTaskCounts,
};

pub(in crate::ipc) fn hello(
    router: &Router,
    connection: &mut Connection,
    params: HelloParams,
) -> Result<HelloResult, RpcError> {
    validate::client(&params.client)?;
    connection.caller.client = params.client.into();
    let parts = router.parts();
    Ok(HelloResult {
        daemon: "reeld".to_owned(),
        version: parts.version.to_owned(),
        protocol: PROTOCOL,
        capabilities: METHODS.iter().map(ToString::to_string).collect(),
        pid: std::process::id(),
        instance: parts.instance.to_string(),
    })
}

/// The rooms are asked concurrently. Each answers from memory.
pub(in crate::ipc) async fn status(asker: Asker, _: Empty) -> Result<DaemonStatusResult, RpcError> {
    let (parts, rooms) = (asker.router.parts(), asker.router.recipients());
    let (counts, cache, memory, providers) = tokio::try_join!(
        ask(&rooms.get_task_counts, GetTaskCounts),
        ask(&rooms.get_cache_stats, GetCacheStats),
        ask(&rooms.get_memory_status, GetMemoryStatus),
        ask(&rooms.get_providers, GetProviders { with_conditions: false }),
    )?;
    let summary = |provider: reel_protocol::methods::ProviderInfo| {
        let summary = ProviderSummary {
            running: provider.running,
            max_concurrent: provider.max_concurrent,
            wait_reason: provider.wait_reason,
            waits_until: provider.waits_until,
        };
        (provider.name, summary)
    };
    Ok(DaemonStatusResult {
        pid: std::process::id(),
        version: parts.version.to_owned(),
        uptime_s: parts.started.elapsed().as_millis() as f64 / 1000.0,
        is_auto_started: parts.is_auto_started,
        is_paused: counts.is_paused,
        wait_reason: counts.wait_reason,
        tasks: counts.by_state,
        steps: counts.steps_by_state,
        memory: MemorySummary {
            level: memory.level,
            resident_bytes: memory.resident_bytes,
            limit_bytes: memory.limit_bytes,
        },
        cache,
        providers: providers.into_iter().map(summary).collect(),
        missing_providers: counts.missing_providers,
        connections: asker.router.open_connections() as u32,
        socket: parts.locations.socket.display().to_string(),
        home: parts.locations.home.display().to_string(),
        config: parts.locations.config.display().to_string(),
        config_in_force: Some(parts.config_in_force.borrow().clone()),
        notices: parts.notices.all(),
    })
}

pub(in crate::ipc) async fn shutdown(asker: Asker, params: ShutdownParams) -> Result<Empty, RpcError> {
    validate::drain(params.drain_s)?;
    let drain = params.drain_s.map(|seconds| seconds.0);
    asker.router.parts().control.shutdown(drain).await.map_err(errors::control)?;
    Ok(Empty {})
}

pub(in crate::ipc) async fn reload(asker: Asker, _: Empty) -> Result<ReloadResult, RpcError> {
    let answer = asker.router.parts().control.reload().await.map_err(errors::control)?;
    answer.map_err(errors::config)
}

pub(in crate::ipc) async fn log_level(asker: Asker, params: LogLevelParams) -> Result<Empty, RpcError> {
    let control = &asker.router.parts().control;
    let answer = control.set_log_filter(params.filter).await.map_err(errors::control)?;
    answer.map_err(errors::log_filter)?;
    Ok(Empty {})
}
