//! Replaces shots of a project file by those that a language model made of their text.

use toml_edit::{ArrayOfTables, Item, value};

use super::{
    file::ProjectFile,
    ids::{ShotIds, scene_id},
    model::{Project, Scene, Shot},
    new_file::shot_table,
};
use crate::characters::letters;

impl ProjectFile {
    /// Replaces shots that follow each other by those of a storyboard that a model made of their text. The first ones keep the ids. Characters and places
    /// that are new are added to the file, and a shot at another place than its scene gets a scene of its own. Returns the ids of the shots that are there
    /// now. None if the shots are not there or have another text; the file is then unchanged.
    pub fn replace_shots(&mut self, ids: &[String], made: &Project) -> Option<Vec<String>> {
        let shots = &self.project.shots;
        let start = shots.iter().position(|shot| Some(&shot.id) == ids.first())?;
        let range = start..start + ids.len();
        let former = shots.get(range.clone()).filter(|former| former.iter().map(|shot| &shot.id).eq(ids))?;
        if letters_of(former) != letters_of(&made.shots) {
            return None;
        }
        let scene = former.first()?.scene.clone();
        let is_new_scene = shots.iter().all(|shot| shot.scene != scene || ids.contains(&shot.id));
        let mut free = ShotIds::new(shots.iter().map(|shot| shot.id.as_str()));
        let mut old_ids = ids.iter().cloned();
        let mut scenes: Vec<Scene> = Vec::new();
        let first_place = made.shots.iter().find_map(|shot| made.place(shot)).map(|place| place.id.clone());
        if let Some(place) = first_place.filter(|_| is_new_scene) {
            self.set_place(&scene, &place);
        }
        let mut new_shots = Vec::with_capacity(made.shots.len());
        for shot in &made.shots {
            let place = made.place(shot).map(|place| place.id.as_str()).unwrap_or_default();
            let scene = self.scene_at(&scene, place, &mut scenes);
            let id = old_ids.next().unwrap_or_else(|| free.next(&scene));
            new_shots.push(Shot { id, scene, ..shot.clone() });
        }
        self.add_subjects(made, &new_shots);
        self.add_scenes(scenes);
        let tables = new_shots.iter().map(|shot| {
            let mut table = shot_table(shot);
            table.decor_mut().set_prefix("\n");
            table
        });
        let mut old_tables = self.take_shots().into_iter();
        let mut all: ArrayOfTables = old_tables.by_ref().take(range.start).collect();
        all.extend(tables);
        all.extend(old_tables.skip(range.len()));
        self.document.insert("shots", Item::ArrayOfTables(all));
        let ids = new_shots.iter().map(|shot| shot.id.clone()).collect();
        self.project.shots.splice(range, new_shots);
        Some(ids)
    }

    /// Sets the place of a scene that has none.
    fn set_place(&mut self, scene: &str, place: &str) {
        let Some(index) = self.project.scenes.iter().position(|known| known.id == scene) else { return };
        let Some(known) = self.project.scenes.get_mut(index).filter(|known| known.place.is_empty()) else {
            return;
        };
        place.clone_into(&mut known.place);
        let mut tables = self.take("scenes");
        if let Some(table) = tables.get_mut(index) {
            table.insert("place", value(place));
        }
        self.document.insert("scenes", Item::ArrayOfTables(tables));
    }

    /// Returns the id of a scene at this place: the given one if its place is this one, else one of `added`, to which a new one is added if it must be.
    fn scene_at(&self, scene: &str, place: &str, added: &mut Vec<Scene>) -> String {
        let known = self.project.scenes.iter().find(|known| known.id == scene);
        if place.is_empty() || known.is_some_and(|known| known.place == place) {
            return scene.to_owned();
        }
        if let Some(same) = added.iter().find(|added| added.place == place) {
            return same.id.clone();
        }
        let is_used = |id: &str| self.project.scenes.iter().chain(added.iter()).any(|scene| scene.id == id);
        let count = self.project.scenes.len() + added.len();
        let id = (0..=count).map(scene_id).find(|id| !is_used(id)).unwrap_or_default();
        added.push(Scene { id: id.clone(), title: String::new(), place: place.to_owned() });
        id
    }

    /// Adds the characters and places of a storyboard that these shots show and the file does not have.
    fn add_subjects(&mut self, made: &Project, shots: &[Shot]) {
        let is_seen = |id: &String| {
            let is_place_of = |shot: &Shot| made.place(shot).is_some_and(|place| place.id == *id);
            shots.iter().any(|shot| shot.speaker == *id || shot.characters.contains(id))
                || made.shots.iter().any(is_place_of)
        };
        let characters: Vec<_> = made.characters.iter().filter(|one| is_seen(&one.id)).cloned().collect();
        let places: Vec<_> = made.places.iter().filter(|one| is_seen(&one.id)).cloned().collect();
        for character in characters {
            if self.project.characters.iter().all(|known| known.id != character.id) {
                self.add_table(
                    "characters",
                    &[
                        ("id", &character.id),
                        ("name", &character.name),
                        ("look", &character.look),
                        ("voice", &character.voice),
                    ],
                );
                self.project.characters.push(character);
            }
        }
        for place in places {
            if self.project.places.iter().all(|known| known.id != place.id) {
                self.add_table("places", &[("id", &place.id), ("look", &place.look)]);
                self.project.places.push(place);
            }
        }
    }
}

