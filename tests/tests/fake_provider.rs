//! The fake provider does what the names of its faults say. All tests that use it rely on that.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

mod raw_http;

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    time::{Duration, Instant, SystemTime},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reel_tests::{
    FakeProvider,
    fake_provider::{Cut, Delivery, Fault, RetryAfter},
    wait::DEADLINE,
};
use serde_json::json;

use self::raw_http::{Raw, call, get, send};

/// Decodes a PNG and returns its width, height and pixels.
fn decode(png: &[u8]) -> (u32, u32, Vec<u8>) {
    let mut decoder = png::Decoder::new(io::Cursor::new(png));
    decoder.set_transformations(png::Transformations::EXPAND);
    let mut reader = decoder.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    reader.finish().unwrap();
    (info.width, info.height, pixels)
}

fn pictures(raw: &Raw) -> Vec<Vec<u8>> {
    let answer = raw.json();
    let data = answer["data"].as_array().unwrap();
    data.iter().map(|item| STANDARD.decode(item["b64_json"].as_str().unwrap()).unwrap()).collect()
}

#[test]
fn a_call_returns_real_pictures_of_the_requested_size_that_depend_on_the_prompt() {
    let provider = FakeProvider::start();
    let raw = call(&provider, &json!({ "prompt": "a fox", "n": 3, "size": "64x48" }));
    assert_eq!(raw.status(), 200);
    let found = pictures(&raw);
    let decoded: Vec<_> = found.iter().map(|png| decode(png)).collect();
    assert!(decoded.iter().all(|(width, height, _)| (*width, *height) == (64, 48)));
    assert!(decoded[0].2 != decoded[1].2 && decoded[1].2 != decoded[2].2, "each picture is another one");
    assert!(raw.json()["usage"]["total_tokens"].as_u64().unwrap() > 0);

    let again = pictures(&call(&provider, &json!({ "prompt": "a fox", "n": 1, "size": "64x48" })));
    assert_eq!(again[0], found[0], "the same prompt, the same bytes");
    let other = pictures(&call(&provider, &json!({ "prompt": "a cat", "size": "64x48" })));
    assert_ne!(other[0], found[0]);
    provider.vary();
    let varied = pictures(&call(&provider, &json!({ "prompt": "a fox", "size": "64x48" })));
    assert_ne!(varied[0], found[0]);
}

#[test]
fn pictures_have_the_requested_file_size_and_can_be_decoded() {
    let provider = FakeProvider::start();
    for (size, bytes) in
        [("256x256", 50_000), ("256x256", 1 << 20), ("1024x1024", 1 << 20), ("64x64", 8 << 20)]
    {
        provider.picture_bytes(bytes);
        let picture = pictures(&call(&provider, &json!({ "prompt": "x", "size": size }))).remove(0);
        let excess = picture.len() as f64 / bytes as f64;
        assert!((0.99..1.15).contains(&excess), "{size}: {} for {bytes}", picture.len());
        decode(&picture);
    }
}

#[test]
fn urls_lead_to_the_same_pictures() {
    let provider = FakeProvider::start();
    let order = json!({ "prompt": "a fox", "size": "32x32" });
    let direct = pictures(&call(&provider, &order)).remove(0);
    for (delivery, beginning) in [
        (Delivery::AbsoluteUrl, provider.base_url().replace("/v1", "")),
        (Delivery::RelativeUrl, String::new()),
    ] {
        provider.deliver(delivery);
        let answer = call(&provider, &order).json();
        let url = answer["data"][0]["url"].as_str().unwrap().to_owned();
        let path = url.strip_prefix(&beginning).unwrap_or_else(|| panic!("{url}"));
        assert!(path.starts_with("/files/"), "{url}");
        let file = get(&provider, path, "");
        assert_eq!(file.header("content-type").unwrap(), "image/png");
        assert_eq!(file.body(), direct);
    }
    assert_eq!(get(&provider, "/files/gone", "").status(), 404);
}

