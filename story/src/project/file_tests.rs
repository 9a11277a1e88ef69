//! Tests of writing and changing project files.

use proptest::prelude::*;

use super::{
    file::{ProjectFile, TextChange},
    model::{Project, Shot, StoryFile, Video},
    new_file::new_file,
    read::read_toml,
};
use crate::split::{SplitStory, split};

const STORY: &str = "# The Lamp\n\nThe keeper climbed the stairs every evening and lit the lamp. \
    He looked out over the dark water for a long time.\n\n\"Is anybody there?\" he called into the wind that night.\n\n\
    # The Boat\n\nIn the morning a small boat lay on the beach below the tower.\n";

fn file_of(digest: &str) -> StoryFile {
    StoryFile { file: "story.txt".to_owned(), digest: digest.to_owned() }
}

fn story(text: &str) -> SplitStory {
    split(text, None).unwrap()
}

/// Returns the file of the story, with edits of a person.
fn edited() -> String {
    let text = new_file(&Project::of_story(&story(STORY), file_of("one"), Video::default()));
    let edits = [
        ("# The storyboard", "# My own first line.\n# The storyboard"),
        ("fps = 30", "fps = 24   # as in the cinema"),
        ("\n[[shots]]\nid = \"a2\"", "\n# The night must look cold.\n[[shots]]\nid = \"a2\""),
    ];
    edits.into_iter().fold(text, |text, (from, to)| {
        assert!(text.contains(from), "{from} is not in:\n{text}");
        text.replacen(from, to, 1)
    })
}

#[test]
fn a_new_file_reads_back_and_is_what_a_person_expects() {
    let project = Project::of_story(&story(STORY), file_of("one"), Video::default());
    let text = new_file(&project);
    assert_eq!(read_toml(&text).unwrap(), project, "{text}");
    assert_eq!(
        project.shots.iter().map(|shot| shot.id.as_str()).collect::<Vec<_>>(),
        ["a1", "a2", "a3", "b1"]
    );
    assert!(text.contains("\n[[scenes]]\nid = \"b\"\ntitle = \"The Boat\"\n"), "{text}");
    assert!(text.contains("text = '\"Is anybody there?\" he called into the wind that night.'\n"), "{text}");
}

#[test]
fn a_file_that_nothing_changes_stays_to_the_byte() {
    let text = edited();
    let mut file = ProjectFile::parse(&text).unwrap();
    assert_eq!(file.assign_ids(), 0);
    assert_eq!(file.to_string(), text);
    let found = file.resplit(&story(STORY), None, file_of("one"));
    assert_eq!((found.kept, found.changed.len(), found.added.len(), found.removed.len()), (4, 0, 0, 0));
    assert_eq!(file.to_string(), text);
}

#[test]
fn shots_without_ids_are_given_some_that_no_other_had() {
    let text = "version = 1\n# First.\n[[shots]]\ntext = \"One.\" # said softly\n\n[[shots]]\nid = \"s7\"\ntext = \"Two.\"\n\n[[shots]]\nid = \"\"\ntext = \"\"\n";
    let mut file = ProjectFile::parse(text).unwrap();
    assert_eq!(file.assign_ids(), 2);
    let expected = text
        .replace("[[shots]]\ntext = \"One", "[[shots]]\nid = \"s8\"\ntext = \"One")
        .replace("id = \"\"", "id = \"s9\"");
    assert_eq!(file.to_string(), expected);
    assert_eq!(file.project(), &read_toml(&expected).unwrap());
}

#[test]
fn an_array_of_inline_tables_is_given_ids_too() {
    let mut file =
        ProjectFile::parse("version = 1\nshots = [{ text = \"One.\" }, { text = \"Two.\" }]\n").unwrap();
    assert_eq!(file.assign_ids(), 2);
    let read = read_toml(&file.to_string()).unwrap();
    assert_eq!(read.shots.iter().map(|shot| shot.id.as_str()).collect::<Vec<_>>(), ["s1", "s2"]);
}

