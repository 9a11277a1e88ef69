//! The handlers of `memory.*`. They ask the memory supervisor.

use reel_protocol::{
    RpcError,
    methods::{Empty, MemoryStatusResult, MemoryTrimResult},
};

use crate::{
    ipc::{call::Asker, router::ask},
    memory::{GetMemoryStatus, TrimMemory},
};

pub(in crate::ipc) async fn status(asker: Asker, _: Empty) -> Result<MemoryStatusResult, RpcError> {
    ask(&asker.router.recipients().get_memory_status, GetMemoryStatus).await
}

pub(in crate::ipc) async fn trim(asker: Asker, _: Empty) -> Result<MemoryTrimResult, RpcError> {
    ask(&asker.router.recipients().trim_memory, TrimMemory).await
}