#[test]
fn a_wrong_key_is_refused_and_a_check_is_not_counted_as_a_call() {
    let provider = FakeProvider::start();
    assert_eq!(get(&provider, "/v1/models", "wrong").status(), 401);
    let models = get(&provider, "/v1/models", FakeProvider::KEY);
    assert_eq!(models.json()["object"], "list");
    assert_eq!(provider.calls(), 0);
    provider.require_key(Some("another"));
    assert_eq!(call(&provider, &json!({ "prompt": "x" })).json()["error"]["code"], "invalid_api_key");
    provider.require_key(None);
    assert_eq!(get(&provider, "/v1/models", "").status(), 200);
    assert_eq!(get(&provider, "/v1/elsewhere", "").status(), 404);
}

#[test]
fn invalid_requests_are_refused() {
    let provider = FakeProvider::start();
    for order in [
        json!({}),
        json!({ "prompt": "" }),
        json!({ "prompt": "x", "n": 0 }),
        json!({ "prompt": "x", "n": 11 }),
        json!({ "prompt": "x", "size": "big" }),
        json!({ "prompt": "x", "size": "0x10" }),
    ] {
        assert_eq!(call(&provider, &order).status(), 400, "{order}");
    }
}

#[test]
fn refusals_have_the_wording_of_the_real_service() {
    let provider = FakeProvider::start();
    for (fault, status, code) in [
        (Fault::rate_limited(1), 429, "rate_limit_exceeded"),
        (Fault::InsufficientQuota, 429, "insufficient_quota"),
        (Fault::ServerError, 500, "server_error"),
        (Fault::Unavailable, 503, "overloaded"),
        (Fault::Unauthorized, 401, "invalid_api_key"),
        (Fault::Forbidden, 403, "model_not_allowed"),
        (Fault::Moderated, 400, "moderation_blocked"),
        (Fault::Invalid, 400, "invalid_value"),
        (Fault::ModelNotFound, 404, "model_not_found"),
        (Fault::ErrorInside, 200, "server_error"),
    ] {
        provider.script([fault.clone()]);
        let raw = call(&provider, &json!({ "prompt": "x" }));
        assert_eq!((raw.status(), raw.json()["error"]["code"].as_str()), (status, Some(code)), "{fault:?}");
    }
    assert_eq!(call(&provider, &json!({ "prompt": "x", "size": "8x8" })).status(), 200, "then all is well");
}

#[test]
fn each_format_of_retry_after_is_sent() {
    let provider = FakeProvider::start();
    let said = |retry_after, header: &str| {
        provider.script([Fault::RateLimited { retry_after }]);
        call(&provider, &json!({ "prompt": "x" })).header(header)
    };
    assert_eq!(said(RetryAfter::Seconds(3), "retry-after").unwrap(), "3");
    assert_eq!(said(RetryAfter::Float(0.25), "retry-after").unwrap(), "0.25");
    assert_eq!(said(RetryAfter::Milliseconds(250), "retry-after-ms").unwrap(), "250");
    assert_eq!(said(RetryAfter::Nonsense, "retry-after").unwrap(), "soon");
    assert_eq!(said(RetryAfter::Absent, "retry-after"), None);
    provider.script([Fault::RateLimited { retry_after: RetryAfter::DateIn(Duration::from_mins(10)) }]);
    let raw = call(&provider, &json!({ "prompt": "x" }));
    let text = String::from_utf8_lossy(&raw.bytes).into_owned();
    let date = text.lines().find_map(|line| line.strip_prefix("retry-after: ")).unwrap();
    let wait = httpdate::parse_http_date(date).unwrap().duration_since(SystemTime::now()).unwrap();
    assert!((540..=600).contains(&wait.as_secs()), "{date}");
    assert!(said(RetryAfter::DatePast, "retry-after").unwrap().contains("1970"));
}

