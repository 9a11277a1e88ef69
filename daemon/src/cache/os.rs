//! What operating systems do differently with the files of artifacts: stamps, and when a renamed file survives a power loss. The branches
//! for other systems than Unix are untested.

use std::{
    fs::{File, Metadata},
    io,
    path::Path,
};

use super::verified::Stamp;
use crate::disk::sync_dir;

/// Makes the bytes of a file and the name that it was just given outlast a power loss.
pub fn sync_named(file: &File, directory: &Path) -> io::Result<()> {
    if keeps_names(file) {
        return file.sync_all();
    }
    // The bytes and their number: nobody asks for the times of a daemon before this one.
    file.sync_data()?;
    sync_dir(directory)
}

/// Whether the file system has a renamed file and its names in one commit of its log, which `fsync` of the file waits for: so ext4, XFS and
/// Btrfs do, beyond what POSIX asks of them. Syncing the directory as well would only flush the disk once more.
#[cfg(target_os = "linux")]
fn keeps_names(file: &File) -> bool {
    /// Their numbers in `linux/magic.h`; the first one is that of ext2 and ext3 as well, which ext4 serves too.
    const MAGIC: [i64; 3] = [0xef53, 0x5846_5342, 0x9123_683e];
    #[allow(clippy::unnecessary_cast, reason = "it has another type on other machines")]
    rustix::fs::fstatfs(file).is_ok_and(|status| MAGIC.contains(&(status.f_type as i64)))
}

/// It is not known of those there.
#[cfg(not(target_os = "linux"))]
fn keeps_names(_: &File) -> bool {
    false
}

/// Opens a file for reading; None where something else is there: a link, a directory, or a pipe or device, whose opening may wait for ever.
#[cfg(unix)]
pub fn open_regular(path: &Path) -> io::Result<Option<File>> {
    use std::os::unix::fs::OpenOptionsExt;
    if !path.symlink_metadata()?.is_file() {
        return Ok(None);
    }
    // It may be another by now: then the opening follows no link and waits for nobody.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    Ok(file.metadata()?.is_file().then_some(file))
}

/// Opens a file for reading; None where a directory is there.
#[cfg(not(unix))]
pub fn open_regular(path: &Path) -> io::Result<Option<File>> {
    if path.symlink_metadata()?.is_file() { File::open(path).map(Some) } else { Ok(None) }
}

/// What tells a file from a changed one.
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

/// What tells a file from a changed one.
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

/// Whether the disk itself cannot give the bytes back.
#[cfg(unix)]
pub fn is_disk_failure(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EIO)
}

/// Not told apart there.
#[cfg(not(unix))]
pub fn is_disk_failure(_: &io::Error) -> bool {
    false
}