fn letters_of(shots: &[Shot]) -> String {
    shots.iter().map(|shot| letters(&shot.text)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::read_toml;

    const FILE: &str = "version = 1\n[[characters]]\nid = \"keeper\" # mine\n[[places]]\nid = \"tower\"\n\
        [[scenes]]\nid = \"a\"\nplace = \"tower\"\n\
        [[shots]]\nid = \"a1\"\nscene = \"a\"\ntext = \"One.\"\n[[shots]]\nid = \"a2\"\nscene = \"a\"\ntext = \"Two. Three.\"\n\
        # The end.\n[[shots]]\nid = \"a3\"\nscene = \"a\"\ntext = \"Four.\"\n";

    const MADE: &str = "version = 1\n[[characters]]\nid = \"keeper\"\nlook = \"old\"\n[[characters]]\nid = \"girl\"\nlook = \"small\"\nvoice = \"f1\"\n\
        [[characters]]\nid = \"unseen\"\n[[places]]\nid = \"tower\"\n[[places]]\nid = \"beach\"\nlook = \"white\"\n\
        [[scenes]]\nid = \"a\"\nplace = \"tower\"\n[[scenes]]\nid = \"b\"\nplace = \"beach\"\n\
        [[shots]]\nid = \"a1\"\nscene = \"a\"\ntext = \"Two.\"\npicture = \"in the tower\"\n\
        [[shots]]\nid = \"b1\"\nscene = \"b\"\ntext = \"Three.\"\npicture = \"at the sea\"\ncharacters = [\"girl\"]\n";

    #[test]
    fn described_shots_bring_their_characters_and_places() {
        let mut file = ProjectFile::parse(FILE).unwrap();
        let ids = file.replace_shots(&["a2".to_owned()], &read_toml(MADE).unwrap()).unwrap();
        assert_eq!(ids, ["a2", "b1"]);
        let text = file.to_string();
        let read = read_toml(&text).unwrap();
        assert_eq!(&read, file.project(), "the project is what the file says:\n{text}");
        let shots: Vec<_> = read
            .shots
            .iter()
            .map(|shot| (shot.id.as_str(), shot.scene.as_str(), shot.text.as_str()))
            .collect();
        assert_eq!(
            shots,
            [("a1", "a", "One."), ("a2", "a", "Two."), ("b1", "b", "Three."), ("a3", "a", "Four.")]
        );
        assert_eq!(read.place(&read.shots[2]).unwrap().look, "white");
        let characters: Vec<_> = read
            .characters
            .iter()
            .map(|one| (one.id.as_str(), one.look.as_str(), one.voice.as_str()))
            .collect();
        assert_eq!(characters, [("keeper", "", ""), ("girl", "small", "f1")], "what is known stays as it is");
        assert!(text.contains("# mine") && text.contains("# The end.\n[[shots]]\nid = \"a3\""), "{text}");
    }

    #[test]
    fn a_new_scene_keeps_its_title_and_is_given_the_place() {
        let file = FILE.replace("place = \"tower\"\n[[shots]]", "title = \"Two\"\n[[shots]]");
        let ids = ["a1", "a2", "a3"].map(str::to_owned);
        let made = MADE
            .replace("text = \"Two.\"", "text = \"One. Two.\"")
            .replace("text = \"Three.\"", "text = \"Three. Four.\"");
        let mut file = ProjectFile::parse(&file).unwrap();
        file.replace_shots(&ids, &read_toml(&made).unwrap()).unwrap();
        let read = read_toml(&file.to_string()).unwrap();
        assert_eq!(&read, file.project());
        let scenes: Vec<_> =
            read.scenes.iter().map(|scene| (scene.title.as_str(), scene.place.as_str())).collect();
        assert_eq!(scenes, [("Two", "tower"), ("", "beach")]);
        assert_eq!(read.shots[0].scene, "a");
    }

    #[test]
    fn shots_with_another_text_stay_as_they_are() {
        let made = read_toml(MADE).unwrap();
        for ids in [&["a1"][..], &["a2", "a3"], &["a3", "a2"], &["x"], &[]] {
            let mut file = ProjectFile::parse(FILE).unwrap();
            let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
            assert_eq!(file.replace_shots(&ids, &made), None, "{ids:?}");
            assert_eq!(file.to_string(), FILE);
        }
    }
}
