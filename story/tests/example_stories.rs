//! Compares the shots of the stories in `examples/` with the expected ones in `tests/golden`, in a form that a person can read. `UPDATE_GOLDEN=1`
//! rewrites the expected files.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, where it stands")]

use std::{env, fmt::Write as _, fs, path::Path};

use reel_story::{
    SplitStory, cues,
    project::{Project, StoryFile, Video, new_file, read_toml},
    split_bytes,
};

fn read_example(name: &str) -> SplitStory {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(format!("{name}.txt"));
    split_bytes(&fs::read(path).unwrap(), None).unwrap()
}

#[track_caller]
fn assert_golden(name: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, found).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        found,
        expected,
        "{} differs: look at the change, then run with UPDATE_GOLDEN=1",
        path.display()
    );
}

/// Returns one line for each shot with its estimated seconds, and below it the lines of its subtitles.
fn shown(story: &SplitStory) -> String {
    let mut shown = String::new();
    for scene in &story.scenes {
        writeln!(shown, "== {}", scene.title.as_deref().unwrap_or("(no title)")).unwrap();
        for shot in &scene.shots {
            writeln!(shown, "{:5.1} s  {}", shot.seconds, shot.text.replace('\n', " / ")).unwrap();
            for cue in cues(&shot.text, 0..(shot.seconds * 48_000.0) as u64, None) {
                writeln!(shown, "         | {}", cue.lines.join("\n           ")).unwrap();
            }
        }
    }
    let seconds: f64 = story.shots().map(|shot| shot.seconds).sum();
    writeln!(shown, "{} shots, {seconds:.1} s", story.shots().count()).unwrap();
    shown
}

#[test]
fn the_english_story_has_these_shots() {
    assert_golden("lighthouse-story.txt", &shown(&read_example("lighthouse-story")));
}

#[test]
fn the_chinese_story_has_these_shots() {
    assert_golden("ferry-story.txt", &shown(&read_example("ferry-story")));
}

#[test]
fn a_new_project_file_reads_like_this() {
    let file = StoryFile { file: "ferry-story.txt".to_owned(), digest: "0".repeat(16) };
    let project = Project::of_story(&read_example("ferry-story"), file, Video::default());
    let text = new_file(&project);
    assert_eq!(read_toml(&text).unwrap(), project);
    assert_golden("ferry-story.reel.toml", &text);
}
