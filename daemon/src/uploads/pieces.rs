//! Receives files in pieces over the socket, from programs whose files the daemon cannot open. Each piece is written to a temporary file at once.
//!
//! When too many uploads are open, a new one replaces those that got no piece for some minutes. Other abandoned uploads stay until the daemon ends.

use std::{
    collections::BTreeMap,
    io::Write as _,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use reel_protocol::limits::PUT_BYTES;
use tokio::time::Instant;

use super::{
    MAX_BYTES, PutError,
    file::{Copied, not_written},
};
use crate::{
    cache::{Spool, Spools},
    media::picture_type::{self, of_picture},
};

/// Most open uploads.
const MOST: usize = 16;
/// Time without a piece after which an upload may be removed in favour of a new one.
const ABANDONED_AFTER: Duration = Duration::from_mins(5);

/// A piece of a file.
#[derive(Debug)]
pub struct Piece {
    /// The upload of the piece; None begins a new one.
    pub upload: Option<u64>,
    /// Offset of the piece in the file, in bytes.
    pub offset: u64,
    /// The bytes of the piece.
    pub data: Vec<u8>,
    /// Whether it is the last piece.
    pub is_last: bool,
}

/// The outcome of a piece.
#[derive(Debug)]
pub(super) enum PieceOutcome {
    /// The piece was added, and more must follow.
    Partly {
        /// The upload's number.
        upload: u64,
        /// Bytes that were received so far.
        received_bytes: u64,
    },
    /// The file is complete.
    Whole(Copied),
}

/// The open uploads. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Pieces(Arc<Mutex<OpenUploads>>);

#[derive(Debug, Default)]
struct OpenUploads {
    next: u64,
    uploads: BTreeMap<u64, Upload>,
}

#[derive(Debug)]
struct Upload {
    spool: Spool,
    head: Vec<u8>,
    touched: Instant,
}

impl Pieces {
    /// Adds a piece to its upload, or begins an upload with it. Blocks on the disk. A piece that is too long or has a wrong offset is refused and the
    /// upload stays. Any other error ends the upload.
    pub(super) fn take(&self, piece: &Piece, spools: &Spools) -> Result<PieceOutcome, PutError> {
        if piece.data.len() > PUT_BYTES {
            return Err(PutError::Piece(format!("a piece has at most {PUT_BYTES} bytes")));
        }
        let (number, mut upload) = self.begin_or_go_on(piece.upload, spools)?;
        let received = upload.spool.size_bytes();
        if piece.offset != received {
            let message = format!("the piece begins at {}, and {received} bytes came before", piece.offset);
            self.open().uploads.insert(number, upload);
            return Err(PutError::Piece(message));
        }
        let path = PathBuf::from("the upload");
        if received + piece.data.len() as u64 > MAX_BYTES {
            return Err(PutError::TooLarge { path, limit_bytes: MAX_BYTES });
        }
        if !spools.has_room(piece.data.len() as u64) {
            return Err(PutError::DiskFull);
        }
        let wanted = picture_type::HEAD_BYTES.saturating_sub(upload.head.len());
        upload.head.extend(piece.data.iter().take(wanted));
        upload.spool.write_all(&piece.data).map_err(|error| not_written(&path, error))?;
        if !piece.is_last {
            upload.touched = Instant::now();
            let received_bytes = upload.spool.size_bytes();
            self.open().uploads.insert(number, upload);
            return Ok(PieceOutcome::Partly { upload: number, received_bytes });
        }
        if upload.spool.size_bytes() == 0 {
            return Err(PutError::Empty(path));
        }
        let is_picture = of_picture(&upload.head).is_some_and(|picture| picture.is_certain);
        let spooled = upload.spool.finish().map_err(|error| not_written(&path, error))?;
        Ok(PieceOutcome::Whole(Copied { path, spooled, is_picture }))
    }

    /// Removes the upload from the table while a piece of it is written, or begins one. A concurrent piece of the same upload does not find it.
    fn begin_or_go_on(&self, upload: Option<u64>, spools: &Spools) -> Result<(u64, Upload), PutError> {
        let mut open = self.open();
        if let Some(number) = upload {
            let found = open.uploads.remove(&number).map(|upload| (number, upload));
            return found.ok_or_else(|| PutError::Piece(format!("there is no upload {number}")));
        }
        if open.uploads.len() >= MOST {
            let now = Instant::now();
            open.uploads.retain(|_, upload| now.duration_since(upload.touched) < ABANDONED_AFTER);
        }
        if open.uploads.len() >= MOST {
            return Err(PutError::TooMany(MOST));
        }
        open.next += 1;
        let upload = Upload { spool: spools.create_file(), head: Vec::new(), touched: Instant::now() };
        Ok((open.next, upload))
    }

    fn open(&self) -> MutexGuard<'_, OpenUploads> {
        // No code under the lock can leave the table half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
