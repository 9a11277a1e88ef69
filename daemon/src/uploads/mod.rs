//! Copies files of programs on this machine into the store, so that tasks can start from them.
//!
//! A file is never moved or linked, so later changes of the original have no effect. The copy checks the owner, the size, and the type by its
//! content. It stays in the store for a day, and as long as an unfinished task names it.

mod file;
mod pieces;

use std::{path::PathBuf, sync::Arc, time::Duration};

use actix::Recipient;
use reel_protocol::{Timestamp, methods::ArtifactPutResult};

pub use self::pieces::Piece;
use self::{
    file::{Copied, copy},
    pieces::{PieceOutcome, Pieces},
};
use crate::{
    budget::{Budget, Holder, OverBudget},
    cache::{Body, CacheError, KeepMade, NewArtifact, Spools},
    domain::Facts,
    media,
    provider::{InspectError, Inspector},
    store::{self, ArtifactRow, Store, StoreError},
};

/// How long an uploaded artifact stays although no task names it.
const PINNED: Duration = Duration::from_hours(24);
/// Largest side of a picture, in pixels.
const MAX_SIDE: u32 = 16_384;
/// Largest file that is accepted, in bytes.
const MAX_BYTES: u64 = 256 * 1024 * 1024;

/// Why a file was refused.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// The path is relative. The daemon does not share the caller's working directory.
    #[error("{} is not an absolute path", .0.display())]
    Relative(PathBuf),
    /// The file could not be opened or read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The path of the file as the client named it.
        path: PathBuf,
        /// The error of the system.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// The copy of the file could not be written.
    #[error("cannot write the copy of {}", path.display())]
    Unwritten {
        /// The path of the file as the client named it.
        path: PathBuf,
        /// The error of the system.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// It is a link, a directory, a pipe or a device.
    #[error("{} is no regular file, but {what}", path.display())]
    NotRegular {
        /// The path of the file as the client named it.
        path: PathBuf,
        /// The kind of the file.
        what: &'static str,
    },
    /// It belongs to another user.
    #[error("{} belongs to another user", .0.display())]
    Foreign(PathBuf),
    /// It has no bytes.
    #[error("{} is empty", .0.display())]
    Empty(PathBuf),
    /// It is too large.
    #[error("{} has more than {limit_bytes} bytes", path.display())]
    TooLarge {
        /// The path of the file as the client named it.
        path: PathBuf,
        /// Largest size that is accepted, in bytes.
        limit_bytes: u64,
    },
    /// It is a picture that cannot be decoded.
    #[error("the picture is cut or damaged, or too large")]
    Picture(#[source] InspectError),
    /// One of its sides is longer than 16,384 pixels, the limit of all decoders here.
    #[error("the picture has {width}×{height} pixels; a side has at most {MAX_SIDE}")]
    TooManyPixels {
        /// The width in pixels.
        width: u32,
        /// The height in pixels.
        height: u32,
    },
    /// A piece cannot be added to an upload. The field is the message.
    #[error("{0}")]
    Piece(String),
    /// As many uploads are under way as are allowed. The field is their number.
    #[error("{0} uploads are under way, and no more can begin")]
    TooMany(usize),
    /// The disk has no room for the copy.
    #[error("the disk has no room for the file")]
    DiskFull,
    /// The memory budget has no room for the check.
    #[error("there is not enough memory to check the file now")]
    OverMemory(#[source] OverBudget),
    /// The cache could not store the file.
    #[error("the file could not be kept")]
    Cache(#[source] CacheError),
    /// The journal failed.
    #[error("the file could not be journaled")]
    Store(#[source] StoreError),
    /// An internal error.
    #[error("{0}")]
    Internal(&'static str),
}

/// Copies files into the store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Uploads {
    spools: Spools,
    inspector: Inspector,
    budget: Budget,
    keep: Recipient<KeepMade>,
    store: Store,
    pieces: Pieces,
}

impl Uploads {
    /// Creates the uploads. Copies are written through `spools`, and `keep` is the cache that stores them.
    pub fn new(spools: Spools, budget: Budget, keep: Recipient<KeepMade>, store: Store) -> Self {
        Self {
            spools,
            inspector: Inspector::new(budget.clone()),
            budget,
            keep,
            store,
            pieces: Pieces::default(),
        }
    }

    /// Copies the file at a path into the store. When it returns, the artifact is on disk and pinned.
    pub async fn put(&self, path: PathBuf) -> Result<ArtifactPutResult, PutError> {
        let copied = self.copied(path).await?;
        self.keep(copied).await
    }

    /// Adds a piece of a file. When it returns after the last piece, the artifact is on disk and pinned.
    pub async fn put_piece(&self, piece: Piece) -> Result<ArtifactPutResult, PutError> {
        let (pieces, spools) = (self.pieces.clone(), self.spools.clone());
        let taking = tokio::task::spawn_blocking(move || pieces.take(&piece, &spools));
        match taking.await.map_err(|_| PutError::Internal("the piece could not be written"))?? {
            PieceOutcome::Partly { upload, received_bytes } => Ok(ArtifactPutResult {
                upload: Some(upload),
                size_bytes: received_bytes,
                ..ArtifactPutResult::default()
            }),
            PieceOutcome::Whole(copied) => self.keep(copied).await,
        }
    }

    async fn keep(&self, copied: Copied) -> Result<ArtifactPutResult, PutError> {
        let artifact = self.inspected(copied).await?;
        let keep = KeepMade {
            key: None,
            provider: String::new(),
            model: None,
            artifacts: vec![artifact],
            notes: Vec::new(),
            make_room: None,
        };
        let kept = self.keep.send(keep).await.map_err(|_| PutError::Internal("the cache is gone"))?;
        let kept = kept.map_err(PutError::Cache)?;
        let (rows, now) = (kept.rows.clone(), Timestamp::now());
        let until = Timestamp::from_unix_ms(now.unix_ms() + PINNED.as_millis() as u64);
        let row = kept.made.outputs.first().map(ArtifactRow::of);
        let row = row.ok_or(PutError::Internal("the cache kept nothing"))?;
        let digest = row.digest;
        let written = self.store.write(move |connection| {
            let written = rows.write(connection)?;
            store::pin(connection, digest, now, until)?;
            Ok(written)
        });
        kept.settle(written.await.map_err(PutError::Store)?);
        let ArtifactRow { digest, media_type, size_bytes, width, height, duration_s, .. } = row;
        let (digest, media_type) = (Some(digest), Some(media_type));
        Ok(ArtifactPutResult { digest, media_type, size_bytes, width, height, duration_s, upload: None })
    }

    async fn copied(&self, path: PathBuf) -> Result<Copied, PutError> {
        let spools = self.spools.clone();
        let copying = tokio::task::spawn_blocking(move || copy(&path, MAX_BYTES, &spools));
        copying.await.map_err(|_| PutError::Internal("the file could not be copied"))?
    }

    /// Checks the copy and finds out its type. Its bytes in memory are reserved in the budget.
    async fn inspected(&self, copied: Copied) -> Result<NewArtifact, PutError> {
        let reserve = |bytes| self.budget.reserve(Holder::Body, bytes).map_err(PutError::OverMemory);
        let reservation = Some(reserve(copied.spooled.memory_bytes())?);
        let (spooled, facts) = if copied.is_picture {
            let (spooled, seen) = self.inspector.inspect(copied.spooled).await.map_err(PutError::Picture)?;
            let facts = Facts::new(seen.media_type, seen.extension);
            let facts = match (seen.width, seen.height) {
                (Some(width), Some(height)) if width.max(height) > MAX_SIDE => {
                    return Err(PutError::TooManyPixels { width, height });
                }
                (Some(width), Some(height)) => facts.with_pixels(width, height),
                _ => facts,
            };
            (spooled, facts)
        } else {
            let _checking = reserve(media::MEMORY_BYTES)?;
            let Copied { spooled, path, .. } = copied;
            let looking = tokio::task::spawn_blocking(move || {
                let inspection =
                    spooled.open().map(|mut file| media::inspect(&mut file, media::Limits::default()));
                (inspection, spooled)
            });
            let (inspection, spooled) =
                looking.await.map_err(|_| PutError::Internal("the file could not be checked"))?;
            let unreadable = |source| PutError::Unreadable { path: path.clone(), source: Arc::new(source) };
            match inspection.map_err(unreadable)? {
                Ok(inspection) => (spooled, inspection.facts),
                Err(media::InspectError::Empty) => return Err(PutError::Empty(path)),
                Err(media::InspectError::Read(source)) => return Err(unreadable(source)),
            }
        };
        Ok(NewArtifact { body: Body::Spooled(spooled), reservation, facts })
    }
}