#[test]
fn bad_picture_data_is_sent_as_its_fault_says() {
    let provider = FakeProvider::start();
    let answer = |fault| {
        provider.script([fault]);
        call(&provider, &json!({ "prompt": "x", "size": "16x16" }))
    };
    assert_eq!(answer(Fault::NoPicture).json()["data"], json!([]));
    assert!(answer(Fault::Html).header("content-type").unwrap().starts_with("text/html"));
    assert!(answer(Fault::OtherJson).json().get("data").is_none());
    let bad = answer(Fault::BadBase64).json();
    assert!(STANDARD.decode(bad["data"][0]["b64_json"].as_str().unwrap()).is_err());
    let text = pictures(&answer(Fault::NotAPicture)).remove(0);
    assert!(text.starts_with(b"this is a text"));
    let huge = pictures(&answer(Fault::HugePicture)).remove(0);
    let mut decoder = png::Decoder::new(io::Cursor::new(huge));
    let header = decoder.read_header_info().unwrap();
    assert_eq!((header.width, header.height), (50_000, 50_000));
    let url = answer(Fault::PictureAt("file:///etc/passwd".to_owned())).json();
    assert_eq!(url["data"][0]["url"], "file:///etc/passwd");
    let redirect = answer(Fault::redirect("http://169.254.169.254/"));
    assert_eq!(
        (redirect.status(), redirect.header("location").unwrap().as_str()),
        (302, "http://169.254.169.254/")
    );
    let zipped = answer(Fault::Gzip);
    assert_eq!(zipped.header("content-encoding").unwrap(), "gzip");
    let mut text = String::new();
    flate2::read::GzDecoder::new(zipped.body()).read_to_string(&mut text).unwrap();
    assert!(text.contains("b64_json"));
    let chunked = answer(Fault::Chunked);
    assert_eq!(chunked.header("transfer-encoding").unwrap(), "chunked");
}

#[test]
fn responses_end_where_they_are_cut() {
    let provider = FakeProvider::start();
    let order = json!({ "prompt": "x", "size": "16x16" });
    let whole = call(&provider, &order);
    let head = whole.bytes.len() - whole.body().len();
    for (cut, from, to) in [
        (Cut::StatusLine, 8, 12),
        (Cut::Headers, 13, head - 4),
        (Cut::AfterHead, head, head),
        (Cut::Base64, head + 60, whole.bytes.len() - 150),
        (Cut::BeforeLastBrace, whole.bytes.len() - 1, whole.bytes.len() - 1),
        (Cut::At(20), 20, 20),
        (Cut::At(0), 0, 0),
        (Cut::At(usize::MAX), whole.bytes.len(), whole.bytes.len()),
    ] {
        provider.script([Fault::Cut(cut)]);
        let raw = call(&provider, &order);
        assert!(raw.end.is_ok(), "{cut:?}: {:?}", raw.end);
        assert!(
            (from..=to).contains(&raw.bytes.len()),
            "{cut:?}: {} of {}",
            raw.bytes.len(),
            whole.bytes.len()
        );
    }
}

#[test]
#[should_panic(expected = "its prompt is not known")]
fn a_reset_before_the_request_cannot_be_set_for_one_prompt() {
    FakeProvider::start().on_prompt("x", Fault::ResetBeforeRequest);
}

#[test]
fn connection_faults_do_what_their_names_say() {
    let provider = FakeProvider::start();
    let order = json!({ "prompt": "x", "size": "16x16" });
    let raw = |fault| {
        provider.script([fault]);
        call(&provider, &order)
    };
    let reset = |raw: &Raw| {
        let kind = raw.end.as_ref().unwrap_err().kind();
        assert_eq!((raw.bytes.len(), kind), (0, io::ErrorKind::ConnectionReset));
    };
    reset(&raw(Fault::ResetBeforeRequest));
    assert_eq!(provider.calls(), 0, "that request was never read");
    reset(&raw(Fault::ResetAfterRequest));
    assert_eq!(provider.calls(), 1);
    let closed = raw(Fault::CloseAfterRequest);
    assert!(closed.bytes.is_empty() && closed.end.is_ok());
    assert!(!raw(Fault::Garbage).bytes.starts_with(b"HTTP"));
    assert_eq!(raw(Fault::Raw(b"HTTP/1.1 200 OK\r\n\r\n".to_vec())).bytes, b"HTTP/1.1 200 OK\r\n\r\n");
    assert_eq!(raw(Fault::GoodThenClose).status(), 200);
    let dripped = raw(Fault::Drip { every: Duration::from_micros(1) });
    assert_eq!(pictures(&dripped).len(), 1);
}

