//! What of the home may be deleted under the running daemon without ending it: the lock file is made anew, and lost artifacts are told.
//!
//! The journal's own files are watched by its writer (`store`).

use std::{fs, path::PathBuf, rc::Rc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};

use crate::{disk::identity, ipc::HomeLock, notices::Notices};

/// How often: clients look for the daemon by its lock file where its socket does not answer.
const EVERY: Duration = Duration::from_secs(2);

/// Watches until the daemon ends.
pub async fn watch(lock: Rc<HomeLock>, artifacts: PathBuf, notices: Notices) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut known = None;
    loop {
        ticks.tick().await;
        lock.restore();
        // It is made with the first artifact.
        let found = fs::metadata(&artifacts).ok().map(|metadata| identity(&metadata));
        if known.is_some() && found != known {
            notices.add_artifacts_lost(&artifacts);
        }
        known = found;
    }
}
