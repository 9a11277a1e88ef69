//! Reads an artifact from the memory tier, or from a file. The whole file is verified before its first byte is returned.

use std::{io, sync::Arc};

use actix::{fut, prelude::*};
use reel_protocol::{Bytes, Digest, limits::READ_BYTES, methods::ArtifactReadResult};

use super::{ImageCache, check::Verdict};
use crate::{
    cache::{CacheError, ReadArtifact, memory_tier::Item},
    memory::Holder,
    store::{self, ArtifactRow},
};

impl ImageCache {
    pub(super) fn read(
        &mut self,
        msg: ReadArtifact,
    ) -> ActorResponse<Self, Result<ArtifactReadResult, CacheError>> {
        if let Some(item) = self.memory.get(&msg.digest) {
            let answer = slice(item, &msg);
            self.touch(msg.digest);
            return ActorResponse::reply(answer);
        }
        let found = self.find(msg.digest, true);
        ActorResponse::r#async(found.then(move |row, actor, _| actor.read_found(row, msg)))
    }

    /// Returns the row of an artifact and verifies its file. With `wants_bytes` the bytes are put into the memory tier if it has room for them.
    pub(super) fn find(
        &mut self,
        digest: Digest,
        wants_bytes: bool,
    ) -> ResponseActFuture<Self, Result<ArtifactRow, CacheError>> {
        let row = self.store.read(move |connection| store::artifact(connection, digest)).into_actor(self);
        Box::pin(row.then(move |row, actor, ctx| match row {
            Ok(Some(row)) if !actor.tables.being_evicted.contains(&digest) => {
                actor.verify_row(row, wants_bytes, ctx)
            }
            Ok(_) => Box::pin(fut::ready(Err(CacheError::NotFound(digest)))),
            Err(error) => Box::pin(fut::ready(Err(error.into()))),
        }))
    }

    fn verify_row(
        &mut self,
        row: ArtifactRow,
        wants_bytes: bool,
        ctx: &mut Context<Self>,
    ) -> ResponseActFuture<Self, Result<ArtifactRow, CacheError>> {
        let digest = row.digest;
        let path = self.disk.path(&row);
        self.touch(digest);
        // Another read may have put it into memory while this one read the row.
        let is_coming = self.memory.contains(&digest) || self.verifications.contains_key(&digest);
        let reservation =
            if wants_bytes && !is_coming { self.memory.reserve(&self.budget, row.size_bytes) } else { None };
        if reservation.is_none() && self.tables.is_verified(&digest, &path) {
            return Box::pin(fut::ready(Ok(row)));
        }
        let verdict = self.check_file(&row, reservation, ctx).into_actor(self);
        Box::pin(verdict.map(move |verdict, _, _| match verdict {
            Verdict::Good => Ok(row),
            Verdict::Damaged | Verdict::Missing => Err(CacheError::NotFound(digest)),
            Verdict::Unreadable(source) => Err(CacheError::File { path, source }),
        }))
    }

    fn read_found(
        &mut self,
        row: Result<ArtifactRow, CacheError>,
        msg: ReadArtifact,
    ) -> ResponseActFuture<Self, Result<ArtifactReadResult, CacheError>> {
        if let Some(item) = self.memory.get(&msg.digest) {
            return Box::pin(fut::ready(slice(item, &msg)));
        }
        let (disk, budget) = (self.disk.clone(), self.budget.clone());
        let read = async move {
            let row = row?;
            let length = available(&msg, row.size_bytes)?;
            // The buffer is reserved until the answer leaves the cache. After that the session reserves the line that it encodes.
            let _reservation =
                budget.reserve(Holder::Response, length).map_err(|_| CacheError::OverMemory)?;
            let path = disk.path(&row);
            let (media_type, size_bytes) = (row.media_type.clone(), row.size_bytes);
            let bytes = tokio::task::spawn_blocking(move || disk.read_range(&row, msg.offset, length)).await;
            let lost = |error| CacheError::File { path, source: Arc::new(io::Error::other(error)) };
            Ok(ArtifactReadResult {
                data: bytes.map_err(lost)??.into(),
                size_bytes,
                media_type,
                raw_bytes: None,
            })
        };
        Box::pin(read.into_actor(self))
    }
}

fn slice(item: &Item, msg: &ReadArtifact) -> Result<ArtifactReadResult, CacheError> {
    let size_bytes = item.bytes.len() as u64;
    let length = available(msg, size_bytes)?;
    let range = msg.offset as usize..(msg.offset + length) as usize;
    let data = Bytes(bytes::Bytes::from_owner(Held(Arc::clone(&item.bytes))).slice(range));
    Ok(ArtifactReadResult { data, size_bytes, media_type: item.media_type.clone(), raw_bytes: None })
}

/// Bytes of a picture of the memory tier, kept alive by an answer even if the picture is evicted. They are not copied, because copying a megabyte
/// takes half as long as sending it to the client.
struct Held(Arc<Vec<u8>>);

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Returns how many of the requested bytes exist. There are fewer at the end of the file.
fn available(msg: &ReadArtifact, size: u64) -> Result<u64, CacheError> {
    let &ReadArtifact { offset, length, .. } = msg;
    if length > READ_BYTES || offset > size {
        return Err(CacheError::Range { offset, length, size });
    }
    Ok(length.min(size - offset))
}
