//! Checks before anything is asked or paid for whether an output file can be written later.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::{
    failure::Failure,
    save::{self, Existing},
    table,
};

/// Free disk space that is required for a picture of unknown size, in bytes.
pub const PICTURE_BYTES: u64 = 4 * 1024 * 1024;

/// Fails if `path` cannot be written, or exists and may not be replaced.
pub fn check_file(path: &Path, existing: Existing) -> Result<(), Failure> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        // The name is too long, or the file system does not allow it.
        Err(error) => return Err(save::cannot_write(path, &error)),
        Ok(_) if path.is_dir() => {
            return Err(Failure::cannot_create(format!("{} is a directory", table::path(path))));
        }
        Ok(found) if !found.is_file() && !found.is_symlink() => {
            // A rename onto this path would replace the device or the pipe.
            return Err(Failure::cannot_create(format!("{} is not a regular file", table::path(path))));
        }
        Ok(_) if existing == Existing::Keep => return Err(Failure::exists(path)),
        Ok(_) => {}
    }
    save::temporary_beside(path).map(drop)
}

/// Fails if no file can be created in `directory`, or if `name` makes its path too long. An empty path means the current directory.
pub fn check_directory(directory: &Path, name: &str) -> Result<(), Failure> {
    let path = directory.join(name);
    if let Err(error) = path.symlink_metadata()
        && error.kind() == io::ErrorKind::InvalidFilename
    {
        return Err(save::cannot_write(&path, &error));
    }
    save::temporary_beside(&directory.join("any")).map(drop).map_err(|mut failure| {
        let cause =
            failure.error.message.rsplit_once(": ").map_or_else(String::new, |(_, cause)| cause.to_owned());
        failure.error.message = format!("cannot write to {}: {cause}", table::path(&or_current(directory)));
        failure
    })
}

/// Fails if the file system of `directory` has less than `bytes` left for this user.
#[cfg(unix)]
pub fn check_room(directory: &Path, bytes: u64) -> Result<(), Failure> {
    let directory = or_current(directory);
    // Some file systems in user space do not report a size. They return zero blocks.
    let Some(found) = rustix::fs::statvfs(&directory).ok().filter(|found| found.f_blocks > 0) else {
        return Ok(());
    };
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    if free >= bytes {
        return Ok(());
    }
    let (free, bytes) = (crate::units::bytes(free), crate::units::bytes(bytes));
    let shown = table::path(&directory);
    Err(Failure::new(
        crate::exit::Exit::CannotCreate,
        "disk_full",
        format!("the disk of {shown} has {free} of free space, and {bytes} are needed"),
    )
    .hint("free some space, or choose another directory with -o"))
}

/// Does not check free space on other systems. A write to a full disk fails there with its own message.
#[cfg(not(unix))]
pub fn check_room(_directory: &Path, _bytes: u64) -> Result<(), Failure> {
    Ok(())
}

/// Returns `.` for the empty path, which system calls refuse. Other paths are returned as they are.
pub fn or_current(directory: &Path) -> PathBuf {
    if directory.as_os_str().is_empty() { PathBuf::from(".") } else { directory.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    #[test]
    fn what_cannot_be_written_later_is_refused_now() {
        let dir = tempfile::tempdir().unwrap();
        let there = dir.path().join("there.png");
        std::fs::write(&there, "mine").unwrap();
        assert_eq!(check_file(&there, Existing::Keep).unwrap_err().error.code, "output_exists");
        check_file(&there, Existing::Replace).unwrap();
        check_file(&dir.path().join("new.png"), Existing::Keep).unwrap();
        let long = "a".repeat(252) + ".png";
        let deep = "d/".repeat(2100) + "a.png";
        for bad in [
            dir.path().to_owned(),
            dir.path().join("no/such/new.png"),
            there.join("below.png"),
            dir.path().join(long),
            dir.path().join(deep),
        ] {
            assert_eq!(check_file(&bad, Existing::Replace).unwrap_err().exit, Exit::CannotCreate, "{bad:?}");
        }
        check_directory(dir.path(), "a.png").unwrap();
        let missing = check_directory(&dir.path().join("no"), "a.png").unwrap_err();
        assert!(check_directory(dir.path(), &"a".repeat(256)).is_err());
        assert!(missing.error.message.contains("no: No such file"), "{}", missing.error.message);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn links_to_nowhere_and_devices_are_not_replaced_unasked() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link.png");
        std::os::unix::fs::symlink("nowhere", &link).unwrap();
        assert_eq!(check_file(&link, Existing::Keep).unwrap_err().error.code, "output_exists");
        check_file(&link, Existing::Replace).unwrap();
        let socket = dir.path().join("socket.png");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert!(
            check_file(&socket, Existing::Replace).unwrap_err().error.message.contains("not a regular file")
        );
    }

    #[cfg(unix)]
    #[test]
    fn too_little_room_is_said_with_its_numbers() {
        let dir = tempfile::tempdir().unwrap();
        check_room(dir.path(), 1).unwrap();
        let failure = check_room(dir.path(), u64::MAX).unwrap_err();
        assert_eq!((failure.exit, failure.error.code.as_str()), (Exit::CannotCreate, "disk_full"));
    }
}
