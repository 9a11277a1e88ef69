//! Has the server unload its models when memory is short.

use serde_json::json;

use super::{ComfyProvider, server::Ask};

impl ComfyProvider {
    /// Asks a server on this machine to unload its models and to drop its caches. It does so when the job that it runs for another program has ended.
    pub(super) async fn unload(&self) {
        if !self.core.may_unload() {
            return;
        }
        let quiet = Self { core: self.core.without_machine(), settings: self.settings.clone() };
        let body = json!({ "unload_models": true, "free_memory": true });
        let reply = quiet.ask(Ask::post(&["free"], &body), || ()).await;
        let outcome = match reply {
            Ok(reply) if reply.status.is_success() => Ok(()),
            Ok(reply) => Err(format!("status {}: {}", reply.status.as_u16(), reply.beginning())),
            Err(unanswered) => Err(unanswered.reason()),
        };
        self.core.report_unloaded(outcome);
    }
}
