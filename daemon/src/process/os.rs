//! Marks file descriptors that a program must not inherit.
#![expect(
    unsafe_code,
    reason = "fcntl on a descriptor number has no safe interface; it takes plain numbers and no pointers"
)]

use std::{fs, io};

/// The first file descriptor after standard input, output and error.
const FIRST_OTHER: libc::c_int = 3;

/// Marks every file descriptor after standard error to be closed by the next `exec`.
///
/// The daemon's own descriptors are marked already. This is for those that the daemon itself inherited, such as from a shell.
pub(super) fn close_others_on_exec() -> io::Result<()> {
    for entry in fs::read_dir("/dev/fd")? {
        let Some(descriptor) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        if descriptor >= FIRST_OTHER {
            // SAFETY: the call sets a flag of a descriptor, and does nothing if no file is open under that number.
            unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
    Ok(())
}
