//! Ends an idle daemon that a client started.

use std::time::Duration;

use tokio::time::Instant;

use crate::{tasks::GetTaskCounts, wiring::Rooms};

/// How long the daemon stays without work and without connections.
const IDLE: Duration = Duration::from_mins(30);

/// The interval of the check.
const IDLE_CHECK_INTERVAL: Duration = Duration::from_mins(1);

/// Waits until there was neither work nor a connection for 30 minutes.
pub async fn for_long(rooms: &Rooms) {
    let mut worked = Instant::now();
    loop {
        tokio::time::sleep(IDLE_CHECK_INTERVAL).await;
        let is_idle = rooms.counts.send(GetTaskCounts).await.is_ok_and(|counts| counts.is_idle);
        // A server that was started is stopped by this daemon, because the next one may come much later.
        if !is_idle || rooms.router.open_connections() > 0 || rooms.providers.will_stop_a_server() {
            worked = Instant::now();
        }
        if worked.max(rooms.router.last_activity()).elapsed() >= IDLE {
            return;
        }
    }
}
