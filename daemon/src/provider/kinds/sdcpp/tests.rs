//! Tests of the requests and the answers of `sd-server`.

use reel_protocol::{Digest, ImageParams, JsonText, VideoParams};
use serde_json::{Value, json};

use super::*;
use crate::{
    domain::VideoRequest,
    provider::jobs::{JobState, JobWork},
};

fn document(value: &Value) -> Document {
    Document::of_text(FILE, value.to_string().as_bytes())
}

fn state(value: &Value) -> JobState {
    Sdcpp.state(&HeaderMap::new(), &document(value))
}

fn sent(work: &JobWork, input_use: InputUse, pictures: &[&str]) -> (String, Value) {
    let input = |bytes: &&str| InputPicture {
        media_type: "image/png".to_owned(),
        extension: "png".to_owned(),
        bytes: bytes.as_bytes().to_vec(),
    };
    let settings = Settings::new(SdcppSettings { input_use });
    let inputs = pictures.iter().map(input).collect();
    let request = Sdcpp.submit(work, Some("a label"), &settings, inputs).unwrap();
    let (content_type, body) = request.body.unwrap();
    assert_eq!((request.method.as_str(), content_type.as_str()), ("POST", "application/json"));
    (request.path.join("/"), serde_json::from_slice(&body).unwrap())
}

fn image(params: ImageParams) -> JobWork {
    JobWork::Image(ImageRequest {
        params,
        seed: 7,
        style_suffix: Some("ink"),
        style_negative: None,
        inputs: Vec::new(),
    })
}

fn video(params: VideoParams) -> JobWork {
    JobWork::Video(VideoRequest { params, seed: 7, inputs: Vec::new() })
}

#[test]
fn a_picture_is_requested_in_the_fields_of_the_native_api() {
    let plain = ImageParams { width: 512, height: 256, n: 2, ..ImageParams::new("a boat") };
    let (path, body) = sent(&image(plain.clone()), InputUse::Init, &[]);
    let expected = json!({
        "prompt": "a boat, ink", "width": 512, "height": 256, "seed": 7, "batch_count": 2, "output_format": "png",
    });
    assert_eq!((path.as_str(), body), ("sdcpp/v1/img_gen", expected.clone()));
    let extra =
        r#"{"clip_skip":2,"sample_params":{"scheduler":"karras","sample_steps":1,"guidance":{"img_cfg":2}}}"#;
    let more = ImageParams {
        negative_prompt: Some("fog".into()),
        steps: Some(20),
        guidance: Some(4.5),
        extra: Some(JsonText::parse(extra.to_owned()).unwrap()),
        ..plain
    };
    let (_, body) = sent(&image(more), InputUse::Init, &[]);
    let mut expected = expected;
    expected["negative_prompt"] = json!("fog");
    expected["clip_skip"] = json!(2);
    expected["sample_params"] = json!({
        "scheduler": "karras", "sample_steps": 20, "guidance": { "img_cfg": 2, "txt_cfg": 4.5 },
    });
    assert_eq!(body, expected);
}

#[test]
fn pictures_to_start_from_are_base64_in_the_fields_that_the_section_chooses() {
    let one = Digest::from_bytes([1; 32]);
    let params = ImageParams { strength: Some(0.5), input_images: vec![one], ..ImageParams::new("a boat") };
    let masked = ImageParams { mask: Some(one), ..params.clone() };
    let (_, body) = sent(&image(masked), InputUse::Init, &["pic", "msk"]);
    assert_eq!((&body["init_image"], &body["mask_image"]), (&json!("cGlj"), &json!("bXNr")));
    assert_eq!((&body["strength"], &body["ref_images"]), (&json!(0.5), &Value::Null));
    let two = ImageParams { strength: None, input_images: vec![one, one], ..params };
    let (_, body) = sent(&image(two), InputUse::Reference, &["pic", "msk"]);
    assert_eq!((&body["ref_images"], &body["init_image"]), (&json!(["cGlj", "bXNr"]), &Value::Null));
}

