//! The file that keeps the pause of the queue, so that no task starts after a restart until a person resumes the queue.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use tokio::{sync::Mutex, task::spawn_blocking};

use crate::disk::{replace, sync_dir};

/// The content of the file, for people who find it.
const CONTENT: &[u8] = b"The queue of reel is paused: reel resume lets tasks start again.\n";

/// The file `queue_paused` of a home. The queue is paused while it exists.
#[derive(Debug)]
pub struct KeptPause {
    path: PathBuf,
    /// Held while the queue is paused or resumed, so that the file and the queue change in the same order.
    changing: Mutex<()>,
}

impl KeptPause {
    /// Returns the file of this home. Does no I/O.
    pub fn of_home(home: &Path) -> Self {
        Self { path: home.join("queue_paused"), changing: Mutex::new(()) }
    }

    /// Whether the queue was paused and not resumed. If the file system does not say, it was paused, because a task that starts may cost money.
    pub fn is_set(&self) -> bool {
        self.path.try_exists().unwrap_or(true)
    }

    /// Waits until no other change is under way.
    pub async fn lock(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.changing.lock().await
    }

    /// Creates or removes the file. Returns once the change would survive a power loss.
    pub async fn set(&self, is_paused: bool) -> io::Result<()> {
        let path = self.path.clone();
        let changed = spawn_blocking(move || {
            let done = if is_paused { replace(&path, CONTENT) } else { remove(&path) };
            done.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
        });
        changed.await.unwrap_or_else(|error| Err(io::Error::other(error)))
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.and_then(|()| sync_dir(path.parent().ok_or(io::ErrorKind::NotFound)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pause_is_kept_until_it_is_ended_and_a_failed_write_is_an_error() {
        let home = tempfile::tempdir().unwrap();
        let of_home = || KeptPause::of_home(home.path());
        assert!(!of_home().is_set());
        for is_paused in [false, true, true, false] {
            of_home().set(is_paused).await.unwrap();
            assert_eq!(of_home().is_set(), is_paused);
        }
        let nowhere = KeptPause::of_home(&home.path().join("gone"));
        assert!(nowhere.set(true).await.unwrap_err().to_string().contains("queue_paused"));
    }
}
