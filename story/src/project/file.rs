//! Changes the text of a project file, and preserves comments, order and what a person edited.

use std::{
    collections::{HashMap, HashSet},
    fmt,
};

use toml_edit::{ArrayOfTables, DocumentMut, InlineTable, Item, Table, Value, value};

use super::{
    align::{Pair, align},
    ids::{ShotIds, scene_id},
    model::{Project, Scene, Shot, StoryFile},
    new_file::{camera_of, new_shot, prompt, shot_table},
    read::{ProjectError, read_toml},
    regroup::regrouped,
};
use crate::split::SplitStory;

/// The result of splitting a story again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resplit {
    /// The number of shots that are unchanged.
    pub kept: usize,
    /// The shots that were given the new text of the story.
    pub changed: Vec<TextChange>,
    /// The ids of the shots that were added.
    pub added: Vec<String>,
    /// The ids and texts of the shots that were removed, because the story does not have their text any more.
    pub removed: Vec<(String, String)>,
}

/// The text of a shot before and after a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextChange {
    /// The shot's id.
    pub id: String,
    /// The text before.
    pub before: String,
    /// The text after.
    pub after: String,
}

/// A project file that can be changed. Display returns its text.
#[derive(Debug, Clone)]
pub struct ProjectFile {
    pub(super) document: DocumentMut,
    pub(super) project: Project,
}

impl fmt::Display for ProjectFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.document.fmt(f)
    }
}

impl ProjectFile {
    /// Reads and checks a project file.
    pub fn parse(text: &str) -> Result<Self, ProjectError> {
        let project = read_toml(text)?;
        let document =
            text.parse::<DocumentMut>().map_err(|error| ProjectError::of_document(text, &error))?;
        Ok(Self { document, project })
    }

    /// Returns the project that the file describes.
    pub fn project(&self) -> &Project {
        &self.project
    }

    /// Gives new ids to the shots that have none, and returns their number.
    pub fn assign_ids(&mut self) -> usize {
        let mut ids = ShotIds::new(self.project.shots.iter().map(|shot| shot.id.as_str()));
        let mut tables = self.take_shots();
        let mut assigned = 0;
        for (shot, table) in self.project.shots.iter_mut().zip(tables.iter_mut()) {
            if shot.id.is_empty() {
                shot.id = ids.next(&shot.scene);
                let id = value(shot.id.as_str());
                match table.get_mut("id") {
                    Some(item) => *item = id,
                    None => insert_first(table, "id", id),
                }
                assigned += 1;
            }
        }
        self.document.insert("shots", Item::ArrayOfTables(tables));
        assigned
    }

    /// Returns a changed story with its sentences in the groups that the shots had when the story was split before. `story` is split by rule. `base` is the
    /// former story, split; if it is not known, the groups are those of the shots in the file.
    pub fn regrouped(
        &self,
        story: &SplitStory,
        base: Option<&SplitStory>,
        language: Option<&str>,
    ) -> SplitStory {
        let former: Vec<&str> = match base {
            Some(base) => base.shots().map(|shot| shot.text.as_str()).collect(),
            None => self.project.shots.iter().map(|shot| shot.text.as_str()).collect(),
        };
        regrouped(story, &former, language)
    }