#[test]
fn a_video_is_requested_by_its_number_of_frames() {
    let (path, body) = sent(&video(VideoParams::new("waves")), InputUse::Init, &[]);
    let expected = json!({ "prompt": "waves", "seed": 7, "output_format": "webm" });
    assert_eq!((path.as_str(), body), ("sdcpp/v1/vid_gen", expected));
    for (seconds, fps, frames, sent_fps) in
        [(2.0, None, 33, 16), (2.0, Some(24), 49, 24), (0.1, Some(1), 1, 1), (0.2, Some(10), 5, 10)]
    {
        let params = VideoParams { duration_s: Some(seconds), fps, ..VideoParams::new("waves") };
        let (_, body) = sent(&video(params), InputUse::Init, &[]);
        assert_eq!((&body["video_frames"], &body["fps"]), (&json!(frames), &json!(sent_fps)), "{seconds}");
    }
    let picture = Some(Digest::from_bytes([1; 32]));
    let last = VideoParams { last_image: picture, ..VideoParams::new("waves") };
    let (_, body) = sent(&video(last.clone()), InputUse::Init, &["pic"]);
    assert_eq!((&body["init_image"], &body["end_image"]), (&Value::Null, &json!("cGlj")));
    let both = VideoParams { image: picture, ..last };
    let (_, body) = sent(&video(both), InputUse::Init, &["pic", "msk"]);
    assert_eq!((&body["init_image"], &body["end_image"]), (&json!("cGlj"), &json!("bXNr")));
}

#[test]
fn the_states_of_a_job_are_read() {
    let running = |doing: &str| JobState::Running { fraction: None, doing: doing.to_owned() };
    for (value, expected) in [
        (json!({ "status": "queued", "queue_position": 2, "result": null }), running("queued, place 2")),
        (json!({ "status": "generating", "queue_position": 0 }), running("generating")),
        (json!({ "status": "completed" }), JobState::Done { urls: Vec::new() }),
        (json!({ "id": "job_1" }), JobState::Unreadable),
        (json!([]), JobState::Unreadable),
    ] {
        assert_eq!(state(&value), expected, "{value}");
    }
    let failed = json!({
        "status": "failed", "result": null, "error": { "code": "generation_failed", "message": "no memory" },
    });
    let refusal = Refusal { class: Class::Unknown, message: "the job is failed: no memory".to_owned() };
    assert_eq!(state(&failed), JobState::Failed(refusal));
}

#[test]
fn the_files_of_a_result_are_taken_and_no_previews() {
    let base = Url::parse(ADDRESS).unwrap();
    let numbers = |value: &Value| {
        let items = Sdcpp.items(&document(value), &base);
        items.iter().filter_map(Item::number).collect::<Vec<_>>()
    };
    let pictures = json!({
        "preview": { "b64_json": "cHJldmlldw==" },
        "result": { "images": [{ "index": 0, "b64_json": "YQ==" }, { "index": 1, "b64_json": "Yg==" }] },
    });
    assert_eq!(numbers(&pictures), [1, 2]);
    assert_eq!(numbers(&json!({ "result": { "b64_json": "YQ==", "fps": 16 } })), [0]);
    assert!(numbers(&json!({ "status": "queued", "result": null })).is_empty());
}

#[test]
fn a_job_is_named_by_its_id_and_a_full_queue_is_a_limit() {
    let id = |value: &Value| Sdcpp.accepted(&document(value)).map(|job| job["id"].clone());
    assert_eq!(id(&json!({ "id": "job_1", "status": "queued" })).as_deref(), Some("job_1"));
    for value in [json!({}), json!({ "id": "" }), json!({ "id": ".." }), json!({ "id": "a\nb" })] {
        assert_eq!(id(&value), None, "{value}");
    }
    for (status, class) in [
        (400, Class::Invalid),
        (404, Class::Invalid),
        (410, Class::Gone),
        (429, Class::RateLimited(None)),
        (500, Class::Transient(None)),
        (502, Class::Ambiguous),
    ] {
        let body = json!({ "error": "job queue is full" });
        let refusal =
            Sdcpp.refusal(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), &document(&body));
        assert_eq!((refusal.class, refusal.message.as_str()), (class, "job queue is full"), "{status}");
    }
}
