//! Results that the provider still has: their URLs are journaled before the first fetch, and a later attempt fetches them before it sends a new
//! request.

use reel_protocol::Timestamp;
use reqwest::Url;

use super::{RemoteProvider, fetch::Unfetched};
use crate::{
    cache::Spooled,
    domain::{Class, Failure, JobSink, ProgressSink, RemoteJob},
    secret::Secret,
};

/// The channels to which an attempt reports.
#[derive(Clone, Copy)]
pub(super) struct Sinks<'a> {
    /// Receives the progress of the attempt.
    pub progress: &'a ProgressSink,
    /// Journals what the provider holds for the attempt.
    pub jobs: &'a JobSink,
}

impl RemoteProvider {
    /// Journals the URLs that a response has just named, then fetches the results. Returns one entry for each URL, in order.
    pub(super) async fn fetch_named(
        &self,
        urls: &[Url],
        key: Option<&Secret>,
        sinks: Sinks<'_>,
    ) -> Vec<Result<Spooled, Unfetched>> {
        if urls.is_empty() {
            return Vec::new();
        }
        // If the journal refuses the write, as on a full disk, fetch the results all the same: this attempt still knows the URLs.
        let _ =
            sinks.jobs.remember(Some(RemoteJob::results(&self.config.name, urls, Timestamp::now()))).await;
        self.fetch_all(urls, key, sinks.progress).await
    }

    /// Fetches the results of an earlier attempt. Returns None if they cannot be fetched and a new request is allowed; the journal entry is removed
    /// before.
    pub(super) async fn resume(
        &self,
        job: &RemoteJob,
        sinks: Sinks<'_>,
    ) -> Result<Option<Vec<Spooled>>, Failure> {
        // Kinds without jobs have only `Results`. Any other form is from a kind that had this name before.
        let RemoteJob::Results { urls, named_at, ask_if_gone, .. } = job else { return Ok(None) };
        let urls: Vec<_> = urls.iter().filter_map(|url| Url::parse(url).ok()).collect();
        // The key may be missing: results on other hosts are fetched without it.
        let key = self.key().await.unwrap_or_default();
        sinks.progress.report(0.5, format!("fetching what {} has made", self.config.name));
        let (mut fetched, mut missed) = (Vec::new(), Vec::new());
        for result in self.fetch_all(&urls, key.as_ref(), sinks.progress).await {
            match result {
                Ok(spooled) => fetched.push(spooled),
                Err(unfetched) => missed.push(unfetched),
            }
        }
        let count = fetched.len() + missed.len();
        let age = Timestamp::now().since(*named_at);
        let is_gone = missed.iter().all(|unfetched| unfetched.is_gone(age));
        let Some(last) = missed.pop() else { return Ok(Some(fetched)) };
        if !fetched.is_empty() {
            self.warn_of_missing(fetched.len(), count, &self.unfetched(last).error.message);
            return Ok(Some(fetched));
        }
        if self.config.is_paid && !(*ask_if_gone && is_gone) {
            return Err(self.unfetched(last));
        }
        tracing::info!(provider = %self.config.name, host = last.host, reason = last.reason, "the results of an earlier attempt cannot be fetched, so the provider is asked again");
        // Remove the entry before the new request leaves: a restart must not fetch the former URLs for a request that was paid later.
        if !sinks.jobs.remember(None).await {
            let message = "that the results are gone could not be journaled, so nothing was asked for";
            return Err(Failure::new(Class::Transient(None), message, "reel daemon logs shows the cause"));
        }
        Ok(None)
    }

    /// Logs that some results are missing. The others were paid too, and are kept.
    pub(super) fn warn_of_missing(&self, kept: usize, count: usize, error: &str) {
        tracing::warn!(provider = %self.config.name, error, "{kept} of {count} results are kept, the others are missing");
    }

    /// The failure when results were made and could not be fetched.
    pub(super) fn unfetched(&self, unfetched: Unfetched) -> Failure {
        let Unfetched { host, reason, status, .. } = unfetched;
        let (name, seconds) = (&self.config.name, self.equipment.patience.as_secs());
        let message = format!(
            "{name} made the picture, and it could not be fetched from {host}, tried for {seconds} s: {reason}"
        );
        let hint = "it is fetched again before the provider is asked again";
        let failure = Failure::new(Class::Ambiguous, message, hint);
        match status {
            Some(status) => failure.status(status.as_u16()),
            None => failure,
        }
    }
}