    /// Updates the shots from a story that was split again. Shots are found by their text. They keep their ids, order, comments and everything that a
    /// person set.
    ///
    /// `base` is the former story, split, if it is known. With it a person's own changes stay: a text that the story did not change, and a shot that
    /// was added, removed or joined. Without it the text of the story replaces them. Locked and silent shots stay in either case.
    pub fn resplit(&mut self, story: &SplitStory, base: Option<&SplitStory>, file: StoryFile) -> Resplit {
        self.assign_ids();
        let old_shots = std::mem::take(&mut self.project.shots);
        let mut own = OwnTexts::of(base, &old_shots);
        let mut old_tables: Vec<Option<Table>> = self.take_shots().into_iter().map(Some).collect();
        let new: Vec<(usize, &str)> = story
            .scenes
            .iter()
            .enumerate()
            .flat_map(|(scene, split)| split.shots.iter().map(move |shot| (scene, shot.text.as_str())))
            .collect();
        let old_texts: Vec<&str> = old_shots.iter().map(|shot| shot.text.as_str()).collect();
        let new_texts: Vec<&str> = new.iter().map(|(_, text)| *text).collect();
        let pairs = align(&old_texts, &new_texts);
        let scenes = self.scenes_of(story, &new, &old_shots, &pairs);
        let mut ids = ShotIds::new(old_shots.iter().map(|shot| shot.id.as_str()));
        let mut found = Resplit::default();
        let mut tables = ArrayOfTables::new();
        let mut shots = Vec::with_capacity(new.len());
        // The scene of the story and the scene of the shot before. A scene of the story in which the place changes is several scenes of the project.
        let mut before: Option<(usize, String)> = None;
        for pair in pairs {
            match pair {
                Pair::Both(old, new_index) => {
                    let (Some(shot), Some(&text)) = (old_shots.get(old), new_texts.get(new_index)) else {
                        continue;
                    };
                    let Some(mut table) = old_tables.get_mut(old).and_then(Option::take) else { continue };
                    let mut shot = shot.clone();
                    let stays = shot.text == text || shot.locked || own.take_removed(text);
                    if stays {
                        found.kept += 1;
                    } else {
                        found.changed.push(follow(&mut shot, &mut table, text));
                    }
                    before = new.get(new_index).map(|(scene, _)| (*scene, shot.scene.clone()));
                    shots.push(shot);
                    tables.push(table);
                }
                Pair::Old(old) => {
                    let Some(shot) = old_shots.get(old) else { continue };
                    if shot.locked || shot.text.trim().is_empty() || own.take_added(&shot.text) {
                        found.kept += 1;
                        shots.push(shot.clone());
                        tables.extend(old_tables.get_mut(old).and_then(Option::take));
                    } else {
                        found.removed.push((shot.id.clone(), shot.text.clone()));
                    }
                }
                Pair::New(new_index) => {
                    let Some(&(scene, text)) = new.get(new_index) else { continue };
                    // The former story had this text too, so a person removed the shot or joined it with another one.
                    if own.take_removed(text) {
                        continue;
                    }
                    let same = before.as_ref().filter(|(of, _)| *of == scene).map(|(_, id)| id.clone());
                    let scene = same.or_else(|| scenes.get(scene).cloned()).unwrap_or_default();
                    let camera = camera_of(shots.len());
                    let shot = new_shot(ids.next(&scene), scene, text, camera);
                    found.added.push(shot.id.clone());
                    let mut table = shot_table(&shot);
                    table.decor_mut().set_prefix("\n");
                    shots.push(shot);
                    tables.push(table);
                }
            }
        }
        self.project.shots = shots;
        self.document.insert("shots", Item::ArrayOfTables(tables));
        self.set_story(file);
        found
    }

    /// Returns the id of each scene of the story. It is the one of its first matched shot, else that of a scene with the same title, else a new one.
    fn scenes_of(
        &mut self,
        story: &SplitStory,
        new: &[(usize, &str)],
        old_shots: &[Shot],
        pairs: &[Pair],
    ) -> Vec<String> {
        let mut first: HashMap<usize, &str> = HashMap::new();
        for pair in pairs {
            if let Pair::Both(old, at) = pair
                && let (Some(shot), Some((scene, _))) = (old_shots.get(*old), new.get(*at))
            {
                first.entry(*scene).or_insert(&shot.scene);
            }
        }
        let known = std::mem::take(&mut self.project.scenes);
        let used: HashSet<&str> = known.iter().map(|scene| scene.id.as_str()).collect();
        let titles: HashMap<&str, &str> =
            known.iter().map(|scene| (scene.title.as_str(), scene.id.as_str())).collect();
        let mut free = (0..).map(scene_id).filter(|id| !used.contains(id.as_str()));
        let mut added = Vec::new();
        let mut scenes = Vec::with_capacity(story.scenes.len());
        for (number, split) in story.scenes.iter().enumerate() {
            let title = split.title.as_deref().unwrap_or_default();
            let equal = titles.get(title).filter(|_| !title.is_empty());
            let id = if let Some(id) = first.get(&number).or(equal) {
                (*id).to_owned()
            } else {
                let id = free.next().unwrap_or_default();
                added.push(Scene { id: id.clone(), title: title.to_owned(), place: String::new() });
                id
            };
            scenes.push(id);
        }
        self.project.scenes = known;
        self.add_scenes(added);
        scenes
    }

