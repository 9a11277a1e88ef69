//! F1 and F2: the processor time and the memory for a film of stills, made for the first time and after one shot was edited. F3: the time that a film
//! takes whose steps are all in the cache.
//!
//! The film of F1 and F2 has one minute at 1080p: twelve pictures of `draft`, each with a camera move and a dissolve to the next.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a bench fails by panicking, where it stands"
)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use reel_tests::{
    Connection,
    bench::{self, Row, Samples, Unit},
    pause,
    process::{cpu_seconds, processes_of, status_number},
};
use serde_json::{Value, json};

/// Number of shots.
const SHOTS: usize = 12;
/// Number of frames of a shot, and of a dissolve.
const FRAMES: usize = 150;
const DISSOLVE: usize = 12;
/// Number of shots of the film that comes from the cache.
const CACHED_SHOTS: usize = 100;
/// The interval at which the memory is measured.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);
/// The arguments with which all clips are encoded, by reel and by the reference.
const ENCODING: &str = "-c:v libx264 -preset veryfast -crf 20 -g 60 -pix_fmt yuv420p -threads 2 -an";

fn main() {
    bench::main(&[("F1", filmed), ("F3", scheduled)]);
}

/// F3: the time for a film whose steps all come from the cache, beside the time of the same film with no step in the cache.
fn scheduled() -> Vec<Row> {
    let sandbox = bench::sandbox();
    sandbox.start();
    let mut connection = sandbox.connect();
    let shots: Vec<Value> = (0..CACHED_SHOTS)
        .map(
            |index| json!({ "id": format!("a{index}"), "text": format!("This is sentence number {index}.") }),
        )
        .collect();
    let video = json!({ "size": "320x180", "style": "" });
    let first = bench::seconds(|| make(&mut connection, &video, &shots));
    let cached = bench::each(5, || make(&mut connection, &video, &shots));
    vec![Row {
        mark: "F3",
        figure: "a film of 100 shots, all steps cached",
        unit: Unit::Seconds,
        ours: Samples::new(cached),
        reference_name: "the same, nothing cached",
        reference: Samples::constant(first),
        first: "2 s",
        goal: "2 s",
    }]
}

fn filmed() -> Vec<Row> {
    let sandbox = bench::sandbox();
    let pid = sandbox.start();
    let mut connection = sandbox.connect();
    let pictures: Vec<Value> = (0..=SHOTS).map(|index| picture(&mut connection, index)).collect();
    let mut shots: Vec<Value> = (0..SHOTS)
        .map(|index| {
            let camera = ["in", "out", "left", "right"][index % 4];
            let picture = &pictures[index]["digest"];
            json!({ "id": format!("a{index}"), "text": "", "picture_file": picture, "min_s": 5.0, "camera": camera })
        })
        .collect();
    let is_over = Arc::new(AtomicBool::new(false));
    let (root, over) = (sandbox.root().to_owned(), Arc::clone(&is_over));
    let watching = thread::spawn(move || peak_bytes(&root, &over));
    let video = json!({ "size": "1920x1080" });
    let first = cost(pid, || make(&mut connection, &video, &shots));
    shots[5]["picture_file"] = pictures[SHOTS]["digest"].clone();
    let edited = cost(pid, || make(&mut connection, &video, &shots));
    is_over.store(true, Relaxed);
    let peak = watching.join().unwrap();
    let paths: Vec<PathBuf> =
        pictures.iter().map(|picture| PathBuf::from(picture["path"].as_str().unwrap())).collect();
    let plain = plain_commands(&paths, &sandbox.work());
    let row = |mark, figure, unit, ours, (reference_name, reference), first, goal| Row {
        mark,
        figure,
        unit,
        ours: Samples::constant(ours),
        reference_name,
        reference: Samples::constant(reference),
        first,
        goal,
    };
    vec![
        row(
            "F1",
            "one minute at 1080p: processor time",
            Unit::Seconds,
            first,
            ("zoompan, xfade, concat", plain),
            "1.1 ×",
            "1.1 ×",
        ),
        row(
            "F1",
            "the same: peak RSS of the daemon and its programs",
            Unit::Bytes,
            peak,
            ("the mark", 400e6),
            "400 MB",
            "400 MB",
        ),
        row(
            "F2",
            "after one edited shot of twelve: processor time",
            Unit::Seconds,
            edited,
            ("the whole film", first),
            "0.33 ×",
            "0.33 ×",
        ),
    ]
}

