//! The steps of a film, one by one: exact lengths, what is seen and heard, and refusals. ffmpeg really encodes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{fs, path::PathBuf, process::Command};

use reel_tests::{
    Connection, Sandbox, eventually,
    film::{difference, film, find_sound, frames, loudness, mean, needs_programs, samples},
};
use serde_json::{Value, json};

const SIZE: (u32, u32) = (320, 180);

fn format() -> Value {
    json!({ "width": 320, "height": 180, "fps": 30 })
}

/// Returns a file that ffmpeg makes with these arguments.
fn made(sandbox: &Sandbox, name: &str, arguments: &str) -> PathBuf {
    let path = sandbox.work().join(name);
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-y"]).args(arguments.split(' ')).arg(&path);
    assert!(command.status().unwrap().success(), "{arguments}");
    path
}

/// Returns a picture of one brightness.
fn card(sandbox: &Sandbox, brightness: u8) -> PathBuf {
    let path = sandbox.work().join(format!("card{brightness}.png"));
    let mut encoder = png::Encoder::new(fs::File::create(&path).unwrap(), 320, 180);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().unwrap().write_image_data(&vec![brightness; 320 * 180]).unwrap();
    path
}

fn put(connection: &mut Connection, path: &PathBuf) -> Value {
    connection.ok("artifact.put", json!({ "path": path }))["digest"].clone()
}

/// Runs a task that must succeed. Returns its file and its digest.
#[track_caller]
fn run(connection: &mut Connection, kind: &str, params: Value) -> (PathBuf, Value) {
    let id = connection.submit(kind, params);
    let task = connection.wait(id);
    assert_eq!(task["state"], "succeeded", "{task}");
    let output = &task["outputs"][0];
    (PathBuf::from(output["path"].as_str().unwrap()), output["digest"].clone())
}

/// Runs a task that must fail. Returns its error.
#[track_caller]
fn fails(connection: &mut Connection, kind: &str, params: Value) -> Value {
    let id = connection.submit(kind, params);
    let task = connection.wait(id);
    assert_eq!(task["state"], "failed", "{task}");
    task["error"].clone()
}

