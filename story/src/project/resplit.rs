//! Updates the shots of a project file from a changed story that was split again.

use std::collections::{HashMap, HashSet};

use toml_edit::{ArrayOfTables, Item, Table};

use super::{
    align::{Pair, align},
    file::{ProjectFile, Resplit, TextChange, replace},
    ids::{ShotIds, scene_id},
    model::{Scene, Shot, StoryFile},
    new_file::{camera_of, new_shot, prompt, shot_table},
    own_texts::{OwnTexts, as_grouped},
    regroup::regrouped,
};
use crate::split::SplitStory;

impl ProjectFile {
    /// Returns a changed story with its sentences in the groups that the shots had when the story was split before. `story` is split by rule. `base` is the
    /// former story, split; if it is not known, the groups are those of the shots in the file.
    pub fn regrouped(
        &self,
        story: &SplitStory,
        base: Option<&SplitStory>,
        language: Option<&str>,
    ) -> SplitStory {
        let shots: Vec<&str> = self.project.shots.iter().map(|shot| shot.text.as_str()).collect();
        let former = base.map_or_else(|| shots.clone(), |base| as_grouped(&texts_of(base), &shots));
        regrouped(story, &former, language)
    }

    /// Updates the shots from a story that was split again. Shots are found by their text. They keep their ids, comments and everything that a person
    /// set, and their order where the story has not changed it.
    ///
    /// `base` is the former story, split, if it is known. With it a person's own changes stay: a text that the story did not change, and a shot that
    /// was added, removed, joined, divided or moved. Without it the text of the story replaces them. Locked and silent shots stay in either case.
    pub fn resplit(&mut self, story: &SplitStory, base: Option<&SplitStory>, file: StoryFile) -> Resplit {
        self.assign_ids();
        let old_shots = std::mem::take(&mut self.project.shots);
        let new: Vec<(usize, &str)> = story
            .scenes
            .iter()
            .enumerate()
            .flat_map(|(scene, split)| split.shots.iter().map(move |shot| (scene, shot.text.as_str())))
            .collect();
        let old_texts: Vec<&str> = old_shots.iter().map(|shot| shot.text.as_str()).collect();
        let new_texts: Vec<&str> = new.iter().map(|(_, text)| *text).collect();
        let pairs = align(&old_texts, &new_texts);
        let own = base.map_or_else(OwnTexts::default, |base| {
            OwnTexts::of(&as_grouped(&texts_of(base), &old_texts), &old_texts, &new_texts)
        });
        let scenes = self.scenes_of(story, &new, &old_shots, &pairs);
        let mut merge = Merge {
            moved: moved(&pairs, &old_shots, own.clone()),
            own,
            ids: ShotIds::new(old_shots.iter().map(|shot| shot.id.as_str())),
            old_shots: &old_shots,
            old_tables: self.take_shots().into_iter().map(Some).collect(),
            new: &new,
            scenes: &scenes,
            before: None,
            shots: Vec::with_capacity(new.len()),
            tables: ArrayOfTables::new(),
            gone: Vec::new(),
            found: Resplit::default(),
        };
        for pair in pairs {
            match pair {
                Pair::Both(old, new) => drop(merge.keep(old, new)),
                Pair::Old(old) => drop(merge.leave(old)),
                Pair::New(new) => drop(merge.add(new)),
            }
        }
        let Merge { shots, tables, gone, old_tables, mut found, .. } = merge;
        // A shot that was moved is not gone.
        let gone = gone.into_iter().filter(|old| old_tables.get(*old).is_some_and(Option::is_some));
        let gone = gone.filter_map(|old| old_shots.get(old)).map(|shot| (shot.id.clone(), shot.text.clone()));
        found.removed = gone.collect();
        found.renamed = base.map(|base| self.rename_scenes(story, base, &scenes)).unwrap_or_default();
        self.project.shots = shots;
        self.document.insert("shots", Item::ArrayOfTables(tables));
        self.set_story(file);
        found
    }

