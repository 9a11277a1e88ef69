//! Certificates that are not accepted. The error says so in plain words and says what to do, and no call is treated as lost.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    sync::Arc,
};

use reel_tests::{
    Sandbox,
    raw_server::{RawServer, picture},
    studio::ask_once,
};
use rustls::{ServerConfig, ServerConnection, StreamOwned, crypto::ring, pki_types::PrivateKeyDer};

/// A certificate and its key. Each certificate is self-signed for 127.0.0.1 and localhost, was made with `openssl req -x509`, and is valid for a
/// hundred years.
type Identity = (&'static [u8], &'static [u8]);

/// A certificate that is marked as that of an authority, as `openssl req -x509` makes it by default.
const OF_AN_AUTHORITY: Identity = (include_bytes!("tls/ca_true.der"), include_bytes!("tls/ca_true.key.der"));
/// A certificate that is marked as that of a server.
const OF_A_SERVER: Identity = (include_bytes!("tls/ca_false.der"), include_bytes!("tls/ca_false.key.der"));

/// Starts a server that answers every request with a picture, and returns its port.
fn serve((certificate, key): Identity) -> u16 {
    let key = PrivateKeyDer::try_from(key).unwrap();
    let config = ServerConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.into()], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream);
            if stream.read(&mut [0; 4096]).is_ok() {
                let _ = stream.write_all(&picture(&[]));
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
        }
    });
    port
}

fn sandbox(port: u16) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.configure(&format!(
        "[providers.studio]\nkind = \"openai\"\nbase_url = \"https://127.0.0.1:{port}/v1\"\nmodel = \"m\"\n"
    ));
    sandbox
}

#[test]
fn a_rejected_certificate_is_explained_with_a_next_step() {
    for (identity, is_trusted, reason, remedy) in [
        (OF_A_SERVER, false, "self-signed", "SSL_CERT_FILE"),
        (OF_AN_AUTHORITY, false, "CA:TRUE", "CA:FALSE"),
        (OF_AN_AUTHORITY, true, "CA:TRUE", "CA:FALSE"),
    ] {
        let sandbox = sandbox(serve(identity));
        let sandbox = if is_trusted { trusting(sandbox, "ca_true.pem") } else { sandbox };
        sandbox.start();
        let checked = sandbox.reel(&["providers", "check", "studio"]);
        let said = format!("{}{}", checked.stdout, checked.stderr);
        assert!(checked.code != Some(0) && said.contains(reason) && said.contains(remedy), "{said}");
        assert!(!said.contains("is it running"), "{said}");
    }
}

#[test]
fn a_self_signed_certificate_is_accepted_if_ssl_cert_file_names_it() {
    let sandbox = trusting(sandbox(serve(OF_A_SERVER)), "ca_false.pem");
    sandbox.start();
    let task = ask_once(&mut sandbox.connect(), "a");
    assert_eq!(task["state"], "succeeded", "{task}");
}

#[test]
fn without_root_certificates_plain_http_works_and_tls_says_what_it_needs() {
    let without = |sandbox: Sandbox| {
        let nowhere = "/nonexistent".to_owned();
        sandbox.with_variable("SSL_CERT_FILE", nowhere.clone()).with_variable("SSL_CERT_DIR", nowhere)
    };
    let server = RawServer::answering(|_| picture(&[]));
    let plain = without(Sandbox::new());
    plain.configure(&server.config(""));
    plain.start();
    assert_eq!(ask_once(&mut plain.connect(), "a")["state"], "succeeded");
    let refused = without(sandbox(serve(OF_A_SERVER)));
    refused.start();
    let checked = refused.reel(&["providers", "check", "studio"]);
    let said = format!("{}{}", checked.stdout, checked.stderr);
    assert!(checked.code != Some(0) && said.contains("SSL_CERT_FILE"), "{said}");
}

/// Sets a file of certificates that the daemon trusts.
fn trusting(sandbox: Sandbox, file: &str) -> Sandbox {
    let path = format!("{}/tests/tls/{file}", env!("CARGO_MANIFEST_DIR"));
    sandbox.with_variable("SSL_CERT_FILE", path)
}
