//! Watches the parts of the home that may be deleted while the daemon runs on: it makes the lock file anew, and reports lost artifacts as a notice.
//!
//! The store's writer thread watches the journal's own files (`store`).

use std::{fs, path::PathBuf, rc::Rc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};

use crate::{disk::identity, ipc::HomeLock, notices::Notices};

/// The interval of the check. Clients read the lock file to find the daemon when its socket does not answer.
const EVERY: Duration = Duration::from_secs(2);

/// Runs until the daemon ends.
pub async fn watch(lock: Rc<HomeLock>, artifacts: PathBuf, notices: Notices) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut known = None;
    loop {
        ticks.tick().await;
        lock.restore();
        // The directory is made with the first artifact, so it may be missing at first.
        let found = fs::metadata(&artifacts).ok().map(|metadata| identity(&metadata));
        if known.is_some() && found != known {
            notices.add_artifacts_lost(&artifacts);
        }
        known = found;
    }
}
