//! Explains why a request was not sent, and what a person can do about it. Pure.

use std::{error::Error, fmt, io};

use rustls::CertificateError;

use super::proxy::Proxy;

/// Why a request was not sent. Its `Display` is the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreached {
    /// What happened, as a message for people.
    pub reason: String,
    /// What to do about it. None if that is not known.
    pub remedy: Option<String>,
}

impl fmt::Display for Unreached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl From<&str> for Unreached {
    fn from(reason: &str) -> Self {
        Self { reason: reason.to_owned(), remedy: None }
    }
}

impl Unreached {
    /// The explanation if no connection was made in the time that it may take.
    pub fn too_late() -> Self {
        Self {
            reason: "no connection was made in time, as if nothing were there".to_owned(),
            remedy: Some(
                "is that machine switched on, and is the address right? A firewall may be in between"
                    .to_owned(),
            ),
        }
    }

    /// Explains the error of a request that was not sent. `proxy` is the proxy that it was to go through, if any.
    pub fn new(error: &(dyn Error + 'static), proxy: Option<&Proxy>) -> Self {
        let unreached = match tls_error(error) {
            Some(error) => explain_tls(error),
            None => {
                explain_connection(error).unwrap_or_else(|| Self { reason: causes_text(error), remedy: None })
            }
        };
        let Some(proxy) = proxy else { return unreached };
        let remedy = "is the proxy right, and running? The variable is in the daemon's environment; NO_PROXY with the provider's host \
                      goes past the proxy, after reel daemon restart";
        Self {
            reason: format!("asked through the proxy {proxy}: {}", unreached.reason),
            remedy: unreached.remedy.or_else(|| Some(remedy.to_owned())),
        }
    }
}

/// Returns the messages of an error and its causes on one line. It leaves out causes that only say that a request failed, and repetitions.
pub fn causes_text(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| (*error).source()).map(ToString::to_string);
    let says_something =
        |text: &String| !text.starts_with("error sending request") && !text.starts_with("client error (");
    let joined = causes.filter(says_something).fold(String::new(), |text, cause| {
        if text.is_empty() {
            cause
        } else if text.contains(&cause) {
            text
        } else {
            format!("{text}: {cause}")
        }
    });
    if joined.is_empty() { error.to_string() } else { joined }
}

/// Finds the error of the TLS handshake among the causes. It unwraps each `io::Error`, which does not show the wrapped error as its source.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let wrapped = |error: &'a (dyn Error + 'static)| -> Option<&'a (dyn Error + 'static)> {
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        }
    };
    std::iter::successors(Some(error), |error| wrapped(*error)).find_map(|error| error.downcast_ref())
}

