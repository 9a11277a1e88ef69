//! The proxies that the environment names: which one a request goes through, and how errors name it.
//!
//! The variables are read as curl and reqwest read them. `NO_PROXY=*` means no proxy at all, also for hosts that are IP addresses.

use std::{collections::HashSet, fmt};

use hyper::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use reqwest::Url;

/// The variables for http, for https, for both, and for hosts without a proxy. The first name of each pair that is set counts, even if its
/// value is empty.
const HTTP: [&str; 2] = ["HTTP_PROXY", "http_proxy"];
const HTTPS: [&str; 2] = ["HTTPS_PROXY", "https_proxy"];
const ALL: [&str; 2] = ["ALL_PROXY", "all_proxy"];
const NO: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// A proxy and the variable that names it. Prints as `http://127.0.0.1:8080 (HTTP_PROXY)`, without user and password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    variable: &'static str,
    address: String,
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.address, self.variable)
    }
}

/// The proxies that the variables of an environment name.
#[derive(Debug)]
pub struct Proxies {
    matcher: Matcher,
    http: Option<&'static str>,
    https: Option<&'static str>,
    hosts: HashSet<String>,
    /// Variables whose values name no proxy that can be used.
    unusable: Vec<&'static str>,
}

impl Proxies {
    /// Reads the proxies from the environment of this process.
    pub fn of_process() -> Self {
        Self::new(|name| std::env::var(name).ok())
    }

    /// Reads the proxies from variables. `variable` returns the value of a variable, or None if it is not set.
    pub fn new(variable: impl Fn(&str) -> Option<String>) -> Self {
        let first = |names: [&'static str; 2]| {
            names.into_iter().find_map(|name| Some((name, variable(name)?))).unwrap_or_default()
        };
        let (no, all) = (first(NO).1, first(ALL));
        // A web server passes the header `Proxy:` of a request to its CGI scripts as HTTP_PROXY. If REQUEST_METHOD is set, this process may be
        // such a script.
        let is_off = no.split(',').any(|entry| entry.trim() == "*") || variable("REQUEST_METHOD").is_some();
        let usable = |(name, value): &(&'static str, String)| (!is_off && is_usable(value)).then_some(*name);
        let (http, https) = (first(HTTP), first(HTTPS));
        let mut matcher = Matcher::builder().no(no);
        if !is_off {
            matcher = matcher.http(http.1.clone()).https(https.1.clone()).all(all.1.clone());
        }
        let named = [&http, &https, &all];
        Self {
            matcher: matcher.build(),
            http: usable(&http).or_else(|| usable(&all)),
            https: usable(&https).or_else(|| usable(&all)),
            hosts: named.into_iter().filter_map(|(_, value)| host(value)).collect(),
            unusable: named
                .into_iter()
                .filter(|(_, value)| !is_off && !value.is_empty() && !is_usable(value))
                .map(|(name, _)| *name)
                .collect(),
        }
    }

    /// Returns the proxy for a request to this URL. None if the request goes directly.
    pub fn of(&self, url: &Url) -> Option<Proxy> {
        let uri: Uri = url.as_str().parse().ok()?;
        let address = self.matcher.intercept(&uri)?.uri().to_string();
        let variable = if url.scheme() == "https" { self.https } else { self.http }?;
        Some(Proxy { variable, address: address.trim_end_matches('/').to_owned() })
    }

    /// The host names of the proxies themselves, in lower case.
    pub const fn hosts(&self) -> &HashSet<String> {
        &self.hosts
    }

    /// Variables that are set to something that cannot be used as a proxy. They are ignored.
    pub fn unusable(&self) -> &[&'static str] {
        &self.unusable
    }
}

/// Whether the matcher accepts a value as the address of a proxy.
fn is_usable(value: &str) -> bool {
    let any = Uri::from_static("http://any.invalid/");
    Matcher::builder().http(value.to_owned()).build().intercept(&any).is_some()
}

fn host(value: &str) -> Option<String> {
    let text = if value.contains("://") { value.to_owned() } else { format!("http://{value}") };
    Url::parse(&text).ok()?.host_str().map(str::to_ascii_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the proxy for a URL in an environment with these variables.
    fn proxy(variables: &[(&str, &str)], url: &str) -> Option<String> {
        let value = |name: &str| Some(variables.iter().find(|(one, _)| *one == name)?.1.to_owned());
        Proxies::new(value).of(&Url::parse(url).unwrap()).map(|proxy| proxy.to_string())
    }

    /// The environment, a URL, and the expected proxy.
    type Case = (&'static [(&'static str, &'static str)], &'static str, Option<&'static str>);

    #[test]
    fn each_address_goes_through_the_proxy_that_its_variable_names() {
        const HTTP: &str = "http://203.0.113.5/v1";
        const HTTPS: &str = "https://api.example/v1";
        const PROXY: (&str, &str) = ("HTTP_PROXY", "http://user:word@localhost:7890/");
        let cases: &[Case] = &[
            (&[], HTTP, None),
            (&[PROXY], HTTP, Some("http://localhost:7890 (HTTP_PROXY)")),
            (&[PROXY], HTTPS, None),
            (&[("https_proxy", "proxy.corp:3128")], HTTPS, Some("http://proxy.corp:3128 (https_proxy)")),
            (
                &[("ALL_PROXY", "socks5h://127.0.0.1:1080")],
                HTTPS,
                Some("socks5h://127.0.0.1:1080 (ALL_PROXY)"),
            ),
            (&[("all_proxy", "socks4://10.0.0.1:1"), PROXY], HTTPS, Some("socks4://10.0.0.1:1 (all_proxy)")),
            (&[("HTTP_PROXY", ""), ("http_proxy", "http://proxy")], HTTP, None),
            (&[PROXY, ("NO_PROXY", "*")], HTTP, None),
            (&[PROXY, ("NO_PROXY", "localhost, *")], HTTP, None),
            (&[PROXY, ("no_proxy", "203.0.113.0/24")], HTTP, None),
            (&[PROXY, ("NO_PROXY", "example")], HTTP, Some("http://localhost:7890 (HTTP_PROXY)")),
            (&[PROXY, ("REQUEST_METHOD", "GET")], HTTP, None),
            (&[("HTTP_PROXY", "socks://127.0.0.1:1080")], HTTP, None),
        ];
        for (variables, url, wanted) in cases {
            assert_eq!(proxy(variables, url).as_deref(), *wanted, "{variables:?} {url}");
        }
    }

    #[test]
    fn the_hosts_of_proxies_and_the_variables_that_name_none_are_known() {
        let one = |name: &'static str, value: &'static str| {
            Proxies::new(move |asked| (asked == name).then(|| value.to_owned()))
        };
        for (name, value, host) in [
            ("https_proxy", "proxy.corp:3128", Some("proxy.corp")),
            ("all_proxy", "socks5h://Proxy.Corp", Some("proxy.corp")),
            ("ALL_PROXY", "10.0.0.1:1", Some("10.0.0.1")),
            ("HTTP_PROXY", "", None),
            ("NO_PROXY", "localhost", None),
        ] {
            let proxies = one(name, value);
            assert_eq!(proxies.hosts().iter().next().map(String::as_str), host, "{name}={value}");
            assert!(proxies.unusable().is_empty(), "{name}={value}");
        }
        assert_eq!(one("all_proxy", "socks://127.0.0.1:1080").unusable(), ["all_proxy"]);
    }
}
