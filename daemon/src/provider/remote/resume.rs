//! What a provider still holds: journaled before the first fetch, and fetched by a later attempt before the provider is asked again.

use reel_protocol::Timestamp;
use reqwest::Url;

use super::{RemoteProvider, fetch::Unfetched};
use crate::{
    cache::Spooled,
    domain::{Class, Failure, JobSink, ProgressSink, RemoteJob},
    secret::Secret,
};

/// What an attempt reports to.
#[derive(Clone, Copy)]
pub(super) struct Sinks<'a> {
    /// Where the attempt reports how far it is.
    pub progress: &'a ProgressSink,
    /// Where the attempt journals what the provider holds for it.
    pub jobs: &'a JobSink,
}

impl RemoteProvider {
    /// Fetches results that an answer has just named. Their addresses are on disk before.
    pub(super) async fn fetch_named(
        &self,
        urls: &[Url],
        key: Option<&Secret>,
        sinks: Sinks<'_>,
    ) -> Vec<Result<Spooled, Unfetched>> {
        if urls.is_empty() {
            return Vec::new();
        }
        // Where the journal refuses it, as on a full disk, the results are fetched all the same: this attempt still knows them.
        let _ =
            sinks.jobs.remember(Some(RemoteJob::results(&self.config.name, urls, Timestamp::now()))).await;
        self.fetch_all(urls, key, sinks.progress).await
    }

    /// The results of an earlier attempt. None where they cannot be had and the provider may be asked again: from then on the journal knows
    /// nothing of them.
    pub(super) async fn resume(
        &self,
        job: &RemoteJob,
        sinks: Sinks<'_>,
    ) -> Result<Option<Vec<Spooled>>, Failure> {
        // Pictures come from no service that is polled.
        let RemoteJob::Results { urls, named_at, ask_if_gone, .. } = job else { return Ok(None) };
        let urls: Vec<_> = urls.iter().filter_map(|url| Url::parse(url).ok()).collect();
        // What lies elsewhere needs no key.
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
        // Before the request leaves: a restart must not take what it pays for to be where the former results were.
        if !sinks.jobs.remember(None).await {
            let message = "that the results are gone could not be journaled, so nothing was asked for";
            return Err(Failure::new(Class::Transient(None), message, "reel daemon logs says more"));
        }
        Ok(None)
    }

    /// Says that some results were left out: what is good was paid with the rest, and is kept.
    pub(super) fn warn_of_missing(&self, kept: usize, count: usize, error: &str) {
        tracing::warn!(provider = %self.config.name, error, "{kept} of {count} results are kept, the others are missing");
    }

    /// Why the results of an attempt are not here, though they were made.
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