#[test]
fn a_changed_story_keeps_ids_edits_comments_and_order() {
    let text = edited().replacen(
        "text = '\"Is anybody there?\" he called into the wind that night.'\npicture = '\"Is anybody there?\" he called into the wind that night.'",
        "text = '\"Is anybody there?\" he called into the wind that night.'   # loud\npicture = \"a man at a window\"",
        1,
    );
    let mut file = ProjectFile::parse(&text).unwrap();
    let changed = STORY
        .replace("Is anybody there?", "Is somebody there?")
        .replace(
            "He looked out over",
            "It rained on the roof and on the sea, and on the rocks around the tower. He looked out over",
        )
        .replace(
            "\n\n# The Boat",
            "\n\n# The Calm\n\nThen the wind was still, and the birds came back to the rocks.\n\n# The Boat",
        );
    let found = file.resplit(&story(&changed), None, file_of("two"));
    let shouted = |word: &str| format!("\"Is {word} there?\" he called into the wind that night.");
    assert_eq!(
        found.changed,
        [TextChange { id: "a3".to_owned(), before: shouted("anybody"), after: shouted("somebody") }]
    );
    assert_eq!(found.added, ["a4", "c1"]);
    assert_eq!((found.kept, found.removed.len()), (3, 0));
    let text = file.to_string();
    let read = read_toml(&text).unwrap();
    assert_eq!(&read, file.project(), "{text}");
    assert_eq!(
        read.shots.iter().map(|shot| shot.id.as_str()).collect::<Vec<_>>(),
        ["a1", "a4", "a2", "a3", "c1", "b1"],
        "{text}"
    );
    assert!(
        text.contains("# My own first line.\n") && text.contains("fps = 24   # as in the cinema"),
        "{text}"
    );
    assert!(text.contains("# The night must look cold.\n[[shots]]\nid = \"a2\""), "{text}");
    assert!(
        text.contains(
            "somebody there?\" he called into the wind that night.'   # loud\npicture = \"a man at a window\""
        ),
        "{text}"
    );
    assert!(text.contains("digest = \"two\""), "{text}");
    assert!(text.contains("title = \"The Calm\""), "{text}");
}

#[test]
fn with_the_former_story_known_a_persons_own_narration_stays() {
    let before = story(STORY);
    let text = new_file(&Project::of_story(&before, file_of("one"), Video::default()));
    // A person rewords the second shot, removes the third one, and adds a shot at the end.
    let mut project = read_toml(&text).unwrap();
    project.shots[1].text = "He looked out over the black water for a long, long time.".to_owned();
    project.shots.remove(2);
    let mut own = project.shots[0].clone();
    own.id = "card".to_owned();
    own.text = "To be continued.".to_owned();
    project.shots.push(own);
    let mut file = ProjectFile::parse(&new_file(&project)).unwrap();
    let changed = story(&STORY.replace("a small boat", "a small red boat"));
    let found = file.resplit(&changed, Some(&before), file_of("two"));
    let texts: Vec<&str> = file.project().shots.iter().map(|shot| shot.text.as_str()).collect();
    assert_eq!(
        texts,
        [
            "The keeper climbed the stairs every evening and lit the lamp.",
            "He looked out over the black water for a long, long time.",
            "In the morning a small red boat lay on the beach below the tower.",
            "To be continued.",
        ]
    );
    assert_eq!((found.kept, found.changed.len(), found.added.len(), found.removed.len()), (3, 1, 0, 0));
}

