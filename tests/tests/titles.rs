//! Titles of films: the opening title, the titles of chapters and the end card, as they are seen and heard in the film.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use reel_tests::{
    Connection, Sandbox,
    film::{film, find_sound, frames, needs_programs, samples},
    needs,
    tale::{Tale, programs},
};
use serde_json::{Value, json};

/// Width and height of the films, in pixels.
const SIZE: (u32, u32) = (320, 180);

fn can_film() -> bool {
    needs_programs() && needs::program("espeak-ng")
}

/// Puts a grey picture into the store.
fn card(sandbox: &Sandbox, connection: &mut Connection) -> Value {
    let path = sandbox.work().join("grey.png");
    let mut encoder = png::Encoder::new(fs::File::create(&path).unwrap(), 320, 180);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().unwrap().write_image_data(&vec![120; 320 * 180]).unwrap();
    connection.ok("artifact.put", json!({ "path": path }))["digest"].clone()
}

/// Makes a story. Returns the finished task and its report.
fn make(connection: &mut Connection, project: &Value, more: Value) -> (Value, Value) {
    let mut params = more;
    params["project"] = project.clone();
    let id = connection.submit("story.make", params);
    let task = connection.wait(id);
    assert_eq!(task["state"], "succeeded", "{task}");
    let report = fs::read(task["outputs"].as_array().unwrap().last().unwrap()["path"].as_str().unwrap());
    (task.clone(), serde_json::from_slice(&report.unwrap()).unwrap())
}

fn path_of(output: &Value) -> PathBuf {
    PathBuf::from(output["path"].as_str().unwrap())
}

/// Returns the rows and the columns of a frame of one brightness that text has changed; None if it has changed nothing.
fn text_box(film: &Path, number: u64) -> Option<[usize; 4]> {
    let frame = frames(film, &[number], SIZE).remove(0);
    let width = SIZE.0 as usize;
    let plain = frame[0];
    let changed: Vec<usize> =
        frame.iter().enumerate().filter(|(_, value)| value.abs_diff(plain) > 40).map(|(at, _)| at).collect();
    let rows = changed.iter().map(|at| at / width);
    let columns = changed.iter().map(|at| at % width);
    Some([rows.clone().min()?, rows.max()?, columns.clone().min()?, columns.max()?])
}

#[test]
fn titles_are_shown_before_the_narration_and_the_end_card_after_it() {
    if !can_film() {
        return;
    }
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let picture = card(&sandbox, &mut connection);
    let shot = |id: &str, scene: &str, text: &str| json!({ "id": id, "scene": scene, "text": text, "picture_file": picture, "camera": "still" });
    let mut project = json!({
        "version": 1,
        "video": { "size": "320x180", "subtitles": ["srt"], "title_s": 1.5 },
        "scenes": [{ "id": "a", "title": "First" }, { "id": "b", "title": "第二章" }],
        "shots": [shot("a1", "a", "The keeper lit the lamp, as on every evening."), shot("a2", "a", "He waited."), shot("b1", "b", "It was morning, and the sea was quiet again.")],
    });
    let (_, plain) = make(&mut connection, &project, json!({}));
    project["video"]["title"] = json!("The Lamp");
    project["video"]["end_card"] = json!("The End");
    project["video"]["chapter_titles"] = json!(true);
    let (task, report) = make(&mut connection, &project, json!({}));
    let path = path_of(&task["outputs"][0]);
    // One and a half second for the opening, one for the second chapter, and one for the end.
    assert_eq!(report["frames"].as_u64().unwrap(), plain["frames"].as_u64().unwrap() + 3 * 45);
    assert_eq!(film(&path).frames, report["frames"].as_u64().unwrap());
    let sound = samples(&path);
    let shots = report["shots"].as_array().unwrap();
    for (index, shot) in shots.iter().enumerate() {
        let at = (shot["speech_start_s"].as_f64().unwrap() * 48_000.0).round() as usize;
        let (lag, likeness) = find_sound(&sound, &samples(&path_of(&shot["voice"])), at, 96);
        assert!(lag.abs() < 48 && likeness > 0.95, "shot {index}: {lag} samples away, {likeness}");
    }
    let frame = |seconds: &Value| (seconds.as_f64().unwrap() * 30.0).round() as u64;
    let (spoken, chapter) = (frame(&shots[0]["speech_start_s"]), frame(&shots[2]["speech_start_s"]));
    assert_eq!(spoken, 12 + 45);
    let (middle, bottom) = (SIZE.1 as usize / 2, SIZE.1 as usize);
    let [top, end, left, right] = text_box(&path, spoken - 22).unwrap();
    assert!(top < middle && end > middle && end < bottom * 3 / 4 && left.abs_diff(319 - right) < 12);
    let [chapter_top, chapter_end, ..] = text_box(&path, chapter - 22).unwrap();
    assert!(chapter_end - chapter_top < end - top, "a chapter alone is one line");
    let last = report["frames"].as_u64().unwrap();
    assert!(text_box(&path, last - 22).is_some());
    // Nothing is shown before the titles, while somebody speaks, over the other shot, and at the very end.
    for number in [5, spoken + 3, frame(&shots[1]["start_s"]) + 30, chapter + 3, last - 46, last - 1] {
        assert_eq!(text_box(&path, number), None, "frame {number}");
    }
    let srt = fs::read_to_string(path_of(&task["outputs"][1])).unwrap();
    assert!(srt.starts_with("1\n00:00:01,900 --> ") && !srt.contains("Lamp\n\n2"), "{srt}");
}

