//! Connections to a provider. A request that was not sent is sent again, and is not treated as lost.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{
    io::{BufRead as _, Write as _},
    net::{Shutdown, TcpListener},
    time::Duration,
};

use reel_tests::{
    FakeProvider, Sandbox, eventually,
    fake_provider::Delivery,
    pause,
    process::signal,
    raw_server::{RawRequest, RawServer, picture, png, response},
    studio::{config, prompt, studio, submit, unhurried_studio},
};
use rustix::process::Signal;
use serde_json::json;

/// Starts a server that keeps each connection open after a response, and closes it without reading when the next request arrives on it.
fn closes_when_asked_again(answer: Vec<u8>) -> RawServer {
    RawServer::start(move |mut connection, seen| {
        let Some(request) = RawRequest::read(&mut connection) else { return };
        seen(&request);
        let _ = connection.get_mut().write_all(&answer);
        let _ = connection.fill_buf();
        let _ = connection.get_ref().shutdown(Shutdown::Both);
    })
}

#[test]
fn an_idle_connection_that_the_server_closes_on_use_causes_no_held_task() {
    let server = closes_when_asked_again(picture(&["keep-alive: timeout=5".to_owned()]));
    let sandbox = Sandbox::started_with(&server.config("max_concurrent = 2"));
    let mut connection = sandbox.connect();
    // The requests come in waves, so that connections of the previous wave are idle.
    for wave in 0..20 {
        let ids: Vec<_> = (0..10).map(|n| submit(&mut connection, &format!("{wave} {n}"))).collect();
        for id in ids {
            let task = connection.wait(id);
            assert_eq!((&task["state"], &task["attempts"]), (&json!("succeeded"), &json!(1)), "{task}");
        }
    }
    assert_eq!(server.requests().len(), 200, "each was asked for once");
}

#[test]
fn a_request_whose_connection_was_never_made_counts_as_not_sent() {
    // The system accepts the first connection, but nobody answers its TLS handshake. The second is closed at once.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let sandbox = Sandbox::started_with(&format!(
        "[http]\nconnect_s = 2\nfirst_byte_s = 1\n[providers.studio]\nkind = \"openai\"\nbase_url = \"https://127.0.0.1:{port}/v1\"\n"
    ));
    let mut connection = sandbox.connect();
    let spec = json!({ "kind": "image.generate", "params": prompt("a"), "max_attempts": 1 });
    let id = connection.submit_as(spec);
    let task = eventually("it is known that nothing was sent", || {
        let task = connection.task(id);
        (task["error"].is_object()).then_some(task)
    });
    assert_ne!(task["state"], "held", "{task}");
    assert_eq!(task["error"]["code"], "provider_unavailable", "{task}");
    drop(listener);
}

#[test]
fn a_response_that_arrived_while_the_daemon_was_suspended_is_read() {
    let provider = FakeProvider::start();
    // The limits for the first byte and for a read are two seconds.
    let sandbox = studio(&provider, "");
    provider.hold();
    let mut connection = sandbox.connect();
    let ids = [submit(&mut connection, "one"), submit(&mut connection, "two")];
    provider.wait_for_in_flight(2);
    let pid = sandbox.daemon_pid().unwrap();
    signal(pid, Signal::STOP);
    provider.release();
    provider.wait_for_in_flight(0);
    // This exceeds the limit, while the responses are in the socket buffers.
    pause(Duration::from_secs(3));
    signal(pid, Signal::CONT);
    for id in ids {
        let task = connection.wait(id);
        assert_eq!(task["state"], "succeeded", "{task}");
    }
    assert_eq!(provider.calls(), 2);
}

#[test]
fn all_configured_permits_are_used() {
    let provider = FakeProvider::start();
    let sandbox = unhurried_studio(&provider, "max_concurrent = 25\n[tasks]\nmax_concurrent = 30");
    provider.hold();
    let mut connection = sandbox.connect();
    let ids: Vec<_> = (0..30).map(|n| submit(&mut connection, &n.to_string())).collect();
    provider.wait_for_in_flight(25);
    provider.release();
    for id in ids {
        assert_eq!(connection.wait(id)["state"], "succeeded");
    }
    assert_eq!(provider.most_at_once(), 25);
}

#[test]
fn an_obsolete_configuration_key_is_accepted_with_a_warning() {
    let sandbox = Sandbox::started_with("[http]\npool = 3\ndns_ttl_s = 300\n");
    let checked = sandbox.reel(&["config", "check"]);
    for key in ["http.pool", "http.dns_ttl_s"] {
        let warning = format!("{key} has no effect any more");
        sandbox.wait_for_log(&warning);
        assert!(checked.expect_code(0).stderr.contains(&warning), "{}", checked.stderr);
    }
}

#[test]
fn a_picture_is_fetched_though_the_idle_connection_was_closed_meanwhile() {
    let pictures = closes_when_asked_again(response("200 OK", &[], &png()));
    let address = pictures.address();
    let server = RawServer::answering(move |request| {
        let data = json!({ "data": [{ "url": format!("http://{address}/{}.png", request.prompt()) }] });
        response("200 OK", &[], data.to_string().as_bytes())
    });
    let sandbox = Sandbox::started_with(&server.config("max_concurrent = 1"));
    let mut connection = sandbox.connect();
    for n in 0..20 {
        let id = submit(&mut connection, &n.to_string());
        let task = connection.wait(id);
        assert_eq!(task["state"], "succeeded", "{task}");
    }
}

#[test]
fn a_reload_that_changes_nothing_about_connections_keeps_those_that_are_open() {
    let provider = FakeProvider::start();
    provider.deliver(Delivery::AbsoluteUrl);
    let sandbox = studio(&provider, "");
    let mut connection = sandbox.connect();
    let mut succeeds = |text: &str| {
        let id = submit(&mut connection, text);
        assert_eq!(connection.wait(id)["state"], "succeeded");
        provider.connections()
    };
    let before = succeeds("one");
    sandbox.configure(&config(&sandbox, &provider, "max_concurrent = 7"));
    sandbox.connect().ok("daemon.reload", json!({}));
    // The request makes a new connection, and the picture is fetched on the idle one.
    assert_eq!(succeeds("two"), before + 1);
}

#[test]
fn a_response_with_hundreds_of_headers_and_invalid_ones_is_read() {
    let server = RawServer::answering(|_| {
        let mut headers: Vec<_> = (0..500).map(|n| format!("x-trace-{n}: {n}")).collect();
        headers.extend(["x odd: 1".to_owned(), "x-folded: a\r\n b".to_owned()]);
        picture(&headers)
    });
    let sandbox = Sandbox::started_with(&server.config(""));
    let mut connection = sandbox.connect();
    let id = submit(&mut connection, "a");
    let task = connection.wait(id);
    assert_eq!(task["state"], "succeeded", "{task}");
}
