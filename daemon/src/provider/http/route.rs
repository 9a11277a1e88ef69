//! Decides whether a request goes through the proxy that the environment names, and whether its URL may be requested through a proxy.
//!
//! A proxy is for the internet: requests to a service on this machine or in its private network go directly, so that nobody else sees the
//! key. A connection to a proxy does not show the address of a host name, so a host name that a service wrote is resolved here first. If it
//! cannot be resolved, the request is allowed: behind a firewall, where only the proxy can resolve names of the internet, the proxy does not
//! find a host of this network under such a name either.

use std::{net::IpAddr, time::Duration};

use reqwest::Url;
use tokio::{net::lookup_host, time::timeout};
use url::Host;

use super::{
    dns::{Reach, is_behind_a_name},
    proxy::{Proxies, Proxy},
};
use crate::near::is_near;

/// How long the resolver may take if its result only decides whether the request bypasses the proxy. Without a result the request goes
/// through the proxy.
const NEAR_LOOKUP: Duration = Duration::from_secs(2);

/// How a request reaches its server: directly or through a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Which addresses a direct connection may be made to.
    pub reach: Reach,
    /// The proxy that the request goes through. None if it goes directly.
    pub proxy: Option<Proxy>,
}

/// Chooses the route of each request.
#[derive(Debug)]
pub struct Router {
    proxies: Proxies,
    /// How long the resolver may take if its result decides whether a URL may be requested.
    patience: Duration,
}

impl Router {
    /// A router for these proxies. It waits for the resolver at most for `patience` if the result decides whether a URL may be requested.
    pub const fn new(proxies: Proxies, patience: Duration) -> Self {
        Self { proxies, patience }
    }

    /// The proxies that requests may go through.
    pub const fn proxies(&self) -> &Proxies {
        &self.proxies
    }

    /// Chooses the route of a request to a URL. None if the URL may not be requested.
    pub async fn route(&self, url: &Url, reach: Reach) -> Option<Route> {
        let Some(proxy) = self.proxies.of(url) else { return Some(Route { reach, proxy: None }) };
        let patience = if reach == Reach::Anywhere { NEAR_LOOKUP } else { self.patience };
        let addresses = addresses(url, patience).await;
        let is_near = !addresses.is_empty() && addresses.iter().all(|ip| is_near(*ip));
        let is_allowed = reach == Reach::Anywhere || addresses.into_iter().all(is_behind_a_name);
        is_allowed.then(|| Route { reach, proxy: Some(proxy).filter(|_| !is_near) })
    }
}

/// Resolves the host of a URL. Returns no addresses if the resolver fails or takes longer than `patience`.
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
        // Whether the request goes through the proxy. None if the URL may not be requested.
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
