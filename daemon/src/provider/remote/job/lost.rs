//! Searches at the service for a job whose submission got no response, before a person is asked.

use reel_protocol::Timestamp;

use super::{Call, Ticket, ask::Short};
use crate::{
    domain::{Class, Failure},
    provider::{jobs::Sought, remote::RemoteProvider},
};

impl RemoteProvider {
    /// Searches for the job of a submission that began at `since`. Returns None if there is no such job and a new one may be submitted.
    ///
    /// A found job is taken only if it asks for the same, is not older, is known to no other task, and is the only such job. Any other job may
    /// belong to somebody else.
    pub(super) async fn look_for_lost(
        &self,
        call: &Call<'_>,
        since: Timestamp,
        ask_if_gone: bool,
    ) -> Result<Option<Ticket>, Failure> {
        let name = &self.config.name;
        call.progress.report(0.0, format!("looking for the job at {name}"));
        let sought = self.search(call, since).await;
        match sought {
            Ok(Some(fields)) => {
                tracing::info!(provider = %name, "a job was found whose submission was not answered");
                self.remember_submitted(call, fields.clone(), since).await;
                Ok(Some(Ticket { fields, submitted_at: since, ask_if_gone, cost_microusd: None }))
            }
            _ if ask_if_gone || !self.config.is_paid => {
                self.forget(&call.jobs).await?;
                Ok(None)
            }
            Ok(None) => Err(self.not_found("no such job is listed there")),
            Err(reason) => Err(self.not_found(&reason)),
        }
    }

    async fn search(
        &self,
        call: &Call<'_>,
        since: Timestamp,
    ) -> Result<Option<crate::domain::JobFields>, String> {
        let Some(request) = call.wire.search() else { return Err("it lists no jobs".to_owned()) };
        let key = self.key().await.map_err(|failure| failure.error.message)?;
        let Short { status, document, .. } = self.ask_shortly(request, key.as_ref()).await?;
        if !status.is_success() {
            return Err(format!("it does not list its jobs (status {})", status.as_u16()));
        }
        let model = call.work.model().or(self.config.model_for(call.work.service()));
        let mut found = call.wire.found(&document, Sought { work: &call.work, model, since });
        found.retain(|fields| !self.equipment.known_jobs.holds(&self.config.name, fields));
        match (found.pop(), found.is_empty()) {
            (Some(fields), true) => Ok(Some(fields)),
            (Some(_), false) => Err("several jobs there ask for the same".to_owned()),
            (None, _) => Ok(None),
        }
    }

    fn not_found(&self, reason: &str) -> Failure {
        let name = &self.config.name;
        let message = format!(
            "a job was submitted to {name}, its answer was lost, and it was not found there: {reason}"
        );
        Failure::new(Class::Ambiguous, message, format!("it may have been paid: look at {name}'s account"))
    }
}