#[test]
fn titles_in_letters_that_no_font_has_are_left_out_and_named() {
    if !can_film() {
        return;
    }
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let picture = card(&sandbox, &mut connection);
    let mut project = json!({
        "version": 1,
        "video": { "size": "320x180" },
        "shots": [{ "id": "a1", "text": "The lamp.", "picture_file": picture, "camera": "still" }],
    });
    let (_, plain) = make(&mut connection, &project, json!({}));
    project["video"]["title"] = json!("ab\u{105c0}");
    let (_, report) = make(&mut connection, &project, json!({ "allow_unburnt": true }));
    assert_eq!(report["frames"], plain["frames"], "a title that is not shown needs no time");
    let downgrades = report["downgrades"].to_string();
    assert!(
        downgrades.contains("no_font") && downgrades.contains("titles are not in the pictures"),
        "{downgrades}"
    );
    assert_eq!(report["shots"][0]["render"]["state"], "cached", "the subtitles are still there");
    let id = connection.submit("story.make", json!({ "project": project }));
    let refused = connection.wait(id);
    assert_eq!(refused["error"]["code"], "no_font", "{refused}");
    assert!(refused["error"]["hint"].as_str().unwrap().contains("fonts-noto"), "{refused}");
}

#[test]
fn an_assembled_film_shows_the_titles_of_its_shots() {
    if !needs_programs() {
        return;
    }
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let picture = card(&sandbox, &mut connection);
    let timeline = json!({
        "format": { "width": 320, "height": 180, "fps": 25 },
        "transition_s": 0.2,
        "shots": [
            { "visual": picture, "frames": 75, "camera": "still", "titles": [{ "title": "The Lamp", "chapter": "I", "at_s": 0.4, "seconds": 1.6 }] },
            { "visual": picture, "frames": 75, "camera": "still", "titles": [{ "title": "The End", "at_s": 1.4 }] },
        ],
    });
    let id = connection.submit("video.assemble", json!({ "timeline": timeline }));
    let task = connection.wait(id);
    assert_eq!(task["state"], "succeeded", "{task}");
    let path = path_of(&task["outputs"][0]);
    let shown: Vec<bool> = [8, 30, 52, 75 + 30, 75 + 55, 75 + 74]
        .iter()
        .map(|number| text_box(&path, *number).is_some())
        .collect();
    assert_eq!(shown, [false, true, false, false, true, false]);
}

/// Returns the names of the steps that the newest film made, without those that the cache answered.
fn steps_made(sandbox: &Sandbox) -> Vec<String> {
    let tasks =
        sandbox.connect().ok("task.list", json!({ "limit": 300 }))["tasks"].as_array().unwrap().clone();
    let story = tasks.iter().find(|task| task["kind"] == "story.make").unwrap()["id"].clone();
    let is_made = |step: &&Value| step["parent"] == story && step["source"] == "made";
    let mut names: Vec<String> =
        tasks.iter().filter(is_made).map(|step| step["step"].as_str().unwrap().to_owned()).collect();
    names.sort_unstable();
    names
}

