//! Makes thumbnails of the pictures in the store, for programs that show many of them.
//!
//! A thumbnail is a PNG that the cache stores under a key of its own. It counts in the disk tier, is evicted like any other result, and is made again
//! on the next request.

mod shrink;

use std::{ops::RangeInclusive, path::PathBuf, sync::Arc};

use actix::{MailboxError, Recipient};
use reel_protocol::Digest;
use tokio::sync::Semaphore;

use self::shrink::{ShrinkError, Shrunk, shrink};
use crate::{
    cache::{Body, CacheError, FindInput, KeepMade, Key, LookUp, NewArtifact},
    domain::{Facts, InputFile},
    memory::{Budget, OverBudget},
    store::{Store, StoreError},
};

/// Allowed lengths of a thumbnail's longest side, in pixels.
const SIDES: RangeInclusive<u32> = 64..=1_024;
/// Part of the key. It changes when the same picture is made smaller in another way.
const KEY_VERSION: &str = "reel thumbnail 1";
/// Name of the provider in the cache entries of thumbnails.
const MAKER: &str = "thumbnail";
/// Most pictures that are made smaller at once. Each may take a large part of the memory budget.
const MOST_AT_ONCE: usize = 4;

/// Why there is no thumbnail.
#[derive(Debug, thiserror::Error)]
pub enum ThumbnailError {
    /// The requested side is shorter or longer than allowed.
    #[error("max_px {0} is not from {least} to {most}", least = SIDES.start(), most = SIDES.end())]
    Size(u32),
    /// The artifact is no picture. The second field is its media type.
    #[error("the artifact {0} is no picture: it is {1}")]
    NoPicture(Digest, String),
    /// The picture cannot be decoded here. The second field is the reason.
    #[error("the picture {0} cannot be decoded here: {1}")]
    Undecodable(Digest, String),
    /// The memory budget has no room for the pixels of the picture.
    #[error("there is not enough memory for the pixels of the picture now")]
    OverMemory(#[source] OverBudget),
    /// The cache does not have the picture, or could not keep the thumbnail.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The journal failed.
    #[error("the thumbnail could not be journaled")]
    Store(#[from] StoreError),
    /// An internal error.
    #[error("{0}")]
    Internal(&'static str),
}

impl From<MailboxError> for ThumbnailError {
    fn from(_: MailboxError) -> Self {
        Self::Internal("the cache is gone")
    }
}

/// What [`Thumbnails`] is built from.
#[derive(Debug)]
pub struct ThumbnailParts {
    /// Finds the pictures and verifies their files.
    pub find_input: Recipient<FindInput>,
    /// Finds the thumbnails that were made before.
    pub look_up: Recipient<LookUp>,
    /// Stores new thumbnails.
    pub keep: Recipient<KeepMade>,
    /// The journal, which gets their rows.
    pub store: Store,
    /// The memory budget, from which the decoded pixels are reserved.
    pub budget: Budget,
}

/// Makes thumbnails. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Thumbnails {
    parts: Arc<ThumbnailParts>,
    permits: Arc<Semaphore>,
}

impl Thumbnails {
    /// Creates it. It makes as many thumbnails at once as there are cores, and at most four.
    pub fn new(parts: ThumbnailParts) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { parts: Arc::new(parts), permits: Arc::new(Semaphore::new(cores.min(MOST_AT_ONCE))) }
    }

    /// Returns the path of a PNG of this picture whose sides are at most `max_px` long. A smaller picture keeps its size.
    pub async fn path(&self, digest: Digest, max_px: u32) -> Result<PathBuf, ThumbnailError> {
        if !SIDES.contains(&max_px) {
            return Err(ThumbnailError::Size(max_px));
        }
        let picture = self.parts.find_input.send(FindInput(digest)).await??;
        if !picture.media_type.starts_with("image/") {
            return Err(ThumbnailError::NoPicture(digest, picture.media_type));
        }
        let key = key(digest, max_px);
        if let Some(path) = self.find_cached(key).await? {
            return Ok(path);
        }
        // The semaphore is never closed. While this request waited, an equal one may have made the thumbnail.
        let _permit = self.permits.acquire().await;
        match self.find_cached(key).await? {
            Some(path) => Ok(path),
            None => self.keep(key, self.shrunk(digest, picture, max_px).await?).await,
        }
    }

    async fn find_cached(&self, key: Key) -> Result<Option<PathBuf>, ThumbnailError> {
        let look_up = LookUp { requests: vec![vec![key]], is_counted: false };
        let found = self.parts.look_up.send(look_up).await?;
        let made = found.into_iter().next().flatten();
        Ok(made.and_then(|made| made.outputs.first().map(|output| PathBuf::from(&output.path))))
    }

    async fn shrunk(
        &self,
        digest: Digest,
        picture: InputFile,
        max_px: u32,
    ) -> Result<NewArtifact, ThumbnailError> {
        let budget = self.parts.budget.clone();
        let shrinking = tokio::task::spawn_blocking(move || shrink(&picture.path, max_px, &budget));
        // A panic of a decoder fails only this request.
        let shrunk =
            shrinking.await.unwrap_or_else(|_| Err(ShrinkError::Damaged("the decoder failed".to_owned())));
        let Shrunk { png, size: (width, height), reservation } = shrunk.map_err(|error| match error {
            ShrinkError::Damaged(why) => ThumbnailError::Undecodable(digest, why),
            ShrinkError::OverMemory(over) => ThumbnailError::OverMemory(over),
        })?;
        let facts = Facts::new("image/png", "png").with_pixels(width, height);
        Ok(NewArtifact { body: Body::Held(png), reservation: Some(reservation), facts })
    }

    async fn keep(&self, key: Key, thumbnail: NewArtifact) -> Result<PathBuf, ThumbnailError> {
        let keep = KeepMade {
            key: Some(key),
            provider: MAKER.to_owned(),
            model: None,
            artifacts: vec![thumbnail],
            notes: Vec::new(),
            make_room: None,
        };
        let kept = self.parts.keep.send(keep).await??;
        let path = kept.made.outputs.first().map(|output| PathBuf::from(&output.path));
        let rows = kept.rows.clone();
        let written = self.parts.store.write(move |connection| rows.write(connection)).await?;
        kept.settle(written);
        path.ok_or(ThumbnailError::Internal("the cache kept nothing"))
    }
}

fn key(digest: Digest, max_px: u32) -> Key {
    let mut hasher = blake3::Hasher::new();
    hasher.update(KEY_VERSION.as_bytes());
    hasher.update(digest.as_bytes());
    hasher.update(&max_px.to_le_bytes());
    *hasher.finalize().as_bytes()
}
