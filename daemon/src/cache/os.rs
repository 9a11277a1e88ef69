//! The differences between operating systems for the files of artifacts: stamps, and when a renamed file survives a power loss. The branches for
//! systems other than Unix are untested.

use std::{
    fs::{File, Metadata},
    io,
    path::Path,
};

use super::verified::Stamp;
use crate::disk::sync_dir;

/// Syncs the bytes of a file and the name that it was just given, so that both survive a power loss.
pub fn sync_named(file: &File, directory: &Path) -> io::Result<()> {
    if keeps_names(file) {
        return file.sync_all();
    }
    // This syncs the bytes and the length. The times need no sync, because stamps are compared only within one run of the daemon.
    file.sync_data()?;
    sync_dir(directory)
}

/// Returns whether an `fsync` of a renamed file also makes its name durable. ext4, XFS and Btrfs have the rename in the same commit of their log,
/// which POSIX does not require. Syncing the directory as well would only flush the disk once more.
#[cfg(target_os = "linux")]
fn keeps_names(file: &File) -> bool {
    /// The numbers of ext4, XFS and Btrfs in `linux/magic.h`. ext2 and ext3 have the first number too; the driver of ext4 serves them as well.
    const MAGIC: [i64; 3] = [0xef53, 0x5846_5342, 0x9123_683e];
    #[allow(clippy::unnecessary_cast, reason = "it has another type on other machines")]
    rustix::fs::fstatfs(file).is_ok_and(|status| MAGIC.contains(&(status.f_type as i64)))
}

/// It is not known for other systems.
#[cfg(not(target_os = "linux"))]
fn keeps_names(_: &File) -> bool {
    false
}

/// Opens a regular file for reading. Returns None for a link, a directory, or a pipe or device, as opening one of those may block for ever.
#[cfg(unix)]
pub fn open_regular(path: &Path) -> io::Result<Option<File>> {
    use std::os::unix::fs::OpenOptionsExt;
    if !path.symlink_metadata()?.is_file() {
        return Ok(None);
    }
    // The file may have been replaced in between. With these flags the open follows no link and does not block.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    Ok(file.metadata()?.is_file().then_some(file))
}

/// Opens a regular file for reading. Returns None for anything else.
#[cfg(not(unix))]
pub fn open_regular(path: &Path) -> io::Result<Option<File>> {
    if path.symlink_metadata()?.is_file() { File::open(path).map(Some) } else { Ok(None) }
}

/// Returns the stamp with which a change of the file is detected.
#[cfg(unix)]
pub fn stamp(metadata: &Metadata) -> Stamp {
    use std::os::unix::fs::MetadataExt;
    let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
    Stamp {
        modified_ns: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
        changed_ns: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
        size_bytes: metadata.size(),
        inode: metadata.ino(),
    }
}

/// Returns the stamp with which a change of the file is detected.
#[cfg(not(unix))]
pub fn stamp(metadata: &Metadata) -> Stamp {
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    let modified_ns = modified.map_or(0, |time| time.as_nanos() as i128);
    Stamp { modified_ns, changed_ns: 0, size_bytes: metadata.len(), inode: 0 }
}

/// Fills `bytes` from `offset` on.
#[cfg(unix)]
pub fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset)
}

/// Fills `bytes` from `offset` on.
#[cfg(not(unix))]
pub fn read_at(mut file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    use std::io::{Read, Seek};
    file.seek(io::SeekFrom::Start(offset))?;
    file.read_exact(bytes)
}

/// Returns whether the disk could not read the bytes (`EIO`).
#[cfg(unix)]
pub fn is_disk_failure(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EIO)
}

/// The error is not recognised on other systems.
#[cfg(not(unix))]
pub fn is_disk_failure(_: &io::Error) -> bool {
    false
}
