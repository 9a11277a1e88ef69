//! Whether a request goes through the environment's proxy, and whether what it asks may be asked through one.
//!
//! A proxy is for the internet: what runs on this machine or in its private network is asked directly, as its key is nobody else's. Through a
//! proxy no connection of ours shows where a name leads, so a name that a service wrote is looked up here first. Where that finds nothing,
//! as behind a firewall whose proxy alone knows the internet's names, the proxy finds no machine of this network under it either.

use std::{collections::HashSet, net::IpAddr, time::Duration};

use reqwest::Url;
use tokio::time::timeout;
use url::Host;

use super::dns::{Reach, Resolver, is_behind_a_name, is_near};

/// Variables that name a proxy.
const VARIABLES: [&str; 6] =
    ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

/// How a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// Past any proxy.
    Direct,
    /// As the environment says.
    Environment,
    /// The same, and only to the internet where it is direct.
    Internet,
}

/// The names, in lower case, of the proxies that the environment names; none where there is no proxy.
pub fn proxy_hosts(variable: impl Fn(&str) -> Option<String>) -> HashSet<String> {
    let host = |text: String| {
        let text = if text.contains("://") { text } else { format!("http://{text}") };
        Url::parse(&text).ok()?.host_str().map(str::to_ascii_lowercase)
    };
    VARIABLES.iter().filter_map(|name| variable(name)).filter_map(host).collect()
}

/// Chooses routes.
#[derive(Debug)]
pub struct Router {
    has_proxy: bool,
    /// Not the one that connections use: this one also remembers what it did not find.
    names: Resolver,
    patience: Duration,
}

impl Router {
    /// One that waits so long for a name, where there is a proxy at all.
    pub fn new(has_proxy: bool, ttl: Duration, patience: Duration) -> Self {
        Self { has_proxy, names: Resolver::new(Reach::Anywhere, ttl), patience }
    }

    /// The route to an address; None if it may not be asked.
    pub async fn route(&self, url: &Url, reach: Reach) -> Option<Route> {
        let addresses = if self.has_proxy { self.addresses(url).await } else { Vec::new() };
        match reach {
            Reach::Anywhere if !addresses.is_empty() && addresses.iter().all(|ip| is_near(*ip)) => {
                Some(Route::Direct)
            }
            Reach::Anywhere => Some(Route::Environment),
            Reach::Internet => addresses.into_iter().all(is_behind_a_name).then_some(Route::Internet),
        }
    }

    /// Where it leads, as far as that can be known here.
    async fn addresses(&self, url: &Url) -> Vec<IpAddr> {
        match url.host() {
            Some(Host::Ipv4(ip)) => vec![ip.into()],
            Some(Host::Ipv6(ip)) => vec![ip.into()],
            Some(Host::Domain(name)) => {
                let found = timeout(self.patience, self.names.addresses(name)).await;
                let found = found.ok().and_then(Result::ok).unwrap_or_else(|| {
                    self.names.remember(name.to_owned(), Vec::new());
                    Vec::new()
                });
                found.into_iter().map(|address| address.ip()).collect()
            }
            None => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_found_however_they_are_written() {
        for (name, value, host) in [
            ("HTTP_PROXY", "http://user:word@localhost:7890/", Some("localhost")),
            ("https_proxy", "proxy.corp:3128", Some("proxy.corp")),
            ("all_proxy", "socks5h://Proxy.Corp", Some("proxy.corp")),
            ("ALL_PROXY", "10.0.0.1:1", Some("10.0.0.1")),
            ("HTTP_PROXY", "", None),
            ("NO_PROXY", "localhost", None),
        ] {
            let hosts = proxy_hosts(|asked| (asked == name).then(|| value.to_owned()));
            assert_eq!(hosts.iter().next().map(String::as_str), host, "{name}={value}");
        }
    }

    #[tokio::test]
    async fn what_is_near_is_asked_directly_and_on_a_services_word_not_at_all() {
        let minute = Duration::from_mins(1);
        let router = Router::new(true, minute, minute);
        for (url, anywhere, internet) in [
            ("http://127.0.0.1:8080/v1", Route::Direct, None),
            ("http://localhost:8080/v1", Route::Direct, None),
            ("http://192.168.1.7/v1", Route::Direct, None),
            ("http://[fd00::1]/v1", Route::Direct, None),
            ("https://93.184.216.34/v1", Route::Environment, Some(Route::Internet)),
        ] {
            let url = Url::parse(url).unwrap();
            assert_eq!(router.route(&url, Reach::Anywhere).await, Some(anywhere), "{url}");
            assert_eq!(router.route(&url, Reach::Internet).await, internet, "{url}");
        }
        let unknown = Url::parse("http://name.invalid/").unwrap();
        router.names.remember("name.invalid".to_owned(), Vec::new());
        assert_eq!(router.route(&unknown, Reach::Anywhere).await, Some(Route::Environment));
        assert_eq!(router.route(&unknown, Reach::Internet).await, Some(Route::Internet));
    }
}
