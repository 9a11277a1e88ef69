//! Fetches results that a response only names by URL, with retries. A fetch costs nothing; a new request would be charged again.

use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use reqwest::{Method, Request, StatusCode, Url, header::LOCATION};
use tokio::{
    sync::{Semaphore, oneshot},
    time::{Instant, sleep},
};

use super::{MAX_PICTURE_BYTES, RemoteProvider, reading::OTHER_PICTURES};
use crate::{
    cache::Spooled,
    domain::ProgressSink,
    provider::http::{BodyFault, BodyLimits, Exchange, Reach, SendError, read_file, retry_after},
    secret::Secret,
};

/// Most redirects that are followed for one result.
const MAX_REDIRECTS: usize = 4;
/// The pause before the second try; it doubles each time up to [`LONGEST_PAUSE`]. A new file is often available on all servers within a second.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// How long one try waits for the response headers. The file exists already, so a server that is silent for so long will not answer.
const LONGEST_SILENCE: Duration = Duration::from_mins(1);

/// Shortest validity of the signed URLs that services give out. Before that, a 403 may be temporary.
const SIGNED_FOR: Duration = Duration::from_hours(1);

/// Why a result was not fetched.
#[derive(Debug)]
pub(in crate::provider) struct Unfetched {
    /// The host of the last try. The rest of the URL may be signed and is never shown.
    pub host: String,
    /// Why the last try failed.
    pub reason: String,
    /// The status code of the last response, if there was a response.
    pub status: Option<StatusCode>,
    /// The `Retry-After` of the last response.
    retry_after: Option<Duration>,
    /// Whether trying again is useless.
    is_final: bool,
}

impl Unfetched {
    fn new(url: &Url, reason: impl Into<String>) -> Self {
        let host = url.host_str().unwrap_or("an address without a host").to_owned();
        Self { host, reason: reason.into(), status: None, retry_after: None, is_final: false }
    }

    fn finally(self) -> Self {
        Self { is_final: true, ..self }
    }

    /// Whether the result can be regarded as gone, once the retries are used up. `age` is the time since the URL was named.
    pub fn is_gone(&self, age: Duration) -> bool {
        match self.status {
            Some(StatusCode::NOT_FOUND | StatusCode::GONE) => true,
            // Servers answer 403 to an expired signature as they do to a wrong one.
            Some(StatusCode::FORBIDDEN) => age >= SIGNED_FOR,
            _ => self.is_final,
        }
    }
}

impl RemoteProvider {
    /// Fetches results independently: one that is late or lost does not affect the others. One result is received at a time, as the reservation of
    /// a call covers one response. Returns one entry for each URL, in order.
    pub(super) async fn fetch_all(
        &self,
        urls: &[Url],
        key: Option<&Secret>,
        progress: &ProgressSink,
    ) -> Vec<Result<Spooled, Unfetched>> {
        let turns = Semaphore::new(1);
        // The first five results may stay in memory while they are small: the reservation of a call covers at least five spools.
        let fetch =
            |(number, url)| self.fetch(url, usize::from(number <= OTHER_PICTURES), key, &turns, progress);
        join_all(urls.iter().enumerate().map(fetch)).await
    }