#[test]
fn flags_set_titles_and_a_change_renders_only_the_shots_that_show_them() {
    if !can_film() {
        return;
    }
    let tale = Tale::new(Sandbox::new());
    let seconds = |flags: &[&str]| {
        let flags = [&["--json", "--dry-run"], flags].concat();
        tale.make(&flags).expect_code(0).json()["duration_s"].as_f64().unwrap()
    };
    let titled = ["--title", "The Lamp", "--end-card", "The End", "--chapter-titles"];
    let longer = seconds(&titled) - seconds(&[]);
    assert!((longer - 9.0).abs() < 0.07, "two openings and an end of three seconds each, not {longer}");
    tale.make(&[&titled[..], &["--subtitles", "none"]].concat()).expect_code(0);
    let project = fs::read_to_string(tale.project()).unwrap();
    for line in ["title = \"The Lamp\"", "end_card = \"The End\"", "chapter_titles = true", "title_s = 3.0"] {
        assert!(project.contains(line), "{line}: {project}");
    }
    let cases: [(&[&str], &[&str], &str); 4] = [
        (&["--title", "The Light"], &["join", "render/a1"], "a1: frames (title changed)"),
        (&["--end-card", "Fin"], &["join", "render/b1"], "b1: frames (title changed)"),
        (
            &["--chapter-titles=false"],
            &["join", "mix", "render/a1", "render/b1"],
            "set video.chapter_titles = false",
        ),
        (&["--title", ""], &["join", "mix", "render/a1", "transition/a2"], "set video.title = \"\""),
    ];
    for (flags, steps, words) in cases {
        let ran = tale.make(flags);
        assert!(ran.expect_code(0).stderr.contains(words), "{words}: {}", ran.stderr);
        assert_eq!(steps_made(&tale.sandbox), steps, "{flags:?}");
    }
    let long = "x".repeat(201);
    assert!(tale.make(&["--title", &long]).expect_code(64).stderr.contains("201 characters"));
    for (wrong, told) in [
        ("title_s = 100", "title_s = 100 is not possible: use 0.5 to 60"),
        ("titel = \"A\"", "there is no field `titel`: did you mean `title`?"),
    ] {
        let former = fs::read_to_string(tale.project()).unwrap();
        let key = wrong.split(' ').next().unwrap();
        let line = former.lines().find(|line| line.starts_with(key)).unwrap_or("fps = 30");
        fs::write(tale.project(), former.replacen(line, wrong, 1)).unwrap();
        assert!(tale.make(&[]).expect_code(65).stderr.contains(told), "{told}");
        fs::write(tale.project(), former).unwrap();
    }
}

#[test]
fn without_ffmpeg_the_narration_leaves_time_for_the_titles() {
    if !needs::program("espeak-ng") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    programs(directory.path(), &["espeak-ng"]);
    let tale = Tale::new(Sandbox::new().with_variable("PATH", directory.path().display().to_string()));
    tale.make(&["--title", "The Lamp"]).expect_code(78);
    let page = fs::read_to_string(tale.path("story.reel/player.html")).unwrap();
    assert!(page.contains("\"speech_start_s\":3.4"), "{page}");
    assert!(page.contains("\"opening\":\"The Lamp\",\"end_card\":\"\",\"title_s\":3.0"), "{page}");
    let narration = fs::read(tale.path("story.reel/narration.wav")).unwrap();
    assert!(narration[44..44 + 2 * 48_000].iter().all(|byte| *byte == 0));
    assert!(fs::read_to_string(tale.path("story.srt")).unwrap().starts_with("1\n00:00:03,400 --> "));
}

