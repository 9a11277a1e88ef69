//! Pictures that an answer only names: fetched while they are there, from where they may be.

use reqwest::{Method, Url, header::LOCATION};

use super::{MAX_PICTURE_BYTES, RemoteParts};
use crate::{
    cache::Spooled,
    provider::{
        class::Failure,
        http::{BodyLimits, Reach, SendError, read_file},
    },
    secret::Secret,
};

/// Addresses that a picture may be sent on to.
const MAX_REDIRECTS: usize = 4;
/// How often a picture is fetched that was made and lies somewhere: fetching costs nothing, and asking anew would.
const FETCHES: u32 = 3;

impl RemoteParts {
    /// Fetches a picture that was made, so often that a passing fault does not lose it.
    pub(super) async fn fetch(&self, url: Url, key: Option<&Secret>) -> Result<Spooled, Failure> {
        let mut fetched = self.fetch_once(url.clone(), key).await;
        for _ in 1..FETCHES {
            if fetched.is_ok() {
                break;
            }
            fetched = self.fetch_once(url.clone(), key).await;
        }
        fetched
            .map_err(|reason| self.lost(&format!("the picture was made, and could not be fetched: {reason}")))
    }

    async fn fetch_once(&self, mut url: Url, key: Option<&Secret>) -> Result<Spooled, String> {
        let limits = BodyLimits { texts: 0, picture_bytes: MAX_PICTURE_BYTES };
        for _ in 0..=MAX_REDIRECTS {
            // The key goes to the provider's own address and nowhere else, whatever an answer says.
            let is_own = url.origin() == self.config.base_url.origin();
            let reach = if is_own || self.config.is_local() { Reach::Anywhere } else { Reach::Internet };
            let request = self.request(Method::GET, url.clone(), key.filter(|_| is_own));
            let request = request.map_err(|failure| failure.error.message)?;
            let exchange = self.http.send(request, reach, || {}).await.map_err(|error| match error {
                SendError::NotSent(reason) | SendError::Lost(reason) => reason,
            })?;
            let status = exchange.response.status();
            if status.is_redirection() {
                let target = exchange.response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
                url = target.and_then(|target| url.join(target).ok()).ok_or("it was sent nowhere")?;
            } else if status.is_success() {
                let spools = self.spools.clone();
                let read = exchange.read_with(|_| (), move |chunks| read_file(chunks, &spools, limits)).await;
                return match self.read(read).map_err(|failure| failure.error.message)? {
                    (_, Some(cut)) => Err(cut),
                    (spooled, None) => Ok(spooled),
                };
            } else {
                return Err(format!("status {status}"));
            }
        }
        Err("it was sent on too often".to_owned())
    }
}
