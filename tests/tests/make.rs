//! The parts of `reel make` that need no daemon: making a storyboard from a story, and refusing bad input before any request.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{fs, path::PathBuf};

use reel_tests::Sandbox;

const STORY: &str = "# The Lamp\n\nThe keeper climbed the stairs every evening and lit the lamp. \
    He looked out over the dark water for a long time.\n\n\"Is anybody there?\" he called into the wind that night.\n";

/// Writes a story to a directory whose name needs shell quotes. Returns the sandbox and the paths of the story and its project file.
fn with_story(story: &[u8]) -> (Sandbox, PathBuf, PathBuf) {
    let sandbox = Sandbox::new();
    let directory = sandbox.root().join("it's 50% a:b");
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("story.txt"), story).unwrap();
    let (story, project) = (directory.join("story.txt"), directory.join("story.reel.toml"));
    (sandbox, story, project)
}

#[test]
fn a_dry_run_shows_the_shots_and_writes_nothing() {
    let (sandbox, story, project) = with_story(STORY.as_bytes());
    let ran = sandbox.reel(&["make", story.to_str().unwrap(), "--dry-run", "--no-start"]);
    let shown = &ran.expect_code(0).stdout;
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines[0].starts_with("SHOT  AT    TAKES  TEXT"), "{shown}");
    assert!(lines[1].starts_with("a1    0:00  5.0 s  The keeper climbed the stairs"), "{shown}");
    assert_eq!(lines.len(), 4, "{shown}");
    let totals = "3 shots in 1 scene, about 0:14 at 1920x1080 and 30 frames a second; 166 characters to speak, 3 pictures";
    assert!(ran.stderr.contains(totals), "{}", ran.stderr);
    assert!(ran.stderr.contains("--until storyboard writes the shots"), "{}", ran.stderr);
    assert!(ran.stderr.contains("no daemon runs, so nobody can tell prices"), "{}", ran.stderr);
    assert!(!project.exists());
    assert!(sandbox.daemons().is_empty());
}

#[test]
fn the_storyboard_is_written_once_and_stays_as_a_person_edits_it() {
    let (sandbox, story, project) = with_story(STORY.as_bytes());
    let make = ["make", story.to_str().unwrap(), "--until", "storyboard", "--size", "9:16", "--json"];
    let first = sandbox.reel(&make).expect_code(0).json();
    assert_eq!((&first["is_written"], &first["pictures"]), (&true.into(), &3.into()), "{first}");
    assert_eq!(first["shots"][2]["id"], "a3");
    let written = fs::read_to_string(&project).unwrap();
    assert!(written.contains("size = \"1080x1920\""), "{written}");

    let edited = written.replacen("id = \"a2\"", "id = \"a2\" # the night", 1).replacen(
        "[[shots]]\nid = \"a3\"",
        "# My own card.\n[[shots]]\ntext = \"\"\nmin_s = 4\n\n[[shots]]\nid = \"a3\"",
        1,
    );
    fs::write(&project, &edited).unwrap();
    let second = sandbox.reel(&make).expect_code(0).json();
    assert_eq!((&second["is_written"], &second["shots"][2]["id"]), (&true.into(), &"s1".into()), "{second}");
    let expected = edited.replacen("[[shots]]\ntext = \"\"", "[[shots]]\nid = \"s1\"\ntext = \"\"", 1);
    assert_eq!(fs::read_to_string(&project).unwrap(), expected);

    let third = sandbox.reel(&["make", project.to_str().unwrap(), "--until", "storyboard", "--json"]);
    assert_eq!(third.expect_code(0).json()["is_written"], false);
    assert_eq!(fs::read_to_string(&project).unwrap(), expected);
}

#[test]
fn a_story_that_changed_since_is_reported_and_the_storyboard_is_used() {
    let (sandbox, story, project) = with_story(STORY.as_bytes());
    let make = ["make", story.to_str().unwrap(), "--until", "storyboard"];
    sandbox.reel(&make).expect_code(0);
    let written = fs::read_to_string(&project).unwrap();
    fs::write(&story, STORY.replace("lamp.", "big lamp.")).unwrap();
    let ran = sandbox.reel(&make);
    assert!(ran.expect_code(0).stderr.contains("the story was changed since"), "{}", ran.stderr);
    assert_eq!(fs::read_to_string(&project).unwrap(), written);
}