#[test]
fn subtitle_styles_move_the_text_and_render_only_the_shots_that_show_it() {
    if !can_film() {
        return;
    }
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let picture = card(&sandbox, &mut connection);
    let shot =
        |id: &str, text: &str| json!({ "id": id, "text": text, "picture_file": picture, "camera": "still" });
    let mut project = json!({
        "version": 1,
        "video": { "size": "320x180", "title": "The Lamp", "title_s": 1.0 },
        "shots": [shot("a1", ""), shot("a2", "The keeper lit it."), shot("a3", "")],
    });
    make(&mut connection, &project, json!({}));
    let mut shown = |style: Value| {
        for (key, value) in style.as_object().unwrap() {
            project["video"][key] = value.clone();
        }
        let (task, report) = make(&mut connection, &project, json!({}));
        let shots = report["shots"].as_array().unwrap().iter().map(|shot| &shot["render"]);
        let steps = shots.chain(report["steps"].as_array().unwrap()).filter(|step| step["state"] == "made");
        let made: Vec<String> = steps.map(|step| step["step"].as_str().unwrap().to_owned()).collect();
        let spoken = report["shots"][1]["speech_start_s"].as_f64().unwrap() + 0.3;
        let [top, bottom, left, right] =
            text_box(&path_of(&task["outputs"][0]), (spoken * 30.0).round() as u64).unwrap();
        (made, top, bottom, right - left)
    };
    let again = ["render/a2", "join"].map(str::to_owned);
    let (made, top, bottom, width) = shown(json!({}));
    assert!(made.is_empty() && top > 150 && bottom < 175, "{made:?} {top} {bottom}");
    let (made, large_top, large_bottom, large_width) = shown(json!({ "subtitle_size": "10%" }));
    assert!(
        made == again && large_bottom - large_top > (bottom - top) * 3 / 2 && large_width > width * 3 / 2
    );
    let (made, top, bottom, _) = shown(json!({ "subtitle_position": "top" }));
    assert!(made == again && top < 30 && bottom < 40, "{made:?} {top} {bottom}");
    let (made, top, bottom, _) = shown(json!({ "subtitle_position": "middle" }));
    assert!(made == again && top > 70 && top < 90 && bottom > 90 && bottom < 110, "{made:?} {top} {bottom}");
    let (made, boxed_top, boxed_bottom, boxed_width) = shown(json!({ "subtitle_outline": "box" }));
    assert!(
        made == again && boxed_top < top && boxed_bottom > bottom,
        "{boxed_top} {boxed_bottom} {top} {bottom}"
    );
    let (made, _, _, bare_width) = shown(json!({ "subtitle_outline": "none" }));
    assert!(made == again && bare_width < boxed_width, "{bare_width} {boxed_width}");
}

#[test]
fn a_short_clip_waits_at_its_first_frame_while_the_title_is_shown() {
    if !can_film() {
        return;
    }
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    // Each frame is brighter than the one before.
    let clip = sandbox.work().join("brighter.mp4");
    let source = "color=black:s=320x180:r=30:d=2,geq=lum='40+N*3':cb=128:cr=128";
    let arguments =
        ["-v", "error", "-f", "lavfi", "-i", source, "-pix_fmt", "yuv420p", clip.to_str().unwrap()];
    assert!(std::process::Command::new("ffmpeg").args(arguments).status().unwrap().success());
    let clip = connection.ok("artifact.put", json!({ "path": clip }))["digest"].clone();
    let mut project = json!({
        "version": 1,
        "video": { "size": "320x180", "title_s": 1.5 },
        "shots": [{ "id": "a1", "text": "", "hold_s": 3.0, "clip_file": clip }],
    });
    let mut brightness = |title: &str| {
        project["video"]["title"] = json!(title);
        let (task, _) = make(&mut connection, &project, json!({}));
        let shown = frames(&path_of(&task["outputs"][0]), &[1, 40, 70, 100], SIZE);
        shown.iter().map(|frame| frame[0]).collect::<Vec<_>>()
    };
    let plain = brightness("");
    assert!(plain[1] > plain[0] + 30 && plain[2] > plain[1] + 30, "{plain:?}");
    let titled = brightness("The Lamp");
    assert!(titled[1] < titled[0] + 8, "it does not move yet: {titled:?}");
    assert!(titled[2] > titled[1] + 30 && titled[3] > titled[2] + 30, "it moves after the title: {titled:?}");
}