#[test]
fn a_refrain_that_the_story_adds_is_a_new_shot_and_one_that_a_person_adds_stays() {
    let refrain = "And the light went round and round above the dark water.";
    let other = "The keeper climbed the stairs every evening and lit the lamp.";
    let last = "In the morning a small boat lay on the beach below the tower.";
    let told = |parts: &[&str]| story(&parts.join("\n\n"));
    let resplit = |project: &Project, base: &SplitStory, story: &SplitStory| {
        let mut file = ProjectFile::parse(&new_file(project)).unwrap();
        file.resplit(story, Some(base), file_of("two"));
        file.project().shots.iter().map(|shot| shot.text.clone()).collect::<Vec<_>>()
    };
    let before = told(&[other, refrain]);
    let project = Project::of_story(&before, file_of("one"), Video::default());
    let after = told(&[other, refrain, last, refrain]);
    assert_eq!(resplit(&project, &before, &after), [other, refrain, last, refrain]);
    // A person repeats the refrain, and the story gets another end.
    let mut own = project.clone();
    own.shots.push(Shot { id: "again".to_owned(), ..project.shots[1].clone() });
    let after = told(&[other, refrain, last]);
    let texts = resplit(&own, &before, &after);
    assert_eq!(texts.iter().filter(|text| *text == refrain).count(), 2, "{texts:?}");
}

#[test]
fn text_that_the_story_no_longer_has_goes_and_is_named_but_for_locked_and_silent_shots() {
    let text = new_file(&Project::of_story(&story(STORY), file_of("one"), Video::default()));
    let text = text.replacen("id = \"b1\"", "id = \"b1\"\nlocked = true", 1)
        + "\n[[shots]]\nid = \"end\"\ntext = \"\"\n";
    let mut file = ProjectFile::parse(&text).unwrap();
    let found = file.resplit(
        &story("# The Lamp\n\nThe keeper climbed the stairs every evening and lit the lamp."),
        None,
        file_of("two"),
    );
    assert_eq!(found.removed.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["a2", "a3"]);
    let ids: Vec<&str> = file.project().shots.iter().map(|shot| shot.id.as_str()).collect();
    assert_eq!(ids, ["a1", "b1", "end"]);
    assert_eq!(&read_toml(&file.to_string()).unwrap(), file.project());
}

#[test]
fn the_largest_story_of_the_smallest_scenes_takes_no_minutes() {
    let before = story(&"a.\n\n***\n\n".repeat(150_000));
    let text = new_file(&Project::of_story(&before, file_of("one"), Video::default()));
    let mut file = ProjectFile::parse(&text).unwrap();
    let found = file.resplit(&story(&"b.\n\n***\n\n".repeat(150_000)), None, file_of("two"));
    assert_eq!((found.added.len(), found.removed.len()), (150_000, 150_000));
    let ids: std::collections::HashSet<&str> =
        file.project().shots.iter().map(|shot| shot.id.as_str()).collect();
    assert_eq!(ids.len(), 150_000);
}

proptest! {
    #[test]
    fn any_story_is_written_and_read_back(text in "(\\PC|[\n\"'\\\\#]|[\u{1}-\u{1f}]|[a-z]{1,9}[ .]){1,120}") {
        if let Ok(story) = split(&text, None) {
            let project = Project::of_story(&story, file_of("x\"y"), Video::default());
            let text = new_file(&project);
            prop_assert_eq!(read_toml(&text).unwrap(), project.clone());
            prop_assert_eq!(crate::project::read_json(&serde_json::to_value(&project).unwrap()).unwrap(), project);
            let mut file = ProjectFile::parse(&text).unwrap();
            file.resplit(&story, None, file_of("x\"y"));
            prop_assert_eq!(file.to_string(), text);
        }
    }
}

const A: &str = "The keeper climbed the long winding stairs of the tower in the evening light.";
const B: &str = "He lit the great lamp with a long match from the box on the shelf.";
const C: &str = "Nobody answered him when he called down to the dark sea below the cliff.";
const TALE: &str = "The keeper climbed the long winding stairs of the tower in the evening light. \
    He lit the great lamp with a long match from the box on the shelf. \
    Nobody answered him when he called down to the dark sea below the cliff.";