#[test]
fn bad_input_is_refused_and_writes_nothing() {
    let gbk =
        b"\xb4\xd3\xc7\xb0\xd3\xd0\xd7\xf9\xc9\xbd\xa3\xac\xc9\xbd\xc0\xef\xd3\xd0\xd7\xf9\xc3\xed\xa1\xa3";
    for (bytes, words) in [
        (&b""[..], "the story is empty"),
        (b"# One\n\n## Two\n", "headings and no text below them"),
        (b"A sto\0ry.", "a NUL byte"),
        (b"\xff\xfeA\0", "it looks like UTF-16LE"),
        (gbk, "it looks like GBK"),
        (&vec![b'a'; 2 * 1024 * 1024 + 1], "split it into several files"),
    ] {
        let (sandbox, story, project) = with_story(bytes);
        let ran = sandbox.reel(&["make", story.to_str().unwrap(), "--until", "storyboard"]);
        assert!(ran.expect_code(65).stderr.contains(words), "{}", ran.stderr);
        assert!(!project.exists());
    }
    let (sandbox, story, project) = with_story(STORY.as_bytes());
    fs::write(&project, "version = 1\n[[shots]]\ntext = \"One.\"\ncamra = \"in\"\n").unwrap();
    let ran = sandbox.reel(&["make", story.to_str().unwrap(), "--dry-run"]);
    let words = "story.reel.toml: line 4, column 1: there is no field `camra`: did you mean `camera`?";
    assert!(ran.expect_code(65).stderr.contains(words), "{}", ran.stderr);
    let nowhere = sandbox.root().join("nowhere.txt");
    sandbox.reel(&["make", nowhere.to_str().unwrap(), "--dry-run"]).expect_code(66);
}

#[test]
fn flags_edit_the_project_file_and_the_edits_are_printed() {
    let (sandbox, story, project) = with_story(STORY.as_bytes());
    let make = |flags: &[&str]| {
        let story = story.to_str().unwrap();
        sandbox.reel(&[&["make", story, "--until", "storyboard"], flags].concat()).expect_code(0).clone()
    };
    make(&["--size", "1:1", "--voice", "en-gb", "--language", "en"]);
    let written = fs::read_to_string(&project).unwrap();
    for line in ["size = \"1080x1080\"", "language = \"en\"", "narrator = \"en-gb\""] {
        assert!(written.contains(line), "{line}: {written}");
    }
    let edited = written.replace("style = \"cinematic\"", "style = 'ink' # mine");
    fs::write(&project, edited.replace("narrator = \"en-gb\"", "narrator = \"en-gb\"\ngiant = \"de\""))
        .unwrap();
    let changed =
        make(&["--size", "640x360", "--style", "ink", "--speaker", "giant=en-us", "--subtitles", "none"]);
    for words in [
        "set video.size = \"640x360\" in ",
        "(it was \"1080x1080\")",
        "set voices.giant = \"en-us\"",
        "set video.subtitles = [] in",
    ] {
        assert!(changed.stderr.contains(words), "{words}: {}", changed.stderr);
    }
    assert!(!changed.stderr.contains("video.style"), "{}", changed.stderr);
    let now = fs::read_to_string(&project).unwrap();
    assert!(now.contains("style = 'ink' # mine") && now.contains("size = \"640x360\""), "{now}");
    make(&[]);
    assert_eq!(fs::read_to_string(&project).unwrap(), now);
}

#[test]
fn resplitting_a_changed_story_keeps_ids_and_edits() {
    let (sandbox, story, project) = with_story(STORY.as_bytes());
    let make = ["make", story.to_str().unwrap(), "--until", "storyboard"];
    sandbox.reel(&make).expect_code(0);
    let written = fs::read_to_string(&project).unwrap();
    // A person has edited the text of a2. The story still has the sentence.
    let own = written.replace("text = \"He looked out", "# Slower.\ntext = \"And he looked out");
    assert_ne!(own, written);
    fs::write(&project, &own).unwrap();
    let longer = STORY.replace("lit the lamp.", "lit the great lamp.")
        + "\nNobody answered him at all, and the wind went on.\n";
    fs::write(&story, longer).unwrap();
    let ran = sandbox.reel(&[&make[..], &["--resplit"]].concat());
    let said = &ran.expect_code(0).stderr;
    assert!(said.contains("split anew: 2 shots as they were, 1 with another text, 1 new, 0 gone"), "{said}");
    assert!(
        said.contains("a1: now \"The keeper climbed the stairs every evening and lit the great lamp."),
        "{said}"
    );
    let now = fs::read_to_string(&project).unwrap();
    assert!(now.contains("# Slower.\ntext = \"And he looked out"), "{now}");
    assert!(now.contains("id = \"a4\"") && now.contains("lit the great lamp."), "{now}");
    let again = sandbox.reel(&make);
    assert!(!again.expect_code(0).stderr.contains("the story was changed"), "{}", again.stderr);
    // The project file names the story, so the project file alone is enough.
    let by_project = ["make", project.to_str().unwrap(), "--until", "storyboard", "--resplit"];
    assert!(sandbox.reel(&by_project).expect_code(0).stderr.contains("4 shots as they were"));
}