#[test]
fn clips_have_exact_frame_counts_and_join_to_their_sum() {
    if !needs_programs() {
        return;
    }
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let visuals = [60, 200].map(|brightness| put(&mut connection, &card(&sandbox, brightness)));
    let shot = |visual: &Value, first: u64, frames: u64| json!({ "format": format(), "show": { "visual": visual, "first_frame": first }, "frames": frames });
    let (one, one_digest) = run(&mut connection, "render.shot", shot(&visuals[0], 0, 31));
    let dissolve = json!({
        "format": format(), "frames": 9,
        "from": { "visual": visuals[0], "first_frame": 31 }, "to": { "visual": visuals[1] },
    });
    let (between, between_digest) = run(&mut connection, "render.transition", dissolve);
    let (two, two_digest) = run(&mut connection, "render.shot", shot(&visuals[1], 9, 1));
    for (path, count) in [(&one, 31), (&between, 9), (&two, 1)] {
        let found = film(path);
        assert_eq!((found.frames, found.size, &*found.form), (count, (320, 180), "h264 yuv420p tv bt709"));
        assert!((found.video_s - count as f64 / 30.0).abs() < 1e-6, "{found:?}");
    }
    let levels: Vec<f64> =
        frames(&between, &(0..9).collect::<Vec<_>>(), SIZE).iter().map(|frame| mean(frame)).collect();
    assert!(levels.windows(2).all(|pair| pair[1] > pair[0] + 5.0), "an even dissolve: {levels:?}");

    let clips = json!([
        { "clip": one_digest, "frames": 31 }, { "clip": between_digest, "frames": 9 }, { "clip": two_digest, "frames": 1 },
    ]);
    let mixed = json!({ "samples": 41 * 1600 });
    let (silence, sound) = run(&mut connection, "audio.mix", mixed);
    assert!(samples(&silence).iter().all(|sample| *sample == 0.0), "silence stays silence");
    let srt = "1\n00:00:00,100 --> 00:00:01,000\nHello\n\n";
    let join = json!({
        "format": format(), "clips": clips, "audio": sound, "subtitles": { "srt": srt, "language": "de-AT" },
    });
    let (path, _) = run(&mut connection, "render.join", join.clone());
    let found = film(&path);
    let length = 41.0 / 30.0;
    assert_eq!((found.frames, &found.subtitles), (41, &vec!["deu".to_owned()]));
    assert!((found.video_s - length).abs() < 1e-4 && (found.audio_s - length).abs() < 1e-4, "{found:?}");

    // The same step is in the cache.
    let id = connection.submit("render.join", join.clone());
    assert_eq!(connection.wait(id)["source"], "cache");

    let mut wrong = join.clone();
    wrong["clips"][1]["frames"] = json!(10);
    let error = fails(&mut connection, "render.join", wrong);
    assert_eq!(error["code"], "invalid_params");
    assert_eq!(error["message"], "clip 2 of the film has 9 frames, and the request says 10");
    let mut other = shot(&visuals[0], 0, 5);
    other["format"]["fps"] = json!(25);
    let (_, slow) = run(&mut connection, "render.shot", other.clone());
    other["format"] = json!({ "width": 640, "height": 360, "fps": 30 });
    let (_, large) = run(&mut connection, "render.shot", other);
    let foreign = made(&sandbox, "foreign.mp4", "-f lavfi -i color=red:s=320x180:r=30:d=1 -c:v mpeg4");
    let foreign = put(&mut connection, &foreign);
    for (clip, part) in [
        (&slow, "clip 3 of the film has 25.00 frames a second, and the film 30"),
        (&large, "clip 3 of the film has 640x360 pixels, and the film 320x180"),
        (&foreign, "clip 3 of the film is no clip of render.shot"),
        (&visuals[0], "clip 3 of the film is no clip of render.shot"),
    ] {
        let mut wrong = join.clone();
        wrong["clips"][2] = json!({ "clip": clip, "frames": 5 });
        let error = fails(&mut connection, "render.join", wrong);
        assert!(error["message"].as_str().unwrap().contains(part), "{error}");
    }
}

#[test]
fn pictures_are_turned_upright_and_transparent_ones_are_on_black() {
    if !needs_programs() {
        return;
    }
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let shown = |connection: &mut Connection, path: &PathBuf| {
        let visual = put(connection, path);
        let params =
            json!({ "format": format(), "show": { "visual": visual, "camera": "still" }, "frames": 2 });
        let (path, _) = run(connection, "render.shot", params);
        frames(&path, &[1], SIZE).remove(0)
    };
    // The left half is transparent, with white colour in the transparent pixels.
    let half = made(
        &sandbox,
        "half.png",
        "-f lavfi -i color=white:s=320x180,format=rgba,geq=r=255:g=255:b=255:a='255*gte(X,160)' -frames:v 1",
    );
    let frame = shown(&mut connection, &half);
    assert!(frame[90 * 320 + 40] < 20 && frame[90 * 320 + 280] > 220, "transparent is black");
    // The forms of older programs.
    for name in ["grey.gif", "grey.bmp"] {
        let grey = made(&sandbox, name, "-f lavfi -i color=0x808080:s=160x90 -frames:v 1");
        let frame = shown(&mut connection, &grey);
        assert!((100.0..150.0).contains(&mean(&frame)), "{name}: {}", mean(&frame));
    }
    // A photo of a turned camera: the upper half of the picture is the right half of the file.
    let plain = made(
        &sandbox,
        "turned.jpg",
        "-f lavfi -i color=black:s=180x320,format=gray,geq=lum='255*gte(X,90)' -pix_fmt yuvj420p -frames:v 1",
    );
    let mut jpeg = fs::read(&plain).unwrap();
    // A big-endian TIFF with one entry: orientation 8, so a quarter turn to the left makes the picture upright.
    let exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x08\0\0\0\0\0\0";
    let segment = [&[0xff, 0xe1], &(exif.len() as u16 + 2).to_be_bytes()[..], exif].concat();
    jpeg.splice(2..2, segment);
    fs::write(&plain, jpeg).unwrap();
    let frame = shown(&mut connection, &plain);
    let (top, bottom) = (mean(&frame[..320 * 60]), mean(&frame[320 * 120..]));
    assert!(top > 200.0 && bottom < 40.0, "{top} above, {bottom} below");
}

