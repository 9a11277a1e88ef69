//! Changes the text of a project file, and preserves comments, order and what a person edited.

use std::{collections::HashMap, fmt};

use toml_edit::{ArrayOfTables, DocumentMut, InlineTable, Item, Table, Value, value};

use super::{
    ids::ShotIds,
    model::{Project, Scene, StoryFile},
    read::{ProjectError, read_toml},
};

/// The result of splitting a story again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resplit {
    /// The number of shots that are unchanged.
    pub kept: usize,
    /// The shots that were given the new text of the story.
    pub changed: Vec<TextChange>,
    /// The ids of the shots that were added.
    pub added: Vec<String>,
    /// The index of each of them among the shots of the story, by its id.
    pub added_at: HashMap<String, usize>,
    /// The scenes whose title follows a changed heading: the id, the title before, and the title now.
    pub renamed: Vec<(String, String, String)>,
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

    pub(super) fn set_story(&mut self, file: StoryFile) {
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
    pub(super) fn take(&mut self, key: &str) -> ArrayOfTables {
        let item = self.document.get_mut(key).map(std::mem::take).unwrap_or_default();
        item.into_array_of_tables().unwrap_or_default()
    }
}

/// Replaces a value and preserves its comment.
pub(super) fn replace(table: &mut Table, key: &str, text: &str) {
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
