//! Knows the temporary files and the programs of results that are being written, so that an interrupted command leaves neither behind. A blocking
//! thread cannot be stopped, but after [`abandon`] it can write no file under its final name.

use std::{
    io,
    path::{Path, PathBuf},
    process::Child,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

static UNFINISHED: Mutex<Unfinished> =
    Mutex::new(Unfinished { is_abandoned: false, files: Vec::new(), programs: Vec::new() });

struct Unfinished {
    is_abandoned: bool,
    /// Temporary files that were not renamed. Some may be removed already.
    files: Vec<PathBuf>,
    /// Programs that convert a result.
    programs: Vec<Weak<Mutex<Child>>>,
}

fn lock() -> MutexGuard<'static, Unfinished> {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Adds a temporary file. Fails if the command was interrupted, and the caller must remove the file.
pub fn add_file(path: &Path) -> io::Result<()> {
    let mut unfinished = lock();
    if unfinished.is_abandoned {
        return Err(interrupted());
    }
    unfinished.files.push(path.to_owned());
    Ok(())
}

/// Renames a temporary file with `rename`, unless the command was interrupted.
pub fn rename<T>(temporary: &Path, rename: impl FnOnce() -> T) -> io::Result<T> {
    let mut unfinished = lock();
    if unfinished.is_abandoned {
        return Err(interrupted());
    }
    unfinished.files.retain(|path| path != temporary);
    Ok(rename())
}

/// Adds a program that has been started. Kills it if the command was interrupted.
pub fn add_program(program: &Arc<Mutex<Child>>) {
    let mut unfinished = lock();
    if unfinished.is_abandoned {
        kill(program);
    }
    unfinished.programs.retain(|program| program.strong_count() > 0);
    unfinished.programs.push(Arc::downgrade(program));
}

/// Removes the temporary files and kills the programs. Afterwards nothing is renamed any more.
pub fn abandon() {
    let mut unfinished = lock();
    unfinished.is_abandoned = true;
    unfinished.programs.drain(..).filter_map(|program| program.upgrade()).for_each(|program| kill(&program));
    for path in unfinished.files.drain(..) {
        // Most are gone already, because their owner removed them.
        let _ = std::fs::remove_file(path);
    }
}

fn kill(program: &Mutex<Child>) {
    // The lock is held only by a thread that waits for a program that has closed its output, and so is about to end.
    if let Ok(mut program) = program.try_lock() {
        let _ = program.kill();
    }
}

fn interrupted() -> io::Error {
    io::Error::new(io::ErrorKind::Interrupted, "the command was interrupted")
}