#[test]
fn clips_of_any_format_are_fitted_to_their_shot() {
    if !needs_programs() {
        return;
    }
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    // The clip is larger than the film, has another shape, frame rate and colour format, and is shorter than its shot.
    let clip = made(
        &sandbox,
        "own.mp4",
        "-f lavfi -i gradients=s=1930x1086:c0=black:c1=black:r=24:d=1,geq=lum='60+N*6':cb=128:cr=128 -c:v libx264 -preset ultrafast -pix_fmt yuv444p -chroma_sample_location center",
    );
    let clip = put(&mut connection, &clip);
    let show = |first: u64| json!({ "visual": clip, "shot_frames": 45, "first_frame": first });
    let shot = json!({ "format": format(), "show": show(3), "frames": 30 });
    let (path, fitted) = run(&mut connection, "render.shot", shot);
    let found = film(&path);
    assert_eq!((found.frames, &*found.form), (30, "h264 yuv420p tv bt709"));
    let levels: Vec<f64> = frames(&path, &[0, 12, 25, 29], SIZE).iter().map(|frame| mean(frame)).collect();
    assert!(levels[0] < levels[1] - 20.0 && levels[1] < levels[2] - 20.0, "it plays: {levels:?}");

    // In a dissolve the clip goes on where the shot ended. When it is over, its last frame is repeated.
    let picture = put(&mut connection, &card(&sandbox, 30));
    let dissolve = json!({
        "format": format(), "frames": 12, "from": show(33), "to": { "visual": picture, "camera": "still" },
    });
    let (between, dissolved) = run(&mut connection, "render.transition", dissolve);
    let found = film(&between);
    assert_eq!((found.frames, &*found.form), (12, "h264 yuv420p tv bt709"));
    // All clips have the same format, so they can be joined.
    let shown = json!({ "format": format(), "show": { "visual": picture }, "frames": 5 });
    let (_, still) = run(&mut connection, "render.shot", shown);
    let clips = json!([
        { "clip": fitted, "frames": 30 }, { "clip": dissolved, "frames": 12 }, { "clip": still, "frames": 5 },
    ]);
    let (whole, _) = run(&mut connection, "render.join", json!({ "format": format(), "clips": clips }));
    let found = film(&whole);
    assert_eq!((found.frames, found.audio_s), (47, 0.0));
    let mixed: Vec<f64> = frames(&between, &[0, 6, 11], SIZE).iter().map(|frame| mean(frame)).collect();
    assert!(mixed[0] > mixed[1] + 20.0 && mixed[1] > mixed[2] + 20.0, "{mixed:?}");

    let sound = put(&mut connection, &made(&sandbox, "tone.wav", "-f lavfi -i sine=440:r=48000:d=1"));
    let error = fails(
        &mut connection,
        "render.shot",
        json!({ "format": format(), "show": { "visual": sound }, "frames": 2 }),
    );
    assert_eq!(error["code"], "invalid_params", "{error}");
    assert!(error["message"].as_str().unwrap().contains("audio/wav"), "{error}");
}