/// Makes a picture in the size of the film.
fn picture(connection: &mut Connection, index: usize) -> Value {
    let params =
        json!({ "prompt": format!("a lighthouse by the sea, shot {index}"), "width": 1920, "height": 1080 });
    let id = connection.submit("image.generate", params);
    connection.wait(id)["outputs"][0].clone()
}

fn make(connection: &mut Connection, video: &Value, shots: &[Value]) {
    let project = json!({ "version": 1, "video": video, "shots": shots });
    let id = connection.submit("story.make", json!({ "project": project }));
    // A film takes longer than the timeout of a request, so poll.
    loop {
        let task = connection.task(id);
        match task["state"].as_str() {
            Some("succeeded") => return,
            Some("failed" | "cancelled") => panic!("{task}"),
            _ => pause(CHECK_INTERVAL),
        }
    }
}

/// Returns the processor time that some work takes in a process and in the children for which it waits, in seconds.
fn cost(pid: u32, work: impl FnOnce()) -> f64 {
    let before = cpu_seconds(pid);
    work();
    cpu_seconds(pid) - before
}

/// Measures until `is_over`, and returns the peak of the memory that all processes of a sandbox hold together, in bytes.
fn peak_bytes(root: &Path, is_over: &AtomicBool) -> f64 {
    let mut peak = 0;
    while !is_over.load(Relaxed) {
        let held = processes_of(root).into_iter().filter_map(|pid| status_number(pid, "VmRSS"));
        peak = held.sum::<u64>().max(peak);
        pause(CHECK_INTERVAL);
    }
    peak as f64 * 1024.0
}

/// Makes the film with plain ffmpeg commands, as people write them: a clip with a zoom for each shot, dissolves between their ends, and all of them
/// joined.
fn plain_commands(pictures: &[PathBuf], directory: &Path) -> f64 {
    let ffmpeg = |arguments: &str| {
        let status =
            Command::new("ffmpeg").current_dir(directory).args(arguments.split(' ')).status().unwrap();
        assert!(status.success(), "{arguments}");
    };
    let zoom = |frames: usize| {
        format!("zoompan=z='1+0.0007*on':x='iw/2-iw/zoom/2':y='ih/2-ih/zoom/2':d={frames}:s=1920x1080:fps=30")
    };
    cost(std::process::id(), || {
        let mut list = vec!["ffconcat version 1.0".to_owned()];
        for (index, picture) in pictures.iter().take(SHOTS).enumerate() {
            let drawn = FRAMES + DISSOLVE;
            let first = if index == 0 { 0 } else { DISSOLVE };
            ffmpeg(&format!(
                "-v error -y -i {} -vf {},trim=start_frame={first}:end_frame={FRAMES},setpts=PTS-STARTPTS {ENCODING} b{index}.mp4",
                picture.display(),
                zoom(drawn)
            ));
            list.push(format!("file b{index}.mp4"));
            if let Some(next) = pictures.get(index + 1).filter(|_| index + 1 < SHOTS) {
                let graph = format!(
                    "[0:v]{},trim=start_frame={FRAMES},setpts=PTS-STARTPTS[a];[1:v]{}[b];[a][b]xfade=duration=0.4:offset=0",
                    zoom(drawn),
                    zoom(DISSOLVE)
                );
                ffmpeg(&format!(
                    "-v error -y -i {} -i {} -filter_complex {graph} -frames:v {DISSOLVE} {ENCODING} t{index}.mp4",
                    picture.display(),
                    next.display()
                ));
                list.push(format!("file t{index}.mp4"));
            }
        }
        fs::write(directory.join("list"), list.join("\n")).unwrap();
        ffmpeg(
            "-v error -y -f concat -i list -f lavfi -t 60 -i anullsrc=r=48000:cl=mono -map 0:v -map 1:a -c:v copy -c:a aac -b:a 160k -movflags +faststart film.mp4",
        );
    })
}