/// Explains in plain words why no connection was made. None for errors of other kinds.
fn explain_connection(error: &(dyn Error + 'static)) -> Option<Unreached> {
    let causes = || std::iter::successors(Some(error), |error| (*error).source());
    let kind = causes().find_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
    let is_dns = causes().any(|cause| cause.to_string().starts_with("dns error"));
    let told = |reason: String, remedy: &str| {
        let remedy = Some(remedy.to_owned()).filter(|remedy| !remedy.is_empty());
        Some(Unreached { reason, remedy })
    };
    match kind {
        // The name was found, and its addresses may not be asked.
        Some(io::ErrorKind::PermissionDenied) => None,
        _ if is_dns => {
            let cause = causes().last().map(ToString::to_string).unwrap_or_default();
            let cause = cause.trim_start_matches("failed to lookup address information: ");
            told(
                format!("its name cannot be looked up (DNS: {cause})"),
                "is the name in base_url right, and is this machine online?",
            )
        }
        Some(io::ErrorKind::ConnectionRefused) => {
            told("nothing listens at that port (connection refused)".to_owned(), "")
        }
        Some(io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable) => told(
            "there is no way to it from this machine (no route to the host)".to_owned(),
            "is this machine in the right network, and is the address right?",
        ),
        Some(io::ErrorKind::TimedOut) => Some(Unreached::too_late()),
        _ if causes().any(|cause| cause.to_string().contains("timed out")) => Some(Unreached::too_late()),
        _ => None,
    }
}

fn explain_tls(error: &rustls::Error) -> Unreached {
    const TRUST: &str = "add the certificate, or that of its authority, to the system's store, or name a file with it and the system's \
                         certificates in SSL_CERT_FILE in the daemon's environment; then reel daemon restart";
    let (reason, remedy) = match error {
        rustls::Error::InvalidCertificate(error) => match error {
            // A self-signed certificate with the name of a known certificate is reported as a bad signature.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                ("its certificate is self-signed, or of an authority that this machine does not know", TRUST)
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => (
                "its certificate has expired",
                "whoever runs it must renew the certificate; or is this machine's clock wrong?",
            ),
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                ("its certificate is not valid yet", "is this machine's clock wrong?")
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => (
                "its certificate is for another name",
                "write base_url with the name that the certificate is for",
            ),
            CertificateError::Revoked => {
                ("its certificate was revoked", "whoever runs it must get another one")
            }
            other if format!("{other:?}").contains("CaUsedAsEndEntity") => (
                "its certificate is that of an authority (CA:TRUE), which no server may use as its own",
                "make it a certificate with CA:FALSE (openssl req -x509 … -addext basicConstraints=critical,CA:FALSE) and name that in \
                 SSL_CERT_FILE in the daemon's environment",
            ),
            other => {
                return Unreached {
                    reason: format!("its certificate is not accepted: {other}"),
                    remedy: Some(TRUST.to_owned()),
                };
            }
        },
        rustls::Error::InvalidMessage(_) => (
            "it does not speak TLS at this port",
            "does base_url need http:// in place of https://, or another port?",
        ),
        other => return Unreached { reason: format!("no TLS connection: {other}"), remedy: None },
    };
    Unreached { reason: reason.to_owned(), remedy: Some(remedy.to_owned()) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::OtherError;

    use super::*;

    /// An error with a text and a cause, as the errors of hyper are.
    #[derive(Debug)]
    struct Wrapped(&'static str, io::Error);

    impl fmt::Display for Wrapped {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Wrapped {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.1)
        }
    }

    #[test]
    fn a_connection_that_cannot_be_made_is_told_in_plain_words() {
        let lookup = io::Error::other("failed to lookup address information: Name or service not known");
        for (error, reason, remedy) in [
            (
                Wrapped("dns error", lookup),
                "its name cannot be looked up (DNS: Name or service not known)",
                "is the name",
            ),
            (
                Wrapped("tcp connect error", io::ErrorKind::ConnectionRefused.into()),
                "nothing listens at that port (connection refused)",
                "",
            ),
            (
                Wrapped("tcp connect error", io::ErrorKind::TimedOut.into()),
                "no connection was made in time, as if nothing were there",
                "switched on",
            ),
            (
                Wrapped("tcp connect error", io::ErrorKind::NetworkUnreachable.into()),
                "there is no way to it from this machine (no route to the host)",
                "right network",
            ),
        ] {
            let told = Unreached::new(&error, None);
            assert_eq!(told.reason, reason);
            assert_eq!(told.remedy.is_none(), remedy.is_empty(), "{told:?}");
            assert!(told.remedy.is_none_or(|told| told.contains(remedy)), "{reason}");
        }
        let denied =
            io::Error::new(io::ErrorKind::PermissionDenied, "studio.test has no address that may be asked");
        assert!(Unreached::new(&Wrapped("dns error", denied), None).reason.contains("may be asked"));
    }

    #[test]
    fn a_certificate_that_is_not_accepted_is_told_with_what_to_do() {
        let authority = CertificateError::Other(OtherError(Arc::new(io::Error::other("CaUsedAsEndEntity"))));
        for (error, reason, remedy) in [
            (CertificateError::UnknownIssuer, "self-signed", "SSL_CERT_FILE"),
            (CertificateError::BadSignature, "self-signed", "SSL_CERT_FILE"),
            (CertificateError::Expired, "expired", "clock"),
            (CertificateError::NotValidForName, "another name", "base_url"),
            (authority, "CA:TRUE", "CA:FALSE"),
            (CertificateError::BadEncoding, "not accepted", "SSL_CERT_FILE"),
        ] {
            // The error of a connection wraps the error of rustls in two `io::Error`s.
            let error = io::Error::other(io::Error::other(rustls::Error::InvalidCertificate(error)));
            let told = Unreached::new(&error, None);
            assert!(told.reason.contains(reason), "{told:?}");
            assert!(told.remedy.as_ref().is_some_and(|text| text.contains(remedy)), "{told:?}");
        }
    }
}
