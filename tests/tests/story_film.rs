//! Films of `story.make`, checked frame by frame and sample by sample. espeak-ng really speaks, and ffmpeg really encodes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{fs, path::PathBuf};

use reel_tests::{
    Connection, Sandbox,
    film::{difference, film, find_sound, frames, loudness, samples},
    needs,
};
use serde_json::{Value, json};

/// Width and height of the films, in pixels.
const SIZE: (u32, u32) = (320, 180);

fn needs_programs() -> bool {
    ["ffmpeg", "ffprobe", "espeak-ng"].iter().all(|program| needs::program(program))
}

/// Writes a picture of one brightness with a brighter square to a file.
fn card(sandbox: &Sandbox, name: &str, brightness: u8) -> PathBuf {
    let path = sandbox.work().join(name);
    let mut encoder = png::Encoder::new(fs::File::create(&path).unwrap(), 640, 360);
    encoder.set_color(png::ColorType::Grayscale);
    let pixels: Vec<u8> = (0..640 * 360)
        .map(|at| if (at % 640) / 160 == 1 && (at / 640) / 90 == 1 { 255 - brightness } else { brightness })
        .collect();
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
    path
}

fn put(connection: &mut Connection, path: &PathBuf) -> String {
    connection.ok("artifact.put", json!({ "path": path }))["digest"].as_str().unwrap().to_owned()
}

/// Returns a project whose shots have these texts, and their own pictures of different brightness.
fn project(sandbox: &Sandbox, connection: &mut Connection, texts: &[&str]) -> Value {
    let shots: Vec<_> = texts
        .iter()
        .enumerate()
        .map(|(index, text)| {
            let brightness = u8::try_from(40 + (index * 60) % 180).unwrap();
            let picture = put(connection, &card(sandbox, &format!("{index}.png"), brightness));
            json!({ "id": format!("a{index}"), "text": text, "picture_file": picture, "camera": "still" })
        })
        .collect();
    json!({ "version": 1, "video": { "size": "320x180", "subtitles": ["burn", "srt"] }, "shots": shots })
}

/// Makes a story. Returns the finished task and its report.
fn make(connection: &mut Connection, params: &Value) -> (Value, Value) {
    let id = connection.submit("story.make", params.clone());
    let task = connection.wait(id);
    let report = task["outputs"].as_array().unwrap().last().unwrap_or_else(|| panic!("{task}"));
    let report = fs::read(report["path"].as_str().unwrap()).unwrap();
    (task.clone(), serde_json::from_slice(&report).unwrap())
}

/// The beginning of a TIFF, a form of pictures that is not filmed.
const TIFF: &[u8] = b"II*\0\x08\0\0\0\0\0\0\0\0\0";

/// Writes silence of this length, with 1,000 samples per second and one byte per sample.
fn write_silent_wav(path: &PathBuf, seconds: u32) {
    let length = seconds * 1_000;
    let mut file = Vec::new();
    file.extend_from_slice(b"RIFF");
    file.extend_from_slice(&(36 + length).to_le_bytes());
    file.extend_from_slice(b"WAVEfmt ");
    for half in [16_u16, 0, 1, 1, 1_000, 0, 1_000, 0, 1, 8] {
        file.extend_from_slice(&half.to_le_bytes());
    }
    file.extend_from_slice(b"data");
    file.extend_from_slice(&length.to_le_bytes());
    file.resize(file.len() + length as usize, 0x80);
    fs::write(path, file).unwrap();
}

fn path_of(output: &Value) -> PathBuf {
    PathBuf::from(output["path"].as_str().unwrap())
}