#[test]
fn endless_bodies_go_on_until_the_client_leaves() {
    let provider = FakeProvider::start();
    provider.script([Fault::HugeLength, Fault::EndlessBody, Fault::StallAfterHead, Fault::Never]);
    let head = format!("POST /v1/images/generations HTTP/1.1\r\nauthorization: Bearer {}", FakeProvider::KEY);
    let body = json!({ "prompt": "x", "size": "16x16" }).to_string();
    let huge = send(&provider, &head, &body, 1 << 20);
    assert_eq!(huge.header("content-length").unwrap(), (1_u64 << 60).to_string());
    assert!(send(&provider, &head, &body, 1 << 20).bytes.len() >= 1 << 20);
    assert!(send(&provider, &head, &body, 60).head().starts_with("http/1.1 200"));
    let mut silent = TcpStream::connect(provider.address()).unwrap();
    write!(silent, "{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
    provider.wait_for_calls(4);
    provider.wait_for_in_flight(1);
    drop(silent);
    provider.wait_for_in_flight(0);
}

#[test]
fn faults_come_in_the_order_of_the_script_and_prompts_have_their_own() {
    let provider = FakeProvider::start();
    provider.on_prompt("bad", Fault::Moderated);
    provider.script([Fault::Unavailable, Fault::Good]);
    let status = |prompt: &str| call(&provider, &json!({ "prompt": prompt, "size": "8x8" })).status();
    assert_eq!([status("bad"), status("good"), status("bad"), status("good")], [400, 503, 400, 200]);
    assert_eq!(provider.script_left(), 0);
    provider.always(Fault::ServerError);
    assert_eq!([status("good"), status("bad")], [500, 400]);
    provider.be_good();
    assert_eq!(status("bad"), 200);
    assert_eq!((provider.calls(), provider.calls_of("bad"), provider.calls_of("none")), (7, 4, 0));
}

#[test]
fn calls_connections_and_requests_are_recorded() {
    let provider = FakeProvider::start();
    let begun = Instant::now();
    provider.hold();
    std::thread::scope(|scope| {
        for index in 0..3 {
            let provider = &provider;
            scope.spawn(move || call(provider, &json!({ "prompt": format!("p{index}"), "size": "8x8" })));
        }
        provider.wait_for_in_flight(3);
        provider.release();
    });
    assert_eq!((provider.most_at_once(), provider.in_flight(), provider.connections()), (3, 0, 3));
    assert!(provider.times().is_sorted() && provider.times()[0] >= begun);
    let requests = provider.requests();
    assert_eq!(requests.len(), 3);
    assert_eq!(requests[0].header("Authorization").unwrap(), format!("Bearer {}", FakeProvider::KEY));
    assert!(requests.iter().any(|request| request.json()["prompt"] == "p2"));
    provider.forget();
    assert_eq!((provider.calls(), provider.requests().len()), (0, 0));
}

#[test]
fn a_dropped_server_closes_its_port_and_every_connection() {
    let provider = FakeProvider::start();
    let address = provider.address();
    provider.always(Fault::Never);
    provider.delay(Duration::from_mins(10));
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "POST /v1/images/generations HTTP/1.1\r\ncontent-length: 2\r\n\r\n{{}}").unwrap();
    provider.wait_for_calls(1);
    drop(provider);
    let mut rest = Vec::new();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let end = stream.read_to_end(&mut rest);
    assert!(!matches!(&end, Err(error) if error.kind() == io::ErrorKind::WouldBlock), "{end:?}");
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn one_connection_serves_many_calls() {
    let provider = FakeProvider::start();
    let mut stream = TcpStream::connect(provider.address()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    for _ in 0..3 {
        write!(stream, "GET /v1/models HTTP/1.1\r\nauthorization: Bearer {}\r\n\r\n", FakeProvider::KEY)
            .unwrap();
        let mut seen = Vec::new();
        let mut byte = [0];
        while !seen.ends_with(b"\"list\"}") {
            stream.read_exact(&mut byte).unwrap();
            seen.push(byte[0]);
        }
    }
    assert_eq!((provider.connections(), provider.requests().len()), (1, 3));
}