#[test]
fn burnt_in_subtitles_are_in_their_frames_and_an_emoji_fails_no_film() {
    if !needs_programs() {
        return;
    }
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let picture = put(&mut connection, &card(&sandbox, 90));
    let shot = |lines: Value| {
        json!({
            "format": format(), "show": { "visual": picture, "camera": "still", "first_frame": 10 }, "frames": 20,
            "subtitles": lines,
        })
    };
    let cue = |text: &str| json!([{ "first_frame": 15, "frames": 6, "lines": [text] }]);
    let (plain, _) = run(&mut connection, "render.shot", shot(json!([])));
    let (burnt, _) = run(&mut connection, "render.shot", shot(cue("Grüße 从前")));
    let numbers: Vec<u64> = (0..20).collect();
    let differences: Vec<bool> = frames(&burnt, &numbers, SIZE)
        .iter()
        .zip(&frames(&plain, &numbers, SIZE))
        .map(|(one, other)| difference(one, other) > 0.1)
        .collect();
    let expected: Vec<bool> = (0..20).map(|frame| (5..11).contains(&frame)).collect();
    assert_eq!(differences, expected);
    // The emoji and the space before it leave no trace.
    let (heart, _) = run(&mut connection, "render.shot", shot(cue("Grüße 从前 \u{1faf6}")));
    let apart = difference(&frames(&heart, &[8], SIZE)[0], &frames(&burnt, &[8], SIZE)[0]);
    assert!(apart < 0.05, "{apart}");
    let error = fails(&mut connection, "render.shot", shot(cue("ab\u{105c0}")));
    assert_eq!(error["code"], "no_font", "{error}");
    assert!(error["hint"].as_str().unwrap().contains("fonts-noto"), "{error}");
}

#[test]
fn voices_are_at_their_exact_samples_over_repeating_music() {
    if !needs_programs() {
        return;
    }
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    // The voices have different rates, channels and codecs. The noise is found in the mix, exact to the sample.
    let noise = |seed: u32| format!("-f lavfi -i anoisesrc=d=0.8:a=0.3:c=pink:r=22050:seed={seed}");
    let one = made(&sandbox, "one.wav", &format!("{} -ac 2", noise(1)));
    let two = made(&sandbox, "two.flac", &format!("{} -ar 44100", noise(2)));
    let music = made(&sandbox, "music.mp3", "-f lavfi -i sine=330:r=44100:d=1.3 -b:a 96k");
    let places: [(&PathBuf, usize); 2] = [(&one, 12_345), (&two, 110_001)];
    let length = 200_003;
    let voices: Vec<Value> = places
        .iter()
        .map(|(path, at)| json!({ "voice": put(&mut connection, path), "at_sample": at }))
        .collect();
    let mut params = json!({ "samples": length, "voices": voices });
    for with_music in [false, true] {
        if with_music {
            params["music"] = json!({ "digest": put(&mut connection, &music), "db": -20.0 });
        }
        let (path, _) = run(&mut connection, "audio.mix", params.clone());
        let sound = samples(&path);
        assert_eq!(sound.len(), length);
        for (voice, at) in places {
            let (lag, likeness) = find_sound(&sound, &samples(voice), at, 60);
            assert!(lag.abs() < 2 && likeness > 0.93, "{}: {lag} away, {likeness}", voice.display());
        }
        let (lufs, _) = loudness(&path);
        assert!((-16.0..=-13.9).contains(&lufs), "{lufs} LUFS");
        // The music repeats after its end, and fades out.
        let loud = |range: std::ops::Range<usize>| {
            sound[range].iter().map(|sample| sample.abs()).fold(0.0, f32::max)
        };
        assert_eq!(loud(170_000..175_000) > 0.005, with_music);
        assert!(loud(length - 48..length) < 0.002);
    }
    // Files that contain no sound are refused: an MP3 whose frames have only headers, and a picture.
    let text = sandbox.work().join("text.mp3");
    let frame = [&[0xff, 0xfb, 0x90, 0x64][..], &[0x55; 413]].concat();
    fs::write(&text, frame.repeat(20)).unwrap();
    let digest = put(&mut connection, &text);
    let music = json!({ "samples": 4800, "music": { "digest": digest, "db": -20.0 } });
    let error = fails(&mut connection, "audio.mix", music);
    assert!(error["message"].as_str().unwrap().contains("music"), "{error}");
    let picture = put(&mut connection, &card(&sandbox, 10));
    let error = fails(
        &mut connection,
        "audio.mix",
        json!({ "samples": 4800, "voices": [{ "voice": picture, "at_sample": 0 }] }),
    );
    assert!(error["message"].as_str().unwrap().contains("image/png"), "{error}");
}

