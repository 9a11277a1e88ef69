//! Makes the project of a story that was split by rule, and writes the text of its file.

use std::{collections::BTreeMap, fmt::Write as _};

use toml_edit::{Table, Value, value};

use super::{
    ids::{ShotIds, scene_id},
    model::{NARRATOR, Project, Scene, Shot, ShotTransition, StoryFile, VERSION, Video},
};
use crate::{camera::Camera, split::SplitStory};

/// Camera moves that are given to the shots in turn, so that neighbours differ.
const CAMERAS: [Camera; 4] = [Camera::In, Camera::Right, Camera::Out, Camera::Left];

impl Project {
    /// Gives new ids to the shots that have none.
    pub fn assign_ids(&mut self) {
        let mut ids = ShotIds::new(self.shots.iter().map(|shot| shot.id.as_str()));
        for shot in self.shots.iter_mut().filter(|shot| shot.id.is_empty()) {
            shot.id = ids.next(&shot.scene);
        }
    }

    /// Makes the project of a story that was split by rule. The text of each shot is also the prompt of its picture.
    pub fn of_story(story: &SplitStory, file: StoryFile, video: Video) -> Self {
        let mut project = Self {
            version: VERSION,
            story: Some(file),
            video,
            voices: BTreeMap::new(),
            characters: Vec::new(),
            places: Vec::new(),
            scenes: Vec::new(),
            shots: Vec::new(),
        };
        for (number, scene) in story.scenes.iter().enumerate() {
            let id = scene_id(number);
            for (index, shot) in scene.shots.iter().enumerate() {
                let camera = camera_of(project.shots.len());
                project.shots.push(new_shot(format!("{id}{}", index + 1), id.clone(), &shot.text, camera));
            }
            project.scenes.push(Scene {
                id,
                title: scene.title.clone().unwrap_or_default(),
                place: String::new(),
            });
        }
        project
    }
}

/// Returns a shot whose text is also the prompt of its picture.
pub(crate) fn new_shot(id: String, scene: String, text: &str, camera: Camera) -> Shot {
    Shot {
        id,
        scene,
        text: text.to_owned(),
        speak: String::new(),
        subtitle: String::new(),
        speaker: NARRATOR.to_owned(),
        characters: Vec::new(),
        picture: prompt(text),
        picture_file: String::new(),
        voice_file: String::new(),
        clip_file: String::new(),
        camera,
        clip: false,
        motion: String::new(),
        last_picture: String::new(),
        min_s: 0.0,
        hold_s: 0.0,
        transition: ShotTransition::Usual,
        sample: 0,
        locked: false,
    }
}

/// Returns the camera move of the shot with this number, from 0.
pub(crate) fn camera_of(number: usize) -> Camera {
    CAMERAS.get(number % CAMERAS.len()).copied().unwrap_or_default()
}

/// Makes the prompt of a picture from its shot's text, on one line.
pub(super) fn prompt(text: &str) -> String {
    text.replace('\n', " ")
}

/// The column in which comments begin, unless their setting is longer.
const COMMENT_COLUMN: usize = 32;

/// Returns the text of the file of a project that was just made. It has all settings, and of everything else the fields that a new project sets.
pub fn new_file(project: &Project) -> String {
    let mut text = String::from(
        "# The storyboard: one table for each shot, in the film's order. Change, add, move or delete what you like;\n\
         # only what depends on a change is made again. A shot's id never changes; a shot without one is given one.\n",
    );
    let _ = writeln!(text, "version = {}", project.version);
    if let Some(story) = &project.story {
        let _ = writeln!(
            text,
            "story = {{ file = {}, digest = {} }}",
            string(&story.file),
            string(&story.digest)
        );
    }
    write_video(&mut text, &project.video);
    text.push_str("\n[voices]\n");
    if project.voices.is_empty() {
        text.push_str("# narrator = \"a voice of `reel providers voices`\"\n");
    }
    for (speaker, voice) in &project.voices {
        let key = toml_edit::Key::new(speaker).to_string();
        let _ = writeln!(text, "{key} = {}", string(voice));
    }
    for character in &project.characters {
        let _ = write!(
            text,
            "\n[[characters]]\nid = {}\nname = {}\nlook = {}\n{:COMMENT_COLUMN$}# empty: the narrator's\n",
            string(&character.id),
            string(&character.name),
            string(&character.look),
            format!("voice = {}", string(&character.voice)),
        );
    }
    for place in &project.places {
        let _ = write!(text, "\n[[places]]\nid = {}\nlook = {}\n", string(&place.id), string(&place.look));
    }
    for scene in &project.scenes {
        let _ = writeln!(text, "\n[[scenes]]\nid = {}\ntitle = {}", string(&scene.id), string(&scene.title));
        if !scene.place.is_empty() {
            let _ = writeln!(text, "place = {}", string(&scene.place));
        }
    }
    for shot in &project.shots {
        let _ = write!(text, "\n[[shots]]\n{}", shot_table(shot));
    }
    text
}