#[test]
fn mistakes_are_reported_before_a_daemon_is_started() {
    let (sandbox, story, project) = with_story(STORY.as_bytes());
    let story = story.to_str().unwrap();
    sandbox.reel(&["make", story, "--until", "storyboard"]).expect_code(0);
    let written = fs::read_to_string(&project).unwrap();
    let film = project.with_file_name("story.mp4");
    for (flags, code, words) in [
        (&["--only", "a1,b7"][..], 64, "there is no shot b7; the shots are a1, a2, a3"),
        (&["--redo", "z1:voice"], 64, "there is no shot z1"),
        (&["--redo", "a1:music"], 64, "write ID:voice"),
        (&["--redo", "a1:clip"], 64, "the shot has no clip"),
        (&["--budget", "-1"], 64, "a number of US dollars"),
        (&["--speaker", "giant"], 64, "NAME=VOICE"),
        (&["-o", "film.avi"], 64, "film.avi does not end in .mp4"),
        (&["--music", "gone.mp3"], 66, "cannot read gone.mp3"),
        (&["--size", "10x10"], 64, "from 64 to 4096"),
    ] {
        let ran = sandbox.reel(&[&["make", story], flags].concat());
        assert!(ran.expect_code(code).stderr.contains(words), "{flags:?}: {}", ran.stderr);
    }
    fs::write(&film, "somebody's holiday").unwrap();
    let ran = sandbox.reel(&["make", story]);
    assert!(ran.expect_code(73).stderr.contains("story.mp4 exists"), "{}", ran.stderr);
    fs::remove_file(&film).unwrap();
    for (from, to, code, words) in [
        (
            "id = \"a2\"",
            "id = \"a2\"\npicture_file = \"own/a2.png\"",
            66,
            "shot a2: picture_file: cannot read",
        ),
        ("id = \"a2\"", "id = \"a1\"", 65, "two shots have the id `a1`"),
        ("music = \"\"", "music = \"song.mp3\"", 66, "[video] music: cannot read"),
        ("id = \"a2\"", "id = \"a2\"\nspeaker = \"giant\"", 65, "giant"),
    ] {
        assert!(written.contains(from), "{written}");
        fs::write(&project, written.replacen(from, to, 1)).unwrap();
        let ran = sandbox.reel(&["make", story]);
        assert!(ran.expect_code(code).stderr.contains(words), "{to}: {}", ran.stderr);
    }
    assert!(sandbox.daemons().is_empty());
}

#[test]
fn a_story_can_come_from_standard_input_if_its_film_is_named() {
    let (sandbox, story, _) = with_story(STORY.as_bytes());
    sandbox.reel(&["make", "-"]).expect_code(64);
    let mut command = sandbox.reel_command(&["make", "-", "-o", "lamp.mp4", "--until", "storyboard"]);
    command.stdin(fs::File::open(&story).unwrap());
    let ran = command.output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let project = fs::read_to_string(sandbox.work().join("lamp.reel.toml")).unwrap();
    assert!(project.contains("lit the lamp."), "{project}");
    // After that, the project file is used instead of the story.
    let shown = sandbox.reel(&["make", "lamp.reel.toml", "--until", "storyboard", "--json"]);
    assert_eq!(shown.expect_code(0).json()["shots"][0]["id"], "a1");
    sandbox.reel(&["make", "lamp.reel.toml", "--resplit", "--until", "storyboard"]).expect_code(64);
}

#[test]
fn the_storyboard_is_reviewed_on_a_page() {
    let (sandbox, story, project) = with_story(STORY.as_bytes());
    let ran = sandbox.reel(&["make", story.to_str().unwrap(), "--review"]);
    let page = project.with_file_name("story.reel").join("review.html");
    assert_eq!(ran.expect_code(0).stdout.trim_end(), page.to_str().unwrap());
    let html = fs::read_to_string(page).unwrap();
    assert!(html.contains("The keeper climbed the stairs") && html.contains("<code>a3</code>"), "{html}");
    assert!(sandbox.daemons().is_empty());
}