#[test]
fn a_hundred_voices_are_mixed_within_the_memory_of_a_run() {
    if !needs_programs() {
        return;
    }
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let voice = put(&mut connection, &made(&sandbox, "tick.mp3", "-f lavfi -i sine=900:r=44100:d=0.2"));
    let voices: Vec<Value> =
        (0..250).map(|index| json!({ "voice": voice, "at_sample": index * 24_000 })).collect();
    let (path, _) = run(&mut connection, "audio.mix", json!({ "samples": 250 * 24_000, "voices": voices }));
    let sound = samples(&path);
    assert_eq!(sound.len(), 250 * 24_000);
    let loud = |from: usize| sound[from..from + 2_000].iter().map(|sample| sample.abs()).fold(0.0, f32::max);
    for index in [0, 99, 100, 249] {
        assert!(
            loud(index * 24_000 + 2_000) > 0.05 && loud(index * 24_000 + 20_000) < 0.001,
            "voice {index}"
        );
    }
}

#[test]
fn one_step_runs_at_a_time_and_a_cancel_ends_its_program() {
    if !needs_programs() {
        return;
    }
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let picture = put(&mut connection, &card(&sandbox, 90));
    let long = |width: u32| {
        json!({
            "format": { "width": width, "height": 720, "fps": 30 }, "show": { "visual": picture }, "frames": 20_000,
        })
    };
    let ids = [1280, 1278].map(|width| connection.submit("render.shot", long(width)));
    let programs = || {
        let all = reel_tests::process::processes_of(sandbox.root());
        let is_ffmpeg = |pid: &u32| reel_tests::process::runs_binary(*pid, "ffmpeg");
        all.into_iter().filter(is_ffmpeg).collect::<Vec<_>>()
    };
    eventually("the first one is under way", || {
        let task = connection.task(ids[0]);
        (programs().len() == 1 && task["progress"]["fraction"].as_f64().is_some_and(|part| part > 0.0))
            .then_some(())
    });
    assert_eq!(connection.task(ids[1])["state"], "queued");
    connection.ok("task.cancel", json!({ "id": ids[1] }));
    // If the system kills the program, the step is tried again.
    for pid in programs() {
        reel_tests::process::kill(pid);
    }
    eventually("it is under way again", || {
        let task = connection.task(ids[0]);
        (programs().len() == 1 && task["attempts"] == 2).then_some(())
    });
    let begun = std::time::Instant::now();
    connection.ok("task.cancel", json!({ "id": ids[0] }));
    eventually("the program is gone", || programs().is_empty().then_some(()));
    assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_eq!(connection.wait(ids[0])["state"], "cancelled");
}

#[test]
fn without_ffmpeg_the_steps_are_refused_with_what_to_install() {
    let sandbox = Sandbox::new().without_programs();
    sandbox.start();
    let mut connection = sandbox.connect();
    let spec = json!({ "kind": "audio.mix", "params": { "samples": 48_000 } });
    let error = connection.err("task.submit", spec);
    assert_eq!(error.data.code, "no_provider", "{error:?}");
    assert!(format!("{error:?}").contains("apt install ffmpeg"), "{error:?}");
    let wrong = json!({ "kind": "render.shot", "params": { "format": format(), "frames": 1, "shwo": {} } });
    assert!(format!("{:?}", connection.err("task.submit", wrong)).contains("did you mean show?"));
    let format = json!({ "width": 320, "height": 180, "fps": 25, "tempo": 2 });
    let wrong = json!({ "kind": "render.join", "params": { "format": format, "clips": [] } });
    assert!(format!("{:?}", connection.err("task.submit", wrong)).contains("unknown field `tempo`"));
}
