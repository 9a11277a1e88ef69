//! Rules for every service that uses a provider: equal requests make one call, limits are counted as the provider counts them, refusals keep their
//! meaning, and after a death of the daemon nothing is paid for a second time automatically.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::fs;

use reel_tests::{
    FakeProvider, Sandbox, eventually,
    fake_provider::Fault,
    studio::{config, unhurried},
};
use serde_json::{Value, json};

/// Starts a daemon whose provider `studio` has all services. Returns the digest of a picture in its store too.
fn all_services(provider: &FakeProvider, more: &str) -> (Sandbox, Value) {
    let sandbox = Sandbox::new();
    let models =
        "models = { image = \"gpt-image-2\", voice = \"tts-1\", text = \"writer\", video = \"sora-2\" }";
    let config = config(&sandbox, provider, &format!("{models}\n{more}"));
    sandbox.configure(&unhurried(&config).replace("model = \"gpt-image-2\"\n", ""));
    sandbox.start();
    let path = sandbox.work().join("start.png");
    let mut encoder = png::Encoder::new(fs::File::create(&path).unwrap(), 64, 64);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().unwrap().write_image_data(&[90; 64 * 64]).unwrap();
    let digest = sandbox.connect().ok("artifact.put", json!({ "path": path }))["digest"].clone();
    (sandbox, digest)
}

/// Returns a request for each service with these words in it.
fn requests(words: &str, picture: &Value) -> Vec<(&'static str, Value)> {
    vec![
        ("image.generate", json!({ "prompt": words, "width": 64, "height": 64 })),
        ("image.generate", json!({ "prompt": words, "width": 64, "height": 64, "input_images": [picture] })),
        ("voice.speak", json!({ "text": words })),
        ("text.chat", json!({ "prompt": words })),
        ("translate.text", json!({ "text": words, "to": "de" })),
    ]
}

#[test]
fn equal_requests_make_one_call_and_others_keep_within_the_limit() {
    let provider = FakeProvider::start();
    let (sandbox, picture) = all_services(&provider, "max_concurrent = 2\n");
    let mut connection = sandbox.connect();
    for (kind, params) in requests("the same words", &picture) {
        provider.forget();
        let before = provider.calls();
        provider.hold();
        let (_, ids) = connection.submit_batch(vec![json!({ "kind": kind, "params": params }); 64]);
        provider.wait_for_in_flight(1);
        provider.release();
        for id in ids {
            assert_eq!(connection.wait(id)["state"], "succeeded", "{kind}");
        }
        assert_eq!(provider.calls() - before, 1, "{kind}");
    }
    let mut ids = Vec::new();
    provider.hold();
    for number in 0..6 {
        for (kind, params) in requests(&format!("words {number}"), &picture) {
            ids.push((kind, connection.submit(kind, params)));
        }
    }
    provider.wait_for_in_flight(2);
    provider.release();
    for (kind, id) in ids {
        assert_eq!(connection.wait(id)["state"], "succeeded", "{kind}");
    }
    assert_eq!(provider.most_at_once(), 2, "the provider counts all services together");
}

#[test]
fn equal_videos_make_one_job_and_others_keep_within_the_limit() {
    let provider = FakeProvider::start();
    let (sandbox, picture) = all_services(&provider, "max_concurrent = 2\n");
    let mut connection = sandbox.connect();
    for params in [json!({ "prompt": "the same" }), json!({ "prompt": "the same", "image": picture })] {
        let before = provider.videos().jobs().len();
        provider.videos().hold();
        let spec = json!({ "kind": "video.generate", "params": params });
        let (_, ids) = connection.submit_batch(vec![spec; 64]);
        eventually("the job is there", || (provider.videos().jobs().len() > before).then_some(()));
        provider.videos().release();
        let mut digests: Vec<_> =
            ids.into_iter().map(|id| connection.wait(id)["outputs"][0]["digest"].to_string()).collect();
        digests.dedup();
        assert_eq!((digests.len(), provider.videos().jobs().len() - before), (1, 1), "{params}");
    }
    // While two video jobs use both permits, pictures of the same provider wait too.
    provider.videos().hold();
    let video = |number: usize| json!({ "prompt": format!("wave {number}") });
    let ids: Vec<_> = (0..6).map(|number| connection.submit("video.generate", video(number))).collect();
    eventually("two jobs are there", || (provider.videos().jobs().len() == 4).then_some(()));
    let calls = provider.calls();
    let (kind, params) = requests("a picture meanwhile", &picture).remove(0);
    let drawn = connection.submit(kind, params);
    assert_eq!(connection.task(drawn)["state"], "queued");
    assert_eq!((provider.calls(), provider.videos().jobs().len()), (calls, 4));
    provider.videos().release();
    for id in ids.into_iter().chain([drawn]) {
        assert_eq!(connection.wait(id)["state"], "succeeded");
    }
    assert_eq!((provider.videos().most_at_once(), provider.videos().jobs().len()), (2, 8));
}

#[test]
fn a_refusal_keeps_its_meaning_and_a_lost_response_is_never_requested_again() {
    let provider = FakeProvider::start();
    let (sandbox, picture) = all_services(&provider, "");
    for fault in [Fault::Moderated, Fault::InsufficientQuota, Fault::Unauthorized] {
        let code = match fault {
            Fault::Moderated => "moderated",
            Fault::InsufficientQuota => "quota_exceeded",
            _ => "provider_auth",
        };
        provider.always(fault);
        for (kind, params) in requests(code, &picture) {
            let mut connection = sandbox.connect();
            let id = connection.submit(kind, params);
            let task = connection.wait(id);
            assert_eq!(
                (&task["state"], &task["error"]["code"]),
                (&json!("failed"), &json!(code)),
                "{kind}: {task}"
            );
        }
    }
    provider.be_good();
    let before = provider.calls();
    provider.hold();
    let mut connection = sandbox.connect();
    let all = requests("lost words", &picture);
    let ids: Vec<_> =
        all.iter().map(|(kind, params)| (*kind, connection.submit(kind, params.clone()))).collect();
    provider.wait_for_in_flight(3);
    sandbox.kill();
    provider.release();
    sandbox.start();
    let mut connection = sandbox.connect();
    let states: Vec<_> = ids
        .iter()
        .map(|(kind, id)| {
            let task = connection.wait(*id);
            (*kind, task["state"].as_str().unwrap().to_owned(), task["hold_reason"].clone())
        })
        .collect();
    // Three calls were in flight, which is the default limit. The other two had not begun, so they are made after the restart.
    let held =
        states.iter().filter(|(_, state, reason)| state == "held" && reason == "outcome_unknown").count();
    let made = states.iter().filter(|(_, state, _)| state == "succeeded").count();
    assert_eq!((held, made), (3, 2), "{states:?}");
    assert_eq!(provider.calls() - before, 5, "each was asked once: {states:?}");
}