    async fn fetch(
        &self,
        url: &Url,
        in_memory: usize,
        key: Option<&Secret>,
        turns: &Semaphore,
        progress: &ProgressSink,
    ) -> Result<Spooled, Unfetched> {
        // The retry deadline counts from the end of the first try, as that try waits for the semaphore.
        let mut until = None;
        let mut pause = FIRST_PAUSE;
        loop {
            let fetched = {
                // The semaphore is never closed.
                let _turn = turns.acquire().await;
                self.fetch_once(url.clone(), in_memory, key).await
            };
            let until = *until.get_or_insert_with(|| Instant::now() + self.equipment.patience);
            let left = until.saturating_duration_since(Instant::now());
            let missed = match fetched {
                Err(missed) if !missed.is_final && !left.is_zero() => missed,
                fetched => return fetched,
            };
            let wait = pause.max(missed.retry_after.unwrap_or_default()).min(left);
            let seconds = wait.as_secs_f64().ceil();
            let waits = "the result is made; waiting until it can be fetched";
            progress.report(0.5, format!("{waits} (next try in {seconds} s)"));
            tracing::debug!(provider = %self.config.name, host = missed.host, reason = missed.reason, "a result cannot be fetched yet");
            sleep(wait).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Sends a request to a file server, and waits at most [`LONGEST_SILENCE`] for the response headers: a file server answers sooner than a
    /// service that makes pictures. The time counts from when the request leaves.
    async fn send_to_file_server(&self, request: Request, reach: Reach) -> Result<Exchange, SendError> {
        let (leaves, left) = oneshot::channel::<()>();
        let silence = async {
            let _ = left.await;
            sleep(LONGEST_SILENCE).await;
        };
        tokio::select! {
            sent = self.equipment.http.send(request, reach, || drop(leaves)) => sent,
            () = silence => Err(SendError::Late(LONGEST_SILENCE.as_secs())),
        }
    }

    /// Tries once to fetch a result.
    pub(in crate::provider) async fn fetch_once(
        &self,
        mut url: Url,
        in_memory: usize,
        key: Option<&Secret>,
    ) -> Result<Spooled, Unfetched> {
        let limits = BodyLimits { in_memory, pictures: 1, picture_bytes: MAX_PICTURE_BYTES };
        for _ in 0..=MAX_REDIRECTS {
            let missed = |reason: String| Unfetched::new(&url, reason);
            // Send the API key only to the provider's own origin, whatever URL a response names.
            let is_own = url.origin() == self.remote.base_url.origin();
            let reach = if is_own || self.remote.is_local() { Reach::Anywhere } else { Reach::Internet };
            let request = self.request(Method::GET, url.clone(), key.filter(|_| is_own));
            let request = request.map_err(|failure| missed(failure.error.message))?;
            let exchange = match self.send_to_file_server(request, reach).await {
                Ok(exchange) => exchange,
                Err(SendError::Forbidden(reason)) => return Err(missed(reason).finally()),
                Err(error) => return Err(missed(error.to_string())),
            };
            let (status, headers) = (exchange.response.status(), exchange.response.headers());
            if status.is_success() {
                let spools = self.equipment.spools.clone();
                let read = exchange.read_with(|_| (), move |chunks| read_file(chunks, &spools, limits)).await;
                return match read {
                    Some(Ok((spooled, None))) => Ok(spooled),
                    Some(Ok((_, Some(cut)))) => Err(missed(cut)),
                    Some(Err(BodyFault::Disk(error))) => {
                        Err(missed(format!("it came, and could not be written: {error}")))
                    }
                    Some(Err(_)) => Err(missed("it is larger than any picture".to_owned()).finally()),
                    None => Err(missed("reading it failed".to_owned())),
                };
            }
            let target = headers.get(LOCATION).and_then(|value| value.to_str().ok());
            let target = target.filter(|_| status.is_redirection()).map(|target| url.join(target));
            match target {
                Some(Ok(target)) => url = target,
                Some(Err(_)) => return Err(missed("it was sent nowhere".to_owned())),
                None => {
                    let retry_after = retry_after(headers, SystemTime::now());
                    let is_final = status == StatusCode::GONE;
                    let missed = missed(format!("status {status}"));
                    return Err(Unfetched { status: Some(status), retry_after, is_final, ..missed });
                }
            }
        }
        Err(Unfetched::new(&url, "it was sent on too often"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_cannot_come_back_is_gone() {
        let (now, later) = (Duration::ZERO, SIGNED_FOR);
        for (status, at_once, in_an_hour) in [
            (None, false, false),
            (Some(401), false, false),
            (Some(403), false, true),
            (Some(404), true, true),
            (Some(410), true, true),
            (Some(429), false, false),
            (Some(503), false, false),
        ] {
            let status = status.map(|status| StatusCode::from_u16(status).unwrap());
            let url = Url::parse("https://cdn.example/a?sig=secret").unwrap();
            let unfetched = Unfetched { status, ..Unfetched::new(&url, "why") };
            assert_eq!(
                (unfetched.is_gone(now), unfetched.is_gone(later)),
                (at_once, in_an_hour),
                "{status:?}"
            );
            assert!(!format!("{unfetched:?}").contains("secret"));
        }
        let url = Url::parse("file:///etc/passwd").unwrap();
        assert!(Unfetched::new(&url, "it may not be asked").finally().is_gone(now));
    }
}
