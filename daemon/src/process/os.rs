//! Marks descriptors that a program must not inherit.
#![expect(
    unsafe_code,
    reason = "fcntl on a descriptor number has no safe interface; it takes plain numbers and no pointers"
)]

use std::{fs, io};

/// The first descriptor after standard input, output and error.
const FIRST_OTHER: libc::c_int = 3;

/// Marks every descriptor beyond standard error to be closed by the next `exec`.
///
/// The daemon's own descriptors are marked already; this is for those that the daemon itself inherited, such as a shell's.
pub(super) fn close_others_on_exec() -> io::Result<()> {
    for entry in fs::read_dir("/dev/fd")? {
        let Some(descriptor) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        if descriptor >= FIRST_OTHER {
            // SAFETY: it sets a flag of a number, and does nothing where no file is open under that number.
            unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
    Ok(())
}
