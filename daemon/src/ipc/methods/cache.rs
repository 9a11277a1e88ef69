//! The handlers of `cache.*`. They ask the cache.

use reel_protocol::{
    RpcError,
    methods::{CacheClearParams, CacheClearResult, CacheStatsResult, CacheVerifyResult, Empty},
};

use crate::{
    cache::{ClearCache, GetCacheStats, VerifyCache},
    ipc::{call::Asker, errors, router::ask},
};

pub(in crate::ipc) async fn stats(asker: Asker, _: Empty) -> Result<CacheStatsResult, RpcError> {
    ask(&asker.router.recipients().get_cache_stats, GetCacheStats).await
}

pub(in crate::ipc) async fn clear(
    asker: Asker,
    params: CacheClearParams,
) -> Result<CacheClearResult, RpcError> {
    let message = ClearCache { is_memory_only: params.memory_only };
    ask(&asker.router.recipients().clear_cache, message).await?.map_err(errors::cache)
}

pub(in crate::ipc) async fn verify(asker: Asker, _: Empty) -> Result<CacheVerifyResult, RpcError> {
    ask(&asker.router.recipients().verify_cache, VerifyCache).await?.map_err(errors::cache)
}
