//! Copies one file into a spool. The path comes from another program, so it is opened with care and copied only up to a limit. Blocks.

use std::{
    fs::File,
    io::{self, ErrorKind, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::PutError;
use crate::{
    cache::{Spooled, Spools},
    media::picture_type::{self, of_picture},
};

/// Size of the read buffer, in bytes.
const PIECE_BYTES: usize = 64 * 1024;

/// A copy of a file.
#[derive(Debug)]
pub(super) struct Copied {
    /// The path of the file.
    pub path: PathBuf,
    /// The copy of the file, on the disk of the artifacts or in memory.
    pub spooled: Spooled,
    /// Whether its first bytes are those of a picture.
    pub is_picture: bool,
}

/// Copies the file at a path. Refuses links, everything else that is no regular file, files of other users, and files with more than `limit_bytes`.
pub(super) fn copy(path: &Path, limit_bytes: u64, spools: &Spools) -> Result<Copied, PutError> {
    if !path.is_absolute() {
        return Err(PutError::Relative(path.to_owned()));
    }
    let mut file = open(path)?;
    let unreadable = |source| PutError::Unreadable { path: path.to_owned(), source: Arc::new(source) };
    let too_large = || PutError::TooLarge { path: path.to_owned(), limit_bytes };
    let size_bytes = file.metadata().map_err(unreadable)?.len();
    if size_bytes > limit_bytes {
        return Err(too_large());
    }
    if !spools.has_room(size_bytes) {
        return Err(PutError::DiskFull);
    }
    let mut spool = spools.create();
    let mut head = Vec::new();
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let length = match file.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(unreadable(error)),
        };
        let bytes = piece.get(..length).unwrap_or_default();
        if head.len() < picture_type::HEAD_BYTES {
            head.extend_from_slice(
                bytes.get(..bytes.len().min(picture_type::HEAD_BYTES)).unwrap_or_default(),
            );
        }
        spool.write_all(bytes).map_err(|error| not_written(path, error))?;
        // The file may grow while it is read.
        if spool.size_bytes() > limit_bytes {
            return Err(too_large());
        }
    }
    if spool.size_bytes() == 0 {
        return Err(PutError::Empty(path.to_owned()));
    }
    let is_picture = of_picture(&head).is_some_and(|picture| picture.is_certain);
    let spooled = spool.finish().map_err(|error| not_written(path, error))?;
    Ok(Copied { path: path.to_owned(), spooled, is_picture })
}

pub(super) fn not_written(path: &Path, source: io::Error) -> PutError {
    match source.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => PutError::DiskFull,
        _ => PutError::Unwritten { path: path.to_owned(), source: Arc::new(source) },
    }
}

/// Opens a regular file of the daemon's own user. The program that names the path must not make the daemon follow a link, wait for a pipe, or read a
/// file that only another user may read.
#[cfg(unix)]
fn open(path: &Path) -> Result<File, PutError> {
    use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};

    let not_regular = |what| PutError::NotRegular { path: path.to_owned(), what };
    let unreadable = |source| PutError::Unreadable { path: path.to_owned(), source: Arc::new(source) };
    let opened = File::options().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => return Err(not_regular("a link")),
        Err(error) => return Err(unreadable(error)),
    };
    let metadata = file.metadata().map_err(unreadable)?;
    if metadata.is_dir() {
        return Err(not_regular("a directory"));
    }
    if !metadata.is_file() {
        return Err(not_regular("a pipe or a device"));
    }
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(PutError::Foreign(path.to_owned()));
    }
    Ok(file)
}

/// Opens a file. Untested. The owner of a file is checked on Unix only.
#[cfg(not(unix))]
fn open(path: &Path) -> Result<File, PutError> {
    let opened = File::open(path);
    opened.map_err(|source| PutError::Unreadable { path: path.to_owned(), source: Arc::new(source) })
}
