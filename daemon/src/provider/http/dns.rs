//! Which addresses a request may go to, and a resolver for reqwest that returns no others.
//!
//! Names are resolved by the system's resolver, because it knows how long an address may be cached.

use std::{
    collections::HashSet,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use reqwest::{
    Url,
    dns::{Addrs, Name, Resolve, Resolving},
};
use tokio::net::lookup_host;
use url::Host;

use crate::near::{embedded_v4, is_near};

/// Which addresses a request may go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reach {
    /// The request may go to any address, because the user wrote it.
    Anywhere,
    /// The request may only go to the internet. A service wrote the address, and it must not make the daemon send requests to hosts that
    /// only this machine and its network can reach.
    Internet,
}

impl Reach {
    fn allows(self, ip: IpAddr) -> bool {
        self == Self::Anywhere || is_public(ip)
    }
}

/// Whether a URL may be requested, as far as the URL alone tells. The resolver checks the addresses of host names.
pub fn is_reachable(url: &Url, reach: Reach) -> bool {
    matches!(url.scheme(), "http" | "https")
        && match url.host() {
            Some(Host::Ipv4(ip)) => reach.allows(ip.into()),
            Some(Host::Ipv6(ip)) => reach.allows(ip.into()),
            Some(Host::Domain(_)) => true,
            None => false,
        }
}

/// Resolves names to the addresses that a request may go to.
#[derive(Debug, Clone)]
pub struct Resolver {
    reach: Reach,
    /// Host names of the user's own proxies, in lower case. These may have any address.
    own: Arc<HashSet<String>>,
}

impl Resolver {
    /// A resolver that returns addresses within `reach`, and every address of the names in `own`.
    pub fn new(reach: Reach, own: HashSet<String>) -> Self {
        Self { reach, own: Arc::new(own) }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            let name = name.as_str();
            let is_own = resolver.own.contains(&name.to_ascii_lowercase());
            let reach = if is_own { Reach::Anywhere } else { resolver.reach };
            let addresses = lookup_host((name, 0)).await?;
            let allowed: Vec<_> = addresses.filter(|address| reach.allows(address.ip())).collect();
            if allowed.is_empty() {
                let text = format!("{name} has no address that may be asked");
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, text).into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// Whether a host name with this address may belong to the internet. Besides public addresses, this is true of the benchmark range
/// (198.18.0.0/15): some proxies on this machine give internet names addresses of it, and resolve the names themselves.
pub fn is_behind_a_name(ip: IpAddr) -> bool {
    is_public(ip) || matches!(ip, IpAddr::V4(ip) if is_benchmark(ip))
}

/// Whether an address belongs to the internet. Such an address is not near (see [`is_near`]), and it is not reserved for other uses, such as
/// a carrier's network or a cloud's own services.
fn is_public(ip: IpAddr) -> bool {
    !is_near(ip)
        && match ip {
            IpAddr::V4(ip) => is_public_v4(ip),
            IpAddr::V6(ip) => embedded_v4(ip).map_or_else(|| is_public_v6(ip), is_public_v4),
        }
}

const fn is_public_v4(ip: Ipv4Addr) -> bool {
    let is_shared = matches!(ip.octets(), [100, 64..=127, ..]);
    let is_special = matches!(ip.octets(), [0 | 240.., ..] | [192, 0, 0, _]);
    !(ip.is_multicast() || ip.is_documentation() || is_shared || is_special || is_benchmark(ip))
}

const fn is_benchmark(ip: Ipv4Addr) -> bool {
    matches!(ip.octets(), [198, 18 | 19, ..])
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    // All public IPv6 addresses are in 2000::/3, and 2001:db8::/32 is for documentation.
    let [first, second, ..] = ip.segments();
    (0x2000..0x4000).contains(&first) && !(first == 0x2001 && second == 0x0db8)
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
        let resolve = |reach| Resolver::new(reach, HashSet::new()).resolve("localhost".parse().unwrap());
        assert!(resolve(Reach::Anywhere).await.is_ok_and(|mut found| found.next().is_some()));
        assert!(resolve(Reach::Internet).await.is_err());
        let own = HashSet::from(["localhost".to_owned()]);
        let resolver = Resolver::new(Reach::Internet, own);
        assert!(resolver.resolve("localhost".parse().unwrap()).await.is_ok(), "a proxy's name");
    }
}