/// Writes the settings that all shots share, with their comments in one column.
fn write_video(text: &mut String, video: &Video) {
    let names: Vec<String> = video.subtitles.iter().map(json_text).collect();
    let settings = [
        ("size", string(&video.size.to_string()), "or 16:9, 9:16, 1:1"),
        ("fps", video.fps.to_string(), ""),
        ("style", string(&video.style), ""),
        ("language", string(&video.language), "such as en or ja; empty: as its characters say"),
        ("transition", json_text(&video.transition), "cut or dissolve"),
        ("transition_s", format!("{:?}", video.transition_s), ""),
        ("subtitles", format!("[{}]", names.join(", ")), "burn, track, srt"),
        (
            "subtitle_size",
            string(&video.subtitle_size.to_string()),
            "small, medium, large, or a share of the height such as 6%",
        ),
        ("subtitle_position", json_text(&video.subtitle_position), "bottom, middle or top"),
        ("subtitle_outline", json_text(&video.subtitle_outline), "on, box or none"),
        ("music", string(&video.music), "a file with music"),
        ("music_db", format!("{:?}", video.music_db), ""),
        ("loudness", format!("{:?}", video.loudness), ""),
        (
            "sheets",
            video.sheets.to_string(),
            "a picture of each character and place first, as a reference for the others",
        ),
        ("title", string(&video.title), "shown over the first shot"),
        ("end_card", string(&video.end_card), "shown over the last shot"),
        ("chapter_titles", video.chapter_titles.to_string(), "true: the titles of scenes are shown"),
        ("title_s", format!("{:?}", video.title_s), ""),
    ];
    text.push_str("\n[video]\n");
    for (key, value, comment) in settings {
        let setting = format!("{key} = {value}");
        let _ = match comment {
            "" => writeln!(text, "{setting}"),
            _ => writeln!(text, "{setting:COMMENT_COLUMN$}# {comment}"),
        };
    }
}

/// Returns a text as a TOML string.
fn string(text: &str) -> String {
    Value::from(text).to_string()
}

/// Returns the JSON text of an enumeration's value: its name in quotes.
fn json_text(word: &impl serde::Serialize) -> String {
    serde_json::to_string(word).unwrap_or_default()
}

/// Returns the table of a new shot. It has the fields that every storyboard sets, and others if they differ from their defaults.
pub(super) fn shot_table(shot: &Shot) -> Table {
    let mut table = Table::new();
    let camera = json_text(&shot.camera);
    let fields = [
        ("id", shot.id.as_str()),
        ("scene", &shot.scene),
        ("text", &shot.text),
        ("picture", &shot.picture),
        ("camera", camera.trim_matches('"')),
    ];
    for (key, text) in fields {
        table.insert(key, value(text));
    }
    if shot.speaker != NARRATOR {
        table.insert("speaker", value(shot.speaker.as_str()));
    }
    if !shot.characters.is_empty() {
        table.insert("characters", value(shot.characters.iter().collect::<toml_edit::Array>()));
    }
    if !shot.motion.is_empty() {
        table.insert("motion", value(shot.motion.as_str()));
    }
    if shot.transition != ShotTransition::Usual {
        table.insert("transition", value(json_text(&shot.transition).trim_matches('"')));
    }
    table
}
