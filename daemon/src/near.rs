//! Tells whether an address is near: on this machine, its link, or its private network. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

/// Returns whether the host of a URL is near, from the URL alone. A near host is a near address, or a name that always means this machine.
pub fn is_near_url(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => is_near(ip.into()),
        Some(Host::Ipv6(ip)) => is_near(ip.into()),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}

/// Returns whether the host of a URL is this machine, from the URL alone: a loopback address, the unspecified one, or a name that means them.
pub fn is_this_machine(url: &Url) -> bool {
    let is_here = |ip: Ipv4Addr| ip.is_loopback() || ip.is_unspecified();
    match url.host() {
        Some(Host::Ipv4(ip)) => is_here(ip),
        Some(Host::Ipv6(ip)) => {
            ip.is_loopback() || ip.is_unspecified() || ip.to_ipv4_mapped().is_some_and(is_here)
        }
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}

/// Returns whether an address is near. For an IPv6 address that contains an IPv4 address, the IPv4 address decides.
pub fn is_near(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_near_v4(ip),
        IpAddr::V6(ip) => embedded_v4(ip).map_or_else(
            || ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_unspecified(),
            is_near_v4,
        ),
    }
}

const fn is_near_v4(ip: Ipv4Addr) -> bool {
    ip.is_loopback() || ip.is_private() || ip.is_link_local() || ip.is_unspecified()
}

/// Returns the IPv4 address that an IPv6 address contains: a mapped address, or one of NAT64 (RFC 6052) or 6to4 (RFC 3056). None if it contains none.
pub fn embedded_v4(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    match ip.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => Some(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_and_its_private_network_are_near() {
        // Whether the host is near, and whether it is this machine.
        for (url, near, here) in [
            ("http://localhost:8080/v1", true, true),
            ("http://studio.localhost/", true, true),
            ("http://127.0.0.2/", true, true),
            ("http://0.0.0.0/", true, true),
            ("http://10.1.2.3/", true, false),
            ("http://172.20.0.1/", true, false),
            ("http://192.168.1.7/v1", true, false),
            ("http://169.254.1.1/", true, false),
            ("http://[::1]/", true, true),
            ("http://[::]/", true, true),
            ("http://[::ffff:127.0.0.1]/", true, true),
            ("http://[fe80::1]/", true, false),
            ("http://[fd00::1]/v1", true, false),
            ("http://[::ffff:192.168.1.7]/", true, false),
            ("http://[64:ff9b::a9fe:a9fe]/", true, false),
            ("http://[2002:7f00:1::]/", true, false),
            ("https://api.example/v1", false, false),
            ("https://localhost.example/", false, false),
            ("https://93.184.216.34/v1", false, false),
            ("https://100.100.100.200/", false, false),
            ("https://[2606:2800:220:1::1]/", false, false),
            ("data:image/png;base64,AAAA", false, false),
        ] {
            let url = Url::parse(url).unwrap();
            assert_eq!((is_near_url(&url), is_this_machine(&url)), (near, here), "{url}");
        }
    }
}