#[test]
fn joined_divided_and_moved_shots_neither_lose_nor_repeat_a_sentence() {
    let shot = |id: &str, text: &str| format!("[[shots]]\nid = \"{id}\"\nscene = \"a\"\ntext = \"{text}\"\n");
    let text = new_file(&Project::of_story(&story(TALE), file_of("one"), Video::default()));
    let (start, _) = text.split_once("[[shots]]").unwrap();
    let file = |shots: &[String]| format!("{start}{}", shots.concat());
    assert_eq!(story(TALE).shots().map(|shot| shot.text.as_str()).collect::<Vec<_>>(), [A, B, C]);
    let joined = file(&[shot("a1", &format!("{A} {B}")), shot("a3", C)]);
    let (first, rest) = A.split_at(39);
    let divided = file(&[shot("a1", first.trim()), shot("a9", rest.trim()), shot("a2", B), shot("a3", C)]);
    let moved = file(&[shot("a3", C), shot("a1", A), shot("a2", B)]);
    let dropped = file(&[shot("a1", A), shot("a3", C)]);
    for (project, change, expected) in [
        (
            &joined,
            ("keeper", "old keeper"),
            vec![format!("{} {B}", A.replace("keeper", "old keeper")), C.to_owned()],
        ),
        (&joined, ("great", "huge"), vec![format!("{A} {}", B.replace("great", "huge")), C.to_owned()]),
        (&joined, ("Nobody", "No one"), vec![format!("{A} {B}"), C.replace("Nobody", "No one")]),
        (
            &divided,
            ("keeper", "old keeper"),
            vec![A.replace("keeper", "old keeper"), B.to_owned(), C.to_owned()],
        ),
        (
            &divided,
            ("Nobody", "No one"),
            vec![
                first.trim().to_owned(),
                rest.trim().to_owned(),
                B.to_owned(),
                C.replace("Nobody", "No one"),
            ],
        ),
        (&moved, ("great", "huge"), vec![C.to_owned(), A.to_owned(), B.replace("great", "huge")]),
        (&moved, ("", ""), vec![C.to_owned(), A.to_owned(), B.to_owned()]),
        (&dropped, ("", ""), vec![A.to_owned(), C.to_owned()]),
        (&dropped, ("great", "huge"), vec![A.to_owned(), B.replace("great", "huge"), C.to_owned()]),
    ] {
        let before = story(TALE);
        let mut file = ProjectFile::parse(project).unwrap();
        let after = file.regrouped(&story(&TALE.replacen(change.0, change.1, 1)), Some(&before), None);
        file.resplit(&after, Some(&before), file_of("two"));
        let texts: Vec<&str> = file.project().shots.iter().map(|shot| shot.text.as_str()).collect();
        assert_eq!(texts, expected, "{change:?}");
    }
    // Without the former split, too, a text that the story moved keeps its shot.
    let mut file = ProjectFile::parse(&moved).unwrap();
    let found = file.resplit(&story(TALE), None, file_of("two"));
    assert_eq!((found.kept, found.added.len(), found.removed.len()), (3, 0, 0));
}

#[test]
fn titles_follow_the_headings_of_the_story_unless_a_person_set_them() {
    let before = story(STORY);
    let after =
        story(&STORY.replace("# The Lamp", "# The Great Lamp").replace("# The Boat", "# The White Boat"));
    let text = new_file(&Project::of_story(&before, file_of("one"), Video::default()));
    let mut file = ProjectFile::parse(&text.replace("\"The Boat\"", "\"My Boat\" # mine")).unwrap();
    let found = file.resplit(&after, Some(&before), file_of("two"));
    assert_eq!(found.renamed, [("a".to_owned(), "The Lamp".to_owned(), "The Great Lamp".to_owned())]);
    let text = file.to_string();
    assert!(
        text.contains("title = \"The Great Lamp\"") && text.contains("title = \"My Boat\" # mine"),
        "{text}"
    );
    assert_eq!(&read_toml(&text).unwrap(), file.project());
    let divided = STORY.replace("# The Lamp", "# The Great Lamp");
    let divided = story(&divided.replace("\n\n\"Is anybody", "\n\n# Night\n\n\"Is anybody"));
    assert_eq!(file.resplit(&divided, Some(&after), file_of("three")).renamed, []);
    assert_eq!(file.project().scenes[0].title, "The Great Lamp");
}