    /// Has the titles of scenes follow the headings of the story. `scenes` has the id of each scene of the story. A title that a person set stays.
    fn rename_scenes(
        &mut self,
        story: &SplitStory,
        base: &SplitStory,
        scenes: &[String],
    ) -> Vec<(String, String, String)> {
        let former: HashSet<&str> = base.scenes.iter().filter_map(|scene| scene.title.as_deref()).collect();
        let headings: HashSet<&str> =
            story.scenes.iter().filter_map(|scene| scene.title.as_deref()).collect();
        let (mut renamed, mut seen) = (Vec::new(), HashSet::new());
        let mut tables = self.take("scenes");
        for (id, split) in scenes.iter().zip(&story.scenes) {
            // A heading in the middle of a scene is not its title.
            if !seen.insert(id) {
                continue;
            }
            let Some(index) = self.project.scenes.iter().position(|scene| scene.id == *id) else { continue };
            let (Some(scene), Some(title)) = (self.project.scenes.get_mut(index), &split.title) else {
                continue;
            };
            // A heading that the story still has belongs to another scene of it.
            if former.contains(scene.title.as_str()) && !headings.contains(scene.title.as_str()) {
                let before = std::mem::replace(&mut scene.title, title.clone());
                if let Some(table) = tables.get_mut(index) {
                    replace(table, "title", title);
                }
                renamed.push((id.clone(), before, title.clone()));
            }
        }
        if !tables.is_empty() {
            self.document.insert("scenes", Item::ArrayOfTables(tables));
        }
        renamed
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
}

/// The shots while they are merged with those of the changed story.
struct Merge<'a> {
    old_shots: &'a [Shot],
    /// The tables of the old shots that have no place yet.
    old_tables: Vec<Option<Table>>,
    /// The new shots with the number of their scene in the story.
    new: &'a [(usize, &'a str)],
    /// The ids of the scenes of the story.
    scenes: &'a [String],
    own: OwnTexts,
    /// The old shots whose text the story may have at another place.
    moved: HashMap<&'a str, Vec<usize>>,
    ids: ShotIds,
    /// The scene of the story and the scene of the shot before. A scene of the story in which the place changes is several scenes of the project.
    before: Option<(usize, String)>,
    shots: Vec<Shot>,
    tables: ArrayOfTables,
    /// The old shots that the story does not have at their place.
    gone: Vec<usize>,
    found: Resplit,
}

impl Merge<'_> {
    /// Keeps an old shot that matches a new one. Its text follows the story, unless it is locked or a person changed it.
    fn keep(&mut self, old: usize, new: usize) -> Option<()> {
        let (shot, (scene, text)) = (self.old_shots.get(old)?, *self.new.get(new)?);
        let (mut shot, mut table) = (shot.clone(), self.old_tables.get_mut(old)?.take()?);
        if shot.text == text || shot.locked || self.own.take_removed(text) {
            self.found.kept += 1;
        } else {
            self.found.changed.push(follow(&mut shot, &mut table, text));
        }
        self.place(scene, shot, table);
        Some(())
    }

    /// Keeps an old shot that matches no new one, if it may stay by itself.
    fn leave(&mut self, old: usize) -> Option<()> {
        let shot = self.old_shots.get(old)?;
        if stays_by_itself(shot, &mut self.own) {
            self.found.kept += 1;
            self.tables.push(self.old_tables.get_mut(old)?.take()?);
            self.shots.push(shot.clone());
        } else {
            self.gone.push(old);
        }
        Some(())
    }

    /// Adds a new shot that matches no old one at its place: an old shot that was moved here, or one that is made by rule.
    fn add(&mut self, new: usize) -> Option<()> {
        let (scene, text) = *self.new.get(new)?;
        // The former story had this text too, so a person removed the shot, or joined, divided or moved it.
        if self.own.take_removed(text) {
            return None;
        }
        if let Some(old) = self.moved.get_mut(text).and_then(Vec::pop) {
            let (shot, table) = (self.old_shots.get(old)?.clone(), self.old_tables.get_mut(old)?.take()?);
            self.found.kept += 1;
            self.place(scene, shot, table);
            return Some(());
        }
        let same = self.before.as_ref().filter(|(of, _)| *of == scene).map(|(_, id)| id.clone());
        let id = same.or_else(|| self.scenes.get(scene).cloned()).unwrap_or_default();
        let shot = new_shot(self.ids.next(&id), id, text, camera_of(self.shots.len()));
        self.found.added.push(shot.id.clone());
        self.found.added_at.insert(shot.id.clone(), new);
        let mut table = shot_table(&shot);
        table.decor_mut().set_prefix("\n");
        self.tables.push(table);
        self.shots.push(shot);
        Some(())
    }

    fn place(&mut self, scene: usize, shot: Shot, table: Table) {
        self.before = Some((scene, shot.scene.clone()));
        self.shots.push(shot);
        self.tables.push(table);
    }
}

fn texts_of(story: &SplitStory) -> Vec<&str> {
    story.shots().map(|shot| shot.text.as_str()).collect()
}

/// Whether a shot that the story does not have stays: it is locked or silent, or a person added it.
fn stays_by_itself(shot: &Shot, own: &mut OwnTexts) -> bool {
    shot.locked || shot.text.trim().is_empty() || own.take_added(&shot.text)
}

/// Returns the indices of the shots that the story has at another place, or not at all, by their text. The last one comes first.
fn moved<'a>(pairs: &[Pair], shots: &'a [Shot], mut own: OwnTexts) -> HashMap<&'a str, Vec<usize>> {
    let mut moved: HashMap<&str, Vec<usize>> = HashMap::new();
    for pair in pairs.iter().rev() {
        if let Pair::Old(old) = pair
            && let Some(shot) = shots.get(*old)
            && !stays_by_itself(shot, &mut own)
        {
            moved.entry(&shot.text).or_default().push(*old);
        }
    }
    moved
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
