//! Words about the address of a service that cannot be reached. Pure.

use reqwest::Url;

/// The servers that people run themselves: the kind, the name of the server, and the port at which it listens if nothing else is set.
const SERVERS: [(&str, &str, u16); 4] = [
    ("comfyui", "ComfyUI", 8188),
    ("a1111", "the web UI", 7860),
    ("ollama", "Ollama", 11434),
    ("sdcpp", "sd-server", 1234),
];

/// Returns the host and the port of an address, such as `127.0.0.1:8188`.
pub(super) fn endpoint(base_url: &Url) -> String {
    let host = base_url.host_str().unwrap_or_default();
    base_url.port_or_known_default().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Returns, as the end of a sentence, that the address names no port although a server of this kind usually listens at one. None if it names a port,
/// or begins with https://, because a server behind HTTPS is usually at the port of HTTPS.
pub(super) fn missing_port(kind: &str, base_url: &Url) -> Option<String> {
    if base_url.port().is_some() || base_url.scheme() != "http" {
        return None;
    }
    let (_, server, port) = SERVERS.iter().find(|(name, ..)| *name == kind)?;
    Some(format!(
        "base_url names no port, so port 80 was asked, and {server} usually listens at port {port}: write http://{}:{port}",
        base_url.host_str().unwrap_or_default()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_port_is_told_the_usual_one() {
        for (kind, address, expected) in [
            ("comfyui", "http://studio.test/", Some("http://studio.test:8188")),
            ("ollama", "http://127.0.0.1", Some("http://127.0.0.1:11434")),
            ("comfyui", "http://studio.test:8188/", None),
            ("comfyui", "https://studio.test/", None),
            ("openai", "http://studio.test/v1", None),
        ] {
            let told = missing_port(kind, &Url::parse(address).unwrap());
            assert_eq!(told.is_some(), expected.is_some(), "{kind} {address}: {told:?}");
            assert!(told.is_none_or(|told| told.ends_with(expected.unwrap_or_default())), "{kind} {address}");
        }
        assert_eq!(endpoint(&Url::parse("http://studio.test/").unwrap()), "studio.test:80");
        assert_eq!(endpoint(&Url::parse("http://[::1]:8188/").unwrap()), "[::1]:8188");
    }
}