    pub(super) fn add_scenes(&mut self, added: Vec<Scene>) {
        for scene in &added {
            let place = Some(("place", &scene.place)).filter(|(_, place)| !place.is_empty());
            let fields = [("id", &scene.id), ("title", &scene.title)];
            self.add_table("scenes", &fields.into_iter().chain(place).collect::<Vec<_>>());
        }
        self.project.scenes.extend(added);
    }

    /// Adds a table with these fields to a list of tables.
    pub(super) fn add_table(&mut self, key: &str, fields: &[(&str, &String)]) {
        let mut table = Table::new();
        for (name, text) in fields {
            table.insert(name, value(text.as_str()));
        }
        table.decor_mut().set_prefix("\n");
        let mut tables = self.take(key);
        tables.push(table);
        self.document.insert(key, Item::ArrayOfTables(tables));
    }

    fn set_story(&mut self, file: StoryFile) {
        for (key, text) in [("file", &file.file), ("digest", &file.digest)] {
            let story = self
                .document
                .entry("story")
                .or_insert_with(|| Item::Value(Value::InlineTable(InlineTable::default())));
            match story.get_mut(key).and_then(Item::as_value_mut) {
                Some(old) => {
                    let decor = old.decor().clone();
                    *old = Value::from(text.as_str());
                    *old.decor_mut() = decor;
                }
                None => {
                    if let Some(table) = story.as_table_like_mut() {
                        table.insert(key, value(text.as_str()));
                    }
                }
            }
        }
        self.project.story = Some(file);
    }

    /// Takes the tables of the shots out of the document. The caller must insert them again.
    pub(super) fn take_shots(&mut self) -> ArrayOfTables {
        self.take("shots")
    }

    /// Takes a list of tables out of the document. An array of inline tables is converted to one.
    fn take(&mut self, key: &str) -> ArrayOfTables {
        let item = self.document.get_mut(key).map(std::mem::take).unwrap_or_default();
        item.into_array_of_tables().unwrap_or_default()
    }
}

/// Gives a shot the text of the story. Its prompt is replaced too if it was made from the old text.
fn follow(shot: &mut Shot, table: &mut Table, text: &str) -> TextChange {
    let before = std::mem::replace(&mut shot.text, text.to_owned());
    replace(table, "text", text);
    if shot.picture == prompt(&before) {
        shot.picture = prompt(text);
        replace(table, "picture", &shot.picture);
    }
    TextChange { id: shot.id.clone(), before, after: text.to_owned() }
}

/// The texts of shots that a person added to or removed from the former split of the story. The same text may be there several times, such as a
/// refrain, so each change is counted. All counts are 0 if the former split is not known.
#[derive(Debug, Default)]
struct OwnTexts {
    added: HashMap<String, usize>,
    removed: HashMap<String, usize>,
}

impl OwnTexts {
    fn of(base: Option<&SplitStory>, shots: &[Shot]) -> Self {
        let mut own = Self::default();
        let Some(base) = base else { return own };
        for shot in shots {
            *own.added.entry(shot.text.clone()).or_default() += 1;
        }
        for shot in base.shots() {
            if !take(&mut own.added, &shot.text) {
                *own.removed.entry(shot.text.clone()).or_default() += 1;
            }
        }
        own
    }

    /// Whether a person added a shot with this text. Each such shot is found once.
    fn take_added(&mut self, text: &str) -> bool {
        take(&mut self.added, text)
    }

    /// Whether a person removed a shot with this text, or changed its text. Each such shot is found once.
    fn take_removed(&mut self, text: &str) -> bool {
        take(&mut self.removed, text)
    }
}

fn take(counts: &mut HashMap<String, usize>, text: &str) -> bool {
    let Some(count) = counts.get_mut(text).filter(|count| **count > 0) else { return false };
    *count -= 1;
    true
}

/// Replaces a value and preserves its comment.
fn replace(table: &mut Table, key: &str, text: &str) {
    let old = table.get_mut(key).and_then(Item::as_value_mut);
    if let Some(old) = old {
        let decor = old.decor().clone();
        *old = Value::from(text);
        *old.decor_mut() = decor;
    } else {
        table.insert(key, value(text));
    }
}

/// Inserts a field before the others.
fn insert_first(table: &mut Table, key: &str, item: Item) {
    table.insert(key, item);
    table.sort_values_by(|left, _, right, _| (left.get() != key).cmp(&(right.get() != key)));
}