#[test]
fn a_film_has_each_picture_each_voice_and_each_subtitle_where_the_timeline_says() {
    if !needs_programs() {
        return;
    }
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let texts = [
        "The keeper climbed the stairs, as on every evening.",
        "He lit the lamp.",
        "And the sea answered him.",
    ];
    let project = project(&sandbox, &mut connection, &texts);
    let (task, report) = make(&mut connection, &json!({ "project": project }));
    assert_eq!(task["state"], "succeeded", "{task}");
    let outputs = task["outputs"].as_array().unwrap();
    let kinds: Vec<_> = outputs.iter().map(|output| output["media_type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["video/mp4", "application/x-subrip", "application/json"]);
    let path = path_of(&outputs[0]);
    let found = film(&path);
    let wanted = report["frames"].as_u64().unwrap();
    assert_eq!((found.frames, found.size), (wanted, (320, 180)));
    let length = wanted as f64 / 30.0;
    assert!((found.video_s - length).abs() < 0.001 && (found.audio_s - length).abs() < 0.001, "{found:?}");
    assert_eq!(found.form, "h264 yuv420p tv bt709");
    let sound = samples(&path);
    let shots = report["shots"].as_array().unwrap();
    for (index, shot) in shots.iter().enumerate() {
        // The middle of the shot, and the last frame before the dissolve, show the shot's picture.
        let start = (shot["start_s"].as_f64().unwrap() * 30.0).round() as u64;
        let end = start + (shot["duration_s"].as_f64().unwrap() * 30.0).round() as u64 - 1;
        let shown = frames(&path, &[start + 14, end], SIZE);
        let brightness = 40 + (index * 60) % 180;
        for frame in &shown {
            // The upper right corner has neither the square nor a subtitle.
            let corner = f64::from(frame[310 + 5 * 320]);
            let wanted = 16.0 + brightness as f64 * 219.0 / 255.0;
            assert!(
                (corner - wanted).abs() < 6.0 || (corner - brightness as f64).abs() < 6.0,
                "{index}: {corner}"
            );
        }
        let voice = samples(&path_of(&shot["voice"]));
        let at = (shot["speech_start_s"].as_f64().unwrap() * 48_000.0).round() as usize;
        let (lag, likeness) = find_sound(&sound, &voice, at, 96);
        assert!(lag.abs() < 48 && likeness > 0.95, "shot {index}: {lag} samples away, {likeness}");
    }
    let (lufs, peak) = loudness(&path);
    assert!((-16.0..=-13.9).contains(&lufs) && peak < -0.5, "{lufs} LUFS, {peak} dB");
    let srt = fs::read_to_string(path_of(&outputs[1])).unwrap();
    assert!(srt.starts_with("1\n00:00:00,400 --> ") && srt.contains("And the sea answered him."), "{srt}");
}

#[test]
fn subtitles_are_in_the_frames_of_their_speech_and_in_no_others() {
    if !needs_programs() {
        return;
    }
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let mut project = project(&sandbox, &mut connection, &["灯塔亮了。 It’s 50% {done}: \\N \"now\"."]);
    project["shots"][0]["hold_s"] = json!(1.0);
    let (with, report) = make(&mut connection, &json!({ "project": project }));
    project["video"]["subtitles"] = json!(["srt", "track"]);
    let (without, _) = make(&mut connection, &json!({ "project": project, "language": "zh" }));
    let (with, without) = (path_of(&with["outputs"][0]), path_of(&without["outputs"][0]));
    assert_eq!(film(&without).subtitles, ["zho"]);
    assert_eq!(film(&with).subtitles, Vec::<String>::new());
    let shot = &report["shots"][0];
    let frame = |seconds: f64| (seconds * 30.0).round() as u64;
    let (start, length) = (shot["speech_start_s"].as_f64().unwrap(), shot["speech_s"].as_f64().unwrap());
    let numbers = [frame(start) - 3, frame(start + length / 2.0), frame(start + length) + 4];
    let differences: Vec<f64> = frames(&with, &numbers, SIZE)
        .iter()
        .zip(&frames(&without, &numbers, SIZE))
        .map(|(one, other)| difference(one, other))
        .collect();
    assert!(differences[1] > 0.3 && differences[0] < 0.05 && differences[2] < 0.05, "{differences:?}");
}

#[test]
fn right_to_left_subtitles_begin_at_the_right() {
    if !needs_programs() {
        return;
    }
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let mut project = project(&sandbox, &mut connection, &["\u{5e9}........................."]);
    let (with, report) = make(&mut connection, &json!({ "project": project }));
    project["video"]["subtitles"] = json!(["srt"]);
    let (without, _) = make(&mut connection, &json!({ "project": project }));
    let number = (report["shots"][0]["speech_start_s"].as_f64().unwrap() * 30.0).round() as u64 + 5;
    let shown = [with, without].map(|task| frames(&path_of(&task["outputs"][0]), &[number], SIZE).remove(0));
    let (width, middle) = (SIZE.0 as usize, SIZE.0 as usize / 2);
    // The letter is taller than the full stops, so the highest changed pixel belongs to the letter.
    let drawn = shown[0].iter().zip(&shown[1]).map(|(one, other)| one.abs_diff(*other) > 60);
    let first = drawn.enumerate().find(|(_, is_drawn)| *is_drawn).unwrap().0;
    assert!(first % width > middle, "the letter is at {}", first % width);
}

#[test]
fn one_edited_prompt_makes_its_shot_and_its_dissolves_again_and_nothing_else() {
    if !needs_programs() {
        return;
    }
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let texts: Vec<String> = (0..12).map(|index| format!("Sentence {index}.")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let mut project = project(&sandbox, &mut connection, &texts);
    let (first, _) = make(&mut connection, &json!({ "project": project }));
    assert_eq!(first["state"], "succeeded", "{first}");
    project["shots"][4]["picture_file"] = json!(put(&mut connection, &card(&sandbox, "new.png", 10)));
    let (second, report) = make(&mut connection, &json!({ "project": project }));
    assert_eq!(second["state"], "succeeded", "{second}");
    let shots = report["shots"].as_array().unwrap().iter();
    let steps =
        shots.flat_map(|shot| [&shot["voice"], &shot["render"]]).chain(report["steps"].as_array().unwrap());
    let made: Vec<_> =
        steps.filter(|step| step["state"] == "made").map(|step| step["step"].as_str().unwrap()).collect();
    assert_eq!(made, ["render/a4", "transition/a4", "transition/a5", "join"]);
    assert_eq!(film(&path_of(&first["outputs"][0])).frames, film(&path_of(&second["outputs"][0])).frames);
}

#[test]
fn a_long_film_does_not_drift() {
    if !needs_programs() {
        return;
    }
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let texts = vec!["Tick."; 100];
    let mut project = project(&sandbox, &mut connection, &texts);
    // These lengths are not whole numbers of frames.
    for (index, shot) in project["shots"].as_array_mut().unwrap().iter_mut().enumerate() {
        shot["min_s"] = json!(2.0 + (index % 7) as f64 * 0.013);
        shot["transition"] = json!(if index % 3 == 0 { "cut" } else { "dissolve" });
    }
    let (task, report) = make(&mut connection, &json!({ "project": project }));
    assert_eq!(task["state"], "succeeded", "{task}");
    let path = path_of(&task["outputs"][0]);
    let found = film(&path);
    let frames = report["frames"].as_u64().unwrap();
    assert_eq!(found.frames, frames);
    let length = frames as f64 / 30.0;
    assert!((found.video_s - length).abs() < 0.001 && (found.audio_s - length).abs() < 0.001, "{found:?}");
    let (sound, shot) = (samples(&path), &report["shots"][99]);
    let voice = samples(&path_of(&shot["voice"]));
    let at = (shot["speech_start_s"].as_f64().unwrap() * 48_000.0).round() as usize;
    let (lag, likeness) = find_sound(&sound, &voice, at, 96);
    assert!(lag.abs() < 48 && likeness > 0.9, "the last voice is {lag} samples away, {likeness}");
}

#[test]
fn own_media_and_music_are_used_and_wrong_ones_are_refused_before_anything_is_made() {
    if !needs_programs() {
        return;
    }
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let mut project = project(&sandbox, &mut connection, &["One, two, three.", ""]);
    let picture = project["shots"][0]["picture_file"].clone();
    let voice = connection.submit("voice.speak", json!({ "text": "My own voice." }));
    let voice = connection.wait(voice)["outputs"][0]["digest"].clone();
    let clip = connection.submit(
        "video.generate",
        json!({ "prompt": "waves", "width": 320, "height": 180, "duration_s": 1.0 }),
    );
    let clip = connection.wait(clip)["outputs"][0]["digest"].clone();
    project["shots"][0]["voice_file"] = voice.clone();
    project["shots"][1]["clip_file"] = clip;
    project["shots"][1]["picture_file"] = json!("");
    project["video"]["music"] = voice;
    let (task, report) = make(&mut connection, &json!({ "project": project }));
    assert_eq!(task["state"], "succeeded", "{task}");
    assert_eq!(report["shots"][0]["voice"]["state"], "supplied");
    assert_eq!(report["shots"][1]["clip"]["state"], "supplied");
    let found = film(&path_of(&task["outputs"][0]));
    assert_eq!(found.frames, report["frames"].as_u64().unwrap());
    let (lufs, _) = loudness(&path_of(&task["outputs"][0]));
    assert!((-16.0..=-13.5).contains(&lufs), "{lufs} LUFS");
    project["video"]["music"] = picture.clone();
    let id = connection.submit("story.make", json!({ "project": project }));
    let refused = connection.wait(id);
    assert_eq!(refused["error"]["code"], "invalid_params", "{refused}");
    assert!(refused["error"]["message"].as_str().unwrap().contains("music of video"), "{refused}");
    project["video"]["music"] = json!("");
    let moving = sandbox.work().join("moving.tiff");
    fs::write(&moving, TIFF).unwrap();
    let moving = put(&mut connection, &moving);
    project["shots"][0]["picture_file"] = json!(moving);
    let id = connection.submit("story.make", json!({ "project": project }));
    let refused = connection.wait(id);
    assert!(
        refused["error"]["message"].as_str().unwrap().contains("PNG, JPEG, WebP, GIF or BMP"),
        "{refused}"
    );
    project["shots"][0]["picture_file"] = picture;
    let hours = sandbox.work().join("hours.wav");
    write_silent_wav(&hours, 3601);
    project["shots"][0]["voice_file"] = json!(put(&mut connection, &hours));
    let id = connection.submit("story.make", json!({ "project": project }));
    let refused = connection.wait(id);
    assert!(refused["error"]["message"].as_str().unwrap().contains("more than an hour"), "{refused}");
    project["video"]["music"] = json!("00".repeat(32));
    let error =
        connection.err("task.submit", json!({ "kind": "story.make", "params": { "project": project } }));
    assert_eq!(error.data.code, "artifact_not_found", "{error:?}");
}
