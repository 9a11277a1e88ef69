//! Names and addresses: looked up once in a while, and only those that a request may go to.

use std::{
    collections::{HashMap, HashSet},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use reqwest::{
    Url,
    dns::{Addrs, Name, Resolve, Resolving},
};
use url::Host;

/// Names whose addresses are remembered: one or two for each provider.
const MAX_NAMES: usize = 256;

/// Where a request may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reach {
    /// Anywhere: the user wrote the address.
    Anywhere,
    /// The internet: a service wrote the address, and must not make us ask what only this machine and its network can reach.
    Internet,
}

impl Reach {
    fn allows(self, ip: IpAddr) -> bool {
        self == Self::Anywhere || is_public(ip)
    }
}

/// Whether an address as it is written may be asked; a name is looked at when it is resolved.
pub fn is_reachable(url: &Url, reach: Reach) -> bool {
    matches!(url.scheme(), "http" | "https")
        && match url.host() {
            Some(Host::Ipv4(ip)) => reach.allows(ip.into()),
            Some(Host::Ipv6(ip)) => reach.allows(ip.into()),
            Some(Host::Domain(_)) => true,
            None => false,
        }
}

/// What a name led to, and when.
type Found = (Instant, Vec<SocketAddr>);

/// Looks names up and remembers what it found.
#[derive(Debug, Clone)]
pub struct Resolver {
    reach: Reach,
    ttl: Duration,
    found: Arc<Mutex<HashMap<String, Found>>>,
    /// Names that the user wrote, in lower case, which lead anywhere.
    own: Arc<HashSet<String>>,
}

impl Resolver {
    /// A resolver that remembers for so long.
    pub fn new(reach: Reach, ttl: Duration) -> Self {
        Self { reach, ttl, found: Arc::default(), own: Arc::default() }
    }

    /// The same, to which these names may lead anywhere: those of the user's own proxies.
    #[must_use]
    pub fn with_own(mut self, own: HashSet<String>) -> Self {
        self.own = Arc::new(own);
        self
    }

    /// All that a name leads to.
    pub async fn addresses(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        if let Some(addresses) = self.remembered(name) {
            return Ok(addresses);
        }
        let found: Vec<_> = tokio::net::lookup_host((name, 0)).await?.collect();
        self.remember(name.to_owned(), found.clone());
        Ok(found)
    }

    fn remembered(&self, name: &str) -> Option<Vec<SocketAddr>> {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.get(name).filter(|(at, _)| at.elapsed() < self.ttl).map(|(_, addresses)| addresses.clone())
    }

    /// Remembers what a name leads to.
    pub fn remember(&self, name: String, addresses: Vec<SocketAddr>) {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if found.len() >= MAX_NAMES {
            found.clear();
        }
        found.insert(name, (Instant::now(), addresses));
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            let name = name.as_str();
            let addresses = resolver.addresses(name).await?;
            let reach = if resolver.own.contains(&name.to_ascii_lowercase()) {
                Reach::Anywhere
            } else {
                resolver.reach
            };
            let allowed: Vec<_> =
                addresses.into_iter().filter(|address| reach.allows(address.ip())).collect();
            if allowed.is_empty() {
                let text = format!("{name} has no address that may be asked");
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, text).into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// Whether an address is of this machine or of its private network.
pub fn is_near(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local() || ip.is_unspecified(),
        IpAddr::V6(ip) => ip.to_ipv4_mapped().map_or_else(
            || ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_unspecified(),
            |ip| is_near(ip.into()),
        ),
    }
}

/// Whether a name that leads there may be of the internet: proxies on this machine let names of it lead to the range for benchmarks, and look
/// the true one up themselves.
pub fn is_behind_a_name(ip: IpAddr) -> bool {
    let is_benchmark = matches!(ip, IpAddr::V4(ip) if matches!(ip.octets(), [198, 18 | 19, ..]));
    is_public(ip) || is_benchmark
}

/// Whether an address belongs to the internet, and not to this machine, its link, its private network or a cloud's own services.
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => match ip.to_ipv4_mapped().or_else(|| embedded_v4(ip)) {
            Some(inner) => is_public_v4(inner),
            None => is_public_v6(ip),
        },
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [first, second, ..] = ip.octets();
    let is_shared = first == 100 && (64..128).contains(&second);
    let is_special = first == 0 || first >= 240 || (first == 192 && second == 0 && ip.octets()[2] == 0);
    let is_benchmark = first == 198 && (second == 18 || second == 19);
    !(ip.is_loopback()
        || ip.is_private()
        || ip.is_link_local()
        || ip.is_multicast()
        || ip.is_documentation()
        || is_shared
        || is_special
        || is_benchmark)
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    // All that was ever given out for the internet lies in 2000::/3.
    let [first, second, ..] = ip.segments();
    (0x2000..0x4000).contains(&first) && !(first == 0x2001 && second == 0x0db8)
}

/// The IPv4 address that NAT64 (RFC 6052) and 6to4 (RFC 3056) carry.
fn embedded_v4(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    match ip.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            Some(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_internet_is_asked_on_a_services_word() {
        for (url, is_allowed) in [
            ("https://example.com/a.png", true),
            ("https://93.184.216.34/a", true),
            ("https://[2606:2800:220:1::1]/a", true),
            ("http://127.0.0.1/a", false),
            ("http://127.1/a", false),
            ("http://2130706433/a", false),
            ("http://0.0.0.0/a", false),
            ("http://10.1.2.3/a", false),
            ("http://172.20.0.1/a", false),
            ("http://192.168.1.1/a", false),
            ("http://169.254.169.254/latest/meta-data", false),
            ("http://100.100.100.200/", false),
            ("http://224.0.0.1/", false),
            ("http://255.255.255.255/", false),
            ("http://[::1]/", false),
            ("http://[::]/", false),
            ("http://[fe80::1]/", false),
            ("http://[fd00:ec2::254]/", false),
            ("http://[::ffff:169.254.169.254]/", false),
            ("http://[64:ff9b::a9fe:a9fe]/", false),
            ("http://[2002:7f00:1::]/", false),
            ("file:///etc/passwd", false),
            ("ftp://example.com/a", false),
            ("data:image/png;base64,AAAA", false),
        ] {
            let parsed = Url::parse(url).unwrap();
            assert_eq!(is_reachable(&parsed, Reach::Internet), is_allowed, "{url}");
        }
        assert!(is_reachable(&Url::parse("http://127.0.0.1/a").unwrap(), Reach::Anywhere));
        assert!(!is_reachable(&Url::parse("file:///etc/passwd").unwrap(), Reach::Anywhere));
    }

    #[tokio::test]
    async fn a_name_that_leads_back_to_this_machine_is_not_resolved_for_the_internet() {
        let resolve =
            |reach| Resolver::new(reach, Duration::from_mins(1)).resolve("localhost".parse().unwrap());
        assert!(resolve(Reach::Anywhere).await.is_ok_and(|mut found| found.next().is_some()));
        assert!(resolve(Reach::Internet).await.is_err());
        let own = HashSet::from(["localhost".to_owned()]);
        let resolver = Resolver::new(Reach::Internet, Duration::from_mins(1)).with_own(own);
        assert!(resolver.resolve("localhost".parse().unwrap()).await.is_ok(), "a proxy's name");
    }
}
