//! Whether a request goes through the environment's proxy, and whether its URL may be requested through one.
//!
//! A proxy is for the internet: a service on this machine or in its private network is asked directly, so that its key goes to nobody else.
//! A connection to a proxy does not show the address of a name, so a name that a service wrote is resolved here first. Behind a firewall,
//! where the proxy alone can resolve names of the internet, the proxy finds no machine of this network under such a name either.

use std::{net::IpAddr, time::Duration};

use reqwest::Url;
use tokio::{net::lookup_host, time::timeout};
use url::Host;

use super::{
    dns::{Reach, is_behind_a_name},
    proxy::{Proxies, Proxy},
};
use crate::near::is_near;

/// How long the resolver may take where its answer only decides whether the proxy is left out. Without an answer the request goes through
/// the proxy.
const NEAR_LOOKUP: Duration = Duration::from_secs(2);

/// The way that a request takes to its server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Which addresses its connection may be made to, where it is made directly.
    pub reach: Reach,
    /// The proxy that it goes through.
    pub proxy: Option<Proxy>,
}

/// Chooses the route of each request.
#[derive(Debug)]
pub struct Router {
    proxies: Proxies,
    /// How long the resolver may take where its answer decides whether a URL may be requested.
    patience: Duration,
}

impl Router {
    /// A router that waits for the resolver at most for `patience`.
    pub const fn new(proxies: Proxies, patience: Duration) -> Self {
        Self { proxies, patience }
    }

    /// The proxies that routes may lead through.
    pub const fn proxies(&self) -> &Proxies {
        &self.proxies
    }

    /// The route to an address; None if it may not be asked.
    pub async fn route(&self, url: &Url, reach: Reach) -> Option<Route> {
        let Some(proxy) = self.proxies.of(url) else { return Some(Route { reach, proxy: None }) };
        let patience = if reach == Reach::Anywhere { NEAR_LOOKUP } else { self.patience };
        let addresses = addresses(url, patience).await;
        let is_near = !addresses.is_empty() && addresses.iter().all(|ip| is_near(*ip));
        let is_allowed = reach == Reach::Anywhere || addresses.into_iter().all(is_behind_a_name);
        is_allowed.then(|| Route { reach, proxy: Some(proxy).filter(|_| !is_near) })
    }
}

/// The addresses of a URL's host; none where the resolver knows none in time.
async fn addresses(url: &Url, patience: Duration) -> Vec<IpAddr> {
    match url.host() {
        Some(Host::Ipv4(ip)) => vec![ip.into()],
        Some(Host::Ipv6(ip)) => vec![ip.into()],
        Some(Host::Domain(name)) => match timeout(patience, lookup_host((name, 0))).await {
            Ok(Ok(addresses)) => addresses.map(|address| address.ip()).collect(),
            Ok(Err(_)) | Err(_) => Vec::new(),
        },
        None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_near_is_asked_directly_and_on_a_services_word_not_at_all() {
        let minute = Duration::from_mins(1);
        let proxies = Proxies::new(|name| (name == "ALL_PROXY").then(|| "http://proxy.corp".to_owned()));
        let router = Router::new(proxies, minute);
        // Whether it goes through the proxy; None where it may not be asked.
        let route = async |url: &Url, reach| {
            let route = router.route(url, reach).await?;
            assert_eq!(route.reach, reach, "{url}");
            Some(route.proxy.is_some())
        };
        for (url, anywhere, internet) in [
            ("http://127.0.0.1:8080/v1", false, None),
            ("http://localhost:8080/v1", false, None),
            ("http://192.168.1.7/v1", false, None),
            ("http://[fd00::1]/v1", false, None),
            ("https://93.184.216.34/v1", true, Some(true)),
        ] {
            let url = Url::parse(url).unwrap();
            assert_eq!(route(&url, Reach::Anywhere).await, Some(anywhere), "{url}");
            assert_eq!(route(&url, Reach::Internet).await, internet, "{url}");
        }
        let unknown = Url::parse("http://name.invalid/").unwrap();
        assert_eq!(route(&unknown, Reach::Anywhere).await, Some(true));
        assert_eq!(route(&unknown, Reach::Internet).await, Some(true));
    }
}
